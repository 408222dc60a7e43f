//! What the product claims today, and so what a run may do to it. Each is switched on with the part that makes it true.

/// Events are on disk before they go to Redis: nothing that was read is lost when a writer crashes or Redis forgets.
pub(crate) const DISK_QUEUE: bool = true;

/// Whatever was not received or not kept lies within an interval of `ws:gaps`.
pub(crate) const LEDGER: bool = true;

/// An event that comes again is dropped, within the life of a process and across lives.
pub(crate) const DEDUPLICATION: bool = true;
