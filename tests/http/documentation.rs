//! The tables of the documentation that are made from the code.

use std::path::Path;

use uw_websocket::http::PATHS;
use uw_websocket::http::metrics::FAMILIES;
use uw_websocket::http::readiness::ReasonCode;

/// Rewrites the tables instead of checking them.
const UPDATE_DOCS: &str = "UPDATE_DOCS";

#[test]
fn the_documentation_has_the_tables() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/http.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let tables = [("paths", paths_table()), ("reasons", reasons_table()), ("metrics", metrics_table())];
    let updated = tables.iter().fold(text.clone(), |text, (name, table)| with_table(&text, name, table));
    if std::env::var_os(UPDATE_DOCS).is_some() {
        std::fs::write(&path, updated).unwrap();
    } else {
        assert!(text == updated, "{} is out of date: run with {UPDATE_DOCS}=1", path.display());
    }
}

fn paths_table() -> String {
    PATHS.iter().fold("| Path | What |\n|---|---|\n".to_owned(), |table, (path, what)| {
        table + &format!("| `{path}` | {what} |\n")
    })
}

fn reasons_table() -> String {
    let head = "| Code | It means | Do |\n|---|---|---|\n".to_owned();
    ReasonCode::ALL
        .iter()
        .fold(head, |table, code| table + &format!("| `{code}` | {} | {} |\n", code.meaning(), code.advice()))
}

/// The text with what stands between `<!-- name -->` and `<!-- /name -->` replaced.
#[track_caller]
fn with_table(text: &str, name: &str, table: &str) -> String {
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = text.split_once(&open).expect("the opening marker");
    let (_, after) = rest.split_once(&close).expect("the closing marker");
    format!("{before}{open}{table}{close}{after}")
}

fn metrics_table() -> String {
    let head = "| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n".to_owned();
    FAMILIES.iter().fold(head, |table, family| {
        let labels = family.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let (name, kind, help) = (family.name, family.kind.name(), family.help);
        table + &format!("| `{name}` | {kind} | {labels} | {help} |\n")
    })
}
