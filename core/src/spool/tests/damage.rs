//! Opening a damaged folder.

use super::*;
use crate::spool::format::{SEGMENT_HEADER, segment_header_of};

/// Three records in each of three segments; the first one is acknowledged.
fn nine_records() -> World {
    let mut world = World::new(TINY);
    for segment in 0..3 {
        world.append("a", segment * 3..segment * 3 + 3);
    }
    world.acknowledge(1);
    world.persist();
    world.kill();
    world
}

/// Returns the offsets of a segment's records, and its end.
fn bounds(path: &Path) -> Vec<u64> {
    let len = fs::metadata(path).unwrap().len();
    let record = (len - SEGMENT_HEADER as u64) / 3;
    (0..=3).map(|n| SEGMENT_HEADER as u64 + n * record).collect()
}

#[test]
fn every_byte_counts_wherever_it_is() {
    let len = fs::metadata(&nine_records().files(".seg")[0]).unwrap().len();
    for nth in 0..3 {
        for at in 0..len {
            let mut world = nine_records();
            let path = world.files(".seg")[nth].clone();
            flip(&path, at);
            let record = (at >= SEGMENT_HEADER as u64)
                .then(|| nth as u64 * 3 + bounds(&path).partition_point(|bound| *bound <= at) as u64 - 1);
            let damages = world.open().damages;
            assert_eq!(damages.len(), 1, "segment {nth} byte {at}: {damages:?}");
            let damage = &damages[0];
            let is_last = record == Some(8);
            let kind = if is_last { DamageKind::TornTail } else { DamageKind::BadBytes };
            // the first record is acknowledged; the cursor states that there were nine
            let events = u64::from(record.is_some_and(|record| record > 0));
            assert_eq!(
                (damage.kind, damage.events),
                (kind, Some(events)),
                "segment {nth} byte {at}: {damage:?}"
            );
            let near = |seq: Option<u64>| seq.filter(|seq| *seq < 9).map(|seq| seq * 1000);
            if let Some(record) = record {
                assert_eq!(damage.from_us, near(record.checked_sub(1)), "{damage:?}");
                assert_eq!(damage.to_us, near(Some(record + 1)), "{damage:?}");
                assert_eq!(world.aside().len(), 1);
            }
            let rest: Vec<u64> = (0..9).filter(|seq| Some(*seq) != record).collect();
            assert_eq!(world.seqs(), rest, "segment {nth} byte {at}");
            world.persist();
            assert_eq!(world.open().damages, [], "reported once: segment {nth} byte {at}");
            assert_eq!(world.seqs(), rest);
        }
    }
}

