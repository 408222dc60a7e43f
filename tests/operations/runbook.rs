//! `docs/runbook.md`.

use std::collections::BTreeSet;
use std::process::Command;

use super::{alerts, file, text};
use crate::log_table::documented;

fn headings() -> Vec<String> {
    file("docs/runbook.md").lines().filter_map(|line| Some(line.strip_prefix("## ")?.to_owned())).collect()
}

#[test]
fn every_alert_has_its_paragraph_and_every_paragraph_its_alert() {
    let alerts: Vec<String> = alerts::alerts().iter().map(|alert| text(&alert["alert"]).to_owned()).collect();
    let described: Vec<String> =
        headings().into_iter().filter(|heading| !heading.starts_with("Exit code ")).collect();
    assert_eq!(described, alerts);
}

/// The codes of `src/exit.rs`, which nothing but its text lists in full.
fn codes() -> Vec<String> {
    let source = file("src/exit.rs");
    let (_, variants) = source.split_once("pub enum Exit {").unwrap();
    let (variants, _) = variants.split_once("\n}").unwrap();
    variants
        .lines()
        .filter_map(|line| Some(line.split_once(" = ")?.1.trim_end_matches(',').to_owned()))
        .collect()
}

#[test]
fn every_exit_code_has_its_paragraph_and_its_row_among_the_commands() {
    let described =
        headings().into_iter().filter_map(|line| Some(line.strip_prefix("Exit code ")?.to_owned()));
    assert_eq!(described.collect::<Vec<_>>(), codes());
    let commands = file("docs/commands.md");
    for code in codes() {
        assert!(commands.contains(&format!("\n| {code} | ")), "no row for {code}");
    }
}

#[test]
fn what_the_runbook_names_is_there() {
    let runbook = file("docs/runbook.md");
    let named =
        runbook.split(['`', '\n']).filter_map(|code| code.split_once("uw-websocket ")).map(|(_, rest)| rest);
    let commands: BTreeSet<&str> = named
        .filter_map(|rest| rest.split_whitespace().next())
        .filter(|word| word.chars().all(|c| c.is_ascii_lowercase()))
        .collect();
    assert!(
        commands.contains("gaps") && commands.contains("spool") && commands.contains("check"),
        "{commands:?}"
    );
    for command in commands.iter().filter(|command| **command != "uw") {
        let output =
            Command::new(env!("CARGO_BIN_EXE_uw-websocket")).args([command, "--help"]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{command}");
    }
    let records: BTreeSet<String> = documented().into_iter().map(|record| record.message).collect();
    for line in runbook.lines().filter(|line| line.contains("the log for `")) {
        let (_, rest) = line.split_once("the log for ").unwrap();
        for message in rest.split('`').skip(1).step_by(2).filter(|text| !text.contains(['-', '/', ':'])) {
            assert!(records.contains(message), "no log record `{message}`");
        }
    }
    for name in
        runbook.split(|c: char| !(c.is_ascii_uppercase() || c == '_')).filter(|name| name.contains('_'))
    {
        let name = name.trim_matches('_');
        let setting = name.strip_suffix("_FILE").unwrap_or(name);
        let is_setting = uw_websocket::settings::VARIABLES.iter().any(|variable| variable.name == setting);
        assert!(is_setting || !name.contains('_'), "no setting {name}");
    }
}
