use std::collections::HashSet;

use super::*;

#[test]
fn the_table_names_each_channel_and_field_once() {
    let names: HashSet<&str> = table::KNOWN.iter().map(|spec| spec.name).collect();
    assert_eq!(names.len(), table::KNOWN.len());
    for spec in table::KNOWN {
        let fields: HashSet<&str> = spec.fields().map(|field| field.name).collect();
        assert_eq!(fields.len(), spec.fields().count(), "{}", spec.name);
        assert!(spec.subject.iter().all(|field| fields.contains(field)), "{}", spec.name);
        assert!(!spec.subject.is_empty(), "{}", spec.name);
        assert!(spec.identity.iter().all(|field| fields.contains(field)), "{}", spec.name);
        assert!(!Channel::RESERVED.contains(&spec.name), "{}", spec.name);
    }
}

#[test]
fn an_identity_is_an_id_or_has_a_time() {
    let tells = |field: &&str| ["id", "trade_id", "time", "timestamp", "tape_time"].contains(field);
    for spec in table::KNOWN {
        assert!(spec.identity.is_empty() || spec.identity.iter().any(tells), "{}", spec.name);
    }
    for without in ["lit_trades", "off_lit_trades", "interpolated_iv", "iv_term_structure", "something_new"] {
        assert!(!Channel::parse(without).unwrap().has_identity(), "{without}");
    }
}

#[test]
fn a_channel_is_its_name() {
    let known = Channel::parse("price").unwrap();
    assert_eq!(known, Channel::Other("price".into()));
    assert_eq!((known.family(), known.scope()), (Family::Prices, Scope::PerTicker));
    let other = Channel::parse("net_flow").unwrap();
    assert_eq!((other.family(), other.scope()), (Family::Other, Scope::PerTicker));
    assert_eq!(Channel::parse("market_tide").unwrap().scope(), Scope::Global);
}

#[test]
fn a_name_that_would_break_a_key_is_refused() {
    for name in ["", "a b", "a:b", "é", &"x".repeat(65)] {
        assert!(Channel::parse(name).is_err(), "{name}");
    }
}
