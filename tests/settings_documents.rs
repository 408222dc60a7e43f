//! The table of `docs/settings.md` and `config/example.env` say what the program does. Both are written by
//! `cargo test --test settings_documents -- --ignored regenerate`.
#![cfg(test)]

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use uw_websocket::settings::{Settings, Sources, variables};

const BEGIN: &str = "<!-- settings -->\n";
const END: &str = "<!-- /settings -->";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `docs/settings.md` before, in and after its table.
fn document() -> (String, String, String) {
    let text = fs::read_to_string(root().join("docs/settings.md")).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("docs/settings.md has a line <!-- settings -->");
    let (table, after) = rest.split_once(END).expect("docs/settings.md has a line <!-- /settings -->");
    (before.to_owned(), table.to_owned(), after.to_owned())
}

#[test]
fn the_documentation_has_the_table_of_settings() {
    assert!(
        document().1 == variables::markdown(),
        "docs/settings.md is out of date: see the top of this file"
    );
}

#[test]
fn the_example_has_every_setting() {
    let example = fs::read_to_string(root().join("config/example.env")).unwrap();
    assert!(
        example == variables::example_env(),
        "config/example.env is out of date: see the top of this file"
    );
}

#[test]
fn the_example_with_all_lines_in_force_gives_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let dotenv = folder.path().join(".env");
    let is_setting = |line: &&str| {
        line.split_once('=').is_some_and(|(name, _)| !name.contains(|c: char| c.is_lowercase()))
    };
    let lines: Vec<String> = variables::example_env()
        .lines()
        .map(|line| line.trim_start_matches("# "))
        .filter(is_setting)
        .map(str::to_owned)
        .collect();
    assert_eq!(lines.len(), variables::VARIABLES.len());
    fs::write(&dotenv, lines.join("\n")).unwrap();

    let token = |dotenv| Sources {
        environment: vec![(OsString::from("UNUSUAL_WHALES_API_TOKEN"), OsString::from("t0ken"))],
        dotenv,
        ..Sources::default()
    };
    let values = |settings: &Settings| {
        settings.effective.iter().map(|e| (e.name, e.value.clone())).collect::<Vec<_>>()
    };
    let written = Settings::load(&token(Some(dotenv))).unwrap();
    assert_eq!(values(&written), values(&Settings::load(&token(None)).unwrap()));
    assert!(written.warnings.is_empty(), "{:?}", written.warnings);
}

#[test]
#[ignore = "writes docs/settings.md and config/example.env"]
fn regenerate() {
    let (before, _, after) = document();
    fs::write(
        root().join("docs/settings.md"),
        format!("{before}{BEGIN}{}{END}{after}", variables::markdown()),
    )
    .unwrap();
    fs::write(root().join("config/example.env"), variables::example_env()).unwrap();
}
