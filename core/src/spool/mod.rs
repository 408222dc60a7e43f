//! The disk queue of one shard: events wait here for Redis, and are kept for a while after Redis has stored them.
//!
//! [`Spool`] in `queue` appends and acknowledges, `reading` reads, `removal` deletes, `reassign` rewrites IDs.
//! Segments are laid out in `format`, listed by `listing`, scanned by `scan` and `examine`; `recovery` opens a
//! folder. `holding` keeps records for a [`Follower`], which reads what is stored. `cursor` has the small files, `lock` the folder of all shards, `damage` what is reported, `aside` the
//! salvage folder, [`Survey`] the read-only view for the command line. The guarantees are documented on [`Spool`].
//!
//! No threads, timers, logs or clock: it is called from one thread, and `now` is a parameter.

mod cursor;
mod damage;
mod dropped;
mod error;
mod examine;
mod follower;
mod format;
mod hold;
mod holding;
mod identity;
mod listing;
mod lock;
mod queue;
mod ranges;
mod reading;
mod reassign;
mod records;
mod recovery;
mod removal;
mod retain;
mod salvage;
mod scan;
mod segment;
mod survey;

pub use damage::{Damage, DamageKind};
pub use dropped::Dropped;
pub use error::{SpoolError, Unrecordable};
pub use follower::{Followed, Follower};
pub use format::RecordStream;
pub use identity::identify;
pub use lock::{ShardFolder, SpoolLock, look_at_lock, shard_folders};
pub use queue::{Limits, Spool};
pub use ranges::Ranges;
pub use reading::{Chunk, Record};
pub use reassign::Reassigned;
pub use records::Records;
pub use recovery::Recovery;
pub use removal::Swept;
pub use retain::Retain;
pub use salvage::SALVAGE;
pub use survey::{Counted, RecordView, Survey, visit_records};

#[cfg(test)]
mod tests;
