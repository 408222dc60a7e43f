//! Opens the disk queues of all shards at startup, before anything is counted or joined.
//!
//! Each shard has its own folder. A change of the number of shards begins a new generation of folders. Folders of
//! earlier generations (all of them if the disk queue is now disabled) are migrated: written first, oldest
//! generation first, and then removed.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use uw_websocket_core::time::millis;

use slog::{Logger, info, warn};
use thiserror::Error;
use uw_websocket_core::event::{Channel, EntryId};
use uw_websocket_core::private;
use uw_websocket_core::quarantine::Quarantine;
use uw_websocket_core::settings::KeySettings;
use uw_websocket_core::spool::{
    Damage, Limits, Recovery, ShardFolder, Spool, SpoolError, SpoolLock, identify, shard_folders,
};
use uw_websocket_core::tables::{MAX_STREAMS, share};

use super::archiving::Archiving;
use super::disk::DiskPosition;
use super::disk_thread::{self, DiskParts};
use super::generations::{Generations, OldQueue};
use super::inbox::Inbox;
use super::losses;
use super::replica_horizon::ReplicaHorizon;
use super::retirement::Retirement;
use super::shard::{FIRST_ORDINAL, Shard};
use super::{Queue, QueueParts};
use crate::fault::FaultPlan;
use crate::ledger::gap::Gap;
use crate::observation::Observations;
use crate::settings::{Fsync, SpoolMode, SpoolSettings, WriterSettings};
use crate::thread_deaths::ThreadDeaths;

/// Bounds of the segment size, an eighth of a shard's limit: segments are removed whole, so that space is freed in
/// steps that matter.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 1024 * 1024..=16 * 1024 * 1024;
/// Bounds of the segment age, a quarter of the retention of stored records: removal proceeds in steps on a quiet
/// feed too.
const SEGMENT_AGE: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

/// File name of the instance that has used the folder last.
const INSTANCE: &str = "instance";

/// The disk queues cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// A folder is unusable.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// A thread cannot be started.
    #[error("cannot start the threads of the disk queue")]
    Threads(#[source] io::Error),
}

/// Disk queues, opened and recovered but not started.
pub struct OpenFolders {
    settings: SpoolSettings,
    shards: usize,
    queues: Vec<(ShardFolder, Spool)>,
    damages: Vec<(String, Vec<Damage>)>,
    events: BTreeMap<String, u64>,
    highest: EntryId,
    /// Generation of the current folders; `None` with the disk queue disabled.
    generation: Option<u64>,
    lock: Option<SpoolLock>,
    predecessor: Option<String>,
}

/// Running queues.
pub struct Started {
    /// The shards, which outlive their writers.
    pub shards: Vec<Shard>,
    /// The lock of the folder; hold it until the end of the process.
    pub lock: Option<SpoolLock>,
    /// What the archive sees of each queue; empty without one.
    pub archivings: Vec<Arc<Archiving>>,
}

/// Parts of running queues.
pub struct StartParts<'s> {
    /// Stream names.
    pub keys: &'s KeySettings,
    /// Number and limits of the shards.
    pub writers: &'s WriterSettings,
    /// Whether an archive takes what is stored.
    pub is_archived: bool,
    /// Number of connections that deliver events.
    pub connections: usize,
    /// State and counters, also read by HTTP and the status page.
    pub observations: &'s Arc<Observations>,
    /// Told if a thread dies.
    pub deaths: &'s ThreadDeaths,
    /// Faults that tests inject into the threads.
    pub faults: &'s FaultPlan,
    /// Logger of the process.
    pub log: &'s Logger,
}

impl OpenFolders {
    /// Opens and recovers every queue in the folder. Does nothing if the disk queue is disabled and the folder does
    /// not exist.
    pub fn open(
        settings: &SpoolSettings,
        shards: usize,
        instance: &str,
        log: &Logger,
    ) -> Result<OpenFolders, SpoolError> {
        let mut opened = OpenFolders {
            settings: settings.clone(),
            shards,
            queues: Vec::new(),
            damages: Vec::new(),
            events: BTreeMap::new(),
            highest: EntryId::default(),
            generation: None,
            lock: None,
            predecessor: None,
        };
        let is_off = settings.mode == SpoolMode::Off;
        if is_off && !settings.dir.exists() {
            return Ok(opened);
        }
        opened.lock = Some(SpoolLock::acquire(&settings.dir)?);
        opened.predecessor = succeed(&settings.dir.join(INSTANCE), instance);
        let mut folders = shard_folders(&settings.dir)?;
        if !is_off {
            let generation = generation(&folders, shards);
            opened.generation = Some(generation);
            let own = |shard| ShardFolder::in_generation(&settings.dir, generation, shard, shards);
            folders.extend((0..shards).map(own));
            folders.sort_unstable();
            folders.dedup();
        }
        for folder in folders {
            opened.recover(folder, log)?;
        }
        Ok(opened)
    }

