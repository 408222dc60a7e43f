//! `docs/feed.md` says of each channel what the table in `core` says, and shows an event that is as described.
//! `UPDATE_DOCS=1` rewrites its tables.
#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};
use uw_websocket_core::channel::spec::{ChannelSpec, Field, Kind};
use uw_websocket_core::channel::table::KNOWN;
use uw_websocket_core::channel::{Channel, MapKey, Scope, shape};
use uw_websocket_core::duplicates::WINDOW;
use uw_websocket_core::settings::{KeySettings, Targets};

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/feed.md")
}

fn document() -> String {
    fs::read_to_string(path()).unwrap()
}

/// The document before, in and after a table; its mark stands there once.
#[track_caller]
fn parts<'d>(document: &'d str, mark: &str) -> (&'d str, &'d str, &'d str) {
    let begin = format!("<!-- {mark} -->\n");
    let end = format!("<!-- /{} -->", mark.split(' ').next().unwrap());
    assert_eq!(document.matches(&begin).count(), 1, "{begin}");
    let (before, rest) = document.split_once(&begin).unwrap();
    let (table, after) = rest.split_once(&end).unwrap();
    (before, table, after)
}

/// The document with another table at a mark.
fn with_table(document: &str, mark: &str, table: &str) -> String {
    let (before, _, after) = parts(document, mark);
    let name = mark.split(' ').next().unwrap();
    format!("{before}<!-- {mark} -->\n{table}<!-- /{name} -->{after}")
}

fn example(document: &str, spec: &ChannelSpec) -> Map<String, Value> {
    let (_, _, after) = parts(document, &format!("fields {}", spec.name));
    let example = after.split_once("```json\n").unwrap().1.split_once("\n```").unwrap().0;
    serde_json::from_str(example).unwrap()
}

/// The default cap of a channel that is not in the table.
fn cap_of_others() -> u64 {
    let keys = KeySettings {
        prefix: "uw".into(),
        snapshots: true,
        snapshot_interval: Duration::ZERO,
        targets: Targets::WholeMarket,
        streams: true,
        maxlen: None,
        maxlen_by_channel: Vec::new(),
    };
    keys.maxlen_of(&Channel::parse("unknown-channel").unwrap())
}

/// A number with blanks between its thousands.
fn grouped(number: u64) -> String {
    if number < 1_000 { number.to_string() } else { format!("{} {:03}", number / 1_000, number % 1_000) }
}

fn channels() -> String {
    let head = "| Channel | Scope | Family | Entries per second | Bytes per entry | Cap | Hours | Hashes besides `uw:ws:latest:` |\n\
                |---|---|---|---|---|---|---|---|\n";
    let last = format!("| any other | | `other` | unknown | unknown | {} | | |\n", grouped(cap_of_others()));
    head.to_owned() + &KNOWN.into_iter().map(channel).collect::<String>() + &last
}

fn channel(spec: &ChannelSpec) -> String {
    let ChannelSpec { name, family, rate, .. } = spec;
    let scope = if spec.scope == Scope::Global { "global" } else { "ticker" };
    let hours = spec.cap as f64 / rate / 3_600.0;
    let hours = if hours < 1.0 { format!("{hours:.1}") } else { format!("{hours:.0}") };
    let map = spec.map.map(|(key, _)| match key {
        MapKey::Strike => format!("`uw:ws:map:{name}:<SYMBOL>` by `<strike>`"),
        MapKey::ExpiryAndStrike => format!("`uw:ws:map:{name}:<SYMBOL>` by `<expiry>:<strike>`"),
    });
    let body = spec.body.map(|endpoint| format!("`uw:rest:{}:<SYMBOL>`", endpoint.name()));
    let hashes: Vec<String> = map.into_iter().chain(body).collect();
    format!(
        "| [`{name}`](#{name}) | {scope} | `{family}` | {rate} | {} | {} | {hours} | {} |\n",
        grouped(spec.entry_bytes),
        grouped(spec.cap),
        hashes.join(", "),
    )
}

fn fields(spec: &ChannelSpec) -> String {
    let head = "| Field | Type | Present | Meaning |\n|---|---|---|---|\n";
    head.to_owned() + &spec.fields().map(field).collect::<String>()
}

fn field(field: &Field) -> String {
    let presence = if field.is_optional { "may be absent or `null`" } else { "always" };
    format!("| `{}` | {} | {presence} | {} |\n", field.name, field.kind.json(), field.meaning)
}

/// Whether a value is written as the document says, which is stricter than what the service lets pass.
fn fits(kind: Kind, value: &Value) -> bool {
    match kind {
        Kind::Text => value.is_string(),
        Kind::OneOf(values) => value.as_str().is_some_and(|text| values.contains(&text)),
        Kind::Texts => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
        Kind::Decimal => value.as_str().is_some_and(|text| text.is_empty() || text.parse::<f64>().is_ok()),
        Kind::Number => value.is_number(),
        Kind::Count | Kind::Millis => value.is_u64(),
        Kind::Flag => value.is_boolean(),
    }
}

#[test]
fn the_tables_are_those_of_the_code() {
    let document = document();
    let mut expected = with_table(&document, "channels", &channels());
    for spec in KNOWN {
        expected = with_table(&expected, &format!("fields {}", spec.name), &fields(spec));
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path(), expected).unwrap();
    } else {
        assert!(document == expected, "docs/feed.md is out of date: UPDATE_DOCS=1 rewrites its tables");
    }
    assert!(document.contains(&format!("one of the last {} of", grouped(WINDOW.into()))));
}

#[test]
fn every_type_is_explained() {
    let document = document();
    let (_, types, _) = parts(&document, "types");
    let explained: BTreeSet<&str> = types.lines().filter_map(|row| row.split('`').nth(1)).collect();
    let used: BTreeSet<&str> =
        KNOWN.into_iter().flat_map(ChannelSpec::fields).map(|field| field.kind.json()).collect();
    assert_eq!(explained, used);
}

#[test]
fn the_example_of_each_channel_is_as_described() {
    let document = document();
    for spec in KNOWN {
        let event = example(&document, spec);
        shape::check(&Channel::Known(spec), &serde_json::to_string(&event).unwrap()).unwrap();
        for field in spec.fields() {
            let is_described =
                event.get(field.name).map_or(field.is_optional, |value| fits(field.kind, value));
            assert!(is_described, "{}: {} is no {}", spec.name, field.name, field.kind.json());
        }
        for name in event.keys() {
            assert!(spec.fields().any(|field| field.name == name), "{}: {name} is not described", spec.name);
        }
    }
}
