//! What is looked at every few seconds, from outside as far as it can be seen there.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::{RedisServer, Service, Setup};

/// One look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Since the beginning of the run.
    pub(crate) at: Duration,
    /// Number of the process, and for how long it has been ready.
    pub(crate) life: usize,
    pub(crate) age: Duration,
    pub(crate) resident: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
    pub(crate) spool_bytes: u64,
    pub(crate) archive_bytes: u64,
    pub(crate) archive_waiting: u64,
    /// Written by this process.
    pub(crate) archive_events: u64,
    pub(crate) archive_file_bytes: u64,
    pub(crate) keys: u64,
    /// Stored by this process.
    pub(crate) stored: u64,
}

pub(crate) const HEADING: &str = "seconds,life,age_seconds,resident_bytes,descriptors,threads,spool_bytes,archive_bytes,\
    archive_waiting_events,archive_events,archive_file_bytes,keys,stored_events";

impl Sample {
    /// Looks at everything; an error while a part is away.
    pub(crate) fn take(
        (at, age): (Duration, Duration),
        life: usize,
        service: &Service,
        setup: &Setup,
        redis: &RedisServer,
    ) -> Result<Sample, String> {
        let metrics = service.probe().ok_or("it does not listen")?.metrics()?;
        metrics.check_conservation()?;
        let count = |name| metrics.sum(name, &[]);
        let of_process = |folder: &str| {
            let entries = fs::read_dir(format!("/proc/{}/{folder}", service.pid()));
            entries.map(|entries| entries.count() as u64).map_err(|error| error.to_string())
        };
        Ok(Sample {
            at,
            life,
            age,
            resident: service.resident_bytes(),
            descriptors: of_process("fd")?,
            threads: of_process("task")?,
            spool_bytes: size(&setup.folder().join("data/spool")),
            archive_bytes: size(&setup.folder().join("archive")),
            archive_waiting: count("uw_ws_archive_waiting_events"),
            archive_events: count("uw_ws_archive_events_total"),
            archive_file_bytes: count("uw_ws_archive_file_bytes_total"),
            keys: redis.try_command(&["DBSIZE"]).map_err(|error| error.to_string())?,
            stored: count("uw_ws_events_stored_total"),
        })
    }

    /// A line below [`HEADING`].
    pub(crate) fn line(&self) -> String {
        format!(
            "{:.1},{},{:.1},{},{},{},{},{},{},{},{},{},{}",
            self.at.as_secs_f64(),
            self.life,
            self.age.as_secs_f64(),
            self.resident,
            self.descriptors,
            self.threads,
            self.spool_bytes,
            self.archive_bytes,
            self.archive_waiting,
            self.archive_events,
            self.archive_file_bytes,
            self.keys,
            self.stored
        )
    }
}

/// Reads a file of lines below [`HEADING`].
#[track_caller]
pub(crate) fn read(file: &Path) -> Vec<Sample> {
    let text = fs::read_to_string(file).unwrap();
    let (heading, lines) = text.split_once('\n').unwrap();
    assert_eq!(heading, HEADING);
    lines.lines().map(|line| parse(line).unwrap_or_else(|| panic!("`{line}` is no sample"))).collect()
}

fn parse(line: &str) -> Option<Sample> {
    let mut columns = line.split(',');
    let at = columns.next()?.parse().ok()?;
    let life_number = columns.next()?.parse().ok()?;
    let age = columns.next()?.parse().ok()?;
    let mut count = || columns.next()?.parse::<u64>().ok();
    Some(Sample {
        at: Duration::from_secs_f64(at),
        life: life_number,
        age: Duration::from_secs_f64(age),
        resident: count()?,
        descriptors: count()?,
        threads: count()?,
        spool_bytes: count()?,
        archive_bytes: count()?,
        archive_waiting: count()?,
        archive_events: count()?,
        archive_file_bytes: count()?,
        keys: count()?,
        stored: count()?,
    })
}

/// The bytes of all files below; what vanishes meanwhile does not count.
pub(crate) fn size(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}
