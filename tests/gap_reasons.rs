//! The table of reasons in `docs/gaps.md` is that of the code.
#![cfg(test)]

use std::fs;
use std::path::Path;

use uw_websocket_actors::ledger::gap::GapReason;

const BEGIN: &str = "<!-- gaps -->\n";
const END: &str = "<!-- /gaps -->";

#[test]
fn the_documentation_shows_every_reason() {
    let mut table = String::from("| Reason | Meaning |\n|---|---|\n");
    for reason in GapReason::ALL {
        table.push_str(&["| `", reason.label(), "` | ", reason.meaning(), " |\n"].concat());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/gaps.md");
    let document = fs::read_to_string(&path).unwrap();
    let (before, rest) = document.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    } else {
        assert_eq!(shown, table, "UPDATE_DOCS=1 cargo test --test gap_reasons rewrites it");
    }
}
