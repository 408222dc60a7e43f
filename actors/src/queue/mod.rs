//! The queue of a shard: it owns every event from the moment when it was taken over until Redis has it. It outlives all
//! actors; a writer that dies loses nothing, and its next life goes on where it ended.
//!
//! ```text
//! [inbox] ──append──▶ Queue: duplicates out, IDs on, to the disk ──peek──▶ [committer] ──▶ Redis
//!                        ▲                                                    │
//!                        └────────────────────── ack ─────────────────────────┘
//! ```
//!
//! * **append** takes over what was delivered in one synchronous step (fingerprints entered, IDs given, positions given) and
//!   then brings it to the disk. Whoever waits for that may die: the next one who calls it goes on.
//! * **peek** lends what is next. Nothing leaves the queue before it is acknowledged.
//! * **ack** ends what was lent, event by event, and settles the books.
//!
//! A disk that fails is bypassed through memory and tried again; so positions in the queue are not the numbers of records.
//! What is in memory has a bound; behind it come stretches on the disk, and where there is no disk, `SPOOL_WHEN_FULL` decides.
//!
//! Of the [`Queue`], `shared` is what its users share under one lock: [`backlog`] (what is held, by position, pure),
//! `persistence` (what is asked of the disk, and its answers), `stored` (what Redis has), [`books`]. [`inbox`] is what is
//! handed over, [`batch`] the unit of all of it, [`disk`] asks the disk queue and [`disk_thread`] answers, [`decoder`] and `kept` read it back.
//! [`folders`] opens all queues at startup, [`generations`] are those that other settings left, [`losses`] becomes gaps, and
//! [`shard`] is what outlives a writer.

pub mod backlog;
pub mod batch;
pub mod books;
pub mod decoder;
pub mod disk;
pub mod disk_thread;
pub mod folders;
pub mod generations;
mod handle;
mod held;
pub mod inbox;
mod kept;
pub mod losses;
mod persistence;
pub mod retirement;
pub mod shard;
mod shared;
mod stored;

pub use handle::{Queue, QueueParts};
pub use kept::Kept;
pub use shared::Next;
pub use stored::Stored;

#[cfg(test)]
mod tests;
