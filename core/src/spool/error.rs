//! What can go wrong with the disk. Damage is no error: it is reported and passed over.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::event::EntryId;
use crate::ids::Exhausted;

/// An operation that was not done. Unless its text says otherwise the spool is as it was before.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// Another process works in the folder.
    #[error(
        "the spool folder {} is in use by another process{}{}",
        .dir.display(),
        .pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default(),
        if *.is_exposed { "; any user may be that process: the file `lock` is open to others" } else { "" }
    )]
    Held {
        /// The spool folder.
        dir: PathBuf,
        /// The other process, as far as the lock file tells. In containers its number may mean nothing here.
        pid: Option<u32>,
        /// Whether other users may open the lock's file, and so hold its lock.
        is_exposed: bool,
    },
    /// The new records do not fit, even after all that is acknowledged was removed.
    #[error("the disk queue is full: {needed} more bytes do not fit into {max_bytes}")]
    Full {
        /// Bytes of the records.
        needed: u64,
        /// The limit.
        max_bytes: u64,
    },
    /// The records do not begin with the number that comes next.
    #[error("the records begin with number {first}, but {expected} comes next")]
    OutOfOrder {
        /// The first number given.
        first: u64,
        /// The number that comes next.
        expected: u64,
    },
    /// Records were acknowledged that were never appended.
    #[error("all records below {below} are acknowledged, but {next_seq} comes next")]
    NeverAppended {
        /// The number given.
        below: u64,
        /// The number that comes next.
        next_seq: u64,
    },
    /// What the queue knows of itself does not fit together: a defect of this program. Nothing was written or read.
    #[error("the disk queue contradicts itself: {0}")]
    Contradiction(&'static str),
    /// No id is left above the last one of a stream.
    #[error("no entry id is left above {last}")]
    Exhausted {
        /// The last id.
        last: EntryId,
    },
    /// The system refused.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl SpoolError {
    /// Whether room is all that is missing: the limit or the disk is reached.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            SpoolError::Full { .. } => true,
            SpoolError::Io { source, .. } => is_disk_full(source),
            _ => false,
        }
    }
}

impl From<Exhausted> for SpoolError {
    fn from(exhausted: Exhausted) -> SpoolError {
        SpoolError::Exhausted { last: exhausted.last }
    }
}

/// Whether the disk, the quota or the largest file is reached.
pub(super) fn is_disk_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Names the action and the file of an I/O error.
pub(super) trait Context<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, SpoolError>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, SpoolError> {
        self.map_err(|source| SpoolError::Io { action, path: path.to_owned(), source })
    }
}

/// An event that no record can hold. What reaches a writer is within these bounds.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Unrecordable {
    /// The channel's name.
    #[error("a channel name of {0} bytes is too long for a record")]
    Channel(usize),
    /// The number of outlets.
    #[error("{0} outlets are too many for a record")]
    Outlets(usize),
    /// A symbol.
    #[error("a symbol is not one that may become part of a key")]
    Symbol,
    /// The payload.
    #[error("a payload of {0} bytes is too long for a record")]
    Payload(usize),
}
