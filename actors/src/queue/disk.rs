//! The disk queue of one shard on a thread of its own: a slow disk never holds an actor.
//!
//! Jobs are done in the order of asking, each with an answer. Acknowledgements are not worth a job: they are merged in one
//! place and taken from there at the thread's next turn. Between jobs the thread keeps the cursor file, removes what was
//! acknowledged long enough ago, and hands written files to a second thread that waits for the platter.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use slog::{Logger, debug, info, warn};
use thiserror::Error;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Notify, oneshot};
use uw_websocket_core::event::{Channel, EntryId};
use uw_websocket_core::routing::home_shard;
use uw_websocket_core::spool::{
    ASIDE, Chunk, Damage, Dropped, Reassigned, Records, Spool, SpoolError, StreamName, Unrecordable,
};

use crate::error_chain::ErrorChain;
use crate::observation::{Observations, lock};
use crate::sampled::Sampled;
use crate::settings::{Fsync, SpoolSettings};

/// Jobs that wait at most. A queue has one question about writing and one about reading under way at a time; an old one is
/// asked by all writers besides, at the start all at once; the settings allow 64.
const JOBS: usize = 256;
/// Files that wait to be synced at most; the same one may wait several times.
const MAX_DIRTY: usize = 32;
/// After a bypass of a failing disk, the last IDs of what was never on it are written down so often: a small file for each
/// shard.
const UNKEPT_EVERY: Duration = Duration::from_secs(1);
/// From the beginning of one append to that of the next at least, on a busy feed: at 5 000 events a second two go together.
const LINGER: Duration = Duration::from_micros(400);
/// A feed is busy while appends follow each other within this time; a quieter one never waits.
const BUSY: Duration = Duration::from_millis(1);
/// The thread's turn without jobs. After a kill -9 what was stored within one turn is looked up again, no more.
const TURN: Duration = Duration::from_millis(100);

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

enum Job {
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
struct Stored {
    below: u64,
    lasts: HashMap<Arc<str>, EntryId, RandomState>,
    /// Of entries that were never on the disk.
    unkept: HashMap<Arc<str>, EntryId, RandomState>,
}

/// The disk queue of one shard, as its writer sees it.
#[derive(Clone)]
pub struct Disk {
    jobs: SyncSender<Job>,
    stored: Arc<Mutex<Stored>>,
    /// Tells queues apart.
    folder: Arc<str>,
    answered: Arc<Notify>,
    damages: Arc<Mutex<Vec<Damage>>>,
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

/// How an old queue ends.
pub struct Retirement {
    /// The folder: it is removed.
    pub folder: PathBuf,
    /// Today's queues, by shard. What the last IDs were stays known in that of each stream's home: should Redis lose them, a
    /// later process has to see it.
    pub heirs: Vec<Disk>,
}

impl Retirement {
    /// Tells the heirs what was removed; they answer when they have written it down.
    fn bequeath(&self, removed: &std::collections::HashMap<Arc<str>, EntryId>) -> Vec<Written> {
        let mut told = BTreeSet::new();
        for (name, id) in removed {
            let (channel, symbol) =
                name.split_once(':').map_or((&**name, None), |(channel, symbol)| (channel, Some(symbol)));
            let Ok(channel) = Channel::parse(channel) else { continue };
            if self.heirs.is_empty() {
                break;
            }
            let home = home_shard(&channel, symbol, self.heirs.len());
            self.heirs[home].note_unkept([(Arc::clone(name), *id)]);
            told.insert(home);
        }
        told.into_iter().map(|home| self.heirs[home].ask(Job::Flush)).collect()
    }
}

/// Whether everything is on the disk.
type Written = Answer<Result<(), SpoolError>>;

/// What a disk queue's thread works with.
pub struct DiskParts {
    /// The queue.
    pub spool: Spool,
    /// Names it in logs.
    pub folder: String,
    /// What is done once all of it is stored and kept long enough, if the queue is to end then.
    pub retirement: Option<Retirement>,
    /// How long stored records stay, and when they reach the platter.
    pub settings: SpoolSettings,
    /// What others see of it.
    pub observations: Arc<Observations>,
    /// The shard whose observation shows it.
    pub shard: usize,
    /// Names it.
    pub log: Logger,
}

impl Disk {
    /// Starts the threads of a disk queue. They end when the last clone of it is gone.
    pub fn start(parts: DiskParts) -> io::Result<Disk> {
        let (jobs, inbox) = sync_channel(JOBS);
        let stored = Arc::new(Mutex::new(Stored::default()));
        let folder = Arc::from(parts.folder.as_str());
        let answered = Arc::new(Notify::new());
        let bell = Bell(Arc::clone(&answered));
        let (unsynced, to_sync) = sync_channel(1);
        let sync_log = parts.log.clone();
        thread::Builder::new().name("spool-sync".into()).spawn(move || sync_files(&to_sync, &sync_log))?;
        let damages = Arc::default();
        let thread = DiskThread {
            spool: parts.spool,
            records: Records::default(),
            appended_at: Instant::now(),
            lingering: None,
            damages: Arc::clone(&damages),
            retirement: parts.retirement,
            inheritance: None,
            settings: parts.settings,
            observations: parts.observations,
            shard: parts.shard,
            stored: Arc::clone(&stored),
            unsynced,
            dirty: Vec::new(),
            shown: (0, 0),
            persisted: None,
            has_unkept: false,
            unkept_at: Instant::now(),
            synced_at: Instant::now(),
            turned_at: Instant::now(),
            failures: Sampled::default(),
            log: parts.log,
        };
        thread::Builder::new().name("spool".into()).spawn(move || {
            // dropped last, when all questions that are left have lost their answers
            let bell = bell;
            thread.run(&inbox, &bell);
            drop(inbox);
        })?;
        Ok(Disk { jobs, stored, folder, answered, damages })
    }

