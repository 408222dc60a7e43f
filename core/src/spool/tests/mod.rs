//! A queue in a temporary folder, and operations on it.

mod crash;
mod damage;
mod holding;
mod model;
mod operations;
mod speed;

use std::env;
use std::fmt::Debug;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;
use crate::event::EntryId;

/// Large enough for all records of a test in one segment.
const ROOMY: Limits = Limits {
    segment_bytes: 1 << 20,
    segment_age: Duration::from_secs(60),
    max_bytes: 1 << 30,
    durable: false,
    max_streams: 1_000,
};
/// One record per segment.
const TINY: Limits = Limits { segment_bytes: 1, ..ROOMY };
/// The random seed, unless `UW_TEST_SEED` is set.
const DEFAULT_SEED: u64 = 1;

fn id(ms: u64, seq: u64) -> EntryId {
    EntryId { ms, seq }
}

/// A queue, its folder, and its clock.
struct World {
    root: TempDir,
    spool: Option<Spool>,
    records: Records,
    limits: Limits,
    now: Instant,
}

impl World {
    fn new(limits: Limits) -> World {
        let mut world = World::closed(limits);
        assert_eq!(world.open(), Recovery::default());
        world
    }

    /// Creates a folder without opening it.
    fn closed(limits: Limits) -> World {
        let root = tempfile::tempdir().unwrap();
        World { root, spool: None, records: Records::new(), limits, now: Instant::now() }
    }

    fn folder(&self) -> PathBuf {
        self.root.path().join("shard-0-of-1")
    }

    /// Opens the queue; ends an open one first, like a kill.
    fn open(&mut self) -> Recovery {
        self.kill();
        let (spool, recovery) = Spool::open(&self.folder(), self.limits, self.now).unwrap();
        self.spool = Some(spool);
        recovery
    }

    fn kill(&mut self) {
        self.spool = None;
    }

    fn spool(&mut self) -> &mut Spool {
        self.spool.as_mut().unwrap()
    }

    /// Appends one event per time to a channel's full stream, with the time as payload.
    fn append(&mut self, channel: &str, times_ms: impl IntoIterator<Item = u64>) {
        self.try_append(channel, times_ms).unwrap();
    }

    fn try_append(
        &mut self,
        channel: &str,
        times_ms: impl IntoIterator<Item = u64>,
    ) -> Result<(), SpoolError> {
        let World { records, spool, now, .. } = self;
        let spool = spool.as_mut().unwrap();
        records.clear(spool.next_seq());
        for ms in times_ms {
            let destinations = [(None, id(ms, 0)), (Some("SPY"), id(ms, 1))];
            records.push(channel, ms * 1000, destinations.into_iter(), ms.to_string().as_bytes()).unwrap();
        }
        spool.append(records, *now)
    }

    /// Reads everything from a number on: numbers and payloads, and damage found.
    fn read(&mut self, from: u64) -> (Vec<(u64, String)>, Vec<Damage>) {
        let (records, damages) = self.records(from);
        let text = |record: &Record| String::from_utf8(record.payload.to_vec()).unwrap();
        (records.iter().map(|record| (record.seq, text(record))).collect(), damages)
    }

    fn records(&mut self, mut from: u64) -> (Vec<Record>, Vec<Damage>) {
        let (mut records, mut damages) = (Vec::new(), Vec::new());
        loop {
            let chunk = self.spool().read(from, 3, 1 << 20).unwrap();
            damages.extend(chunk.damages);
            if chunk.records.is_empty() {
                assert_eq!(chunk.next_seq, self.spool().next_seq().max(from));
                return (records, damages);
            }
            from = chunk.next_seq;
            records.extend(chunk.records);
        }
    }

    /// Returns the readable numbers.
    fn seqs(&mut self) -> Vec<u64> {
        let (records, damages) = self.read(0);
        assert_eq!(damages, []);
        records.into_iter().map(|(seq, _)| seq).collect()
    }

    fn acknowledge(&mut self, below: u64) {
        let now = self.now;
        self.spool().acknowledge(below, &[], now).unwrap();
    }

    fn persist(&mut self) {
        self.spool().persist_cursor().unwrap();
    }

    /// Returns the folder's files with this suffix, in order.
    fn files(&self, ending: &str) -> Vec<PathBuf> {
        files_of(&self.folder(), ending)
    }

    fn aside(&self) -> Vec<(String, u64)> {
        super::salvage::list(&self.folder()).unwrap()
    }
}

fn files_of(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.to_str().unwrap().ends_with(ending)).collect();
    paths.sort();
    paths
}

/// Flips one bit of a file.
fn flip(path: &Path, at: u64) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

/// Returns the seed of a run: fixed, from `UW_TEST_SEED`, or random if that is `random`. Printed when a test fails.
fn seed() -> u64 {
    let is_random = env::var_os("UW_TEST_SEED").is_some_and(|seed| seed == "random");
    let seed = if is_random { fastrand::u64(..) } else { told("UW_TEST_SEED").unwrap_or(DEFAULT_SEED) };
    println!("again with UW_TEST_SEED={seed}");
    seed
}

/// Reads a number from the environment.
fn told<T: FromStr<Err: Debug>>(name: &str) -> Option<T> {
    env::var_os(name).map(|value| value.to_str().unwrap().parse().unwrap())
}

fn kinds(damages: &[Damage]) -> Vec<DamageKind> {
    damages.iter().map(|damage| damage.kind).collect()
}

fn lost(damages: &[Damage]) -> Option<u64> {
    damages.iter().map(|damage| damage.events).sum()
}
