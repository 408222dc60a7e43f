//! For any input of REST and the feed, the output is JSON in the endpoint's format, with the original digits.

use std::collections::HashSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::snapshots::object::Object;

/// Members of an object in any order, possibly repeated, with raw values.
type Members = Vec<(String, String)>;

#[derive(Clone, Debug)]
struct Case {
    endpoint: BodyEndpoint,
    base: Option<String>,
    events: Vec<String>,
}

/// About the time of the samples.
const AROUND_US: i64 = 1_759_522_500_000_000;

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?",
        "-?[0-9]\\.[0-9]{18}",
        Just("1".repeat(300)),
    ]
    .prop_filter("JSON", |text| serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok())
}

fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        number().prop_map(|number| format!("\"{number}\"")),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just(r#""""#.to_owned()),
        Just(r#""\u00e9\ud83d\ude00\n\/\u0031""#.to_owned()),
        Just(r#""\u0032\u002e5""#.to_owned()),
        Just("\"2025-10-03T20:14:51.000001Z\"".to_owned()),
        Just("\"-999999999-01-01T00:00:00Z\"".to_owned()),
        Just("\"9999-12-30T22:00:00Z\"".to_owned()),
        Just("\"0001-01-01\"".to_owned()),
        Just("\"SPY251003C00000001\"".to_owned()),
        "[a-z]{500}".prop_map(|text| format!("\"{text}\"")),
    ]
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(&["null", "true", "false"][..]).prop_map(str::to_owned),
        number(),
        string(),
    ];
    leaf.prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(|values| format!("[{}]", values.join(" , "))),
            vec((string(), inner), 0..3).prop_map(|members| written(&members)),
            Just(format!("{}{}", "[".repeat(90), "]".repeat(90))),
        ]
    })
}

fn written(members: &[(String, String)]) -> String {
    let members: Vec<String> = members.iter().map(|(name, value)| format!("{name} :{value}")).collect();
    format!("{{{}}}", members.join(",\n"))
}

/// A sample with some members removed, changed, doubled, or unknown.
fn bent(sample: &str) -> impl Strategy<Value = Members> + use<> {
    let object = Object::parse(sample).unwrap();
    let members: Members =
        object.members().map(|(name, value)| (format!("\"{name}\""), value.to_owned())).collect();
    let bends = vec((any::<prop::sample::Index>(), 0..5, value(), string()), 0..4);
    (bends, any::<bool>()).prop_map(move |(bends, is_reversed)| {
        let mut members = members.clone();
        for (at, how, value, name) in bends {
            let at = at.index(members.len());
            match how {
                0 if members.len() > 1 => drop(members.remove(at)),
                1 => members.push((members[at].0.clone(), value)),
                2 => members.insert(at, (name, value)),
                // an escape in the name
                3 => members[at].0 = members[at].0.replacen('e', "\\u0065", 1),
                _ => members[at].1 = value,
            }
        }
        if is_reversed {
            members.reverse();
        }
        members
    })
}

/// With a mostly plausible time.
fn stamped(name: &'static str, members: Members, at: Option<i64>) -> String {
    let at = at.map(|at| (AROUND_US / 1000 + at * 500).to_string());
    let stamp = |(member, value): (String, String)| {
        let value = at.clone().filter(|_| member == format!("\"{name}\"")).unwrap_or(value);
        (member, value)
    };
    written(&members.into_iter().map(stamp).collect::<Vec<_>>())
}

fn case() -> impl Strategy<Value = Case> {
    prop::sample::select(&BodyEndpoint::ALL[..]).prop_flat_map(|endpoint| {
        let (row, event, time) = match endpoint {
            BodyEndpoint::FlowAlerts => {
                let row = samples::FLOW_ALERTS;
                (&row[9..row.len() - 2], samples::DIA_ALERT, "executed_at")
            }
            BodyEndpoint::StockState => {
                let row = samples::STOCK_STATE;
                (
                    &row[8..row.len() - 1],
                    r#"{"ticker":"SPY","close":"562.82","time":1,"vol":6015555}"#,
                    "time",
                )
            }
            BodyEndpoint::SpotExposures => (samples::SERIES_ROW, samples::GEX, "timestamp"),
            BodyEndpoint::SpotExposuresStrike => (samples::STRIKE_ROW, samples::GEX_STRIKE, "timestamp"),
        };
        let rows = vec(bent(row), 0..4);
        let base = (rows, vec((string(), value()), 0..3), any::<bool>()).prop_map(
            move |(rows, around, is_first)| {
                let rows: Vec<String> = rows.iter().map(|row| written(row)).collect();
                let data = match (endpoint, rows.first()) {
                    (BodyEndpoint::StockState, Some(row)) => row.replace("23:58:43", "20:14:43"),
                    _ => format!("[{}]", rows.join("\n,")),
                };
                let mut members = around;
                members.insert(if is_first { 0 } else { members.len() }, ("\"data\"".to_owned(), data));
                written(&members)
            },
        );
        let event = (bent(event), prop::option::weighted(0.9, 0_i64..100));
        let events = vec(event.prop_map(move |(event, at)| stamped(time, event, at)), 0..5);
        let base = prop::option::weighted(0.8, base);
        (base, events).prop_map(move |(base, events)| Case { endpoint, base, events })
    })
}

