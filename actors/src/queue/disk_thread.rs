//! The thread of a disk queue: a slow disk never blocks an actor.
//!
//! Between jobs the thread writes the cursor file, removes segments acknowledged long enough ago, and passes
//! written files to a second thread that syncs them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use slog::{Logger, debug, info, warn};
use tokio::sync::Notify;
use uw_websocket_core::spool::{Damage, RecordStream, Records, SALVAGE, Spool, SpoolError};

use super::archiving::Archiving;
use super::disk::{Acknowledgements, Appended, Collect, Disk, DiskError, DiskPosition, JOBS, Job};
use super::replica_horizon::ReplicaHorizon;
use super::retirement::{Retirement, WrittenAnswer};
use crate::error_chain::ErrorChain;
use crate::fault::{ChildFaults, FaultPoint};
use crate::forgetting;
use crate::log_throttle::LogThrottle;
use crate::observation::{Observations, Table};
use crate::settings::{Fsync, SpoolSettings};
use crate::sync::lock;
use crate::thread_deaths::ThreadDeaths;

/// Maximum number of files waiting for sync; a file may be included several times.
const MAX_DIRTY: usize = 32;
/// Interval at which, after a bypass of a failing disk, the last IDs of entries never on disk are written: a small
/// file per shard.
const UNSPOOLED_EVERY: Duration = Duration::from_secs(1);
/// Interval of the thread's housekeeping. After a kill -9 at most the records stored within one interval are looked
/// up again.
const TURN: Duration = Duration::from_millis(100);

/// Parts of a disk queue's thread.
pub struct DiskParts {
    /// The open disk queue.
    pub spool: Spool,
    /// Name of the queue in logs.
    pub folder: String,
    /// What to do once all of it is stored and its retention has passed; `None` for a current queue.
    pub retirement: Option<Retirement>,
    /// What an archive sees of the queue; `None` without one.
    pub archiving: Option<Arc<Archiving>>,
    /// Up to when replicas have what was written.
    pub replicated: Arc<ReplicaHorizon>,
    /// Retention of stored records, and the sync policy.
    pub settings: SpoolSettings,
    /// State and counters, also read by HTTP and the status page.
    pub observations: Arc<Observations>,
    /// Index of the shard that displays it.
    pub shard: usize,
    /// Told if a thread dies.
    pub deaths: ThreadDeaths,
    /// Faults that tests inject.
    pub faults: ChildFaults,
    /// Logger with the queue's name.
    pub log: Logger,
}

/// Starts the threads of a disk queue. They end when its last handle is dropped.
pub fn start(parts: DiskParts) -> io::Result<Disk> {
    let (jobs, inbox) = sync_channel(JOBS);
    let stored = Arc::new(Mutex::new(Acknowledgements::default()));
    let folder = Arc::from(parts.folder.as_str());
    let answered = Arc::new(Notify::new());
    let bell = Bell(Arc::clone(&answered));
    let (unsynced, to_sync) = sync_channel(1);
    let guard = |name: &str| parts.deaths.guard(format!("{name} of {}", parts.folder), parts.log.clone());
    let (guards, sync_log, faults) =
        ((guard("spool"), guard("spool-sync")), parts.log.clone(), parts.faults.clone());
    thread::Builder::new().name("spool-sync".into()).spawn(move || {
        let _guard = guards.1;
        sync_files(&to_sync, &faults, &sync_log);
    })?;
    let damages = Arc::default();
    let (mut spool, is_archived) = (parts.spool, parts.archiving.is_some());
    if let Some(archiving) = &parts.archiving {
        let stored_below = spool.acknowledged();
        archiving.publish(&mut spool, stored_below);
    }
    let thread = DiskThread {
        spool,
        records: Records::default(),
        damages: Arc::clone(&damages),
        retirement: parts.retirement,
        archiving: parts.archiving,
        inheritance: None,
        replicated: parts.replicated,
        settings: parts.settings,
        observations: parts.observations,
        shard: parts.shard,
        stored: Arc::clone(&stored),
        unsynced,
        dirty: Vec::new(),
        shown: (0, 0),
        persisted: None,
        has_unspooled: false,
        unspooled_at: Instant::now(),
        synced_at: Instant::now(),
        turned_at: Instant::now(),
        failures: LogThrottle::default(),
        faults: parts.faults,
        log: parts.log,
    };
    thread::Builder::new().name("spool".into()).spawn(move || {
        let _guard = guards.0;
        // dropped last, after all remaining requests have lost their answers
        let bell = bell;
        thread.run(&inbox, &bell);
        drop(inbox);
    })?;
    Ok(Disk { jobs, stored, folder, answered, damages, is_archived })
}

