//! The disk queue of one shard as the others see it: questions to its thread, and their answers.
//!
//! Jobs are done in the order of asking, each with an answer. Acknowledgements are not worth a job: they are merged in one
//! place and taken from there at the thread's next turn.

use std::collections::HashSet;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use thiserror::Error;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Notify, oneshot};
use uw_websocket_core::event::EntryId;
use uw_websocket_core::spool::{
    Chunk, Damage, Dropped, Reassigned, Records, Spool, SpoolError, Unrecordable,
};

use crate::observation::lock;

/// Jobs that wait at most. A queue has one question about writing and one about reading under way at a time; an old one is
/// asked by all writers besides, at the start all at once; the settings allow 64.
pub(super) const JOBS: usize = 256;

/// Why the disk queue did not do what it was asked to.
#[derive(Debug, Error)]
pub enum DiskError {
    /// The disk queue says why.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// There are events that no record can hold: a defect, for they are looked at before.
    #[error(transparent)]
    Unrecordable(#[from] Unrecordable),
    /// Its thread has ended: a defect, the process has to start anew.
    #[error("the thread of the disk queue has ended")]
    Ended,
    /// More questions wait than there are askers: a defect.
    #[error("more than {JOBS} questions wait for the disk queue")]
    Overrun,
}

/// Where the disk queue of a shard stands.
#[derive(Debug)]
pub struct Standing {
    /// Records below are stored.
    pub acknowledged: u64,
    /// The next record gets this number.
    pub next: u64,
    /// The first record that is still there.
    pub kept_from: u64,
    /// The highest ID of each stream among records that are no longer there.
    pub removed: std::collections::HashMap<Arc<str>, EntryId>,
}

impl Standing {
    /// Where an opened one stands.
    #[must_use]
    pub fn of(spool: &Spool) -> Standing {
        Standing {
            acknowledged: spool.acknowledged(),
            next: spool.next_seq(),
            kept_from: spool.kept_from(),
            removed: spool.removed().clone(),
        }
    }
}

/// What a disk queue will say. It can be kept and asked for by whoever comes next: an answer is lost with it alone, and not
/// with who waited for it.
#[derive(Debug)]
pub struct Answer<A>(Result<oneshot::Receiver<A>, DiskError>);

impl<A> Answer<A> {
    /// The answer, if it has come. After that there is none.
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

    /// One that does not come while the test lasts.
    #[cfg(test)]
    pub(crate) fn never() -> Answer<A> {
        let (asked, answer) = oneshot::channel();
        std::mem::forget(asked);
        Answer(Ok(answer))
    }

    /// Waits for the answer.
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
    Stand(oneshot::Sender<Standing>),
    Flush(oneshot::Sender<Result<(), SpoolError>>),
}

/// Collects the records that are to be appended, on the disk's thread: whatever has come by then goes with them.
pub type Collect = Box<dyn FnOnce(&mut Records) -> Result<(), Unrecordable> + Send>;

/// Whether they were.
pub type Appended = Result<(), DiskError>;

/// New IDs for the backlog of one stream.
#[derive(Debug)]
pub struct Reassignment {
    /// The channel's name and the symbol of the stream.
    pub channel: String,
    /// `None` is the channel's full stream.
    pub symbol: Option<String>,
    /// But for these records, which are stored.
    pub skip: HashSet<u64>,
    /// New IDs are above this one.
    pub above: EntryId,
}

/// What was stored since the thread looked last.
#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    pub below: u64,
    pub lasts: HashMap<Arc<str>, EntryId, RandomState>,
    /// Of entries that were never on the disk.
    pub unkept: HashMap<Arc<str>, EntryId, RandomState>,
}

/// The disk queue of one shard, as its writer sees it.
#[derive(Clone)]
pub struct Disk {
    pub(super) jobs: SyncSender<Job>,
    pub(super) stored: Arc<Mutex<Acknowledged>>,
    /// Tells queues apart.
    pub(super) folder: Arc<str>,
    pub(super) answered: Arc<Notify>,
    pub(super) damages: Arc<Mutex<Vec<Damage>>>,
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
    /// A queue that has a name and nothing behind it.
    #[cfg(test)]
    pub(crate) fn nowhere(folder: &str) -> Disk {
        Disk {
            jobs: std::sync::mpsc::sync_channel(0).0,
            stored: Arc::default(),
            folder: folder.into(),
            answered: Arc::default(),
            damages: Arc::default(),
        }
    }

    /// The folder, which names the queue.
    #[must_use]
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// Rings whenever a question was answered.
    #[must_use]
    pub fn answered(&self) -> Arc<Notify> {
        Arc::clone(&self.answered)
    }

    /// Appends records.
    #[must_use]
    pub fn append(&self, records: Collect) -> Answer<Appended> {
        self.ask(|answer| Job::Append(records, answer))
    }

    /// Reads records from a position on, at least one if there is one.
    #[must_use]
    pub fn read(&self, from: u64, max_events: usize, max_bytes: u64) -> Answer<Result<Chunk, SpoolError>> {
        self.ask(|answer| Job::Read { from, max_events, max_bytes, answer })
    }

    /// Gives the backlog of a stream new IDs.
    #[must_use]
    pub fn reassign(&self, reassignment: Reassignment) -> Answer<Result<Reassigned, SpoolError>> {
        self.ask(|answer| Job::Reassign(reassignment, answer))
    }

    /// Makes room by dropping the oldest records from `protected_below` on.
    #[must_use]
    pub fn drop_oldest(
        &self,
        protected_below: u64,
        bytes: u64,
    ) -> Answer<Result<Option<Dropped>, SpoolError>> {
        self.ask(|answer| Job::DropOldest { protected_below, bytes, answer })
    }

    /// Damage that was met by reading, each once, whoever read it.
    #[must_use]
    pub fn take_damages(&self) -> Vec<Damage> {
        std::mem::take(&mut *lock(&self.damages))
    }

    /// Where the queue stands, for whoever does not wait.
    pub fn ask_standing(&self) -> Answer<Standing> {
        self.ask(Job::Stand)
    }

    /// Where the queue stands.
    pub async fn standing(&self) -> Result<Standing, DiskError> {
        self.ask_standing().wait().await
    }

    /// Brings everything that is known to the disk, as before the end.
    pub async fn flush(&self) -> Result<(), DiskError> {
        Ok(self.ask(Job::Flush).wait().await??)
    }

    /// Says that all records below are stored, and the last ID that their streams got by them.
    pub fn acknowledge(&self, below: u64, lasts: impl IntoIterator<Item = (Arc<str>, EntryId)>) {
        let mut stored = lock(&self.stored);
        stored.below = stored.below.max(below);
        stored.lasts.extend(lasts);
    }

    /// Says which last IDs streams got by entries that were never here.
    pub fn note_unkept(&self, lasts: impl IntoIterator<Item = (Arc<str>, EntryId)>) {
        lock(&self.stored).unkept.extend(lasts);
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
