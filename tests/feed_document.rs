//! `docs/feed.md` says of each channel what the code knows of it: joins, identity, family, cap, size and rate, and every field.
//! `UPDATE_DOCS=1` rewrites the table of channels.
#![cfg(test)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value};
use uw_websocket_actors::forecast::UsualLoad;
use uw_websocket_core::calendar::products::ProductKind;
use uw_websocket_core::channel::field::{Field, FieldKind};
use uw_websocket_core::channel::shape;
use uw_websocket_core::channel::spec::{ChannelSpec, Frame, JoinForms};
use uw_websocket_core::channel::table::KNOWN;
use uw_websocket_core::duplicates::WINDOW;
use uw_websocket_core::event::Channel;

use uw_websocket_core::settings::{KeySettings, Targets};

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

/// The table of a channel's fields.
fn fields(spec: &ChannelSpec) -> String {
    let mut table = String::from("| Field | Type | Present | Meaning |\n|---|---|---|---|\n");
    for Field { name, kind, is_optional, meaning } in spec.fields() {
        let present = if *is_optional { "optional" } else { "always" };
        writeln!(table, "| `{name}` | {} | {present} | {meaning} |", kind.label()).unwrap();
    }
    table
}

/// Whether a value is what the type's name says: sums in a data frame depend on it.
fn fits(field: &Field, value: &Value) -> bool {
    let is_decimal = |text: &str| text.is_empty() || text.parse::<f64>().is_ok();
    match field.kind {
        FieldKind::Text | FieldKind::OneOf(_) | FieldKind::Account => {
            value.is_string() || field.is_optional && value.is_null()
        }
        FieldKind::Decimal => value.as_str().is_some_and(is_decimal),
        FieldKind::Count | FieldKind::Millis => value.is_u64(),
        FieldKind::Integer => value.is_i64(),
        FieldKind::Number => value.is_number(),
        FieldKind::Flag => value.is_boolean(),
        FieldKind::Object => value.is_object(),
        FieldKind::Objects => value.as_array().is_some_and(|items| items.iter().all(Value::is_object)),
        FieldKind::Texts => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
    }
}

/// The example of a channel.
fn example(document: &str, spec: &ChannelSpec) -> Map<String, Value> {
    let rest = document.split_once(&begin_of(spec)).unwrap().1;
    serde_json::from_str(rest.split_once("```json\n").unwrap().1.split_once("\n```").unwrap().0).unwrap()
}

fn begin_of(spec: &ChannelSpec) -> String {
    format!("<!-- fields {} -->\n", spec.name)
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

/// How a channel can be joined.
fn joined_as(spec: &ChannelSpec) -> String {
    let form = match spec.forms {
        JoinForms::Plain => "plain",
        JoinForms::TickerOrPlain if !spec.tickers.is_empty() => {
            return format!("{}, or plain", spec.tickers.join(", "));
        }
        JoinForms::TickerOrPlain => "ticker, or plain",
        JoinForms::Ticker => "ticker",
        JoinForms::Contract => "contract",
    };
    form.to_owned()
}

fn identity(spec: &ChannelSpec) -> String {
    let fields: Vec<String> = spec.identity.iter().map(|field| format!("`{field}`")).collect();
    if fields.is_empty() { "none".to_owned() } else { fields.join(", ") }
}

/// The product whose hours count.
fn hours(spec: &ChannelSpec) -> &'static str {
    match spec.product {
        ProductKind::Options => "options",
        ProductKind::Stocks => "stocks",
    }
}

fn frame(spec: &ChannelSpec) -> String {
    match spec.frame {
        Frame::Whole => "an event".to_owned(),
        Frame::Row { key, .. } => format!("the row `{}`", key.label()),
        Frame::Fragment { key, .. } => format!("rows `{}` of a board", key.label()),
    }
}

/// Rate, bytes and cap of a channel, and the hours that the cap lasts.
fn sizes(channel: &Channel) -> String {
    let cap = cap_of(channel);
    let Some(UsualLoad { rate, bytes, .. }) = UsualLoad::of(channel) else {
        return format!("unknown | unknown | {} | ", grouped(cap));
    };
    let hours = cap as f64 / rate / 3_600.0;
    let hours = if hours < 1.0 { format!("{hours:.1}") } else { format!("{hours:.0}") };
    format!("{rate} | {} | {} | {hours}", grouped(bytes), grouped(cap))
}

fn channels() -> String {
    let mut table = String::from(
        "| Channel | Joined by | One frame is | Identity | Product | Family | Entries per second | Bytes per entry | Cap | Hours | Body of REST |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for spec in KNOWN {
        let channel = Channel::Known(spec);
        let body =
            spec.body.map_or_else(String::new, |endpoint| format!("`uw:rest:{}:<SYMBOL>`", endpoint.name()));
        writeln!(
            table,
            "| [`{channel}`](#{channel}) | {} | {} | {} | {} | `{}` | {} | {body} |",
            joined_as(spec),
            frame(spec),
            identity(spec),
            hours(spec),
            channel.family(),
            sizes(&channel),
        )
        .unwrap();
    }
    let other = Channel::parse("in_no_table").unwrap();
    writeln!(
        table,
        "| any other | plain, or as named | an event | none | options | `{}` | {} | |",
        other.family(),
        sizes(&other)
    )
    .unwrap();
    table
}

#[test]
fn the_tables_are_those_of_the_code() {
    let mut document = document();
    let fields = KNOWN.into_iter().map(|spec| (begin_of(spec), "<!-- /fields -->", fields(spec)));
    for (begin, end, table) in [(BEGIN.to_owned(), END, channels())].into_iter().chain(fields) {
        let shown = between(&document, &begin, end);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            document = document.replacen(&format!("{begin}{shown}{end}"), &format!("{begin}{table}{end}"), 1);
        } else {
            assert_eq!(shown, table, "UPDATE_DOCS=1 cargo test --test feed_document rewrites it");
        }
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path(), &document).unwrap();
    }
    assert!(document.contains(&format!("one of the last {} of", grouped(WINDOW.into()))));
}

#[test]
fn the_examples_are_what_the_tables_say() {
    let document = document();
    for spec in KNOWN {
        let event = example(&document, spec);
        let payload = serde_json::to_string(&event).unwrap();
        shape::check(&Channel::Known(spec), &payload).unwrap_or_else(|error| panic!("{}", error.drift));
        for field in spec.fields() {
            let Some(value) = event.get(field.name) else {
                assert!(field.is_optional, "{}: {} is not in the example", spec.name, field.name);
                continue;
            };
            assert!(fits(field, value), "{}: {} is no {:?}: {value}", spec.name, field.name, field.kind);
        }
        for name in event.keys() {
            assert!(spec.fields().any(|field| field.name == name), "{}: {name} is not described", spec.name);
        }
    }
}