#[test]
fn a_damaged_payload_names_its_channel() {
    let mut world = nine_records();
    let path = world.files(".seg")[1].clone();
    flip(&path, bounds(&path)[2] - 1);
    let damages = world.open().damages;
    assert_eq!(damages[0].channels.keys().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn a_torn_tail_is_cut_at_every_length() {
    let len = fs::metadata(&nine_records().files(".seg")[2]).unwrap().len();
    for cut in 0..len {
        let mut world = nine_records();
        let path = world.files(".seg")[2].clone();
        let whole = bounds(&path).iter().filter(|bound| **bound <= cut).count().saturating_sub(1) as u64;
        fs::File::options().write(true).open(&path).unwrap().set_len(cut).unwrap();
        let damages = world.open().damages;
        // the cursor stated nine
        assert_eq!(lost(&damages), Some(3 - whole), "cut at {cut}: {damages:?}");
        assert_eq!(world.seqs(), (0..6 + whole).collect::<Vec<_>>(), "cut at {cut}");
        world.append("a", [100]);
        world.persist();
        assert_eq!(world.open().damages, [], "cut at {cut}");
        assert_eq!(world.seqs().last(), Some(&9), "numbers are not used twice");
    }
}

#[test]
fn what_the_cursor_does_not_know_is_torn_by_an_unknown_number() {
    let mut world = World::new(ROOMY);
    world.append("a", [1]);
    world.persist();
    world.append("a", [2, 3]);
    world.kill();
    let path = world.files(".seg")[0].clone();
    let len = fs::metadata(&path).unwrap().len();
    fs::File::options().write(true).open(&path).unwrap().set_len(len - 1).unwrap();
    let recovery = world.open();
    assert_eq!((kinds(&recovery.damages), lost(&recovery.damages)), (vec![DamageKind::TornTail], None));
    assert_eq!((recovery.next_seq, recovery.damages[0].from_us), (2, Some(2000)));
    assert_eq!(world.aside().len(), 1);
    assert_eq!(world.open().damages, [], "it is cut off");
}

#[test]
fn a_tail_of_zeros_after_a_power_cut_is_cut() {
    let mut world = nine_records();
    let path = world.files(".seg")[2].clone();
    let len = fs::metadata(&path).unwrap().len();
    fs::File::options().write(true).open(&path).unwrap().set_len(len + 100_000).unwrap();
    let damages = world.open().damages;
    assert_eq!((kinds(&damages), damages[0].bytes), (vec![DamageKind::TornTail], 100_000));
    assert_eq!(fs::metadata(&path).unwrap().len(), len);
    assert_eq!(world.seqs(), (0..9).collect::<Vec<_>>());
}

#[test]
fn without_a_good_cursor_everything_is_there_again() {
    for content in [None, Some(&b""[..]), Some(b"garbage\n"), Some(b"uw-websocket spool cursor 2\ncrc 0\n")] {
        let mut world = nine_records();
        let path = world.folder().join("cursor");
        match content {
            None => fs::remove_file(&path).unwrap(),
            Some(content) => fs::write(&path, content).unwrap(),
        }
        let recovery = world.open();
        assert_eq!(kinds(&recovery.damages), [DamageKind::BadCursor], "{content:?}");
        assert_eq!((recovery.acknowledged, recovery.events), (0, [("a".into(), 9)].into()));
        assert!(!recovery.damages[0].is_loss());
        world.persist();
        assert_eq!(world.open().damages, []);
    }
}

#[test]
fn a_bad_list_of_removed_streams_is_reported_and_begun_anew() {
    let mut world = nine_records();
    fs::write(world.folder().join("removed"), "x").unwrap();
    let recovery = world.open();
    assert_eq!((kinds(&recovery.damages), recovery.removed.len()), (vec![DamageKind::BadRemoved], 0));
}

#[test]
fn files_of_others_are_reported_and_left_alone() {
    let mut world = nine_records();
    let foreign = world.folder().join("notes.txt");
    fs::write(&foreign, "mine").unwrap();
    fs::create_dir(world.folder().join("00000000000000000003.seg.d")).unwrap();
    let recovery = world.open();
    assert_eq!(kinds(&recovery.damages), [DamageKind::ForeignFile; 2]);
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "mine");
    assert_eq!(world.seqs(), (0..9).collect::<Vec<_>>());
}

#[test]
fn a_segment_deleted_by_hand_is_missed_by_number_and_time() {
    for (nth, events, from_us, to_us) in
        [(0, 2, None, Some(3000)), (1, 3, Some(2000), Some(6000)), (2, 3, Some(5000), None)]
    {
        let mut world = nine_records();
        fs::remove_file(&world.files(".seg")[nth]).unwrap();
        let damages = world.open().damages;
        assert_eq!(damages.len(), 1, "{damages:?}");
        let damage = &damages[0];
        assert_eq!(
            (damage.events, damage.from_us, damage.to_us),
            (Some(events), from_us, to_us),
            "{damage:?}"
        );
        assert_eq!(world.spool().unacknowledged(), 8 - events);
        assert_eq!(world.open().damages, damages, "until it is on record");
        world.persist();
        assert_eq!(world.open().damages, []);
    }
}

#[test]
fn all_segments_deleted_by_hand_are_missed_too() {
    let mut world = nine_records();
    for path in world.files(".seg") {
        fs::remove_file(path).unwrap();
    }
    let recovery = world.open();
    assert_eq!((kinds(&recovery.damages), lost(&recovery.damages)), (vec![DamageKind::MissingTail], Some(8)));
    assert_eq!(recovery.next_seq, 9);
}

#[test]
fn a_later_version_is_set_aside_whole_and_counted() {
    for (nth, events) in [(0, 2), (1, 3), (2, 3)] {
        let mut world = nine_records();
        let path = world.files(".seg")[nth].clone();
        let header = segment_header_of(9, nth as u64 * 3);
        fs::File::options().write(true).open(&path).unwrap().write_all_at(&header, 0).unwrap();
        let damages = world.open().damages;
        assert_eq!((kinds(&damages), lost(&damages)), (vec![DamageKind::NewerVersion], Some(events)));
        assert_eq!(
            world.aside(),
            [(path.file_name().unwrap().to_str().unwrap().to_owned(), damages[0].bytes)]
        );
        assert!(!path.exists());
        assert_eq!(world.seqs().len(), 6);
        world.persist();
        assert_eq!(world.open().damages, []);
    }
}

#[test]
fn a_segment_under_a_wrong_name_or_without_content_takes_nothing_with_it() {
    let mut world = nine_records();
    let second = world.files(".seg")[1].clone();
    fs::copy(&second, world.folder().join("00000000000000000001.seg")).unwrap();
    fs::write(world.folder().join("00000000000000000004.seg"), "").unwrap();
    fs::write(world.folder().join("00000000000000000005.seg"), [7; 500]).unwrap();
    let damages = world.open().damages;
    assert_eq!((kinds(&damages), lost(&damages)), (vec![DamageKind::BadBytes; 3], Some(0)), "{damages:?}");
    assert_eq!(world.seqs(), (0..9).collect::<Vec<_>>());
    assert_eq!(world.aside().len(), 3);
}

#[test]
fn what_a_kill_in_the_middle_of_an_operation_leaves_is_cleared_away() {
    let mut world = nine_records();
    for leftover in ["cursor.tmp", "removed.tmp", "reassign.redo", "00000000000000000009.seg"] {
        fs::write(world.folder().join(leftover), "half").unwrap();
    }
    assert_eq!(world.open().damages, []);
    assert_eq!(world.files("").len(), 4, "three segments and the cursor: {:?}", world.files(""));
    assert_eq!(world.seqs(), (0..9).collect::<Vec<_>>());
}

#[test]
fn an_interrupted_rewriting_of_ids_is_finished() {
    let mut world = World::new(ROOMY);
    world.append("a", [1, 2, 3]);
    let path = world.files(".seg")[0].clone();
    let redo = world.folder().join("reassign.redo");
    let before = fs::read(&path).unwrap();
    let stream = RecordStream { channel: "a", symbol: None };
    let plan = crate::spool::reassign::tests::plan_of(world.spool(), stream, id(50, 0));
    fs::write(&redo, &plan).unwrap();
    // any prefix of it is written
    let after = |world: &mut World| -> Vec<EntryId> {
        let (records, damages) = world.records(0);
        assert_eq!(damages, []);
        records.iter().map(|record| record.destinations[0].1).collect()
    };
    assert_eq!(world.open().damages, []);
    assert_eq!(after(&mut world), [id(50, 1), id(50, 2), id(50, 3)]);
    assert!(!redo.exists());
    let rewritten = fs::read(&path).unwrap();
    for cut in 0..before.len() {
        let torn = [&rewritten[..cut], &before[cut..]].concat();
        fs::write(&path, torn).unwrap();
        fs::write(&redo, &plan).unwrap();
        assert_eq!(world.open().damages, [], "cut at {cut}");
        assert_eq!(after(&mut world), [id(50, 1), id(50, 2), id(50, 3)]);
    }
    // an incomplete plan was not begun
    fs::write(&path, &before).unwrap();
    fs::write(&redo, &plan[..plan.len() - 1]).unwrap();
    assert_eq!(world.open().damages, []);
    assert_eq!(after(&mut world), [id(1, 0), id(2, 0), id(3, 0)]);
}

#[test]
fn damage_met_while_reading_is_reported_once_with_its_channels() {
    let mut world = World::new(ROOMY);
    world.append("a", [0, 1]);
    world.append("b", [2, 3]);
    world.append("a", [4]);
    let path = world.files(".seg")[0].clone();
    let before = fs::metadata(&path).unwrap().len();
    let size = (before - SEGMENT_HEADER as u64) / 5;
    flip(&path, SEGMENT_HEADER as u64 + 2 * size + 3);
    let (records, damages) = world.read(0);
    assert_eq!(records.iter().map(|record| record.0).collect::<Vec<_>>(), [0, 1, 3, 4]);
    assert_eq!(damages.len(), 1, "{damages:?}");
    assert_eq!((damages[0].events, &damages[0].channels), (Some(1), &[("b".into(), 1)].into()));
    assert_eq!((world.spool().unacknowledged(), world.aside().len()), (4, 1));
    assert_eq!(world.read(0).1, []);
    let dropped = world.spool().drop_oldest(0, 1).unwrap().unwrap();
    assert_eq!(dropped.events, [("a".into(), 3), ("b".into(), 1)].into());
}

#[test]
fn where_nothing_can_be_put_aside_it_is_said_and_the_queue_goes_on() {
    let mut world = nine_records();
    fs::write(world.folder().join(SALVAGE), "in the way").unwrap();
    assert_eq!(kinds(&world.open().damages), [DamageKind::AsideFull]);
    let path = world.files(".seg")[1].clone();
    flip(&path, bounds(&path)[1]);
    let (records, damages) = world.read(0);
    assert_eq!((records.len(), kinds(&damages)), (8, vec![DamageKind::BadBytes]));
    assert!(damages[0].detail.contains("not copied aside"), "{damages:?}");
    let damages = world.open().damages;
    assert_eq!(kinds(&damages), [DamageKind::BadBytes, DamageKind::AsideFull]);
    assert!(damages[0].detail.contains("it stays where it is"), "{damages:?}");
}

#[test]
fn a_record_that_was_reported_as_damaged_is_read_once_its_bytes_are_good_again() {
    for restarts in [false, true] {
        let mut world = nine_records();
        let path = world.files(".seg")[1].clone();
        let place = bounds(&path)[1];
        let damages = if restarts {
            flip(&path, place);
            world.open().damages
        } else {
            world.open();
            flip(&path, place);
            world.read(0).1
        };
        assert_eq!((kinds(&damages), lost(&damages)), (vec![DamageKind::BadBytes], Some(1)));
        assert_eq!(world.seqs(), [0, 1, 2, 3, 5, 6, 7, 8]);
        world.persist();
        // like a sector that is readable at a later attempt
        flip(&path, place);
        if restarts {
            assert_eq!(world.open().damages, []);
        }
        assert_eq!(world.seqs(), (0..9).collect::<Vec<_>>());
        world.persist();
        let recovery = world.open();
        assert_eq!((recovery.damages, recovery.events), (vec![], [("a".into(), 8)].into()));
        assert_eq!(world.spool().unacknowledged(), 8);
        assert_eq!(world.seqs(), (0..9).collect::<Vec<_>>());
    }
}

#[test]
fn what_a_refused_write_left_is_not_read() {
    let mut world = World::new(TINY);
    world.append("a", [1, 2]);
    let path = world.files(".seg")[0].clone();
    // complete records whose append was reported as failed and could not be truncated
    let mut refused = Records::new();
    refused.clear(2);
    refused.push("a", 9, std::iter::empty(), b"refused").unwrap();
    let len = fs::metadata(&path).unwrap().len();
    fs::File::options().write(true).open(&path).unwrap().write_all_at(refused.bytes(), len).unwrap();
    world.append("a", [3]);
    let damages = world.open().damages;
    assert_eq!((kinds(&damages), lost(&damages)), (vec![DamageKind::BadBytes], Some(0)));
    assert_eq!(world.read(0).0, [(0, "1".into()), (1, "2".into()), (2, "3".into())]);
    assert_eq!(world.open().damages, []);
}
