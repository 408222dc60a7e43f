//! `docs/feed.md` says of each channel what the code knows of it: scope, family, cap, size and rate, and every field.
//! `UPDATE_DOCS=1` rewrites the table of channels.
#![cfg(test)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value};
use uw_websocket_actors::connection::channels::TypedEvent;
use uw_websocket_actors::event::{Channel, Scope};
use uw_websocket_actors::forecast::Usual;
use uw_websocket_actors::queue::duplicates::WINDOW;
use uw_websocket_actors::rest::Endpoint;
use uw_websocket_actors::settings::{KeySettings, Targets};

const BEGIN: &str = "<!-- channels -->\n";
const END: &str = "<!-- /channels -->";
fn path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/feed.md")
}

fn document() -> String {
    fs::read_to_string(path()).unwrap()
}

/// What stands between two texts, of which the first is there once.
#[track_caller]
fn between<'d>(document: &'d str, begin: &str, end: &str) -> &'d str {
    assert_eq!(document.matches(begin).count(), 1, "{begin}");
    document.split_once(begin).unwrap().1.split_once(end).unwrap().0
}

/// A row of a table of fields.
struct Field<'d> {
    name: &'d str,
    kind: &'d str,
    is_optional: bool,
}

impl Field<'_> {
    fn fits(&self, value: &Value) -> bool {
        let is_decimal = |text: &str| text.is_empty() || text.parse::<f64>().is_ok();
        match self.kind {
            "text" => value.is_string() || self.is_optional && value.is_null(),
            "decimal text" => value.as_str().is_some_and(is_decimal),
            "integer" => value.is_u64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "list of text" => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
            other => panic!("`{other}` is no type"),
        }
    }
}

/// The fields of a channel and its example.
fn described<'d>(document: &'d str, channel: &Channel) -> (Vec<Field<'d>>, &'d str) {
    let begin = format!("<!-- fields {channel} -->\n");
    let rows = between(document, &begin, "<!-- /fields -->").lines().skip(2);
    let fields = rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, name, kind, presence, _, _] = cells[..] else { panic!("{row}") };
        assert!(["always", "optional"].contains(&presence), "{row}");
        Field { name: name.trim_matches('`'), kind, is_optional: presence == "optional" }
    });
    let rest = document.split_once(&begin).unwrap().1;
    (fields.collect(), rest.split_once("```json\n").unwrap().1.split_once("\n```").unwrap().0)
}

fn cap_of(channel: &Channel) -> u64 {
    let keys = KeySettings {
        prefix: "uw".into(),
        snapshots: true,
        snapshot_interval: Duration::ZERO,
        targets: Targets::WholeMarket,
        streams: true,
        maxlen: None,
        maxlen_by_channel: Vec::new(),
    };
    keys.maxlen_of(channel)
}

/// A number with blanks between its thousands.
fn grouped(number: u64) -> String {
    if number < 1_000 { number.to_string() } else { format!("{} {:03}", number / 1_000, number % 1_000) }
}

fn channels() -> String {
    let head = "| Channel | Scope | Family | Entries per second | Bytes per entry | Cap | Hours | Body of REST |\n\
                |---|---|---|---|---|---|---|---|\n";
    let other = Channel::parse("trading_halts").unwrap();
    let (family, cap) = (other.family(), grouped(cap_of(&other)));
    let last = format!("| any other | | `{family}` | unknown | unknown | {cap} | | |\n");
    head.to_owned() + &Channel::KNOWN.iter().map(row).collect::<String>() + &last
}

fn row(channel: &Channel) -> String {
    let scope = if channel.scope() == Scope::Global { "global" } else { "ticker" };
    let (Usual { rate, bytes, .. }, cap) = (Usual::of(channel).unwrap(), cap_of(channel));
    let hours = cap as f64 / rate / 3_600.0;
    let hours = if hours < 1.0 { format!("{hours:.1}") } else { format!("{hours:.0}") };
    let body = Endpoint::of(channel).map(|endpoint| format!(" `uw:rest:{}:<SYMBOL>`", endpoint.name()));
    format!(
        "| [`{channel}`](#{channel}) | {scope} | `{}` | {rate} | {} | {} | {hours} |{} |\n",
        channel.family(),
        grouped(bytes),
        grouped(cap),
        body.unwrap_or_default(),
    )
}

#[test]
fn the_table_of_channels_is_that_of_the_code() {
    let document = document();
    let expected = channels();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let (before, rest) = document.split_once(BEGIN).unwrap();
        let after = rest.split_once(END).unwrap().1;
        fs::write(path(), format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
    } else {
        assert_eq!(between(&document, BEGIN, END), expected, "UPDATE_DOCS=1 rewrites it");
    }
    assert!(document.contains(&format!("one of the last {} of", grouped(WINDOW.into()))));
}

#[test]
fn every_field_is_described_as_the_code_expects_it() {
    let document = document();
    for channel in Channel::KNOWN {
        let (fields, example) = described(&document, &channel);
        let event: Map<String, Value> = serde_json::from_str(example).unwrap();
        let parse = |event: &Map<String, Value>| {
            let payload = serde_json::to_string(event).unwrap();
            TypedEvent::parse(&channel, &payload).map(drop).map_err(|error| error.source.to_string())
        };
        assert_eq!(parse(&event), Ok(()), "{channel}");
        for field in &fields {
            let Some(value) = event.get(field.name) else {
                assert!(field.is_optional, "{channel}: {} is not in the example", field.name);
                continue;
            };
            assert!(field.fits(value), "{channel}: {} is no {}: {value}", field.name, field.kind);
            let mut without = event.clone();
            without.remove(field.name);
            assert_eq!(parse(&without).is_ok(), field.is_optional, "{channel}: without {}", field.name);
        }
        for name in event.keys() {
            assert!(fields.iter().any(|field| field.name == name), "{channel}: {name} is not described");
        }
    }
}

#[test]
fn optional_fields_are_those_of_the_code() {
    let document = document();
    // a wrong value of a field that the code does not know is no error
    for (channel, name) in [("option_trades", "canceled"), ("price", "ticker"), ("flow-alerts", "rule_name")]
    {
        let channel = Channel::parse(channel).unwrap();
        let (fields, example) = described(&document, &channel);
        assert!(fields.iter().any(|field| field.name == name && field.is_optional), "{channel}: {name}");
        let mut event: Map<String, Value> = serde_json::from_str(example).unwrap();
        event.insert(name.to_owned(), Value::from(Vec::<Value>::new()));
        let payload = serde_json::to_string(&event).unwrap();
        assert!(TypedEvent::parse(&channel, &payload).is_err(), "{channel}: {name}");
    }
    let described: usize = Channel::KNOWN
        .iter()
        .map(|channel| described(&document, channel).0.iter().filter(|field| field.is_optional).count())
        .sum();
    assert_eq!(described, 3);
}
