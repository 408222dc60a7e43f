//! `prometheus.yml` and `alerts.yml`.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use super::{check_labels, families, file, items, names, text, yaml};

/// Series of others: of Prometheus itself, and of `redis_exporter`.
const OF_OTHERS: [&str; 3] = ["up", "redis_memory_used_bytes", "redis_memory_max_bytes"];

/// The alerts, in the order of the file.
pub(crate) fn alerts() -> Vec<Value> {
    items(&yaml("config/alerts.yml")["groups"])
        .iter()
        .flat_map(|group| items(&group["rules"]).to_vec())
        .collect()
}

#[test]
fn every_alert_reads_metrics_that_exist_and_says_what_to_do() {
    let alerts = alerts();
    assert!(alerts.len() > 10);
    let mut seen = BTreeSet::new();
    for alert in &alerts {
        let (name, expression) = (text(&alert["alert"]), text(&alert["expr"]));
        assert!(seen.insert(name), "{name} is there twice");
        let of_others = names(expression).into_iter().any(|name| OF_OTHERS.contains(&name));
        assert!(of_others || !families(expression).is_empty(), "{name} reads nothing");
        check_labels(expression);
        assert!(["critical", "warning", "info"].contains(&text(&alert["labels"]["severity"])), "{name}");
        let annotations = &alert["annotations"];
        for annotation in ["summary", "description"] {
            assert!(text(&annotations[annotation]).len() > 10, "{name} has no {annotation}");
            check_template(text(&annotations[annotation]), expression);
        }
        assert_eq!(text(&annotations["runbook"]), format!("docs/runbook.md#{}", name.to_lowercase()));
    }
}

/// A label that the text shows must survive the expression.
#[track_caller]
fn check_template(template: &str, expression: &str) {
    for rest in template.split("$labels.").skip(1) {
        let label: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let groups = expression.split(" by (").nth(1).and_then(|rest| rest.split_once(')'));
        let survives = match groups {
            Some((groups, _)) => groups.split(", ").any(|group| group == label),
            None => label == "instance" || label == "actor",
        };
        assert!(survives, "{label} is not left over by {expression}");
    }
}

#[test]
fn prometheus_reads_the_rules_and_the_job_that_they_go_by() {
    let job = |path: &str| {
        let prometheus = yaml(path);
        assert_eq!(items(&prometheus["rule_files"]), ["alerts.yml"], "{path}");
        let job = items(&prometheus["scrape_configs"])[0].clone();
        assert_eq!(job["job_name"], "uw-websocket", "{path}");
        job
    };
    for alert in alerts() {
        let expression = text(&alert["expr"]).to_owned();
        let is_of_ours = !expression.contains("job=") || expression.contains(r#"job="uw-websocket""#);
        assert!(is_of_ours, "{expression}");
    }
    // of each manifest
    let pods = job("config/prometheus-kubernetes.yml");
    let deployment = file("config/kubernetes.yaml");
    let selector = text(&pods["kubernetes_sd_configs"][0]["selectors"][0]["label"]);
    let (label, value) = selector.split_once('=').unwrap();
    assert!(deployment.contains(&format!("labels: {{{label}: {value}}}")), "{selector}");
    assert_eq!(pods["relabel_configs"][0]["regex"], super::deployment::port());
    let job = job("config/prometheus.yml");
    let target = text(&job["static_configs"][0]["targets"][0]);
    assert!(target.ends_with(&format!(":{}", super::deployment::port())), "{target}");
}

/// What Prometheus itself says, where it is installed: whether it takes the rules, and what they make of series. Where
/// everything is checked (`CI`), it is installed.
#[test]
fn promtool_accepts_the_rules() {
    let root = env!("CARGO_MANIFEST_DIR");
    for arguments in [
        ["check", "config", "config/prometheus.yml"],
        ["check", "config", "config/prometheus-kubernetes.yml"],
        ["test", "rules", "tests/operations/alerts.test.yml"],
    ] {
        match Command::new("promtool").args(arguments).current_dir(root).output() {
            Ok(output) => {
                let said = [output.stdout, output.stderr].concat();
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
            }
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "promtool: {error}");
                eprintln!("skipped: promtool is not installed: {error}");
            }
        }
    }
}

#[test]
fn every_alert_is_tried_by_promtool() {
    let tests = yaml("tests/operations/alerts.test.yml");
    let mut fired = BTreeSet::new();
    for test in items(&tests["tests"]) {
        for expected in test["alert_rule_test"].as_array().into_iter().flatten() {
            if !items(&expected["exp_alerts"]).is_empty() {
                fired.insert(text(&expected["alertname"]).to_owned());
            }
        }
        for expected in test["promql_expr_test"].as_array().into_iter().flatten() {
            let samples = items(&expected["exp_samples"]).iter();
            let names = samples.filter_map(|sample| text(&sample["labels"]).split('"').nth(1));
            fired.extend(names.map(str::to_owned));
        }
    }
    let alerts = alerts();
    let named: BTreeSet<String> = alerts.iter().map(|alert| text(&alert["alert"]).to_owned()).collect();
    assert_eq!(named, fired);
}
