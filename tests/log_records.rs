//! The table of `docs/logs.md` is written by hand; it lists exactly the records that the code writes.
#![cfg(test)]

mod log_table;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use log_table::documented;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Every `level!(logger, "message"; "key" => …)` of the product, without tests and examples in comments.
fn written() -> BTreeSet<(String, String, String)> {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    sources(&root().join("actors/src"), &mut files);
    let is_product = |path: &PathBuf| {
        let name = path.to_string_lossy();
        name.ends_with(".rs") && !name.contains("/tests") && !name.contains("/cli/simulate")
    };
    let mut records = BTreeSet::new();
    for file in files.iter().filter(|path| is_product(path)) {
        let text = fs::read_to_string(file).unwrap();
        let product = text.split("\n#[cfg(test)]").next().unwrap();
        let code: Vec<&str> = product.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let code = code.join("\n");
        for (call, level) in [
            ("trace!(", "trace"),
            ("debug!(", "debug"),
            ("info!(", "info"),
            ("warn!(", "warning"),
            ("error!(", "error"),
            ("crit!(", "critical"),
        ] {
            for (start, _) in code.match_indices(call) {
                if let Some(record) = record(level, &code[start..]) {
                    records.insert(record);
                }
            }
        }
    }
    records
}

/// Where the parenthesis that opens first is closed, texts left aside.
fn end_of_call(code: &str) -> usize {
    let (mut depth, mut in_text) = (0, false);
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'"' => in_text = !in_text,
            b'(' if !in_text => depth += 1,
            b')' if !in_text && depth == 1 => return at,
            b')' if !in_text => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

fn record(level: &str, code: &str) -> Option<(String, String, String)> {
    let call = &code[..end_of_call(code)];
    let mut texts = call.split('"');
    let message = texts.nth(1)?;
    let keys = call.split_once(&format!("\"{message}\""))?.1;
    let mut names: Vec<&str> = keys
        .split('"')
        .collect::<Vec<_>>()
        .windows(2)
        .filter(|pair| pair[1].trim_start().starts_with("=>"))
        .map(|pair| pair[0])
        .collect();
    if keys.contains("ErrorChain::new") {
        names.push("error");
    }
    Some((level.to_owned(), message.to_owned(), names.join(", ")))
}

#[test]
fn the_documentation_has_every_record_that_is_written_and_no_other() {
    let rows = documented();
    let listed: BTreeSet<_> =
        rows.iter().map(|row| (row.level.clone(), row.message.clone(), row.keys.join(", "))).collect();
    let written = written();
    let missing: Vec<_> = written.difference(&listed).collect();
    let stale: Vec<_> = listed.difference(&written).collect();
    assert!(missing.is_empty() && stale.is_empty(), "not listed: {missing:#?}\nnot written: {stale:#?}");
    assert_eq!(listed.len(), rows.len(), "a record is listed twice");
}
