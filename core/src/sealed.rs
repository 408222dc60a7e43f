//! Small text files with a title and a checksum, readable by an on-call engineer.
//!
//! ```text
//! a title, then any lines, then `crc` of the lines above
//! ```

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Maximum size of a valid file: the disk queue's IDs of all streams, with the longest names and IDs.
const MAX_FILE: u64 = 8 * 1024 * 1024;

/// The result of reading a file.
#[derive(Debug)]
pub(crate) enum Loaded<T> {
    Whole(T),
    Missing,
    /// Corrupt, with the reason.
    Bad(String),
}

/// Adds title and checksum to the lines of a file.
pub(crate) fn sealed(title: &str, body: &str) -> String {
    let text = format!("{title}\n{body}");
    format!("{text}crc {:08x}\n", crc32fast::hash(text.as_bytes()))
}

/// Reads a file with this title.
pub(crate) fn load<T>(path: &Path, title: &str, parse: impl FnOnce(&str) -> Option<T>) -> Loaded<T> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Loaded::Missing,
        Err(error) => return Loaded::Bad(format!("cannot be read: {error}")),
        Ok(0) => return Loaded::Bad("is empty".into()),
        Ok(_) => {}
    }
    let body = std::str::from_utf8(&bytes).ok().and_then(|text| body_of(text, title));
    match body.and_then(parse) {
        Some(value) => Loaded::Whole(value),
        None => Loaded::Bad(format!("is not a complete file of `{title}`")),
    }
}

fn body_of<'t>(text: &'t str, title: &str) -> Option<&'t str> {
    let end = text.trim_end_matches('\n').rfind('\n')? + 1;
    let (sealed, crc) = text.split_at_checked(end)?;
    let crc = u32::from_str_radix(crc.strip_prefix("crc ")?.strip_suffix('\n')?, 16).ok()?;
    let whole = crc32fast::hash(sealed.as_bytes()) == crc;
    sealed.strip_prefix(title)?.strip_prefix('\n').filter(|_| whole)
}
