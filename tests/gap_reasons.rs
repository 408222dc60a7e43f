//! The tables of reasons in `docs/gaps.md` and `docs/backfill.md` are those of the code.
#![cfg(test)]

use std::fs;
use std::path::Path;

use uw_websocket_actors::ledger::gap::GapReason;
use uw_websocket_core::backfill::outcome::{FillReason, FillStatus};

/// Compares the table between the marks `name` with these rows, or rewrites it.
fn assert_table(
    document: &str,
    name: &str,
    head: &str,
    rows: impl Iterator<Item = (&'static str, &'static str)>,
) {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let mut table = format!("| {head} | Meaning |\n|---|---|\n");
    for (label, meaning) in rows {
        table.push_str(&["| `", label, "` | ", meaning, " |\n"].concat());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(&begin).unwrap();
    let (shown, after) = rest.split_once(&end).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{before}{begin}{table}{end}{after}")).unwrap();
    } else {
        assert_eq!(shown, table, "UPDATE_DOCS=1 cargo test --test gap_reasons rewrites it");
    }
}

#[test]
fn the_documentation_shows_every_reason() {
    let reasons = GapReason::ALL.iter().map(|reason| (reason.label(), reason.meaning()));
    assert_table("docs/gaps.md", "gaps", "Reason", reasons);
}

// one test: both tables are in one document
#[test]
fn the_documentation_shows_how_fills_end() {
    let statuses = FillStatus::ALL.iter().map(|status| (status.label(), status.meaning()));
    assert_table("docs/backfill.md", "statuses", "Status", statuses);
    let reasons = FillReason::ALL.iter().map(|reason| (reason.label(), reason.meaning()));
    assert_table("docs/backfill.md", "fill reasons", "Reason", reasons);
}