    fn recover(&mut self, folder: ShardFolder, log: &Logger) -> Result<(), SpoolError> {
        let began = Instant::now();
        let max_bytes = self.settings.max_bytes_of_shard(self.shards);
        let limits = Limits {
            segment_bytes: (max_bytes / 8).clamp(*SEGMENT_BYTES.start(), *SEGMENT_BYTES.end()),
            segment_age: (self.settings.keep / 4).clamp(*SEGMENT_AGE.start(), *SEGMENT_AGE.end()),
            max_bytes,
            durable: self.settings.fsync != Fsync::Never,
            max_streams: share(MAX_STREAMS, self.shards),
        };
        let (spool, recovery) = Spool::open(&folder.path, limits, began)?;
        let Recovery { events, highest_id, damages, .. } = recovery;
        info!(log, "disk queue opened";
            "folder" => &name_of(&folder), "events" => events.values().sum::<u64>(),
            "bytes" => spool.bytes(),
        "elapsed_ms" => millis(began.elapsed()));
        for (channel, events) in events {
            *self.events.entry(channel).or_default() += events;
        }
        self.highest = self.highest.max(highest_id);
        self.damages.push((name_of(&folder), damages));
        self.queues.push((folder, spool));
        Ok(())
    }

    /// Returns the instance that used the folder before. It has ended, since its lock was free.
    #[must_use]
    pub fn predecessor(&self) -> Option<&str> {
        self.predecessor.as_deref()
    }

    /// Returns the channels of the recovered events. All of them need counters, as recovered events are counted by
    /// channel.
    pub fn channels(&self) -> impl Iterator<Item = Channel> {
        self.events.keys().filter_map(|name| Channel::parse(name).ok())
    }

    /// Counts recovered events, and starts the threads.
    pub fn start(self, parts: &StartParts<'_>) -> Result<Started, OpenError> {
        let StartParts { writers, observations, log, .. } = parts;
        for channel in &observations.channels {
            let events = self.events.get(channel.channel.name()).copied().unwrap_or_default();
            channel.recover(events, FIRST_ORDINAL);
        }
        if self.settings.mode != SpoolMode::Off {
            let limit = self.settings.max_bytes_of_shard(self.shards);
            observations.writers.iter().for_each(|writer| writer.spool_limit.set(limit));
        }
        let losses = self.losses(observations, log);
        let mut archivings = Vec::new();
        let mut own: Vec<Option<Queue>> = vec![None; self.shards];
        let mut old: Vec<OldQueue> = Vec::new();
        let mut adopted: Vec<Vec<OldQueue>> = vec![Vec::new(); self.shards];
        let (settings, highest) = (&self.settings, self.highest);
        let horizons: Vec<Arc<ReplicaHorizon>> = (0..self.shards).map(|_| Arc::default()).collect();
        let queue = |disk, standing, kept, is_old, shard| {
            Queue::new(QueueParts {
                disk,
                standing,
                kept,
                is_old,
                settings: settings.clone(),
                size: writers.transaction_size(),
                keys: parts.keys.clone(),
                shard,
                highest,
                observations: Arc::clone(observations),
                log: log.new(slog::o!("component" => "queue", "shard" => shard)),
            })
        };
        // current queues first: they are the heirs of the old ones
        let (todays, olds): (Vec<_>, Vec<_>) =
            self.queues.into_iter().partition(|(folder, _)| self.generation == Some(folder.generation));
        let todays = todays.into_iter().map(|(folder, spool)| (folder.shard, folder, spool, true));
        let olds = olds.into_iter().enumerate();
        let olds = olds.map(|(position, (folder, spool))| (position % self.shards, folder, spool, false));
        for (shard, folder, spool, is_own) in todays.chain(olds) {
            let (standing, kept) = (DiskPosition::of(&spool), spool.kept());
            let retirement = (!is_own).then(|| Retirement {
                folder: folder.path.clone(),
                heirs: own.iter().flatten().filter_map(Queue::disk).cloned().collect(),
            });
            let archiving = archiving(&folder, parts.is_archived, log);
            archivings.extend(archiving.clone());
            let disk = disk_thread::start(DiskParts {
                spool,
                folder: name_of(&folder),
                retirement,
                archiving,
                replicated: Arc::clone(&horizons[shard]),
                settings: settings.clone(),
                observations: Arc::clone(observations),
                shard,
                deaths: parts.deaths.clone(),
                faults: parts.faults.for_child("spool"),
                log: log.new(slog::o!("folder" => name_of(&folder))),
            })
            .map_err(OpenError::Threads)?;
            let queue = queue(Some(disk), Some(standing), kept, !is_own, shard);
            if is_own {
                own[shard] = Some(queue);
            } else {
                let queue = OldQueue { generation: folder.generation, queue };
                old.push(queue.clone());
                adopted[shard].push(queue);
            }
        }
        let in_memory = |shard| queue(None, None, HashMap::new(), false, shard);
        let own = own.into_iter().enumerate().map(|(shard, own)| own.unwrap_or_else(|| in_memory(shard)));
        let quarantine = Quarantine::new(&settings.dir);
        let shards = shards(own.zip(adopted).zip(horizons), &Generations::new(old), quarantine, parts);
        if let Some(first) = shards.first() {
            first.queue.note_losses(losses);
        }
        Ok(Started { shards, lock: self.lock, archivings })
    }

