//! The handle of a shard's disk queue: requests to its thread, and their answers.
//!
//! Jobs run in the order of requests, each with an answer. Acknowledgements need no job: they are merged in one
//! place and collected at the thread's next tick.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex};

use foldhash::fast::RandomState;
use thiserror::Error;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Notify, oneshot};
use uw_websocket_core::event::EntryId;
use uw_websocket_core::spool::{
    Chunk, Damage, Dropped, Reassigned, Records, Spool, SpoolError, Unrecordable,
};
use uw_websocket_core::tables::{MAX_STREAMS, keep_highest};

use crate::sync::lock;

/// Maximum number of waiting jobs. A queue has at most one write and one read request in flight; an old queue is
/// also queried by all writers, at startup all at once, and the settings allow 64.
pub(super) const JOBS: usize = 256;

/// A failed request to the disk queue.
#[derive(Debug, Error)]
pub enum DiskError {
    /// The disk queue failed.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// An event does not fit into a record: a defect, since that is checked before.
    #[error(transparent)]
    Unrecordable(#[from] Unrecordable),
    /// Its thread has ended: a defect that requires a restart of the process.
    #[error("the thread of the disk queue has ended")]
    Ended,
    /// More requests wait than there are requesters: a defect.
    #[error("more than {JOBS} questions wait for the disk queue")]
    Overrun,
}

/// The position of a disk queue.
#[derive(Debug)]
pub struct DiskPosition {
    /// All records below this number are stored.
    pub acknowledged: u64,
    /// Number of the next record.
    pub next: u64,
    /// Number of the first record on disk.
    pub kept_from: u64,
    /// The highest ID of each stream among removed records.
    pub removed: HashMap<Arc<str>, EntryId>,
}

impl DiskPosition {
    /// Returns the position of an open disk queue.
    #[must_use]
    pub fn of(spool: &Spool) -> DiskPosition {
        DiskPosition {
            acknowledged: spool.acknowledged(),
            next: spool.next_seq(),
            kept_from: spool.kept_from(),
            removed: spool.removed().clone(),
        }
    }
}

/// A pending answer of a disk queue. It can be stored and awaited by another task: it is lost only if dropped, not
/// with the task that awaits it.
#[derive(Debug)]
pub struct Answer<A>(Result<oneshot::Receiver<A>, DiskError>);

impl<A> Answer<A> {
    /// Returns the answer if it has arrived; afterwards there is none.
    pub fn take(&mut self) -> Option<Result<A, DiskError>> {
        match &mut self.0 {
            Ok(answer) => match answer.try_recv() {
                Ok(answer) => Some(Ok(answer)),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Closed) => Some(Err(DiskError::Ended)),
            },
            Err(unasked) => Some(Err(std::mem::replace(unasked, DiskError::Ended))),
        }
    }

    /// An answer that does not arrive during the test.
    #[cfg(test)]
    pub(crate) fn never() -> Answer<A> {
        let (asked, answer) = oneshot::channel();
        std::mem::forget(asked);
        Answer(Ok(answer))
    }

    /// Awaits the answer.
    pub async fn wait(self) -> Result<A, DiskError> {
        self.0?.await.map_err(|_| DiskError::Ended)
    }
}

pub(super) enum Job {
    Append(Collect, oneshot::Sender<Appended>),
    Read {
        from: u64,
        max_events: usize,
        max_bytes: u64,
        answer: oneshot::Sender<Result<Chunk, SpoolError>>,
    },
    Reassign(Reassignment, oneshot::Sender<Result<Reassigned, SpoolError>>),
    DropOldest {
        protected_below: u64,
        bytes: u64,
        answer: oneshot::Sender<Result<Option<Dropped>, SpoolError>>,
    },
    Stand(oneshot::Sender<DiskPosition>),
    Flush(oneshot::Sender<Result<(), SpoolError>>),
}

/// Collects the records to append, on the disk's thread, including whatever has arrived by then.
pub type Collect = Box<dyn FnOnce(&mut Records) -> Result<(), Unrecordable> + Send>;

/// The result of an append.
pub type Appended = Result<(), DiskError>;

/// A reassignment of IDs in the backlog of one stream.
#[derive(Debug)]
pub struct Reassignment {
    /// The channel name of the stream.
    pub channel: String,
    /// The symbol of the stream; `None` is the channel's full stream.
    pub symbol: Option<String>,
    /// Records to leave alone, because they are stored.
    pub skip: HashSet<u64>,
    /// Lower bound of the new IDs.
    pub above: EntryId,
}

/// Acknowledgements not yet collected by the thread.
#[derive(Debug, Default)]
pub(super) struct Acknowledgements {
    pub below: u64,
    pub last_ids: HashMap<Arc<str>, EntryId, RandomState>,
    /// The last IDs of entries that were never on disk.
    pub unspooled: HashMap<Arc<str>, EntryId, RandomState>,
    /// Number of streams forgotten because the thread is stuck.
    pub forgotten: u64,
    /// Acknowledged records that are not stored; only for the archive.
    pub unstored: Vec<u64>,
}

