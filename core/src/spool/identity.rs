//! The identity of a shard's folder.

use std::fs;
use std::io;
use std::path::Path;

use super::cursor;
use crate::private;

/// File name of the folder's identity.
pub(super) const IDENTITY: &str = "identity";

/// Returns the identity of a shard's folder: `new` if it has none. `None` removes it: without an archive its records go,
/// and a later archive begins with those that are there then.
pub fn identify(folder: &Path, new: Option<&str>) -> io::Result<Option<String>> {
    let path = folder.join(IDENTITY);
    let Some(new) = new else {
        return match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(None),
        };
    };
    match private::read_text(&path, private::MAX_STATE) {
        Ok(identity) if is_identity(&identity) => return Ok(Some(identity)),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    cursor::replace(folder, IDENTITY, new)?;
    Ok(Some(new.to_owned()))
}

/// 64 bits in hexadecimal digits.
fn is_identity(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