    /// What was lost with damage that was met when the queues were opened.
    fn losses(&self, observations: &Observations, log: &Logger) -> Vec<Gap> {
        let channels: Vec<Channel> =
            observations.channels.iter().map(|channel| channel.channel.clone()).collect();
        let of_damages =
            |(folder, damages): &(String, Vec<Damage>)| losses::of_damages(damages, folder, &channels, log);
        self.damages.iter().flat_map(of_damages).collect()
    }
}

/// The shards, each with its queue and those that it adopts from earlier settings.
fn shards(
    queues: impl ExactSizeIterator<Item = ((Queue, Vec<OldQueue>), Arc<ReplicaHorizon>)>,
    generations: &Generations,
    quarantine: Quarantine,
    parts: &StartParts<'_>,
) -> Vec<Shard> {
    let (size, capacity) = (parts.writers.transaction_size(), parts.writers.mailbox_capacity);
    let (quarantine, restoring, count) = (Arc::new(Mutex::new(quarantine)), Arc::default(), queues.len());
    let shard = |(position, ((queue, old), replicated))| Shard {
        position,
        shards: count,
        inbox: Inbox::new(position, parts.connections, capacity, size, Arc::clone(parts.observations)),
        queue,
        old,
        generations: generations.clone(),
        quarantine: Arc::clone(&quarantine),
        suspects: Arc::default(),
        replicated,
        restoring: Arc::clone(&restoring),
        learnt: Arc::default(),
    };
    queues.enumerate().map(shard).collect()
}

/// Returns what the archive sees of a queue. Without one the folder loses its identity: its records are not held.
fn archiving(folder: &ShardFolder, is_archived: bool, log: &Logger) -> Option<Arc<Archiving>> {
    let new = is_archived.then(|| format!("{:016x}", fastrand::u64(..)));
    let identity = identify(&folder.path, new.as_deref()).unwrap_or_else(|error| {
        // as on a full disk: the next process does not know what this one has archived
        warn!(log, "disk queue not identified"; "folder" => name_of(folder), "error" => %error);
        new
    });
    identity.map(|identity| Arc::new(Archiving::new(folder.path.clone(), folder.generation, identity)))
}

/// Returns the current generation: the newest if its number of shards matches, otherwise a new one.
fn generation(folders: &[ShardFolder], shards: usize) -> u64 {
    folders.last().map_or(0, |newest| newest.generation + u64::from(newest.of != shards))
}

/// Replaces the predecessor's name by ours. On failure its lease is waited for.
fn succeed(path: &Path, instance: &str) -> Option<String> {
    let predecessor = private::read_text(path, private::MAX_STATE).ok().filter(|name| !name.is_empty());
    private::write(path, instance.as_bytes()).ok()?;
    predecessor
}

fn name_of(folder: &ShardFolder) -> String {
    folder.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
