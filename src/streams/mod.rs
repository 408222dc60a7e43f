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

/// Approximate number of entries held at once across all streams: some 16 MiB at the usual size of a kilobyte.
const HELD_ENTRIES: usize = 16_384;
/// Maximum number of entries of one stream per query: some hundred KiB, which Redis returns in a millisecond.
const MAX_PAGE: usize = 500;
/// Maximum number of streams read: the whole market in the seven channels has fewer, and a silent stream takes only its
/// name and a position.
pub const MAX_STREAMS: usize = 50_000;

/// Returns the number of entries per stream and query for this number of streams.
#[must_use]
pub fn page_size(streams: usize) -> usize {
    (HELD_ENTRIES / streams.max(1)).clamp(1, MAX_PAGE)
}
