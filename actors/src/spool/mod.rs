//! The disk queue of one shard.

mod aside;
mod cursor;
mod damage;
mod error;
mod examine;
mod format;
mod listing;
mod lock;
mod queue;
mod ranges;
mod reading;
mod reassign;
mod records;
mod recovery;
mod removal;
mod scan;
mod segment;

pub use aside::ASIDE;
pub use damage::{Damage, DamageKind};
pub use error::{SpoolError, Unrecordable};
pub use format::StreamName;
pub use lock::{ShardFolder, SpoolLock, shard_folders};
pub use queue::{Limits, Spool};
pub use reading::{Chunk, Record};
pub use reassign::Reassigned;
pub use records::Records;
pub use recovery::Recovery;
pub use removal::{Dropped, Swept};

#[cfg(test)]
mod tests;
