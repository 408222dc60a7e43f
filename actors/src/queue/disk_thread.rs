//! The thread of a disk queue: a slow disk never holds an actor.
//!
//! Between jobs the thread keeps the cursor file, removes what was acknowledged long enough ago, and hands written files to a
//! second thread that waits for the disk.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use slog::{Logger, debug, info, warn};
use tokio::sync::Notify;
use uw_websocket_core::spool::{ASIDE, Damage, Records, Spool, SpoolError, StreamName};

use super::disk::{Acknowledged, Appended, Collect, Disk, DiskError, JOBS, Job, Standing};
use super::retirement::{Retirement, Written};
use crate::error_chain::ErrorChain;
use crate::observation::{Observations, lock};
use crate::sampled::Sampled;
use crate::settings::{Fsync, SpoolSettings};

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

/// Starts the threads of a disk queue. They end when the last clone of it is gone.
pub fn start(parts: DiskParts) -> io::Result<Disk> {
    let (jobs, inbox) = sync_channel(JOBS);
    let stored = Arc::new(Mutex::new(Acknowledged::default()));
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
    stored: Arc<Mutex<Acknowledged>>,
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
        let Acknowledged { below, lasts, unkept } = std::mem::take(&mut *lock(&self.stored));
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
