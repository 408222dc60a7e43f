use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;

#[test]
fn the_symbol_is_ticker_then_underlying_then_symbol() {
    let symbol = |payload: &str| RoutingFields::read(payload).unwrap().symbol().map(str::to_owned);
    assert_eq!(symbol(r#"{"symbol":"C","underlying_symbol":"B","ticker":"A"}"#).as_deref(), Some("A"));
    assert_eq!(symbol(r#"{"symbol":"C","underlying_symbol":"B"}"#).as_deref(), Some("B"));
    assert_eq!(symbol(r#"{"symbol":"C"}"#).as_deref(), Some("C"));
    assert_eq!(symbol("{}"), None);
}

#[test]
fn a_fact_of_another_type_is_absent_and_nothing_is_refused_for_it() {
    let payload =
        r#"{"ticker":{"a":[1,{"b":null}]},"tickers":["A",1,null,["C"],"B"],"strike":290,"timestamp":"x"}"#;
    let facts = RoutingFields::read(payload).unwrap();
    assert_eq!(facts.symbol(), None);
    assert_eq!(facts.tickers, ["A", "B"]);
    assert_eq!(facts.strike.as_deref(), Some("290"));
    assert_eq!(facts.timestamp, None);
}

#[test]
fn an_integer_is_a_fact_if_it_fits() {
    for (number, integer) in [
        ("0", Some(0)),
        ("-7", Some(-7)),
        ("1726670426000", Some(1_726_670_426_000)),
        ("9223372036854775807", Some(i64::MAX)),
        ("-9223372036854775808", Some(i64::MIN)),
        ("9223372036854775808", None),
        ("-9223372036854775809", None),
        ("-0", None),
        ("1.0", None),
        ("1e3", None),
        ("1e999", None),
    ] {
        let payload = format!(r#"{{"timestamp":{number},"strike":{number}}}"#);
        let facts = RoutingFields::read(&payload).unwrap();
        assert_eq!(facts.timestamp, integer, "{number}");
        assert_eq!(facts.strike.as_deref(), integer.map(|_| number), "{number}");
    }
}

#[test]
fn of_a_repeated_name_the_last_one_wins() {
    let facts = RoutingFields::read(
        r#"{"strike":"1","tickers":["A"],"strike":"2","ticker":"A","tickers":["B"],"ticker":null}"#,
    )
    .unwrap();
    assert_eq!((facts.strike.as_deref(), facts.symbol()), (Some("2"), None));
    assert_eq!(facts.tickers, ["B"]);
}

#[test]
fn an_answer_to_a_join_has_status_and_response() {
    let status = |payload: &str| RoutingFields::read(payload).unwrap().join_status().map(str::to_owned);
    assert_eq!(status(r#"{"response":{},"status":"ok"}"#).as_deref(), Some("ok"));
    assert_eq!(status(r#"{"status":"error","response":{"reason":"plan"}}"#).as_deref(), Some("error"));
    assert_eq!(status(r#"{"status":"ok"}"#), None);
    assert_eq!(status(r#"{"response":{}}"#), None);
    for other in ["null", "true", "{}", "[]", "1.5"] {
        let payload = format!(r#"{{"status":{other},"response":{{}}}}"#);
        assert_eq!(status(&payload).as_deref(), Some(""), "{payload}");
    }
}

#[test]
fn validates_the_whole_payload() {
    for broken in [r#"{"a":1"#, r#"{"a":1}}"#, r#"{"a":nul}"#, r#"{"a":"\x"}"#, "[]", r#"{"a":1},{}"#] {
        assert_eq!(RoutingFields::read(broken), Err(NotAnObject), "{broken}");
    }
}

#[test]
fn reads_escaped_names_and_text_and_keeps_plain_text_borrowed() {
    let facts =
        RoutingFields::read(r#"{"t\u0069cker":"A\u0042","strike":"1.5","tickers":["\u0041","B"]}"#).unwrap();
    assert_eq!(facts.symbol(), Some("AB"));
    assert!(matches!(facts.strike, Some(Cow::Borrowed("1.5"))));
    assert_eq!(facts.tickers, ["A", "B"]);
}

#[test]
fn half_a_character_is_no_fact() {
    let facts = RoutingFields::read(
        r#"{"ticker":"A","ticker":"\uD834","expir\uDD1Ey":"x","tickers":["\uDD1E","B"]}"#,
    );
    let facts = facts.unwrap();
    assert_eq!((facts.symbol(), facts.expiry.as_deref()), (None, None));
    assert_eq!(facts.tickers, ["B"]);
}

/// The routing fields according to a JSON tree, in which the last of a repeated name wins too.
fn reference(tree: &Json) -> RoutingFields<'static> {
    let text = |name: &str| match &tree[name] {
        Json::String(text) => Some(Cow::Owned(text.clone())),
        Json::Number(number) => number.as_i64().map(|integer| Cow::Owned(integer.to_string())),
        _ => None,
    };
    let texts = tree["tickers"].as_array().into_iter().flatten().filter_map(Json::as_str);
    RoutingFields {
        ticker: text("ticker"),
        underlying_symbol: text("underlying_symbol"),
        symbol: text("symbol"),
        tickers: texts.map(|text| Cow::Owned(text.to_owned())).collect(),
        strike: text("strike"),
        expiry: text("expiry"),
        days: text("days"),
        date: text("date"),
        option_symbol: text("option_symbol"),
        timestamp: tree["timestamp"].as_i64(),
        status: text("status"),
        has_status: tree.get("status").is_some(),
        has_response: tree.get("response").is_some(),
    }
}

const NAMES: [&str; 15] = [
    "days",
    "date",
    "option_symbol",
    "ticker",
    "underlying_symbol",
    "symbol",
    "tickers",
    "strike",
    "expiry",
    "timestamp",
    "status",
    "response",
    "volume",
    "tickerz",
    "",
];

fn any_value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        (-1000_i32..1000).prop_map(|number| Json::from(f64::from(number) / 8.0)),
        "[A-Z]{1,5}".prop_map(Json::from),
        any::<String>().prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
            prop::collection::vec(("[a-z\"\\\\é]{0,9}", inner), 0..5)
                .prop_map(|members| members.into_iter().collect::<Json>()),
        ]
    })
}

/// Inserts blanks around separators, as determined by `seed`.
fn write(value: &Json, seed: &mut u64, text: &mut String) {
    let blank = |seed: &mut u64, text: &mut String| {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        text.push_str(["", "", "", "", " ", "\n", "\r\n\t"][(*seed >> 33) as usize % 7]);
    };
    blank(seed, text);
    match value {
        Json::Array(items) => {
            text.push('[');
            for (position, item) in items.iter().enumerate() {
                text.push_str(if position > 0 { "," } else { "" });
                write(item, seed, text);
            }
            blank(seed, text);
            text.push(']');
        }
        Json::Object(members) => {
            let members: Vec<_> = members.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
            write_object(&members, seed, text);
        }
        scalar => text.push_str(&scalar.to_string()),
    }
    blank(seed, text);
}

fn write_object(members: &[(String, Json)], seed: &mut u64, text: &mut String) {
    text.push('{');
    for (position, (name, value)) in members.iter().enumerate() {
        text.push_str(if position > 0 { "," } else { "" });
        write(&Json::from(name.as_str()), seed, text);
        text.push(':');
        write(value, seed, text);
    }
    text.push('}');
}

proptest! {
    #[test]
    fn any_object_has_the_facts_that_its_tree_has(
        members in prop::collection::vec((prop::sample::select(&NAMES[..]), any_value()), 0..8),
        mut seed: u64,
    ) {
        let members: Vec<_> = members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let mut payload = String::new();
        write_object(&members, &mut seed, &mut payload);
        let tree: Json = serde_json::from_str(&payload).unwrap();
        prop_assert_eq!(RoutingFields::read(&payload), Ok(reference(&tree)), "{}", payload);
    }
}
