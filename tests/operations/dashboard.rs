//! `grafana-dashboard.json`.

use std::collections::BTreeSet;

use serde_json::Value;
use uw_websocket::http::metrics::FAMILIES;

use super::{alerts, check_labels, families, file, items, text};

/// Metrics that neither the dashboard nor an alert reads, and why.
const UNREAD: [(&str, &str); 0] = [];

fn dashboard() -> Value {
    serde_json::from_str(&file("config/grafana-dashboard.json")).unwrap()
}

/// The expression, with Grafana's variables as Prometheus would see them.
fn expression(target: &Value) -> String {
    text(&target["expr"])
        .replace("$__rate_interval", "1m")
        .replace("$__range", "6h")
        .replace("job=~\"$job\"", "job=~\"uw-websocket\"")
}

fn expressions(dashboard: &Value) -> Vec<String> {
    let panels = items(&dashboard["panels"]).iter().filter(|panel| panel["type"] != "row");
    panels.flat_map(|panel| items(&panel["targets"]).iter().map(expression).collect::<Vec<_>>()).collect()
}

#[test]
fn every_panel_reads_metrics_that_exist_from_the_source_that_was_chosen() {
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    for panel in items(&dashboard["panels"]) {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "an id is there twice: {panel}");
        if panel["type"] == "row" {
            continue;
        }
        assert!(!text(&panel["description"]).is_empty(), "{}", panel["title"]);
        for target in items(&panel["targets"]) {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
            let expression = expression(target);
            assert!(!expression.contains('$'), "an unknown variable: {expression}");
            assert!(!families(&expression).is_empty(), "{expression}");
            check_labels(&expression);
        }
    }
}

#[test]
fn it_can_be_imported_anywhere() {
    let dashboard = dashboard();
    assert!(dashboard.get("id").is_none(), "an id of one Grafana");
    let variables = items(&dashboard["templating"]["list"]);
    let variables: Vec<_> = variables.iter().map(|v| (text(&v["name"]), text(&v["type"]))).collect();
    assert_eq!(variables, [("datasource", "datasource"), ("job", "query")]);
}

#[test]
fn every_metric_is_read_by_a_panel_or_an_alert_or_left_out_on_purpose() {
    let mut expressions = expressions(&dashboard());
    expressions.extend(alerts::alerts().iter().map(|alert| text(&alert["expr"]).to_owned()));
    let read: BTreeSet<&str> = expressions.iter().flat_map(|expression| families(expression)).collect();
    let left_out: BTreeSet<&str> = UNREAD.iter().map(|(name, _)| *name).collect();
    let all: BTreeSet<&str> = FAMILIES.iter().map(|family| family.name).collect();
    let unread: Vec<_> = all.difference(&read).filter(|name| !left_out.contains(*name)).collect();
    assert!(unread.is_empty(), "neither read nor in the list of those left out: {unread:?}");
    assert_eq!(left_out.intersection(&read).collect::<Vec<_>>(), Vec::<&&str>::new(), "read after all");
    assert!(left_out.is_subset(&all), "{left_out:?}");
}