impl Acknowledgements {
    /// Evicts the streams with the lowest IDs if there are too many: the thread may hang on its disk.
    fn bound(&mut self) {
        for ids in [&mut self.last_ids, &mut self.unspooled] {
            if ids.len() >= 2 * MAX_STREAMS {
                self.forgotten += keep_highest(ids, MAX_STREAMS, |id| *id);
            }
        }
    }
}

/// The handle of one shard's disk queue.
#[derive(Clone)]
pub struct Disk {
    pub(super) jobs: SyncSender<Job>,
    pub(super) stored: Arc<Mutex<Acknowledgements>>,
    /// Identifies the queue.
    pub(super) folder: Arc<str>,
    pub(super) answered: Arc<Notify>,
    pub(super) damages: Arc<Mutex<Vec<Damage>>>,
    pub(super) is_archived: bool,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl PartialEq for Disk {
    fn eq(&self, other: &Disk) -> bool {
        self.folder == other.folder
    }
}

impl Disk {
    /// A queue with a name and no thread.
    #[cfg(test)]
    pub(crate) fn nowhere(folder: &str) -> Disk {
        Disk {
            jobs: std::sync::mpsc::sync_channel(0).0,
            stored: Arc::default(),
            folder: folder.into(),
            answered: Arc::default(),
            damages: Arc::default(),
            is_archived: false,
        }
    }

    /// Returns the folder, which identifies the queue.
    #[must_use]
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// Whether an archive takes what is stored.
    #[must_use]
    pub fn is_archived(&self) -> bool {
        self.is_archived
    }

    /// Returns the notification sent after each answer.
    #[must_use]
    pub fn answered(&self) -> Arc<Notify> {
        Arc::clone(&self.answered)
    }

    /// Requests an append.
    #[must_use]
    pub fn append(&self, records: Collect) -> Answer<Appended> {
        self.ask(|answer| Job::Append(records, answer))
    }

    /// Requests records from a number on, at least one if available.
    #[must_use]
    pub fn read(&self, from: u64, max_events: usize, max_bytes: u64) -> Answer<Result<Chunk, SpoolError>> {
        self.ask(|answer| Job::Read { from, max_events, max_bytes, answer })
    }

    /// Requests new IDs for the backlog of a stream.
    #[must_use]
    pub fn reassign(&self, reassignment: Reassignment) -> Answer<Result<Reassigned, SpoolError>> {
        self.ask(|answer| Job::Reassign(reassignment, answer))
    }

    /// Requests room by dropping the oldest records from `protected_below` on.
    #[must_use]
    pub fn drop_oldest(
        &self,
        protected_below: u64,
        bytes: u64,
    ) -> Answer<Result<Option<Dropped>, SpoolError>> {
        self.ask(|answer| Job::DropOldest { protected_below, bytes, answer })
    }

    /// Takes the damage found by any reader, each once.
    #[must_use]
    pub fn take_damages(&self) -> Vec<Damage> {
        std::mem::take(&mut *lock(&self.damages))
    }

    /// Requests the position without waiting.
    pub fn ask_position(&self) -> Answer<DiskPosition> {
        self.ask(Job::Stand)
    }

    /// Returns the position.
    pub async fn standing(&self) -> Result<DiskPosition, DiskError> {
        self.ask_position().wait().await
    }

    /// Writes all state to disk, as at shutdown.
    pub async fn flush(&self) -> Result<(), DiskError> {
        Ok(self.ask(Job::Flush).wait().await??)
    }

    /// Acknowledges all records below `below`, with the last IDs written to their streams.
    pub fn acknowledge(&self, below: u64, last_ids: impl IntoIterator<Item = (Arc<str>, EntryId)>) {
        let mut stored = lock(&self.stored);
        stored.below = stored.below.max(below);
        stored.last_ids.extend(last_ids);
        stored.bound();
    }

    /// Notes records that will be acknowledged without being stored by us: they are not archived.
    pub fn note_unstored(&self, records: impl Iterator<Item = u64>) {
        lock(&self.stored).unstored.extend(records);
    }

    /// Records the last IDs of stream entries that were never on disk.
    pub fn note_unspooled(&self, last_ids: impl IntoIterator<Item = (Arc<str>, EntryId)>) {
        let mut stored = lock(&self.stored);
        stored.unspooled.extend(last_ids);
        stored.bound();
    }

    pub(super) fn ask<A>(&self, job: impl FnOnce(oneshot::Sender<A>) -> Job) -> Answer<A> {
        let (answer, answered) = oneshot::channel();
        Answer(match self.jobs.try_send(job(answer)) {
            Ok(()) => Ok(answered),
            Err(TrySendError::Full(_)) => Err(DiskError::Overrun),
            Err(TrySendError::Disconnected(_)) => Err(DiskError::Ended),
        })
    }
}
