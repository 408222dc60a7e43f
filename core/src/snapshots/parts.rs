//! Types shared by all kinds of bodies.

use thiserror::Error;

use crate::event::EntryId;

/// Largest body that is kept fresh, in bytes; REST's have some hundred kilobytes.
pub const MAX_BODY: usize = 8 * 1024 * 1024;

/// A body in Redis without the format of its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct UnreadableBody(pub(super) &'static str);

/// The error of a body larger than [`MAX_BODY`].
pub(super) const TOO_LARGE: UnreadableBody = UnreadableBody("it exceeds the maximum size");

/// An event that cannot be merged into a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Untranslatable(pub(super) &'static str);

/// The receipt of an event; of two events of a stream the later one is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Receipt {
    /// Time of receipt, in Unix microseconds.
    pub received_us: i64,
    /// Its stream entry, which orders events of the same microsecond.
    pub id: EntryId,
}

impl Receipt {
    /// Creates a receipt from Unix microseconds; saturates.
    #[must_use]
    pub fn new(received_us: u64, id: EntryId) -> Receipt {
        Receipt { received_us: i64::try_from(received_us).unwrap_or(i64::MAX), id }
    }
}

/// Returns the heap memory of a text: allocators round up and keep a word of their own.
pub(super) fn heap_bytes(len: usize) -> usize {
    if len == 0 { 0 } else { (len + size_of::<usize>()).next_multiple_of(16).max(32) }
}
