//! An archive that cannot be written.

use std::fs;

use slog::{Discard, o};
use tempfile::TempDir;
use uw_websocket_core::event::EntryId;
use uw_websocket_core::fixtures::RECEIVED_US;
use uw_websocket_core::spool::{Limits, Records, Spool};

use super::*;
use crate::fault::FaultPlan;
use crate::fixtures::observations;
use crate::thread_deaths::ThreadDeaths;

/// Three times what is collected before a write.
const EVENTS: u64 = 400;
const PAYLOAD: usize = 64 * 1024;
/// What is collected before a write, and what is read at a time.
const MOST: usize = (8 + 2) * 1024 * 1024;

/// A disk queue whose records are all stored, and the archive's thread.
fn thread(folder: &TempDir) -> (Spool, ArchiveThread) {
    let limits = Limits {
        segment_bytes: 1 << 30,
        segment_age: Duration::from_secs(60),
        max_bytes: 1 << 30,
        durable: false,
        max_streams: 10,
    };
    let path = folder.path().join("shard");
    let (mut spool, _) = Spool::open(&path, limits, Instant::now()).unwrap();
    let mut records = Records::new();
    let payload = format!(r#"{{"text":"{}"}}"#, "x".repeat(PAYLOAD));
    for n in 0..EVENTS {
        records.clear(spool.next_seq());
        let stream = [(Some("SPY"), EntryId { ms: n, seq: 0 })];
        records.push("price", RECEIVED_US + n, stream.into_iter(), payload.as_bytes()).unwrap();
        spool.append(&records, Instant::now()).unwrap();
    }
    spool.acknowledge(EVENTS, &[], Instant::now()).unwrap();
    spool.persist_cursor().unwrap();
    let archiving = Arc::new(Archiving::new(path, 0, "0123456789abcdef".to_owned()));
    archiving.publish(&mut spool, EVENTS);
    let settings =
        ArchiveSettings { dir: folder.path().join("archive"), sessions: None, max_bytes: u64::MAX };
    let thread = ArchiveThread::new(ArchiveParts {
        settings,
        archivings: vec![archiving],
        fetched: Arc::default(),
        note: Box::new(|gaps| assert!(gaps.is_empty(), "{gaps:?}")),
        observations: observations(&["price"], 1),
        deaths: ThreadDeaths::default(),
        faults: FaultPlan::default().for_child("archive"),
        log: Logger::root(Discard, o!()),
    });
    (spool, thread)
}

/// Tries again without waiting.
fn turn(thread: &mut ArchiveThread) -> u64 {
    thread.retry_at = Instant::now();
    thread.turn(false);
    thread.observed().waiting.get()
}

#[test]
fn while_it_cannot_be_written_no_more_is_taken_into_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (_spool, mut thread) = thread(&folder);
    let archive = folder.path().join("archive");
    fs::create_dir(&archive).unwrap();
    drop(ArchiveStore::open(&archive, false).unwrap());
    assert!(thread.open(Instant::now()));
    // not even the superuser can write a file over a folder
    fs::create_dir(archive.join("checkpoint.tmp")).unwrap();
    for _ in 0..20 {
        assert_eq!(turn(&mut thread), EVENTS, "what is in memory waits, too");
        assert!(thread.frames.bytes() < MOST, "{}", thread.frames.bytes());
    }
    fs::remove_dir(archive.join("checkpoint.tmp")).unwrap();
    thread.retry_at = Instant::now();
    thread.turn(true);
    assert_eq!((thread.observed().waiting.get(), thread.observed().events.get()), (0, EVENTS));
}

#[test]
fn what_waits_is_counted_before_it_can_be_opened() {
    let folder = tempfile::tempdir().unwrap();
    let (_spool, mut thread) = thread(&folder);
    fs::write(folder.path().join("archive"), "").unwrap();
    assert_eq!(turn(&mut thread), EVENTS);
    fs::remove_file(folder.path().join("archive")).unwrap();
    thread.retry_at = Instant::now();
    thread.turn(true);
    assert_eq!((thread.observed().waiting.get(), thread.observed().events.get()), (0, EVENTS));
}
