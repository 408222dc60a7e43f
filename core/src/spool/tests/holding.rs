//! What is held for the archive, and what a follower reads of it.

use std::fs;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::super::*;
use crate::event::EntryId;

const LIMITS: Limits = Limits {
    segment_bytes: 400,
    segment_age: Duration::from_secs(3_600),
    max_bytes: 4_000,
    durable: false,
    max_streams: 1_000,
};

/// Appends events of two channels; returns the number after them.
fn append(spool: &mut Spool, count: u64) -> u64 {
    for _ in 0..count {
        let mut records = Records::new();
        records.clear(spool.next_seq());
        let seq = records.next_seq();
        let channel = if seq.is_multiple_of(2) { "price" } else { "news" };
        let id = EntryId { ms: seq, seq: 0 };
        records
            .push(channel, seq, [(Some("SPY"), id)].into_iter(), format!("{{\"n\":{seq}}}").as_bytes())
            .unwrap();
        spool.append(&records, Instant::now()).unwrap();
    }
    spool.next_seq()
}

fn store(spool: &mut Spool, below: u64) {
    spool.acknowledge(below, &[], Instant::now()).unwrap();
    spool.persist_cursor().unwrap();
}

/// The numbers read, and the ranges that are missing.
fn read(
    follower: &mut Follower,
    from: u64,
    below: u64,
    max_bytes: usize,
) -> (Vec<u64>, Vec<(u64, u64)>, u64) {
    let (mut numbers, mut missing) = (Vec::new(), Vec::new());
    let next = follower.read(from, below, max_bytes, |followed| {
        match followed {
            Followed::Record(record) => {
                assert_eq!(record.payload(), format!("{{\"n\":{}}}", record.seq()).as_bytes());
                numbers.push(record.seq());
            }
            Followed::Missing { from, to } => missing.push((from, to)),
        }
        ControlFlow::Continue(())
    });
    (numbers, missing, next.unwrap())
}

#[test]
fn a_follower_reads_what_is_stored_and_nothing_beyond() {
    let root = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(root.path(), LIMITS, Instant::now()).unwrap();
    let mut follower = Follower::new(root.path());
    let mut next = 0;
    for round in 0..10 {
        let end = append(&mut spool, 7);
        let below = end - 3 * u64::from(round % 2 == 0);
        store(&mut spool, below);
        let (mut numbers, mut position) = (Vec::new(), next);
        while position < below {
            let (some, missing, to) = read(&mut follower, position, below, 20);
            assert!(missing.is_empty() && to > position, "{missing:?} at {position}");
            numbers.extend(some);
            position = to;
        }
        assert_eq!(numbers, (next..below).collect::<Vec<_>>());
        next = below;
    }
    let (numbers, missing, _) = read(&mut Follower::new(root.path()), 33, 44, usize::MAX);
    assert_eq!((numbers, missing), ((33..44).collect(), Vec::new()));
}

#[test]
fn a_follower_that_begins_far_inside_a_segment_finds_its_record() {
    let root = tempfile::tempdir().unwrap();
    let limits = Limits { segment_bytes: 64 << 20, max_bytes: 1 << 30, ..LIMITS };
    let (mut spool, _) = Spool::open(root.path(), limits, Instant::now()).unwrap();
    let end = append(&mut spool, 40_000);
    store(&mut spool, end);
    assert!(spool.bytes() > 2 << 20, "more than two blocks");
    let read = read(&mut Follower::new(root.path()), end - 5, end, usize::MAX);
    assert_eq!(read, ((end - 5..end).collect(), Vec::new(), end));
}

#[test]
fn a_follower_tells_of_segments_that_are_gone_and_of_damaged_records() {
    let root = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(root.path(), LIMITS, Instant::now()).unwrap();
    let end = append(&mut spool, 40);
    store(&mut spool, end);
    let mut segments: Vec<_> =
        fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|ending| ending == "seg"));
    segments.sort();
    let first = |n: usize| segments[n].file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap();
    fs::remove_file(&segments[1]).unwrap();
    let mut bytes = fs::read(&segments[2]).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    fs::write(&segments[2], bytes).unwrap();
    let (numbers, missing, next) = read(&mut Follower::new(root.path()), 0, end, usize::MAX);
    assert_eq!(missing, [(first(1), first(2)), (first(3) - 1, first(3))]);
    let is_missing = |n: &u64| missing.iter().any(|(from, to)| (*from..*to).contains(n));
    assert_eq!(numbers, (0..end).filter(|n| !is_missing(n)).collect::<Vec<_>>());
    assert_eq!(next, end);
    // an item that is refused comes again
    let mut follower = Follower::new(root.path());
    for _ in 0..2 {
        let next = follower.read(0, end, usize::MAX, |item| match item {
            Followed::Record(_) => ControlFlow::Continue(()),
            Followed::Missing { .. } => ControlFlow::Break(()),
        });
        let next = next.unwrap();
        assert_eq!(next, first(1));
    }
}

