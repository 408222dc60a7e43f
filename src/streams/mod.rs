//! The event streams of a Redis, read back: for people (`tail`) and for programs that want yesterday again (`replay`).
//!
//! Which streams there are ([`name`]), which of them are wanted ([`selection`]), what Redis is asked ([`link`]), and their
//! entries in one order ([`merge`]). Nothing is written, and what is held in memory is bounded whatever Redis holds: see
//! [`page_size`].

pub mod link;
pub mod merge;
pub mod name;
pub mod selection;

/// Entries that are held at once over all streams, about: at the usual size of a kilobyte some 16 MiB.
const HELD_ENTRIES: usize = 16_384;
/// Entries of one stream that are asked for at once: some hundred KiB, which Redis gives in a millisecond.
const MAX_PAGE: usize = 500;
/// Streams that are read at most: the whole market in the seven channels is below that, and what is kept of a stream that
/// is silent is its name and a position.
pub const MAX_STREAMS: usize = 50_000;

/// How many entries of each stream may be asked for, where there are so many streams.
#[must_use]
pub fn page_size(streams: usize) -> usize {
    (HELD_ENTRIES / streams.max(1)).clamp(1, MAX_PAGE)
}
