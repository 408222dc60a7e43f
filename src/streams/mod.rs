//! Reads event streams back from Redis: for people (`tail`), and for replaying recorded events (`replay`).
//!
//! Names of streams ([`name`]), their selection ([`selection`]) and [`doubts`] about it, the queries to Redis
//! ([`link`]), and the merged order of entries ([`merge`]). Nothing is written, and memory is bounded regardless of the
//! contents of Redis: see [`page_size`].

pub mod doubts;
pub mod link;
pub mod merge;
pub mod name;
pub mod selection;

use uw_websocket_actors::writer::store::pages::MAX_ENTRY;
use uw_websocket_core::event::EntryId;

/// Approximate number of entries held at the same time, across all streams: some 16 MiB at the usual size of a
/// kilobyte.
const HELD_ENTRIES: usize = 16_384;
/// Approximate number of bytes held at the same time, for entries that are larger than usual.
const HELD_BYTES: usize = 64 * 1024 * 1024;
/// Maximum number of entries of one stream per query: some hundred KiB, which Redis returns in a millisecond.
const MAX_PAGE: usize = 500;
/// Maximum number of streams read: the whole market in the seven channels has fewer, and a silent stream takes only its
/// name and a position.
pub const MAX_STREAMS: usize = 50_000;

/// Returns the message about an entry that is skipped because of its size.
#[must_use]
pub fn too_large(stream: &str, id: EntryId) -> String {
    format!("{stream} has an entry of more than {} MiB: {id} is skipped", MAX_ENTRY >> 20)
}

/// Returns the wire size above which a page of one of this number of streams is read in smaller ones.
#[must_use]
pub fn page_bytes(streams: usize) -> usize {
    HELD_BYTES / streams.max(1)
}

/// Returns the number of entries per stream and query for this number of streams.
#[must_use]
pub fn page_size(streams: usize) -> usize {
    (HELD_ENTRIES / streams.max(1)).clamp(1, MAX_PAGE)
}
