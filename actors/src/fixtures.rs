//! Fixtures for the unit tests of this crate.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use slog::{Discard, Logger, o};
use uw_websocket_core::event::{Channel, EntryId, Event};
use uw_websocket_core::fixtures::{keys, read_at};

use crate::observation::Observations;
use crate::queue::backlog::{Lent, Position};
use crate::queue::batch::{EventBatch, TransactionSize};
use crate::queue::disk::{Disk, DiskPosition};
use crate::queue::generations::OldQueue;
use crate::queue::{Queue, QueueParts};
use crate::settings::{Fsync, SpoolMode, SpoolSettings, WhenFull};

/// Observations of these channels and this number of shards.
pub(crate) fn observations(channels: &[&str], shards: usize) -> Arc<Observations> {
    let channels: Vec<Channel> = channels.iter().map(|name| Channel::parse(name).unwrap()).collect();
    Arc::new(Observations::new("test".into(), "0", &channels, &[], shards, Arc::new(AtomicU64::new(0))))
}

/// A batch of events.
pub(crate) fn batch(events: impl IntoIterator<Item = Event>) -> EventBatch {
    let mut batch = EventBatch::new(read_at());
    for event in events {
        batch.push(event);
    }
    batch
}

/// These events at a position, lent.
pub(crate) fn lent(first: Position, events: impl IntoIterator<Item = Event>) -> Lent {
    Lent { first, batch: Arc::new(batch(events)), is_on_disk: false }
}

/// The size limit of a transaction in unit tests.
pub(crate) const SIZE: TransactionSize = TransactionSize { events: 4, weight: 4000 };

/// A queue on disk, or in memory only.
pub(crate) fn queue(
    disk: Option<(Disk, DiskPosition)>,
    observations: &Arc<Observations>,
    when_full: WhenFull,
) -> Queue {
    let (disk, standing) = disk.unzip();
    Queue::new(QueueParts {
        disk,
        standing,
        kept: std::collections::HashMap::new(),
        is_old: false,
        settings: SpoolSettings { when_full, ..spool_settings() },
        size: SIZE,
        keys: keys(),
        shard: 0,
        highest: EntryId::default(),
        observations: Arc::clone(observations),
        log: Logger::root(Discard, o!()),
    })
}

/// Settings of a disk queue that never makes its callers wait.
pub(crate) fn spool_settings() -> SpoolSettings {
    SpoolSettings {
        dir: PathBuf::new(),
        mode: SpoolMode::Always,
        keep: Duration::from_secs(600),
        max_bytes: 1 << 30,
        when_full: WhenFull::DropOldest,
        fsync: Fsync::Never,
    }
}

/// An empty queue of an earlier generation.
pub(crate) fn old_queue(generation: u64, name: &str) -> OldQueue {
    let disk = Disk::nowhere(name);
    let standing = DiskPosition { acknowledged: 0, next: 0, kept_from: 0, removed: HashMap::default() };
    let queue = queue(Some((disk, standing)), &observations(&["price"], 1), WhenFull::DropOldest);
    OldQueue { generation, queue }
}

/// Parses commands as Redis does: arrays of strings, without trailing data.
pub(crate) fn parse(mut wire: &[u8]) -> Vec<Vec<String>> {
    fn number(wire: &mut &[u8], kind: u8) -> usize {
        let end = wire.windows(2).position(|bytes| bytes == b"\r\n").expect("a line ends");
        let (line, rest) = (&wire[..end], &wire[end + 2..]);
        assert_eq!(line[0], kind);
        *wire = rest;
        std::str::from_utf8(&line[1..]).unwrap().parse().unwrap()
    }
    let mut commands = Vec::new();
    while !wire.is_empty() {
        let args = (0..number(&mut wire, b'*')).map(|_| {
            let length = number(&mut wire, b'$');
            let arg = String::from_utf8(wire[..length].to_vec()).unwrap();
            assert_eq!(&wire[length..length + 2], b"\r\n");
            wire = &wire[length + 2..];
            arg
        });
        commands.push(args.collect());
    }
    commands
}

/// Returns the commands of this name, each as one text.
pub(crate) fn only(name: &str, commands: &[Vec<String>]) -> Vec<String> {
    commands.iter().filter(|command| command[0] == name).map(|command| command[1..].join(" ")).collect()
}

/// Returns the hash at a key after the commands.
pub(crate) fn hash(key: &str, commands: &[Vec<String>]) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    for command in commands.iter().filter(|command| command.get(1).is_some_and(|named| named == key)) {
        match &*command[0] {
            "DEL" => fields.clear(),
            "HSET" => fields.extend(command[2..].chunks(2).map(|pair| (pair[0].clone(), pair[1].clone()))),
            _ => {}
        }
    }
    fields
}
