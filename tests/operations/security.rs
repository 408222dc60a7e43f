//! The bounds of `SECURITY.md` are those of the code: each is read from the source of its constant.

use std::fs;
use std::path::{Path, PathBuf};

use super::file;

/// Where the sources of the product are.
const SOURCES: [&str; 3] = ["src", "core/src", "actors/src"];

/// A bound: a number of bytes or things, or a time in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    Count(u64),
    Micros(u64),
}

fn number(text: &str) -> u64 {
    let digits = text.replace(['_', ' '], "");
    digits.parse().unwrap_or_else(|_| panic!("no number: `{text}`"))
}

/// A bound as people read it: `4 MiB`, `5 s`, `4 096`.
fn shown(text: &str) -> Bound {
    let units = [
        (" KiB", Bound::Count(1 << 10)),
        (" MiB", Bound::Count(1 << 20)),
        (" ms", Bound::Micros(1_000)),
        (" s", Bound::Micros(1_000_000)),
    ];
    for (unit, one) in units {
        if let Some(amount) = text.strip_suffix(unit) {
            return match one {
                Bound::Count(one) => Bound::Count(number(amount) * one),
                Bound::Micros(one) => Bound::Micros(number(amount) * one),
            };
        }
    }
    Bound::Count(number(text))
}

/// The value of an expression of numbers, `*` and `<<`.
fn value(expression: &str) -> u64 {
    let factor = |text: &str| match text.split_once("<<") {
        Some((base, shift)) => number(base) << number(shift),
        None => number(text),
    };
    expression.split('*').map(factor).product()
}

/// The value of a constant by its definition: a time if its type or its name says so.
fn defined(name: &str, expression: &str) -> Bound {
    let units = [("secs", 1_000_000), ("millis", 1_000), ("micros", 1)];
    for (unit, micros) in units {
        let duration = expression.strip_prefix(&format!("Duration::from_{unit}("));
        if let Some(amount) = duration.and_then(|rest| rest.strip_suffix(')')) {
            return Bound::Micros(value(amount) * micros);
        }
    }
    if name.ends_with("_US") { Bound::Micros(value(expression)) } else { Bound::Count(value(expression)) }
}

/// The file of a module, by the end of its path.
#[track_caller]
fn module(path: &str) -> PathBuf {
    let path = path.replace("::", "/");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = SOURCES.iter().flat_map(|sources| {
        [format!("{path}.rs"), format!("{path}/mod.rs")].map(|file| root.join(sources).join(file))
    });
    let found: Vec<PathBuf> = files.filter(|file| file.exists()).collect();
    let [file] = found.as_slice() else { panic!("{path} is one module: {found:?}") };
    file.clone()
}

/// The value of a constant by its path.
#[track_caller]
fn constant(path: &str) -> Bound {
    let (module_path, name) = path.rsplit_once("::").unwrap_or_else(|| panic!("no module: {path}"));
    let source = fs::read_to_string(module(module_path)).unwrap();
    let definition = source.lines().find_map(|line| {
        let (_, rest) = line.split_once(&format!("const {name}: "))?;
        rest.split_once(" = ")?.1.strip_suffix(';')
    });
    defined(name, definition.unwrap_or_else(|| panic!("no constant {path} on one line")))
}

/// The cells of the table of bounds.
fn rows(document: &str) -> Vec<[&str; 3]> {
    let (_, rest) = document.split_once("<!-- bounds -->\n").unwrap();
    let (table, _) = rest.split_once("<!-- /bounds -->").unwrap();
    table
        .lines()
        .skip(2)
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let ["", what, bound, constant, ""] = cells[..] else { panic!("no row of three: {line}") };
            [what, bound, constant.trim_matches('`')]
        })
        .collect()
}

#[test]
fn every_bound_is_that_of_the_code() {
    let document = file("SECURITY.md");
    let rows = rows(&document);
    assert!(rows.len() > 20, "{rows:?}");
    // one request per connection is how the HTTP server works, and no number of it
    let (held, structural): (Vec<_>, Vec<_>) = rows.into_iter().partition(|[_, _, path]| !path.is_empty());
    assert_eq!(structural, [["requests of a connection", "1", ""]]);
    for [what, bound, path] in held {
        assert_eq!(shown(bound), constant(path), "{what}: {path}");
    }
}

#[test]
fn numbers_are_read_as_the_code_and_the_document_write_them() {
    assert_eq!(shown("4 096"), Bound::Count(4_096));
    assert_eq!(shown("16 KiB"), defined("A", "16 << 10"));
    assert_eq!(shown("8 MiB"), defined("A", "8 * 1024 * 1024"));
    assert_eq!(shown("500 ms"), defined("A", "Duration::from_millis(500)"));
    assert_eq!(shown("300 s"), defined("A", "Duration::from_secs(5 * 60)"));
    assert_eq!(shown("300 s"), defined("A_US", "5 * 60 * 1_000_000"));
    assert_ne!(shown("5 s"), defined("A", "5"));
}

#[test]
fn what_the_document_says_of_files_is_so() {
    use uw_websocket_core::private::{FILE_MODE, FOLDER_MODE};
    let said = format!("have the mode {FOLDER_MODE:04o} and files {FILE_MODE:04o}");
    assert!(file("SECURITY.md").contains(&said), "{said}");
}
