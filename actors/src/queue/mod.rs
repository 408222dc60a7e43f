//! The queue of a shard: it owns every event from its acceptance until Redis has stored it. It outlives all actors:
//! a writer that dies loses nothing, and its successor continues where it ended.
//!
//! ```text
//! [inbox] ──append──▶ Queue: duplicates out, IDs on, to the disk ──peek──▶ [committer] ──▶ Redis
//!                        ▲                                                    │
//!                        └────────────────────── ack ─────────────────────────┘
//! ```
//!
//! * **append** accepts delivered batches in one synchronous step (fingerprints, IDs, positions) and then persists
//!   them. The waiting caller may die; the next caller continues.
//! * **peek** lends the next batch. Nothing leaves the queue before it is acknowledged.
//! * **ack** ends a lent batch, event by event, and updates the counters.
//!
//! If the disk fails, events bypass it through memory until it works again, so positions in the queue are not
//! record numbers. Memory is bounded; behind it are stretches on disk, and without a disk `SPOOL_WHEN_FULL`
//! decides.
//!
//! The users of a [`Queue`] share `shared` under one lock: [`backlog`] (content by position, pure), `persistence`
//! (requests to the disk and their answers), `stored` (entries in Redis), [`books`]. [`inbox`] receives, [`batch`]
//! is the unit of transfer, [`disk`] sends requests to [`disk_thread`], [`record_decoder`] and `kept` read records back.
//! [`archiving`] is what the archive sees, [`progress`] tells up to when all is stored. [`folders`] opens all queues
//! at startup, `earlier` tells them what an earlier process knew, `adoption` takes over the events of another instance,
//! [`generations`] are queues left by other settings, [`losses`] become gaps, and [`shard`] outlives a writer.

mod adoption;
mod ahead;
pub mod archiving;
pub mod backlog;
pub mod batch;
pub mod books;
pub mod disk;
pub mod disk_thread;
mod earlier;
pub mod folders;
pub mod generations;
mod handle;
mod held;
pub mod inbox;
mod kept;
pub mod losses;
mod persistence;
pub mod progress;
pub mod record_decoder;
pub mod replica_horizon;
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
