//! Queries of hashes that other clients may write to, and the interpretation of replies.
//!
//! A value may be as large as Redis permits. Its length is queried first, within the script where there is one, and
//! values larger than any valid one are not read.

use uw_websocket_core::snapshots::{Hash, MAX_BODY};

use super::bodies::Found;
use crate::writer::store::fault::{Refusal, StoreFault};
use crate::writer::store::resp::{Bound, Commands, Reply};

/// Maximum `fetched_at` and `stream_id` that are read: 32 and 41 bytes are written.
pub(super) const MAX_TEXT: usize = 64;
/// Maximum row that is read for its session; the feed's have one kilobyte.
pub(super) const MAX_ROW: usize = 64 * 1024;
/// Maximum wire size of a body.
pub(super) const BODY: Bound = Bound { bytes: MAX_BODY + MAX_TEXT, items: 0 };
/// Maximum wire size of a newest-event hash.
pub(super) const LATEST: Bound = Bound { bytes: MAX_ROW + MAX_TEXT, items: 0 };

/// Reads two fields, `ARGV[1]` of at most `ARGV[2]` bytes and `ARGV[3]` of at most `ARGV[4]`; of a larger one its
/// length.
const READ: &str = "\
local function read(field, most)
  local size = redis.call('HSTRLEN', KEYS[1], field)
  if size > tonumber(most) then return size end
  return redis.call('HGET', KEYS[1], field)
end
return {read(ARGV[1], ARGV[2]), read(ARGV[3], ARGV[4])}";

/// Queries the fields of a hash, each up to a length.
pub(super) fn read(questions: &mut Commands, key: &str, fields: [(&str, usize); 2]) {
    questions.begin(8).arg(b"EVAL").arg(READ.as_bytes()).arg(b"1").arg(key.as_bytes());
    for (field, most) in fields {
        questions.arg(field.as_bytes()).arg(most.to_string().as_bytes());
    }
}

/// Placeholder for a time that is too long to be valid.
pub(super) fn too_long(bytes: impl std::fmt::Display) -> String {
    format!("{bytes} bytes")
}

/// Returns the text of a permanent refusal caused by the key; an error for any other.
pub(super) fn key_fault(text: &[u8]) -> Result<String, StoreFault> {
    match StoreFault::refused(text) {
        StoreFault::Refused { refusal: Refusal::WrongType | Refusal::Other, text } => Ok(text),
        // missing permissions for this kind of key do not appear by waiting
        StoreFault::Refused { refusal: Refusal::NoAuth, text } if text.starts_with("NOPERM") => Ok(text),
        fault => Err(fault),
    }
}

pub(super) fn text(reply: &Reply<'_>) -> Option<String> {
    match reply {
        Reply::Bulk(Some(text)) => Some(String::from_utf8_lossy(text).into_owned()),
        _ => None,
    }
}

/// Interprets the reply to [`read`] of `payload` and `fetched_at`. A payload that is not UTF-8 counts as
/// unreadable, like a missing one.
pub(super) fn body(reply: &Reply<'_>) -> Result<Found, StoreFault> {
    let parts = match reply {
        Reply::Error(text) => return key_fault(text).map(Found::OtherType),
        Reply::Array(Some(parts)) => &parts[..],
        other => return Err(StoreFault::answered(other)),
    };
    Ok(match parts {
        [Reply::Bulk(None), Reply::Bulk(None)] => Found::Nothing,
        [Reply::Bulk(payload), Reply::Bulk(_)] => {
            let payload = std::str::from_utf8(payload.unwrap_or_default()).unwrap_or_default();
            let fetched_at = text(&parts[1]).unwrap_or_default();
            Found::Hash(Hash { payload: payload.to_owned(), fetched_at })
        }
        [_, Reply::Integer(bytes)] => Found::TooLarge { fetched_at: too_long(*bytes) },
        [Reply::Integer(_), fetched_at] => {
            Found::TooLarge { fetched_at: text(fetched_at).unwrap_or_default() }
        }
        _ => return Err(StoreFault::answered(reply)),
    })
}
