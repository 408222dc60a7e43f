//! The table of log records in `docs/logs.md`, which is their only list.

#![allow(dead_code, reason = "not every test crate reads every column")]

use std::fs;
use std::path::Path;

const BEGIN: &str = "<!-- logs -->\n";
const END: &str = "<!-- /logs -->";
const HEAD: &str = "| Level | Message | Keys | When |\n|---|---|---|---|\n";

/// A row of the table.
pub(crate) struct Documented {
    pub(crate) level: String,
    pub(crate) message: String,
    /// The keys besides those of the logger, in order.
    pub(crate) keys: Vec<String>,
}

/// Every row, in the order of the table.
pub(crate) fn documented() -> Vec<Documented> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/logs.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once(BEGIN).expect("the table has a beginning");
    let (table, _) = rest.split_once(END).expect("the table has an end");
    table.strip_prefix(HEAD).expect("the table has its head").lines().map(row).collect()
}

fn row(line: &str) -> Documented {
    let inner = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |"));
    let cells: Vec<&str> = inner.unwrap_or_else(|| panic!("no row: {line}")).split(" | ").collect();
    let [level, message, keys, when] = cells[..] else { panic!("not four cells: {line}") };
    assert!(!when.trim().is_empty(), "when is it written? {line}");
    let keys = keys.split_whitespace().map(|key| unquoted(key, line)).collect();
    Documented { level: level.to_owned(), message: message.to_owned(), keys }
}

fn unquoted(key: &str, line: &str) -> String {
    let inner = key.strip_prefix('`').and_then(|key| key.strip_suffix('`'));
    inner.unwrap_or_else(|| panic!("{key} is not in backquotes: {line}")).to_owned()
}
