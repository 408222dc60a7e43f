//! Disk queues that earlier releases wrote, opened by this build: what they are is in `fixtures/README.md`.
#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use uw_websocket_core::event::Symbol;
use uw_websocket_core::spool::{
    DamageKind, Limits, Record, RecordStream, Records, ShardFolder, Spool, shard_folders,
};
use uw_websocket_core::time::iso_utc;

const LIMITS: Limits = Limits {
    segment_bytes: 1 << 20,
    segment_age: Duration::from_secs(60),
    max_bytes: 1 << 30,
    durable: false,
    max_streams: 1_000,
};

/// An event as `spool export` shows it: number, receive time, channel, streams with ids, payload.
#[derive(Debug, PartialEq)]
struct Event {
    seq: u64,
    received_at: String,
    channel: String,
    streams: Vec<(String, String)>,
    payload: String,
}

impl Event {
    fn parse(line: &str) -> Event {
        // byte for byte, which a JSON value is not
        let (_, payload) = line.split_once(",\"payload\":").unwrap();
        let fields: Value = serde_json::from_str(line).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let streams = fields["streams"].as_array().unwrap();
        Event {
            seq: fields["seq"].as_u64().unwrap(),
            received_at: text(&fields["received_at"]),
            channel: text(&fields["channel"]),
            streams: streams.iter().map(|stream| (text(&stream["stream"]), text(&stream["id"]))).collect(),
            payload: payload.strip_suffix('}').unwrap().to_owned(),
        }
    }

    fn of(record: &Record) -> Event {
        let stream = |symbol: &Option<Symbol>| {
            RecordStream { channel: &record.channel, symbol: symbol.as_ref().map(Symbol::as_str) }.to_string()
        };
        Event {
            seq: record.seq,
            received_at: iso_utc(record.received_us),
            channel: record.channel.to_string(),
            streams: record
                .destinations
                .iter()
                .map(|(symbol, id)| (stream(symbol), id.to_string()))
                .collect(),
            payload: String::from_utf8(record.payload.to_vec()).unwrap(),
        }
    }
}

/// A copy of a fixture.
struct Folder {
    copy: tempfile::TempDir,
    fixture: PathBuf,
}

impl Folder {
    fn new(name: &str) -> Folder {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/spool-0.1.0").join(name);
        let copy = tempfile::tempdir().unwrap();
        copy_all(&fixture.join("spool"), copy.path());
        Folder { copy, fixture }
    }

    fn shards(&self) -> Vec<ShardFolder> {
        shard_folders(self.copy.path()).unwrap()
    }

    /// What the release has read in a shard.
    fn events(&self, folder: &ShardFolder) -> Vec<Event> {
        let text = fs::read_to_string(self.fixture.join("events.jsonl")).unwrap();
        // the generations of a fixture differ in the number of shards
        let start = format!("{{\"shard\":{},\"of\":{},", folder.shard, folder.of);
        text.lines().filter(|line| line.starts_with(&start)).map(Event::parse).collect()
    }

    /// Opens every shard, and checks that all of what the release read is there; gives the kinds of damage.
    fn check(&self) -> Vec<DamageKind> {
        let mut kinds = Vec::new();
        for folder in self.shards() {
            let expected = self.events(&folder);
            let cursor = Cursor::read(&folder.path);
            let (mut spool, recovery) = Spool::open(&folder.path, LIMITS, Instant::now()).unwrap();
            assert_eq!(read(&mut spool), expected, "{folder:?}");
            let waiting = expected.iter().filter(|event| event.seq >= cursor.acknowledged).count() as u64;
            assert_eq!((recovery.acknowledged, recovery.next_seq), (cursor.acknowledged, cursor.end));
            assert_eq!((recovery.events.values().sum::<u64>(), spool.unacknowledged()), (waiting, waiting));
            assert_eq!(recovery.kept_from, expected.first().map_or(cursor.end, |event| event.seq));
            let lost: Option<u64> = recovery.damages.iter().map(|damage| damage.events).sum();
            assert_eq!(lost, Some(cursor.end - cursor.acknowledged - waiting - cursor.absent), "{folder:?}");
            kinds.extend(recovery.damages.iter().map(|damage| damage.kind));
            go_on(spool, &folder.path, &expected);
        }
        kinds
    }
}

