//! What `config/` says of the service is so: the settings, metrics, paths and ports that its files name exist, every
//! alert and exit code has its paragraph in the runbook, and the commands there are commands of the program.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy.toml allows them in tests, not in the functions that tests share"
)]

mod alerts;
mod dashboard;
mod deployment;
mod documents;
mod images;
#[path = "../log_table/mod.rs"]
mod log_table;
mod runbook;
mod security;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use uw_websocket::http::metrics::{FAMILIES, MetricFamily, MetricKind};

/// A file of the project.
#[track_caller]
fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A YAML file of one document.
#[track_caller]
fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The elements of an array.
#[track_caller]
fn items(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("no array: {value}"))
}

#[track_caller]
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// The words of a query of Prometheus that are names, without what is in quotes.
fn names(expression: &str) -> BTreeSet<&str> {
    let outside = expression.split('"').step_by(2);
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    outside.flat_map(|part| part.split(|c| !is_name(c))).filter(|name| !name.is_empty()).collect()
}

/// The family of a series' name.
fn family(series: &str) -> Option<&'static MetricFamily> {
    FAMILIES.iter().find(|family| {
        let of_histogram =
            ["_bucket", "_sum", "_count"].iter().any(|end| series.strip_suffix(end) == Some(family.name));
        if family.kind == MetricKind::Histogram { of_histogram } else { family.name == series }
    })
}

/// The families that an expression reads; every name in it that looks like ours must be one.
#[track_caller]
fn families(expression: &str) -> BTreeSet<&'static str> {
    let ours = names(expression).into_iter().filter(|name| name.starts_with("uw_"));
    ours.map(|name| family(name).unwrap_or_else(|| panic!("no metric {name}: {expression}")).name).collect()
}

/// Every label that an expression names exists on a family of it, or comes from Prometheus itself.
#[track_caller]
fn check_labels(expression: &str) {
    let families: Vec<&MetricFamily> = names(expression).into_iter().filter_map(family).collect();
    let known = |label: &str| {
        ["job", "instance", "le", "standby"].contains(&label)
            || families.iter().any(|family| family.labels.contains(&label))
    };
    let grouped = expression.split(" by (").skip(1).filter_map(|rest| rest.split_once(')'));
    let grouped = grouped.flat_map(|(labels, _)| labels.split(", "));
    let selected = expression.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
    let selected = selected.flat_map(|(matchers, _)| matchers.split([',']));
    let selected = selected.filter_map(|matcher| matcher.split(['=', '!']).next());
    for label in grouped.chain(selected).map(str::trim) {
        assert!(known(label), "no label {label}: {expression}");
    }
}

#[test]
fn a_metric_or_label_that_is_not_there_would_be_seen() {
    let seen = |check: fn()| std::panic::catch_unwind(check).is_err();
    assert!(seen(|| drop(families("sum(rate(uw_ws_events_recieved_total[5m]))"))));
    assert!(seen(|| drop(families("uw_ws_store_latency_seconds"))));
    assert!(seen(|| check_labels("sum by (chanel) (uw_ws_events_pending)")));
    assert!(seen(|| check_labels("uw_ws_events_dropped_total{cause=\"crash\"}")));
    assert!(!seen(|| check_labels(
        "sum by (channel, reason) (uw_ws_events_dropped_total{reason!=\"crash\"})"
    )));
    assert_eq!(
        families("a / uw_ws_store_latency_seconds_sum + up"),
        BTreeSet::from(["uw_ws_store_latency_seconds"])
    );
}