#[test]
fn what_is_not_archived_is_held_and_the_rest_is_swept() {
    let root = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(root.path(), LIMITS, Instant::now()).unwrap();
    spool.hold(0, 0);
    let end = append(&mut spool, 30);
    store(&mut spool, end);
    assert_eq!(spool.sweep(Instant::now(), Duration::ZERO).unwrap().segments, 0);
    spool.hold(20, 25);
    spool.sweep(Instant::now(), Duration::ZERO).unwrap();
    let kept = spool.kept_from();
    assert!(kept > 0 && kept <= 20, "{kept}");
    assert_eq!(spool.take_untaken(), []);
}

#[test]
fn room_that_is_needed_is_taken_from_what_is_held_and_that_is_told_by_channel() {
    let root = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(root.path(), LIMITS, Instant::now()).unwrap();
    spool.hold(0, 0);
    append(&mut spool, 10);
    // of the first segment some is taken
    spool.hold(0, 3);
    let mut told = Vec::new();
    while spool.kept_from() < 20 {
        let end = append(&mut spool, 1);
        store(&mut spool, end);
        told.extend(spool.take_untaken());
    }
    let kept = spool.kept_from();
    let events: u64 = told.iter().flat_map(|dropped| dropped.events.values()).sum();
    assert_eq!((events, told[0].first_seq, told.last().unwrap().last_seq), (kept - 3, 3, kept - 1));
    assert_eq!(told[0].from_us, 3);
    let news: u64 = told.iter().filter_map(|dropped| dropped.events.get("news")).sum();
    assert_eq!(news, (3..kept).filter(|n| n % 2 == 1).count() as u64);
    // the archive is not told of them as missing, in this process or the next
    assert_eq!(spool.not_stored().covered(0, kept), kept - 3);
    spool.persist_cursor().unwrap();
    drop(spool);
    let (spool, recovery) = Spool::open(root.path(), LIMITS, Instant::now()).unwrap();
    assert_eq!((spool.not_stored().covered(0, kept), recovery.damages), (kept - 3, Vec::new()));
}

#[test]
fn numbers_that_are_not_stored_are_known_until_they_are_archived() {
    let root = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(root.path(), LIMITS, Instant::now()).unwrap();
    spool.hold(0, 0);
    let end = append(&mut spool, 30);
    spool.note_unstored(4, 5);
    store(&mut spool, end);
    drop(spool);
    let (mut spool, _) = Spool::open(root.path(), LIMITS, Instant::now()).unwrap();
    spool.hold(4, 4);
    spool.persist_cursor().unwrap();
    assert!(spool.not_stored().contains(4));
    spool.hold(end, end);
    spool.acknowledge(end, &[], Instant::now()).unwrap();
    spool.sweep(Instant::now(), Duration::ZERO).unwrap();
    spool.persist_cursor().unwrap();
    assert!(!spool.not_stored().contains(4));
}

#[test]
fn a_folder_has_one_identity_until_it_is_not_archived() {
    let root = tempfile::tempdir().unwrap();
    let first = identify(root.path(), Some("0123456789abcdef")).unwrap();
    assert_eq!(identify(root.path(), Some("fedcba9876543210")).unwrap(), first);
    assert_eq!(identify(root.path(), None).unwrap(), None);
    let second = identify(root.path(), Some("fedcba9876543210")).unwrap();
    assert_eq!(second.as_deref(), Some("fedcba9876543210"));
    fs::write(root.path().join("identity"), "").unwrap();
    assert_eq!(identify(root.path(), Some("00000000000000aa")).unwrap().as_deref(), Some("00000000000000aa"));
    let (_, recovery) = Spool::open(root.path(), LIMITS, Instant::now()).unwrap();
    assert_eq!(recovery.damages, []);
}