/// The queue goes on where the release ended.
fn go_on(mut spool: Spool, folder: &Path, expected: &[Event]) {
    spool.persist_cursor().unwrap();
    let next = spool.next_seq();
    let mut records = Records::new();
    records.clear(next);
    records.push("price", 7, std::iter::empty(), b"{}").unwrap();
    spool.append(&records, Instant::now()).unwrap();
    drop(spool);
    let (mut spool, recovery) = Spool::open(folder, LIMITS, Instant::now()).unwrap();
    assert_eq!(recovery.damages, [], "reported once");
    let mut events = read(&mut spool);
    assert_eq!(events.pop().map(|event| (event.seq, event.payload)), Some((next, "{}".to_owned())));
    assert_eq!(events, expected);
}

/// What the cursor of the release says.
struct Cursor {
    acknowledged: u64,
    end: u64,
    /// How many numbers are absent.
    absent: u64,
}

impl Cursor {
    fn read(folder: &Path) -> Cursor {
        let text = fs::read_to_string(folder.join("cursor")).unwrap();
        let numbers = |name: &str| -> Vec<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().split_whitespace().map(|number| number.parse().unwrap()).collect()
        };
        let absent = numbers("absent ");
        Cursor {
            acknowledged: numbers("acknowledged ")[0],
            end: numbers("end ")[0],
            absent: absent.get(1).map_or(0, |to| to - absent[0]),
        }
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy_all(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

fn read(spool: &mut Spool) -> Vec<Event> {
    let (mut events, mut from) = (Vec::new(), 0);
    loop {
        let chunk = spool.read(from, 10, 1 << 20).unwrap();
        assert_eq!(chunk.damages, [], "a start finds all");
        if chunk.records.is_empty() {
            return events;
        }
        events.extend(chunk.records.iter().map(Event::of));
        from = chunk.next_seq;
    }
}

#[test]
fn a_backlog_with_the_position_in_its_middle() {
    let folder = Folder::new("backlog");
    let cursors: Vec<u64> =
        folder.shards().iter().map(|folder| Cursor::read(&folder.path).acknowledged).collect();
    assert!(cursors.len() == 2 && cursors.iter().all(|acknowledged| *acknowledged > 0), "{cursors:?}");
    assert_eq!(folder.check(), []);
}

#[test]
fn the_last_ids_of_removed_records() {
    let folder = Folder::new("removed");
    let [shard] = &folder.shards()[..] else { panic!("one shard") };
    let text = fs::read_to_string(shard.path.join("removed")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("uw-websocket ") && !line.starts_with("crc "));
    let mut expected: Vec<String> = lines.map(str::to_owned).collect();
    expected.sort();
    assert!(expected.len() > 1, "{text}");
    let (_, recovery) = Spool::open(&shard.path, LIMITS, Instant::now()).unwrap();
    let mut removed: Vec<String> =
        recovery.removed.iter().map(|(stream, id)| format!("{id} {stream}")).collect();
    removed.sort();
    assert_eq!(removed, expected);
    assert!(recovery.kept_from > 0);
    assert_eq!(folder.check(), []);
}

#[test]
fn two_generations_of_shards() {
    let folder = Folder::new("shards");
    let shards: Vec<_> = folder.shards().iter().map(|folder| (folder.generation, folder.of)).collect();
    assert_eq!(shards, [(0, 2), (0, 2), (1, 3), (1, 3), (1, 3)]);
    assert_eq!(folder.check(), []);
}

#[test]
fn a_rewriting_of_ids_that_a_kill_interrupted() {
    let folder = Folder::new("reassign");
    let redo = folder.shards()[0].path.join("reassign.redo");
    assert!(redo.exists());
    assert_eq!(folder.check(), []);
    assert!(!redo.exists());
}

#[test]
fn a_torn_end() {
    assert_eq!(Folder::new("torn").check(), [DamageKind::TornTail]);
}

#[test]
fn a_damaged_middle() {
    assert_eq!(Folder::new("damaged").check(), [DamageKind::BadBytes]);
}

#[test]
fn records_that_were_being_dropped() {
    assert_eq!(Folder::new("dropping").check(), [DamageKind::Dropped]);
}

#[test]
fn records_of_which_it_is_on_record_that_they_are_absent() {
    assert_eq!(Folder::new("absent").check(), []);
}