    /// A queue that has a name and nothing behind it.
    #[cfg(test)]
    pub(crate) fn nowhere(folder: &str) -> Disk {
        Disk {
            jobs: sync_channel(0).0,
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

    fn ask<A>(&self, job: impl FnOnce(oneshot::Sender<A>) -> Job) -> Answer<A> {
        let (answer, answered) = oneshot::channel();
        Answer(match self.jobs.try_send(job(answer)) {
            Ok(()) => Ok(answered),
            Err(TrySendError::Full(_)) => Err(DiskError::Overrun),
            Err(TrySendError::Disconnected(_)) => Err(DiskError::Ended),
        })
    }
}

/// Wakes whoever waits for an answer, at the latest when none comes any more.
struct Bell(Arc<Notify>);

impl Bell {
    fn ring(&self) {
        self.0.notify_waiters();
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.ring();
    }
}

struct DiskThread {
    spool: Spool,
    /// The memory of the last records, used again for the next.
    records: Records,
    appended_at: Instant,
    /// An append that waits for more, and until when.
    lingering: Option<(Job, Instant)>,
    damages: Arc<Mutex<Vec<Damage>>>,
    retirement: Option<Retirement>,
    /// Answers of heirs that are still to come, once they were told.
    inheritance: Option<Vec<Written>>,
    settings: SpoolSettings,
    observations: Arc<Observations>,
    shard: usize,
    stored: Arc<Mutex<Stored>>,
    unsynced: SyncSender<Vec<File>>,
    /// Files that are still to be handed over.
    dirty: Vec<File>,
    /// The events and bytes that others see: a shard may have several queues.
    shown: (u64, u64),
    /// The position in the cursor's file: what is acknowledged, what comes next, and how much is between.
    persisted: Option<(u64, u64, u64)>,
    /// Whether something was stored without having been on the disk, since that was last written down.
    has_unkept: bool,
    unkept_at: Instant,
    synced_at: Instant,
    turned_at: Instant,
    failures: Sampled,
    log: Logger,
}

impl DiskThread {
    fn run(mut self, inbox: &Receiver<Job>, bell: &Bell) {
        loop {
            let wait = self
                .lingering
                .as_ref()
                .map_or(TURN, |(_, until)| until.saturating_duration_since(Instant::now()));
            let job = match inbox.recv_timeout(wait) {
                Ok(job) => self.lingers(job),
                Err(RecvTimeoutError::Timeout) => self.lingering.take().map(|(job, _)| job),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if let Some(job) = job {
                self.work(job);
                bell.ring();
            }
            let now = Instant::now();
            if now.duration_since(self.turned_at) >= TURN {
                self.turned_at = now;
                self.turn(now);
                if let Some(folder) = self.retired() {
                    self.show();
                    return match remove(&folder) {
                        Ok(()) => info!(self.log, "old disk queue done"),
                        Err(error) => warn!(self.log, "old disk queue not removed"; "error" => %error),
                    };
                }
            }
        }
        if let Some((job, _)) = self.lingering.take() {
            self.work(job);
        }
        let kept = self.flush();
        self.report(kept);
    }

    /// Gives a job back that is to be done now. An append soon after the last one waits a little: wake-ups cost more than the
    /// bytes, and what comes in the meantime goes with it.
    fn lingers(&mut self, job: Job) -> Option<Job> {
        let until = self.appended_at + LINGER;
        let is_busy = || self.appended_at.elapsed() < BUSY;
        if matches!(job, Job::Append(..)) && is_busy() && until > Instant::now() {
            self.lingering = Some((job, until));
            return None;
        }
        Some(job)
    }

    /// Nobody may wait for an answer any more; that is no failure of the disk.
    fn work(&mut self, job: Job) {
        let unheard = match job {
            Job::Append(collect, answer) => {
                self.take_stored(Instant::now());
                answer.send(self.append(collect)).is_err()
            }
            Job::Read { from, max_events, max_bytes, answer } => {
                let read = self.spool.read(from, max_events, max_bytes).map(|mut chunk| {
                    lock(&self.damages).append(&mut chunk.damages);
                    chunk
                });
                answer.send(read).is_err()
            }
            Job::Reassign(asked, answer) => {
                self.take_stored(Instant::now());
                let stream = StreamName { channel: &asked.channel, symbol: asked.symbol.as_deref() };
                let reassigned = self.spool.reassign(0, stream, &asked.skip, asked.above);
                answer.send(reassigned).is_err()
            }
            Job::DropOldest { protected_below, bytes, answer } => {
                self.take_stored(Instant::now());
                answer.send(self.spool.drop_oldest(protected_below, bytes)).is_err()
            }
            Job::Stand(answer) => {
                self.take_stored(Instant::now());
                answer.send(Standing::of(&self.spool)).is_err()
            }
            Job::Flush(answer) => answer.send(self.flush()).is_err(),
        };
        if unheard {
            debug!(self.log, "answer of the disk queue unheard");
        }
    }

    fn append(&mut self, collect: Collect) -> Appended {
        let now = Instant::now();
        self.appended_at = now;
        collect(&mut self.records)?;
        self.spool.append(&self.records, now)?;
        match self.settings.fsync {
            Fsync::Always => Ok(self.spool.sync()?),
            Fsync::Every(_) | Fsync::Never => Ok(()),
        }
    }

    fn take_stored(&mut self, now: Instant) {
        let Stored { below, lasts, unkept } = std::mem::take(&mut *lock(&self.stored));
        self.has_unkept |= !unkept.is_empty();
        self.spool.note_unkept(&unkept);
        if below > 0 {
            let lasts: Vec<_> = lasts.into_iter().collect();
            let done = self.spool.acknowledge(below, &lasts, now);
            self.report(done);
        }
    }

    /// The folder of an old queue that has nothing left, when its heirs know what it knew.
    fn retired(&mut self) -> Option<PathBuf> {
        let is_empty = self.spool.kept_from() == self.spool.next_seq();
        let retirement = self.retirement.as_ref().filter(|_| is_empty)?;
        let answers = self.inheritance.get_or_insert_with(|| retirement.bequeath(self.spool.removed()));
        while let Some(answer) = answers.last_mut() {
            if let Err(error) = answer.take()?.and_then(|written| written.map_err(DiskError::from)) {
                // told anew at the next turn, or by the next process
                self.inheritance = None;
                if self.failures.is_due(Instant::now()) {
                    warn!(self.log, "disk queue not kept up"; ErrorChain::new(&error));
                }
                return None;
            }
            answers.pop();
        }
        Some(retirement.folder.clone())
    }

    /// What is done ten times a second.
    fn turn(&mut self, now: Instant) {
        self.take_stored(now);
        let kept = self.persist_cursor();
        self.report(kept);
        if now.duration_since(self.unkept_at) >= UNKEPT_EVERY {
            self.unkept_at = now;
            let noted = self.persist_unkept();
            self.report(noted);
        }
        let swept = self.spool.sweep(now, self.settings.keep);
        self.report(swept.map(drop));
        if let Fsync::Every(interval) = self.settings.fsync
            && now.duration_since(self.synced_at) >= interval
        {
            self.synced_at = now;
            self.hand_over();
        }
        self.show();
    }

    /// Brings everything that is known to the disk, each part though another fails.
    fn flush(&mut self) -> Result<(), SpoolError> {
        self.take_stored(Instant::now());
        let noted = self.persist_unkept();
        let kept = self.spool.persist_cursor().and_then(|()| self.spool.sync());
        noted.and(kept)
    }

    /// Writes down what was stored without having been on the disk.
    fn persist_unkept(&mut self) -> Result<(), SpoolError> {
        if self.has_unkept {
            self.spool.persist_removed()?;
            self.has_unkept = false;
        }
        Ok(())
    }

    /// Writes the cursor down if it has moved.
    fn persist_cursor(&mut self) -> Result<(), SpoolError> {
        let position = (self.spool.acknowledged(), self.spool.next_seq(), self.spool.unacknowledged());
        if self.persisted != Some(position) {
            self.spool.persist_cursor()?;
            self.persisted = Some(position);
        }
        Ok(())
    }

    /// Hands written files to the thread that waits for the platter. While that still works on the last ones, these wait for
    /// the next time.
    fn hand_over(&mut self) {
        let mut files = std::mem::take(&mut self.dirty);
        match self.spool.take_dirty() {
            Ok(dirty) => files.extend(dirty),
            Err(error) => {
                if self.failures.is_due(Instant::now()) {
                    warn!(self.log, "disk queue not synced"; "error" => %error);
                }
            }
        }
        if !files.is_empty()
            && let Err(TrySendError::Full(files)) = self.unsynced.try_send(files)
        {
            self.dirty = files;
            self.dirty.truncate(MAX_DIRTY);
        }
    }

    fn show(&mut self) {
        let oldest = self.spool.oldest_unacknowledged_us().unwrap_or_else(|error| {
            self.report(Err(error));
            None
        });
        let Some(observed) = self.observations.writers.get(self.shard) else { return };
        let shown = (self.spool.unacknowledged(), self.spool.bytes());
        let (events, bytes) = std::mem::replace(&mut self.shown, shown);
        observed.spool_events.change(events, shown.0);
        observed.spool_bytes.change(bytes, shown.1);
        // an old queue of the shard shows its own here until it is empty
        observed.spool_oldest.set(oldest.unwrap_or_default());
    }

    fn report(&mut self, done: Result<(), SpoolError>) {
        if let Err(error) = done
            && self.failures.is_due(Instant::now())
        {
            warn!(self.log, "disk queue not kept up"; ErrorChain::new(&error));
        }
    }
}

/// Removes the folder of an empty queue, unless a person is to look at what was set aside in it.
fn remove(folder: &Path) -> io::Result<()> {
    if !folder.join(ASIDE).exists() {
        return std::fs::remove_dir_all(folder);
    }
    Ok(())
}

fn sync_files(files: &Receiver<Vec<File>>, log: &Logger) {
    let mut failures = Sampled::default();
    while let Ok(files) = files.recv() {
        for file in files {
            if let Err(error) = file.sync_data()
                && failures.is_due(Instant::now())
            {
                warn!(log, "disk queue not synced"; "error" => %error);
            }
        }
    }
}
