//! Writing and reading together, with an end of the process at any byte, a full disk, and damage anywhere.

mod crash;
mod damage;
mod speed;

use std::fs;
use std::path::Path;

use super::checkpoint::{ArchivePosition, StreamPosition};
use super::days::Days;
use super::frames::Frames;
use super::line::ArchiveLine;
use super::reading::{Reading, lines};
use super::store::ArchiveStore;
use crate::event::EntryId;

/// 2026-01-02, 12:59:59 in New York.
const BEGIN_US: u64 = 1_767_376_799_000_000;

/// The `n`th line of a session: two channels, of which one has two symbols, and a fetched row, over the end of an hour.
fn event(n: u64) -> (String, u64, String) {
    let topic = ["price:SPY", "news", "price:QQQ", "backfill:news"][usize::try_from(n % 4).unwrap()];
    (
        topic.to_owned(),
        BEGIN_US + n * 100_000,
        format!("{{\"n\":{n},\"text\":\"{}\"}}", n.wrapping_mul(0x9E37_79B9)),
    )
}

fn push(frames: &mut Frames, n: u64) {
    let (topic, received_us, payload) = event(n);
    let id = EntryId { ms: received_us / 1000, seq: n };
    if let Some(topic) = topic.strip_prefix("backfill:") {
        frames.advance(topic, StreamPosition { id, added: n });
    }
    frames.push(&ArchiveLine { received_us, topic: topic.into(), id, payload: payload.into_bytes().into() });
}

/// The number of the last fetched row of which the archive knows that it has it.
fn fetched(store: &ArchiveStore) -> Option<u64> {
    store.fetched().get("news").map(|position| position.added)
}

fn position(archived: u64) -> Vec<ArchivePosition> {
    vec![ArchivePosition { identity: "00".to_owned(), name: "shard-0-of-1".to_owned(), archived, last_us: 0 }]
}

/// What a folder has of each channel, in the order of its files.
fn content(folder: &Path) -> Vec<(String, Vec<u64>)> {
    let days = Days::read(folder).unwrap();
    let mut topics: Vec<(String, Vec<u64>)> = Vec::new();
    for file in &days.files {
        let mut reading = Reading::open(&days.place(file), Some(file.bytes)).unwrap();
        while let Some(text) = reading.next_lines().unwrap() {
            for line in lines(text) {
                let line = ArchiveLine::parse(line).unwrap();
                let (topic, received_us, payload) = event(line.id.seq);
                assert_eq!(
                    (&*line.topic, line.received_us, &*line.payload),
                    (&*topic, received_us, payload.as_bytes())
                );
                match topics.iter_mut().find(|(known, _)| *known == topic) {
                    Some((_, numbers)) => numbers.push(line.id.seq),
                    None => topics.push((topic, vec![line.id.seq])),
                }
            }
        }
        assert_eq!(reading.take_bad(), [], "{}", file.path);
    }
    topics.sort();
    topics
}

/// What it has of the first `count` events, each once.
fn expected(count: u64) -> Vec<(String, Vec<u64>)> {
    let mut topics: Vec<(String, Vec<u64>)> = Vec::new();
    for n in 0..count {
        let topic = event(n).0;
        match topics.iter_mut().find(|(known, _)| *known == topic) {
            Some((_, numbers)) => numbers.push(n),
            None => topics.push((topic, vec![n])),
        }
    }
    topics.sort();
    topics
}

/// Archives events from the position on, this many per commit.
fn archive(
    store: &mut ArchiveStore,
    frames: &mut Frames,
    count: u64,
    each: u64,
) -> Result<(), super::ArchiveError> {
    let mut next = store.positions().first().map_or(0, |position| position.archived);
    while next < count {
        if frames.is_empty() {
            (next..(next + each).min(count)).for_each(|n| push(frames, n));
        }
        next = (next + each).min(count);
        store.commit(frames, &position(next))?;
        frames.clear();
    }
    Ok(())
}

