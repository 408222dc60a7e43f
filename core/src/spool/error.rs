//! Errors of the disk queue. Damage is not an error: it is reported and skipped.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::event::EntryId;
use crate::ids::Exhausted;

/// A failed operation. Unless stated otherwise the spool is unchanged.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// Another process holds the folder's lock.
    #[error(
        "the spool folder {} is in use by another process{}{}",
        .dir.display(),
        .pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default(),
        if *.is_exposed { "; any user may be that process: the file `lock` is open to others" } else { "" }
    )]
    Held {
        /// The spool folder.
        dir: PathBuf,
        /// The other process according to the lock file. In containers the PID may be meaningless here.
        pid: Option<u32>,
        /// Whether other users may open the lock's file, and so hold its lock.
        is_exposed: bool,
    },
    /// The new records do not fit, even after removal of everything acknowledged.
    #[error("the disk queue is full: {needed} more bytes do not fit into {max_bytes}")]
    Full {
        /// Size of the records.
        needed: u64,
        /// [`super::Limits::max_bytes`].
        max_bytes: u64,
    },
    /// The records do not begin with the next number.
    #[error("the records begin with number {first} instead of {expected}")]
    OutOfOrder {
        /// The first number given.
        first: u64,
        /// The number that comes next.
        expected: u64,
    },
    /// The acknowledgement includes records that were never appended.
    #[error("acknowledgement of records below {below}, but the next number is {next_seq}")]
    NeverAppended {
        /// The number given.
        below: u64,
        /// The number that comes next.
        next_seq: u64,
    },
    /// The queue's state is inconsistent: a defect of this program. Nothing was written or read.
    #[error("inconsistent state of the disk queue: {0}")]
    Contradiction(&'static str),
    /// No ID is available above the last one of a stream.
    #[error("no entry ID is available above {last}")]
    Exhausted {
        /// The stream's last ID.
        last: EntryId,
    },
    /// An I/O error.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// The failed operation, a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

impl SpoolError {
    /// Whether the cause is the limit, or a full disk or quota.
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

/// Whether the disk, the quota or the maximum file size is exhausted.
pub(super) fn is_disk_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Adds the operation and the file to an I/O error.
pub(super) trait Context<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, SpoolError>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, SpoolError> {
        self.map_err(|source| SpoolError::Io { action, path: path.to_owned(), source })
    }
}

/// An event that no record can hold. Events that reach a writer are within these bounds.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Unrecordable {
    /// The channel name is too long.
    #[error("a channel name of {0} bytes is too long for a record")]
    Channel(usize),
    /// There are too many destinations.
    #[error("{0} destinations exceed the maximum of a record")]
    Destinations(usize),
    /// A symbol is not valid in a key.
    #[error("a symbol is not valid in a key")]
    Symbol,
    /// The payload is too long.
    #[error("a payload of {0} bytes is too long for a record")]
    Payload(usize),
}
