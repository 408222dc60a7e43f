//! The disk queues of all shards: opened at the start of the process, before anything is counted or joined.
//!
//! Each shard has its own folder. When the number of shards changes, a new generation of folders begins. Folders of earlier
//! generations, or all of them when the disk queue is off now, are adopted: written first, the oldest generation before the
//! next, and removed.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use slog::Logger;
use thiserror::Error;

use super::adoption::{Adopted, OldDisk};
use super::disk::{Disk, DiskParts};
use super::heal::Healing;
use super::poison::Crashes;
use super::{FIRST_ORDINAL, Spools};
use crate::event::{Channel, EntryId};
use crate::events;
use crate::observation::Observations;
use crate::quarantine::Quarantine;
use crate::settings::{Fsync, SpoolMode, SpoolSettings};
use crate::spool::{Damage, Limits, Recovery, ShardFolder, Spool, SpoolError, SpoolLock, shard_folders};

/// A segment goes as a whole: it is an eighth of what a shard may take, so that room comes in steps worth having, within
/// these bounds.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 1024 * 1024..=16 * 1024 * 1024;
/// A quarter of the time for which records are kept, within these bounds: on a quiet feed they go in steps too.
const SEGMENT_AGE: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

/// The file with the name of the instance that has the folder.
const INSTANCE: &str = "instance";

/// The disk queues cannot be used.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The folder or one in it.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// Their threads.
    #[error("cannot start the threads of the disk queue")]
    Threads(#[source] io::Error),
}

/// Disk queues that were opened and recovered.
pub struct OpenSpools {
    settings: SpoolSettings,
    shards: usize,
    queues: Vec<(ShardFolder, Spool)>,
    damages: Vec<(String, Vec<Damage>)>,
    events: BTreeMap<String, u64>,
    highest: EntryId,
    /// Of the shards' own folders; none with the disk queue off.
    generation: Option<u64>,
    lock: Option<SpoolLock>,
    predecessor: Option<String>,
}

/// Disk queues at work.
pub struct Started {
    /// What each shard's writer gets.
    pub spools: Vec<Spools>,
    /// By folder what was not as it should be, for the ledger.
    pub damages: Vec<(String, Vec<Damage>)>,
    /// To be held until the end.
    pub lock: Option<SpoolLock>,
}

impl OpenSpools {
    /// Opens and recovers every queue in the folder. With the disk queue off and no folder there is nothing to do.
    pub fn open(
        settings: &SpoolSettings,
        shards: usize,
        instance: &str,
        log: &Logger,
    ) -> Result<OpenSpools, SpoolError> {
        let mut opened = OpenSpools {
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
        };
        let (spool, recovery) = Spool::open(&folder.path, limits, began)?;
        let Recovery { events, highest_id, damages, .. } = recovery;
        events::spool_opened(log, &name_of(&folder), events.values().sum(), spool.bytes(), began.elapsed());
        for (channel, events) in events {
            *self.events.entry(channel).or_default() += events;
        }
        self.highest = self.highest.max(highest_id);
        self.damages.push((name_of(&folder), damages));
        self.queues.push((folder, spool));
        Ok(())
    }

    /// The instance that had the folder before. It has ended, for its lock was free.
    #[must_use]
    pub fn predecessor(&self) -> Option<&str> {
        self.predecessor.as_deref()
    }

    /// The channels of the recovered events. What is recovered is counted by channel, so that all of these must be observed.
    pub fn channels(&self) -> impl Iterator<Item = Channel> {
        self.events.keys().filter_map(|name| Channel::parse(name).ok())
    }

    /// Counts what was recovered, and starts the threads.
    pub fn start(self, observations: &Arc<Observations>, log: &Logger) -> Result<Started, OpenError> {
        for channel in &observations.channels {
            let events = self.events.get(channel.channel.name()).copied().unwrap_or_default();
            channel.recover(events, FIRST_ORDINAL);
        }
        let mut own: Vec<Option<Disk>> = vec![None; self.shards];
        let mut old: Vec<OldDisk> = Vec::new();
        let mut adopted: Vec<Vec<OldDisk>> = vec![Vec::new(); self.shards];
        for (position, (folder, spool)) in self.queues.into_iter().enumerate() {
            let is_own = self.generation == Some(folder.generation);
            let shard = if is_own { folder.shard } else { position % self.shards };
            let disk = Disk::start(DiskParts {
                spool,
                folder: name_of(&folder),
                retires: (!is_own).then(|| folder.path.clone()),
                settings: self.settings.clone(),
                observations: Arc::clone(observations),
                shard,
                log: log.new(slog::o!("folder" => name_of(&folder))),
            })
            .map_err(OpenError::Threads)?;
            if is_own {
                own[shard] = Some(disk);
            } else {
                let disk = OldDisk { generation: folder.generation, disk };
                old.push(disk.clone());
                adopted[shard].push(disk);
            }
        }
        let old = Adopted::new(old);
        let healing = Healing::default();
        let quarantine = Arc::new(Mutex::new(Quarantine::new(&self.settings.dir)));
        let spools = own.into_iter().zip(adopted).map(|(own, adopted)| Spools {
            own,
            adopted,
            old: old.clone(),
            highest: self.highest,
            quarantine: Arc::clone(&quarantine),
            crashes: Crashes::default(),
            healing: healing.clone(),
        });
        Ok(Started { spools: spools.collect(), damages: self.damages, lock: self.lock })
    }
}

/// The generation of today's folders: the newest if that has as many shards, else a new one.
fn generation(folders: &[ShardFolder], shards: usize) -> u64 {
    folders.last().map_or(0, |newest| newest.generation + u64::from(newest.of != shards))
}

/// Puts our name in the place of the predecessor's. Where that fails, its lease is waited for.
fn succeed(path: &Path, instance: &str) -> Option<String> {
    let predecessor = std::fs::read_to_string(path).ok().filter(|name| !name.is_empty());
    std::fs::write(path, instance).ok()?;
    predecessor
}

fn name_of(folder: &ShardFolder) -> String {
    folder.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
