//! What all kinds of bodies are made with.

use thiserror::Error;

use crate::event::EntryId;

/// Largest body that is kept fresh; those of REST have some hundred kilobytes.
pub const MAX_BODY: usize = 8 * 1024 * 1024;

/// A body in Redis that is not what its endpoint answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Unreadable(pub(super) &'static str);

/// What is wrong with a body of more than [`MAX_BODY`].
pub(super) const TOO_LARGE: Unreadable = Unreadable("it is larger than any answer of REST");

/// An event that cannot become part of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Untranslatable(pub(super) &'static str);

/// When an event came; of two events of a stream the later one is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Receipt {
    /// When it was received, in Unix microseconds.
    pub received_us: i64,
    /// Its entry in its stream: what came at once is told apart by it.
    pub id: EntryId,
}

impl Receipt {
    /// Of an event that was received then, in Unix microseconds, as this entry.
    #[must_use]
    pub fn new(received_us: u64, id: EntryId) -> Receipt {
        Receipt { received_us: i64::try_from(received_us).unwrap_or(i64::MAX), id }
    }
}

/// Memory that a text of this length takes: allocators round up, and keep a word of their own.
pub(super) fn heap_bytes(len: usize) -> usize {
    if len == 0 { 0 } else { (len + size_of::<usize>()).next_multiple_of(16).max(32) }
}