#[test]
fn what_is_archived_is_read_in_order_from_files_of_their_user() {
    use std::os::unix::fs::MetadataExt as _;
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("archive");
    let (mut store, found) = ArchiveStore::open(&folder, false).unwrap();
    assert_eq!(found, []);
    archive(&mut store, &mut Frames::default(), 40, 7).unwrap();
    assert_eq!(content(&folder), expected(40));
    let days = Days::read(&folder).unwrap();
    let names: Vec<String> = days.files.iter().map(|file| file.path.to_string()).collect();
    assert_eq!(
        names,
        ["news/12", "news/13", "price/12", "price/13", "backfill/news/12", "backfill/news/13"]
            .map(|name| format!("2026-01-02/{name}.jsonl.zst"))
    );
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    for file in &days.files {
        let path = days.place(file);
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    }
    assert_eq!(mode(&folder.join("checkpoint")), 0o600);
}

#[test]
fn an_archive_has_one_writer() {
    let root = tempfile::tempdir().unwrap();
    let (store, _) = ArchiveStore::open(root.path(), false).unwrap();
    assert!(matches!(ArchiveStore::open(root.path(), false), Err(super::ArchiveError::Held(_))));
    drop(store);
    ArchiveStore::open(root.path(), false).unwrap();
}

#[test]
fn an_archive_whose_disk_is_gone_is_not_begun_again_in_its_place() {
    let root = tempfile::tempdir().unwrap();
    let (folder, elsewhere) = (root.path().join("archive"), root.path().join("elsewhere"));
    let (mut store, _) = ArchiveStore::open(&folder, false).unwrap();
    let mut frames = Frames::default();
    archive(&mut store, &mut frames, 5, 5).unwrap();
    fs::rename(&folder, &elsewhere).unwrap();
    push(&mut frames, 5);
    assert!(store.commit(&frames, &position(6)).is_err());
    assert!(!folder.exists());
    fs::create_dir(&folder).unwrap();
    assert!(matches!(store.commit(&frames, &position(6)), Err(super::ArchiveError::Vanished(_))));
    drop(store);
    assert!(matches!(ArchiveStore::open(&folder, true), Err(super::ArchiveError::Vanished(_))));
    fs::remove_dir(&folder).unwrap();
    fs::rename(&elsewhere, &folder).unwrap();
    let (mut store, _) = ArchiveStore::open(&folder, true).unwrap();
    store.commit(&frames, &position(6)).unwrap();
    assert_eq!(content(&folder), expected(6));
}

#[test]
fn the_oldest_days_go_by_age_and_by_size_and_the_newest_stays() {
    let root = tempfile::tempdir().unwrap();
    let (mut store, _) = ArchiveStore::open(root.path(), false).unwrap();
    let mut frames = Frames::default();
    for day in 0..4 {
        let received_us = BEGIN_US + day * 86_400_000_000;
        let payload = b"{}".as_slice().into();
        frames.push(&ArchiveLine { received_us, topic: "price:SPY".into(), id: EntryId::default(), payload });
    }
    store.commit(&frames, &position(4)).unwrap();
    let days = Days::read(root.path()).unwrap();
    let (dates, each) = (days.dates(), days.bytes() / 4);
    let surplus = |first: Option<i32>, max: Option<u64>| {
        days.surplus(first, max).into_iter().map(|surplus| (surplus.day, surplus.is_old)).collect::<Vec<_>>()
    };
    let of = |day: &str, is_old| (format!("2026-01-0{day}"), is_old);
    assert_eq!(surplus(None, None), []);
    assert_eq!(surplus(Some(dates[2]), None), [of("2", true), of("3", true)]);
    assert_eq!(surplus(Some(dates[1]), Some(each * 2)), [of("2", true), of("3", false)]);
    assert_eq!(surplus(Some(i32::MAX), Some(0)).len(), 3);
    store.remove_day("2026-01-02").unwrap();
    assert_eq!(Days::read(root.path()).unwrap().dates(), dates[1..]);
    // a late event begins it again
    frames.clear();
    push(&mut frames, 0);
    store.commit(&frames, &position(5)).unwrap();
    assert_eq!(Days::read(root.path()).unwrap().dates(), dates);
}