/// The output of the case, if any.
fn wanted(case: &Case) -> Option<Hash> {
    let mut body = RestBody::new(case.endpoint, "SPY", true);
    let base = case.base.as_deref().map(|base| (base, "2025-10-03T20:14:50.515417+00:00"));
    let is_readable = body.found("SPY", base).is_ok();
    assert_eq!(body.is_foreign(), !is_readable);
    let mut is_one_taken = false;
    for (at, event) in case.events.iter().enumerate() {
        let received_us = u64::try_from(AROUND_US).unwrap() + 60_000_000 + u64::try_from(at).unwrap();
        // some lack required fields
        is_one_taken |= body.add(event, came_at(received_us.cast_signed())).is_ok();
    }
    let wanted = body.wanted();
    assert!(is_readable || wanted.is_none(), "what cannot be read is left alone");
    assert!(is_one_taken || wanted.is_none(), "there is no news without events");
    wanted
}

/// The input values of a case, as written and in canonical form.
fn brought(case: &Case) -> HashSet<String> {
    let mut values = HashSet::new();
    let mut bring = |object: &str| {
        let Some(object) = Object::parse(object) else { return };
        for (_, value) in object.members() {
            values.insert(value.to_owned());
            if let Some(number) = crate::snapshots::object::decimal(value) {
                values.extend([number.to_string(), format!("\"{number}\"")]);
            }
        }
    };
    case.events.iter().for_each(|event| bring(event));
    if let Some((_, data)) = case.base.as_ref().and_then(|base| frame::split(base).ok()) {
        bring(data);
        frame::rows(data).unwrap_or_default().into_iter().for_each(bring);
    }
    values
}

/// Times and the parts of an option symbol are generated here.
const MADE: [&str; 9] =
    ["volume", "created_at", "time", "date", "tape_time", "type", "expiry", "strike", "ticker"];

proptest! {
    #[test]
    fn what_is_written_is_a_body_with_the_digits_that_came(case in case()) {
        let Some(hash) = wanted(&case) else { return Ok(()) };
        shape::assert_is_body(case.endpoint, &hash.payload);
        let brought = brought(&case);
        let (_, data) = frame::split(&hash.payload).unwrap();
        let rows = if case.endpoint == BodyEndpoint::StockState { vec![data] } else { frame::rows(data).unwrap() };
        for row in rows {
            for (name, value) in Object::parse(row).unwrap().members().filter(|(name, _)| !MADE.contains(name)) {
                prop_assert!(value == "null" || brought.contains(value), "{}: {} came from nowhere", name, value);
            }
        }

        // it reads back as what is wanted
        let mut body = RestBody::new(case.endpoint, "SPY", true);
        body.found("SPY", Some((&hash.payload, &hash.fetched_at))).unwrap();
        prop_assert_eq!(body.wanted(), None);
    }

    #[test]
    fn a_row_that_an_event_made_has_rests_names_and_types(case in case()) {
        let Some(hash) = wanted(&Case { base: None, ..case.clone() }) else { return Ok(()) };
        let (_, data) = frame::split(&hash.payload).unwrap();
        for row in frame::rows(data).unwrap() {
            shape::assert_is_row_of_event(case.endpoint, row);
            prop_assert!(row.len() < 8_192, "what a row weighs is bounded");
        }
    }

    #[test]
    fn no_text_panics(payload in any::<String>(), event in any::<String>(), fetched_at in any::<String>()) {
        for endpoint in BodyEndpoint::ALL {
            let mut body = RestBody::new(endpoint, "SPY", true);
            prop_assert!(body.found("SPY", Some((&payload, &fetched_at))).is_err());
            prop_assert!(body.add(&event, came_at(i64::MAX)).is_ok(), "a body that is left alone takes none");
            prop_assert_eq!(body.wanted(), None);
            let mut body = RestBody::new(endpoint, "SPY", true);
            prop_assert!(body.add(&event, came_at(i64::MAX)).is_err());
        }
    }
}

#[test]
fn what_is_nested_deep_is_carried_or_told() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    for payload in [
        format!(r#"{{"data":[],"x":{deep}}}"#),
        format!(r#"{{"data":[{{"time":"2025-10-03T10:30:00Z","x":{deep}}}]}}"#),
    ] {
        let mut body = RestBody::new(BodyEndpoint::SpotExposures, "SPY", true);
        body.found("SPY", Some((&payload, FETCHED))).unwrap();
        let event = r#"{"timestamp":1759522500000,"price":"1"}"#;
        body.add(event, came_at(1_759_522_500_000_000)).unwrap();
        assert!(body.wanted().unwrap().payload.contains(&deep));
    }
    for payload in [deep.clone(), format!(r#"{{"data":{deep}}}"#)] {
        let mut body = RestBody::new(BodyEndpoint::SpotExposures, "SPY", true);
        assert!(body.found("SPY", Some((&payload, FETCHED))).is_err());
    }
    let event = format!(r#"{{"timestamp":{deep},"price":"1"}}"#);
    assert!(RestBody::new(BodyEndpoint::SpotExposures, "SPY", true).add(&event, came_at(1)).is_err());
}