/// Wakes tasks that wait for an answer, at the latest when none can come any more.
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
    /// The buffer of the last records, reused for the next.
    records: Records,
    damages: Arc<Mutex<Vec<Damage>>>,
    retirement: Option<Retirement>,
    archiving: Option<Arc<Archiving>>,
    /// Pending answers of the heirs, once they were informed.
    inheritance: Option<Vec<WrittenAnswer>>,
    replicated: Arc<ReplicaHorizon>,
    settings: SpoolSettings,
    observations: Arc<Observations>,
    shard: usize,
    stored: Arc<Mutex<Acknowledgements>>,
    unsynced: SyncSender<Vec<File>>,
    /// Files not yet passed to the sync thread.
    dirty: Vec<File>,
    /// Events and bytes last published: a shard may have several queues.
    shown: (u64, u64),
    /// The position in the cursor file: acknowledged, next, and the number of events in between.
    persisted: Option<(u64, u64, u64)>,
    /// Whether any entry was stored without having been on disk since that was last written.
    has_unspooled: bool,
    unspooled_at: Instant,
    synced_at: Instant,
    turned_at: Instant,
    failures: LogThrottle,
    faults: ChildFaults,
    log: Logger,
}

impl DiskThread {
    fn run(mut self, inbox: &Receiver<Job>, bell: &Bell) {
        loop {
            match inbox.recv_timeout(TURN) {
                Ok(job) => {
                    self.faults.strike_at(FaultPoint::DiskRequest);
                    self.work(job);
                    bell.ring();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let now = Instant::now();
            if now.duration_since(self.turned_at) >= TURN {
                self.turned_at = now;
                self.turn(now);
                if let Some(folder) = self.retired() {
                    self.show();
                    self.archiving.iter().for_each(|archiving| archiving.end());
                    return match remove(&folder) {
                        Ok(()) => info!(self.log, "old disk queue done"),
                        Err(error) => warn!(self.log, "old disk queue not removed"; "error" => %error),
                    };
                }
            }
        }
        let kept = self.flush();
        self.report(kept);
    }

    /// The requester may be gone; that is not a failure of the disk.
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
                let stream = RecordStream { channel: &asked.channel, symbol: asked.symbol.as_deref() };
                let reassigned = self.spool.reassign(0, stream, &asked.skip, asked.above);
                answer.send(reassigned).is_err()
            }
            Job::DropOldest { protected_below, bytes, answer } => {
                self.take_stored(Instant::now());
                answer.send(self.spool.drop_oldest(protected_below, bytes)).is_err()
            }
            Job::Stand(answer) => {
                self.take_stored(Instant::now());
                answer.send(DiskPosition::of(&self.spool)).is_err()
            }
            Job::Flush(answer) => answer.send(self.flush()).is_err(),
        };
        if unheard {
            debug!(self.log, "answer of the disk queue unheard");
        }
    }

    fn append(&mut self, collect: Collect) -> Appended {
        collect(&mut self.records)?;
        self.spool.append(&self.records, Instant::now())?;
        match self.settings.fsync {
            Fsync::Always => Ok(self.spool.sync()?),
            Fsync::Every(_) | Fsync::Never => Ok(()),
        }
    }

    fn take_stored(&mut self, now: Instant) {
        let Acknowledgements { below, last_ids, unspooled, forgotten, unstored } =
            std::mem::take(&mut *lock(&self.stored));
        self.has_unspooled |= !unspooled.is_empty();
        self.spool.note_unspooled(&unspooled);
        for record in unstored {
            self.spool.note_unstored(record, record + 1);
        }
        if below > 0 {
            let last_ids: Vec<_> = last_ids.into_iter().collect();
            let done = self.spool.acknowledge(below, &last_ids, now);
            self.report(done);
        }
        let forgotten = forgotten + self.spool.take_forgotten();
        forgetting::note(&self.observations, &self.log, (Table::LastIds, forgotten));
    }

    /// Returns the folder of an empty old queue once its heirs have persisted its last IDs.
    fn retired(&mut self) -> Option<PathBuf> {
        let is_empty = self.spool.kept_from() == self.spool.next_seq();
        let retirement = self.retirement.as_ref().filter(|_| is_empty)?;
        let answers = self.inheritance.get_or_insert_with(|| retirement.bequeath(self.spool.removed()));
        while let Some(answer) = answers.last_mut() {
            if let Err(error) = answer.take()?.and_then(|written| written.map_err(DiskError::from)) {
                // repeated at the next tick, or by the next process
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

    /// Housekeeping, ten times per second.
    fn turn(&mut self, now: Instant) {
        self.take_stored(now);
        let kept = self.persist_cursor();
        self.report(kept);
        if now.duration_since(self.unspooled_at) >= UNSPOOLED_EVERY {
            self.unspooled_at = now;
            let noted = self.persist_unspooled();
            self.report(noted);
        }
        let swept = self.spool.sweep(now, self.replicated.retain(self.settings.keep));
        self.report(swept.map(drop));
        if let Fsync::Every(interval) = self.settings.fsync
            && now.duration_since(self.synced_at) >= interval
        {
            self.synced_at = now;
            self.hand_over();
        }
        self.show();
    }

    /// Writes all state to disk, each part even if another fails.
    fn flush(&mut self) -> Result<(), SpoolError> {
        self.take_stored(Instant::now());
        let noted = self.persist_unspooled();
        // its position may be on disk already: it is written again with what follows it
        self.persisted = None;
        let kept = self.persist_cursor().and_then(|()| self.spool.sync());
        noted.and(kept)
    }

    /// Writes the last IDs of entries stored without having been on disk.
    fn persist_unspooled(&mut self) -> Result<(), SpoolError> {
        if self.has_unspooled {
            self.spool.persist_removed()?;
            self.has_unspooled = false;
        }
        Ok(())
    }

    /// Writes the cursor if it has moved.
    fn persist_cursor(&mut self) -> Result<(), SpoolError> {
        let position = (self.spool.acknowledged(), self.spool.next_seq(), self.spool.unacknowledged());
        if self.persisted != Some(position) {
            self.spool.persist_cursor()?;
            self.persisted = Some(position);
        }
        if let Some(archiving) = &self.archiving {
            archiving.publish(&mut self.spool, position.0);
        }
        Ok(())
    }

    /// Passes written files to the sync thread. While that is busy, they wait for the next tick.
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
        // an old queue of the shard shows its own value here until it is empty
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

/// Removes the folder of an empty queue, unless it has a salvage folder to be inspected.
fn remove(folder: &Path) -> io::Result<()> {
    if !folder.join(SALVAGE).exists() {
        return std::fs::remove_dir_all(folder);
    }
    Ok(())
}

fn sync_files(files: &Receiver<Vec<File>>, faults: &ChildFaults, log: &Logger) {
    let mut failures = LogThrottle::default();
    while let Ok(files) = files.recv() {
        faults.strike_at(FaultPoint::DiskSync);
        for file in files {
            if let Err(error) = file.sync_data()
                && failures.is_due(Instant::now())
            {
                warn!(log, "disk queue not synced"; "error" => %error);
            }
        }
    }
}
