//! Small text files with a title and a checksum, readable by an on-call engineer.
//!
//! ```text
//! a title, then any lines, then `crc` of the lines above
//! ```

use std::io;
use std::path::Path;

use crate::private;

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
    let bytes = match private::read(path, private::MAX_STATE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Loaded::Missing,
        Err(error) => return Loaded::Bad(format!("cannot be read: {error}")),
        Ok(bytes) if bytes.is_empty() => return Loaded::Bad("is empty".into()),
        Ok(bytes) => bytes,
    };
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
