//! Files: segments of the disk queue, and the state of the ledger.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use uw_websocket_actors::ledger::checkpoint::{Checkpoint, LifeError};
use uw_websocket_core::event::EntryId;
use uw_websocket_core::spool::{Damage, Limits, Records, Spool, Survey, visit_records};

use super::{Target, magnitude, outcome, seeds};

const SEGMENT: &str = "00000000000000000001.seg";
const LIMITS: Limits = Limits {
    segment_bytes: 1 << 20,
    segment_age: Duration::from_secs(60),
    max_bytes: 1 << 30,
    durable: false,
    max_streams: 1_000,
};
/// Sizes in the format of a segment: its header, and the fixed part of a record's.
const SEGMENT_HEADER: usize = 20;
const RECORD_HEADER: usize = 34;

/// A folder of a shard. In memory where the system has such a place: a disk would set the pace.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.unwrap()
}

/// The first byte says whether the checksums are made to match and whether the queue is opened for writing; the rest is the
/// segment.
pub(crate) fn spool() -> Target {
    let folder = folder();
    let shard = folder.path().join("shard");
    let seeds =
        [[0_u8].as_slice(), &[1], &[3]].into_iter().map(|kind| [kind, &segment(folder.path())].concat());
    let seeds = seeds.collect();
    let run = move |input: &[u8]| {
        let _folder = &folder;
        let (kind, bytes) = input.split_first().unwrap_or((&0, &[]));
        let mut bytes = bytes.to_vec();
        if kind & 1 == 1 {
            seal(&mut bytes);
        }
        fs::create_dir_all(&shard).unwrap();
        fs::write(shard.join(SEGMENT), &bytes).unwrap();
        let (mut last, mut visited) = (0, 0_usize);
        visit_records(&shard, |record| {
            assert!(record.seq() > last, "numbers rise");
            last = record.seq();
            visited += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
        let survey = Survey::take(&shard).unwrap();
        let found =
            outcome((magnitude(visited), magnitude(survey.damages.len()), bytes.len() < SEGMENT_HEADER));
        if kind & 2 == 2 {
            read_all(&shard, visited);
        }
        fs::remove_dir_all(&shard).unwrap();
        found
    };
    Target {
        name: "spool",
        seeds,
        tokens: &["\u{0}", "UWSP", "price", "SPY"],
        short: 1_000,
        run: Box::new(run),
    }
}

/// Opens the queue, reads and acknowledges everything, and opens it again: damage is reported once.
fn read_all(shard: &Path, visited: usize) {
    let (mut spool, _) = Spool::open(shard, LIMITS, Instant::now()).unwrap();
    let (mut at, mut read) = (spool.kept_from(), 0);
    while at < spool.next_seq() {
        let chunk = spool.read(at, 7, 1 << 16).unwrap();
        assert!(chunk.next_seq > at || !chunk.records.is_empty(), "reading goes on");
        read += chunk.records.len();
        at = chunk.next_seq;
    }
    assert!(read <= visited, "{read} of {visited} records");
    spool.persist_cursor().unwrap();
    drop(spool);
    let (_, again) = Spool::open(shard, LIMITS, Instant::now()).unwrap();
    // bytes between two records in order are no loss and are not remembered
    let is_loss = |damage: &&Damage| damage.events != Some(0);
    assert_eq!(again.damages.iter().find(is_loss), None, "a loss is reported once");
}

/// A segment of a few records, as the queue writes it.
fn segment(folder: &Path) -> Vec<u8> {
    let shard: PathBuf = folder.join("seed");
    let (mut spool, _) = Spool::open(&shard, LIMITS, Instant::now()).unwrap();
    let mut records = Records::new();
    records.clear(spool.next_seq());
    for (channel, symbols, payload) in [
        ("price", vec![Some("SPY")], r#"{"close":"562.82","vol":6015555}"#),
        ("news", vec![None, Some("SPY"), Some("BRK.B")], r#"{"tickers":["SPY","BRK.B"]}"#),
        ("market_tide", vec![None], "{}"),
    ] {
        let id = EntryId { ms: 1_747_419_592_926, seq: 1 };
        let destinations = symbols.into_iter().map(|symbol| (symbol, id));
        records.push(channel, 1_747_419_592_926_001, destinations, payload.as_bytes()).unwrap();
    }
    spool.append(&records, Instant::now()).unwrap();
    drop(spool);
    let name = fs::read_dir(&shard).unwrap().map(|entry| entry.unwrap().path());
    let path = name.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "seg")).unwrap();
    let mut bytes = fs::read(path).unwrap();
    // the first number is that of the name
    bytes[8..16].copy_from_slice(&1_u64.to_le_bytes());
    fs::remove_dir_all(&shard).unwrap();
    seal(&mut bytes);
    bytes
}

/// Makes the checksums match, so that a change reaches what is behind them.
fn seal(bytes: &mut [u8]) {
    let Some((header, mut rest)) = bytes.split_at_mut_checked(SEGMENT_HEADER) else { return };
    let crc = crc32fast::hash(&header[..16]);
    header[16..].copy_from_slice(&crc.to_le_bytes());
    while rest.len() >= RECORD_HEADER {
        let header_len = usize::from(u16::from_le_bytes([rest[2], rest[3]])).max(RECORD_HEADER);
        let payload_len = u32::from_le_bytes([rest[4], rest[5], rest[6], rest[7]]) as usize;
        let Some((header, behind)) = rest.split_at_mut_checked(header_len) else { return };
        if let Some(payload) = behind.get(..payload_len) {
            header[12..16].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
        }
        let mut crc = crc32fast::Hasher::new();
        crc.update(&header[..8]);
        crc.update(&header[12..]);
        header[8..12].copy_from_slice(&crc.finalize().to_le_bytes());
        let next = payload_len.min(behind.len());
        rest = &mut behind[next..];
    }
}

/// Documents of the ledger: what can be read can be continued, written and read again.
pub(crate) fn ledger() -> Target {
    let gap = r#"{"family":"gex","channels":["gex:QQQ"],"from":"2026-11-30T20:49:26.761816+00:00","to":"2026-11-30T20:50:00+00:00","reason":"death","events":null,"detail":"no pong"}"#;
    let seeds = seeds(&[
        r#"{"format":1,"instance":"a","alive_at":"2026-11-30T20:49:26.761816+00:00","clean":false,"topics":{},"ending":[],"waiting":[]}"#,
        &format!(
            r#"{{"format":1,"instance":"b","alive_at":"2026-11-30T20:49:26.761816+00:00","clean":true,"topics":{{"gex:QQQ":"receiving","news":"new","price:SPY":{{"missing":{{"since":"2026-11-30T20:49:26.761816+00:00","reason":"silence","detail":"d"}}}}}},"ending":[{gap}],"waiting":[{{"id":"1747419592926-1","stands_for":1,"gap":{gap}}},{{"stands_for":2,"gap":{gap}}}],"followed":{{"a":1796072400000000}},"written":{{"entries":[{{"id":"17-4","at":"2026-11-30T20:49:26.761816+00:00","gap":{gap}}}],"left":"3-0"}}}}"#
        ),
    ]);
    let tokens = &[
        "\"missing\":{",
        "\"receiving\"",
        "\"new\"",
        "\"events\":7",
        "2099-01-01T00:00:00Z",
        "\"stands_for\":4294967295",
    ];
    Target { name: "ledger", seeds, tokens, short: 3_000, run: Box::new(try_document) }
}

fn try_document(input: &[u8]) -> u64 {
    const NOW: u64 = 1_796_072_400_000_000;
    let life = match Checkpoint::parse(input) {
        Ok(life) => life,
        Err(LifeError::Damaged(_)) => return outcome("damaged"),
        Err(LifeError::Foreign(_)) => return outcome("foreign"),
        Err(LifeError::Newer(_)) => return outcome("newer"),
    };
    let missing = life.missing(NOW).len();
    let written = life.to_json().unwrap();
    let again = Checkpoint::parse(&written).expect("what is written can be read");
    assert_eq!(again.to_json().unwrap(), written);
    let newest = Checkpoint::newest(Some(life), Some(again)).expect("one of two");
    let connections = [vec!["gex:QQQ".to_owned(), "news".to_owned()], vec!["price:SPY".to_owned()]];
    let beginning = newest.succeed(&connections, NOW);
    assert_eq!(beginning.topics.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    outcome((magnitude(missing), magnitude(beginning.over.len()), magnitude(beginning.followed.len())))
}
