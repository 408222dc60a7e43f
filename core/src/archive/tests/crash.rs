//! The end of the process at any byte, and a disk that is full at any byte.

use std::fs;

use super::super::files::LEFT;
use super::*;

const EVENTS: u64 = 14;
const EACH: u64 = 5;

/// The number of bytes and other changes of a whole session.
fn whole() -> usize {
    let root = tempfile::tempdir().unwrap();
    let before = usize::MAX / 2;
    LEFT.set(before);
    let (mut store, _) = ArchiveStore::open(root.path(), false).unwrap();
    archive(&mut store, &mut Frames::default(), EVENTS, EACH).unwrap();
    assert_eq!(content(root.path()), expected(EVENTS));
    before - LEFT.replace(usize::MAX)
}

#[test]
fn after_a_kill_at_any_byte_each_event_is_archived_once() {
    let whole = whole();
    let mut interrupted = 0;
    for left in (0..whole).step_by(5) {
        let root = tempfile::tempdir().unwrap();
        LEFT.set(left);
        let killed = ArchiveStore::open(root.path(), false)
            .and_then(|(mut store, _)| archive(&mut store, &mut Frames::default(), EVENTS, EACH));
        // only the last sync of a checkpoint may fail unseen
        assert!(killed.is_err() || left + 1 >= whole, "{left} of {whole}");
        // and the next process too, at another byte
        LEFT.set(left / 2);
        drop(
            ArchiveStore::open(root.path(), false)
                .and_then(|(mut store, _)| archive(&mut store, &mut Frames::default(), EVENTS, EACH)),
        );
        LEFT.set(usize::MAX);
        let (mut store, found) = ArchiveStore::open(root.path(), false).unwrap();
        assert!(found.iter().all(|trimmed| !trimmed.is_damage), "{left}: {found:?}");
        interrupted += usize::from(!found.is_empty());
        archive(&mut store, &mut Frames::default(), EVENTS, EACH).unwrap();
        assert_eq!((content(root.path()), fetched(&store)), (expected(EVENTS), Some(11)), "{left}");
    }
    assert!(interrupted > whole / 20, "{interrupted} of {whole}");
}

#[test]
fn a_disk_that_is_full_at_any_byte_costs_nothing_once_it_has_room() {
    for left in (0..whole()).step_by(11) {
        let root = tempfile::tempdir().unwrap();
        let (mut store, _) = ArchiveStore::open(root.path(), false).unwrap();
        let mut frames = Frames::default();
        LEFT.set(left);
        let failed = archive(&mut store, &mut frames, EVENTS, EACH).is_err();
        LEFT.set(usize::MAX);
        if failed {
            // the lines that were not written are kept
            archive(&mut store, &mut frames, EVENTS, EACH).unwrap();
        }
        assert_eq!(content(root.path()), expected(EVENTS), "{left}");
        drop(store);
        assert_eq!(ArchiveStore::open(root.path(), false).unwrap().1, [], "{left}");
    }
}

#[test]
fn a_checkpoint_that_is_damaged_is_told_of_and_no_file_is_cut() {
    let root = tempfile::tempdir().unwrap();
    let (mut store, _) = ArchiveStore::open(root.path(), false).unwrap();
    archive(&mut store, &mut Frames::default(), EVENTS, EACH).unwrap();
    drop(store);
    fs::write(root.path().join("checkpoint"), "nonsense").unwrap();
    let (store, found) = ArchiveStore::open(root.path(), false).unwrap();
    assert!(found[0].is_damage && found[0].file == "checkpoint", "{found:?}");
    assert_eq!((store.positions(), fetched(&store)), (&[][..], None));
    assert_eq!(content(root.path()), expected(EVENTS));
}

#[test]
fn a_file_that_was_cut_is_told_of_and_goes_on_behind_the_cut() {
    let root = tempfile::tempdir().unwrap();
    let (mut store, _) = ArchiveStore::open(root.path(), false).unwrap();
    archive(&mut store, &mut Frames::default(), EVENTS, EACH).unwrap();
    drop(store);
    let days = Days::read(root.path()).unwrap();
    let cut = days.files.last().unwrap();
    let file = fs::File::options().write(true).open(days.place(cut)).unwrap();
    file.set_len(cut.bytes - 3).unwrap();
    let (mut store, found) = ArchiveStore::open(root.path(), false).unwrap();
    assert!(found[0].is_damage && found[0].detail == "3 bytes are missing at its end", "{found:?}");
    let mut frames = Frames::default();
    push(&mut frames, EVENTS + 1);
    store.commit(&frames, &position(EVENTS + 2)).unwrap();
    let mut reading = Reading::open(&days.place(cut), None).unwrap();
    let mut last = Vec::new();
    while let Some(text) = reading.next_lines().unwrap() {
        last = text.to_vec();
    }
    let whole = ArchiveLine::parse(last.trim_ascii_end()).map(|line| line.id.seq);
    let is_in_it = event(EVENTS + 1).0.starts_with(&*cut.path.channel);
    assert!(!is_in_it || whole == Some(EVENTS + 1), "{whole:?}");
}
