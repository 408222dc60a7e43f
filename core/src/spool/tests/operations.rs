//! Behaviour without damage, and when the system refuses.

use std::collections::HashSet;
use std::fs::File;
use std::process::Command;
use std::sync::Arc;

use super::*;
use crate::event::Symbol;
use crate::private::tests::NEXT_WRITE_FAILS;

const SECOND: Duration = Duration::from_secs(1);

fn stream(channel: &str) -> RecordStream<'_> {
    RecordStream { channel, symbol: None }
}

#[test]
fn what_is_appended_is_read_back_byte_for_byte() {
    let mut world = World::new(ROOMY);
    let payload = vec![b'x'; 3_000_000];
    let symbols: Vec<String> = (0..64).map(|n| format!("S{n}")).collect();
    world.records.clear(0);
    let all = || symbols.iter().map(|symbol| (Some(symbol.as_str()), id(7, 8)));
    world.records.push("news", 7001, all(), &payload).unwrap();
    world.records.push("a", 7002, [(None, id(u64::MAX, u64::MAX))].into_iter(), b"").unwrap();
    let World { spool, records, now, .. } = &mut world;
    spool.as_mut().unwrap().append(records, *now).unwrap();
    for _ in 0..2 {
        let (records, damages) = world.records(0);
        assert_eq!(damages, []);
        assert_eq!((records[0].seq, records[0].received_us, &*records[0].channel), (0, 7001, "news"));
        assert_eq!(records[0].payload, payload);
        let destinations: Vec<_> =
            symbols.iter().map(|symbol| (Some(Symbol::parse(symbol).unwrap()), id(7, 8))).collect();
        assert_eq!(records[0].destinations, destinations);
        assert_eq!(records[1].destinations, [(None, id(u64::MAX, u64::MAX))]);
        let recovery = world.open();
        assert_eq!((recovery.highest_id, recovery.damages), (id(u64::MAX, u64::MAX), vec![]));
    }
}

#[test]
fn an_event_that_no_record_can_hold_is_refused_and_leaves_nothing() {
    let mut records = Records::new();
    let none = || std::iter::empty::<(Option<&str>, EntryId)>();
    let long = "c".repeat(65);
    assert_eq!(records.push(&long, 0, none(), b""), Err(Unrecordable::Channel(65)));
    let huge = vec![0; 5 << 20];
    assert_eq!(records.push("a", 0, none(), &huge), Err(Unrecordable::Payload(5 << 20)));
    assert_eq!(records.push("a", 0, [(Some("a b"), id(0, 0))].into_iter(), b""), Err(Unrecordable::Symbol));
    assert_eq!(
        records.push("a", 0, vec![(None, id(0, 0)); 256].into_iter(), b""),
        Err(Unrecordable::Destinations(256))
    );
    assert_eq!(records.push("a", 0, [(Some(""), id(0, 0))].into_iter(), b""), Err(Unrecordable::Symbol));
    assert_eq!((records.len(), records.bytes()), (0, &b""[..]));
}

#[test]
fn an_event_may_go_to_as_many_streams_as_a_byte_counts_with_the_longest_names() {
    let mut world = World::new(ROOMY);
    let symbols: Vec<String> = (0..254).map(|n| format!("{n:032}")).collect();
    let all = || {
        let symbols = symbols.iter().map(|symbol| Some(symbol.as_str()));
        std::iter::once(None).chain(symbols).zip(0..).map(|(symbol, seq)| (symbol, id(7, seq)))
    };
    world.records.clear(0);
    world.records.push(&"c".repeat(64), 1, all(), b"{}").unwrap();
    let World { spool, records, now, .. } = &mut world;
    spool.as_mut().unwrap().append(records, *now).unwrap();
    for _ in 0..2 {
        let (records, damages) = world.records(0);
        assert_eq!((records.len(), damages), (1, vec![]));
        let destinations = records[0].destinations.iter();
        let read: Vec<_> =
            destinations.map(|(symbol, id)| (symbol.as_ref().map(Symbol::as_str), *id)).collect();
        assert_eq!(read, all().collect::<Vec<_>>());
        assert_eq!(world.open().damages, []);
    }
}

#[test]
fn what_was_never_appended_cannot_be_acknowledged() {
    let mut world = World::new(ROOMY);
    world.append("a", [1, 2]);
    let now = world.now;
    let error = world.spool().acknowledge(3, &[], now).unwrap_err();
    assert!(matches!(error, SpoolError::NeverAppended { below: 3, next_seq: 2 }), "{error}");
    assert_eq!((world.spool().acknowledged(), world.spool().unacknowledged()), (0, 2));
    world.acknowledge(2);
    world.acknowledge(1);
    assert_eq!(world.spool().acknowledged(), 2);
}

#[test]
fn records_without_a_segment_to_go_to_are_refused_and_the_next_ones_get_one() {
    let mut world = World::new(ROOMY);
    let elsewhere = File::create(world.root.path().join("elsewhere")).unwrap();
    world.spool().writing = Some(elsewhere);
    let error = world.try_append("a", [1]).unwrap_err();
    assert!(matches!(error, SpoolError::Contradiction(_)), "{error}");
    world.append("a", [2]);
    assert_eq!(world.read(0).0, [(0, "2".into())]);
}

#[test]
fn a_disk_that_does_not_tell_what_is_oldest_is_not_an_empty_one() {
    let mut world = World::new(ROOMY);
    assert_eq!(world.spool().oldest_unacknowledged_us().unwrap(), None);
    world.append("a", [1]);
    fs::remove_file(&world.files(".seg")[0]).unwrap();
    let error = world.spool().oldest_unacknowledged_us().unwrap_err();
    assert!(matches!(error, SpoolError::Io { action: "open", .. }), "{error}");
}

#[test]
fn records_that_do_not_come_next_are_refused() {
    let mut world = World::new(ROOMY);
    world.records.clear(5);
    world.records.push("a", 0, std::iter::empty(), b"").unwrap();
    let World { spool, records, now, .. } = &mut world;
    let error = spool.as_mut().unwrap().append(records, *now).unwrap_err();
    assert!(matches!(error, SpoolError::OutOfOrder { first: 5, expected: 0 }), "{error}");
}

#[test]
fn a_kill_loses_nothing_and_reports_nothing() {
    let mut world = World::new(TINY);
    for ms in 0..5 {
        world.append("a", [ms]);
        world.append("b", [ms, ms]);
    }
    world.acknowledge(4);
    world.persist();
    world.acknowledge(5);
    let recovery = world.open();
    assert_eq!(recovery.damages, []);
    assert_eq!((recovery.acknowledged, recovery.next_seq, recovery.kept_from), (4, 15, 0));
    assert_eq!(recovery.events, [("a".into(), 3), ("b".into(), 8)].into());
    assert_eq!(world.seqs(), (0..15).collect::<Vec<_>>());
    assert_eq!(world.spool().unacknowledged(), 11);
    assert_eq!(world.spool().oldest_unacknowledged_us().unwrap(), Some(1000));
}

#[test]
fn segments_end_by_size_and_by_age() {
    let mut world = World::new(Limits { segment_bytes: 400, segment_age: SECOND, ..ROOMY });
    for ms in 0..8 {
        world.append("a", [ms]);
    }
    let by_size = world.files(".seg").len();
    assert!((2..8).contains(&by_size), "{by_size}");
    world.append("a", [8]);
    world.now += SECOND;
    world.append("a", [9]);
    assert_eq!(world.files(".seg").len(), by_size + 1);
    assert_eq!(world.seqs(), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_segment_goes_when_all_of_it_has_been_acknowledged_for_long_enough() {
    let mut world = World::new(TINY);
    world.append("a", [0]);
    world.append("a", [1, 2]);
    world.append("a", [3]);
    world.acknowledge(2);
    world.now += 10 * SECOND;
    world.acknowledge(4);
    let sweep = |world: &mut World| {
        let now = world.now;
        world.spool().sweep(now, 10 * SECOND).unwrap().segments
    };
    assert_eq!(sweep(&mut world), 1);
    assert_eq!(world.seqs(), [1, 2, 3]);
    world.now += 10 * SECOND;
    // the newest one is sealed when it is old enough, so that a quiet feed leaves nothing
    assert_eq!(sweep(&mut world), 2);
    assert_eq!((world.spool().bytes(), world.files(".seg").len()), (0, 0));
    let recovery = world.open();
    assert_eq!((recovery.next_seq, recovery.acknowledged, recovery.damages), (4, 4, vec![]));
}

#[test]
fn the_last_ids_of_streams_without_end_are_bounded_and_the_newest_kept() {
    let mut world = World::new(Limits { max_streams: 10, ..TINY });
    let (now, name) = (world.now, |n: u64| -> Arc<str> { format!("a:S{n}").into() });
    for n in 0..100 {
        let World { records, spool, .. } = &mut world;
        records.clear(n);
        records.push("a", n, std::iter::once((Some(&*format!("S{n}")), id(n, 0))), b"{}").unwrap();
        let spool = spool.as_mut().unwrap();
        spool.append(records, now).unwrap();
        spool.acknowledge(n + 1, &[(name(n), id(n, 0))], now).unwrap();
        assert!(spool.kept().len() <= 10 && spool.removed().len() <= 10);
    }
    assert_eq!(world.spool().take_forgotten(), 80);
    world.persist();
    for _ in 0..2 {
        // each of the newest is in one or the other
        let (kept, removed) = (world.spool().kept(), world.spool().removed().clone());
        for n in 80..100 {
            assert_eq!(kept.get(&name(n)).or(removed.get(&name(n))), Some(&id(n, 0)), "{n}");
        }
        assert!(kept.len() <= 10 && removed.len() <= 10);
        world.open();
    }
}

#[test]
fn the_last_ids_of_removed_records_outlive_them() {
    let mut world = World::new(TINY);
    world.append("a", [1]);
    world.append("a", [2]);
    world.append("a", [3]);
    let (name, now): (Arc<str>, _) = ("a:SPY".into(), world.now);
    world.spool().acknowledge(1, &[(name.clone(), id(1, 1))], now).unwrap();
    world.spool().acknowledge(2, &[(name.clone(), id(2, 1))], now).unwrap();
    world.spool().sweep(now, Duration::ZERO).unwrap();
    assert_eq!(world.spool().removed(), &[(name.clone(), id(2, 1))].into());
    world.acknowledge(3);
    world.persist();
    assert_eq!(world.open().removed, [(name, id(2, 1))].into());
    // acknowledged records still on disk are read from the records themselves
    let now = world.now;
    world.spool().sweep(now, Duration::ZERO).unwrap();
    assert_eq!(world.open().removed, [("a".into(), id(3, 0)), ("a:SPY".into(), id(3, 1))].into());
}

#[test]
fn at_the_limit_kept_records_go_first_and_then_it_is_full() {
    let mut world = World::new(Limits { max_bytes: 500, ..TINY });
    let mut appended = 0;
    while world.try_append("a", [appended]).is_ok() {
        appended += 1;
    }
    assert!(world.try_append("a", [0]).unwrap_err().is_full());
    assert!(world.spool().bytes() <= 500);
    world.acknowledge(1);
    world.append("a", [appended]);
    assert_eq!(world.seqs(), (1..=appended).collect::<Vec<_>>());
    assert!(world.try_append("a", [0]).unwrap_err().is_full());
    assert_eq!(world.open().events["a"], appended);
}

#[test]
fn load_shedding_takes_the_oldest_segments_that_nobody_is_sending() {
    let mut world = World::new(TINY);
    for ms in 0..3 {
        world.append("a", [ms]);
        world.append("b", [ms, ms]);
    }
    world.acknowledge(1);
    // 0 is acknowledged, 1 and 2 are in flight
    let dropped = world.spool().drop_oldest(3, 1).unwrap().unwrap();
    assert_eq!((dropped.first_seq, dropped.last_seq, dropped.from_us, dropped.to_us), (3, 3, 1000, 1000));
    let dropped = world.spool().drop_oldest(3, dropped.bytes * 2).unwrap().unwrap();
    assert_eq!((dropped.first_seq, dropped.last_seq), (4, 6));
    assert_eq!(dropped.events, [("a".into(), 1), ("b".into(), 2)].into());
    assert_eq!(world.seqs(), [0, 1, 2, 7, 8]);
    assert_eq!(world.spool().unacknowledged(), 4);
    // only the newest is left: it is removed too, but not the records in flight
    assert_eq!(world.spool().drop_oldest(3, 1).unwrap().unwrap().last_seq, 8);
    assert_eq!(world.spool().drop_oldest(3, 1).unwrap(), None);
    world.append("c", [9]);
    assert_eq!(world.seqs(), [0, 1, 2, 9]);
    world.persist();
    let recovery = world.open();
    assert_eq!((recovery.damages, recovery.next_seq), (vec![], 10));
    assert_eq!(recovery.events, [("b".into(), 2), ("c".into(), 1)].into());
    world.acknowledge(9);
    assert_eq!(world.spool().unacknowledged(), 1);
}

#[test]
fn what_was_dropped_in_a_crash_is_reported_until_the_next_cursor() {
    let mut world = World::new(TINY);
    world.append("a", [0]);
    world.append("a", [1, 2]);
    world.append("a", [3]);
    world.spool().drop_oldest(1, 1).unwrap().unwrap();
    for _ in 0..2 {
        let damages = world.open().damages;
        assert_eq!((kinds(&damages), lost(&damages)), (vec![DamageKind::Dropped], Some(2)));
    }
    world.persist();
    assert_eq!(world.open().damages, []);
    assert_eq!((world.seqs(), world.spool().unacknowledged()), (vec![0, 3], 2));
}

#[test]
fn what_is_acknowledged_keeps_its_ids() {
    let mut world = World::new(ROOMY);
    for ms in [10, 20, 30] {
        world.append("a", [ms]);
    }
    world.spool().acknowledge(2, &[], Instant::now()).unwrap();
    let result = world.spool().reassign(0, stream("a"), &HashSet::<u64>::new(), id(100, 7)).unwrap();
    assert_eq!(result, Reassigned { count: 1, last: id(100, 8) });
}

#[test]
fn a_stream_gets_ids_above_a_foreign_one_in_order_and_durably() {
    let mut world = World::new(Limits { segment_bytes: 300, durable: true, ..ROOMY });
    for ms in [10, 20, 30, 40, 500] {
        world.append("a", [ms]);
        world.append("b", [ms]);
    }
    let skip: HashSet<u64> = [4].into();
    let reassign = |world: &mut World| world.spool().reassign(2, stream("a"), &skip, id(100, 7)).unwrap();
    assert_eq!(reassign(&mut world), Reassigned { count: 2, last: id(500, 0) });
    assert_eq!(reassign(&mut world), Reassigned { count: 0, last: id(500, 0) }, "again");
    for _ in 0..2 {
        let (records, damages) = world.records(0);
        assert_eq!(damages, []);
        let ids = |channel: &str| -> Vec<EntryId> {
            records
                .iter()
                .filter(|record| *record.channel == *channel)
                .map(|record| record.destinations[0].1)
                .collect()
        };
        assert_eq!(ids("a"), [id(10, 0), id(100, 8), id(30, 0), id(100, 9), id(500, 0)]);
        assert_eq!(ids("b"), [id(10, 0), id(20, 0), id(30, 0), id(40, 0), id(500, 0)]);
        assert!(records.iter().all(|record| record.destinations[1].1 == id(record.received_us / 1000, 1)));
        assert_eq!(world.open().damages, []);
    }
    let last = id(u64::MAX, u64::MAX);
    let error = world.spool().reassign(0, stream("a"), &skip, last).unwrap_err();
    assert!(matches!(error, SpoolError::Exhausted { .. }), "{error}");
}

#[test]
fn on_a_full_disk_kept_records_make_room() {
    let mut world = World::new(ROOMY);
    world.append("a", [0]);
    world.acknowledge(1);
    world.spool().writing = Some(File::options().write(true).open("/dev/full").unwrap());
    world.append("a", [1]);
    assert_eq!(world.seqs(), [1]);
}

#[test]
fn a_refused_write_leaves_nothing_and_the_next_one_goes_on() {
    for limits in [ROOMY, TINY] {
        for before in [0, 2] {
            let mut world = World::new(limits);
            world.append("a", 0..before);
            // every write fails for lack of space, and nothing can be truncated
            let full = || File::options().write(true).open("/dev/full").unwrap();
            if before == 0 {
                let now = world.now;
                drop(world.spool().begin_segment(now).unwrap());
            }
            world.spool().writing = Some(full());
            world.spool().limits = ROOMY;
            let error = world.try_append("a", [7, 8]).unwrap_err();
            assert!(error.is_full(), "{error:?}");
            let next = world.spool().next_seq();
            world.append("a", [9]);
            let (records, damages) = world.read(next);
            assert_eq!((records, damages), (vec![(next, "9".into())], vec![]));
            assert_eq!(world.open().damages, []);
        }
    }
}

/// The file used by the child process of the next test.
const REFUSED_IN: &str = "UW_SPOOL_TEST_REFUSED_IN";

/// Limits a segment to a few blocks: a write is torn, as on a full disk.
#[test]
fn a_write_that_the_disk_cuts_short_is_undone() {
    let Some(root) = std::env::var_os(REFUSED_IN) else {
        let root = tempfile::tempdir().unwrap();
        let name = "spool::tests::operations::a_write_that_the_disk_cuts_short_is_undone";
        let output = Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(REFUSED_IN, root.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
        return;
    };
    let folder = Path::new(&root).join("shard");
    let (mut spool, _) = Spool::open(&folder, ROOMY, Instant::now()).unwrap();
    let mut records = Records::new();
    let payload = vec![b'x'; 700];
    let mut refused = 0;
    while refused < 3 {
        records.clear(spool.next_seq());
        for ms in 0..5 {
            records.push("a", ms, [(None, id(ms, 0))].into_iter(), &payload).unwrap();
        }
        if let Err(error) = spool.append(&records, Instant::now()) {
            assert!(error.is_full(), "{error:?}");
            let path = files_of(&folder, ".seg").pop().unwrap();
            assert_eq!(fs::metadata(path).unwrap().len(), spool.bytes(), "the written part is cut off");
            refused += 1;
        }
    }
    let next = spool.next_seq();
    drop(spool);
    let (mut spool, recovery) = Spool::open(&folder, ROOMY, Instant::now()).unwrap();
    assert_eq!((recovery.next_seq, recovery.damages), (next, vec![]));
    // a new segment has room again
    spool.append(&records, Instant::now()).unwrap();
}

#[test]
fn what_was_written_can_be_synced_elsewhere_and_only_if_it_is_to_be_durable() {
    let mut world = World::new(TINY);
    world.append("a", [0]);
    assert!(world.spool().take_dirty().unwrap().is_empty());
    let mut world = World::new(Limits { durable: true, ..TINY });
    for ms in 0..40 {
        world.append("a", [ms]);
    }
    let dirty = world.spool().take_dirty().unwrap();
    assert!((2..=11).contains(&dirty.len()), "bounded: {}", dirty.len());
    assert!(dirty.iter().all(|file| file.sync_all().is_ok()));
    assert!(world.spool().take_dirty().unwrap().is_empty());
    world.append("a", [40]);
    world.spool().sync().unwrap();
    assert!(world.spool().take_dirty().unwrap().is_empty());
}

#[test]
fn reading_begins_anywhere_and_goes_on_across_segments() {
    let mut world = World::new(Limits { segment_bytes: 40_000, ..ROOMY });
    for batch in 0..20 {
        world.append("a", batch * 100..(batch + 1) * 100);
    }
    for from in [0, 1, 255, 256, 257, 999, 1000, 1998, 1999, 2000, 9999] {
        let (records, damages) = world.read(from);
        assert_eq!(damages, []);
        let expected: Vec<(u64, String)> = (from..2000).map(|n| (n, n.to_string())).collect();
        assert_eq!(records, expected, "from {from}");
    }
    let chunk = world.spool().read(300, 1000, 2000).unwrap();
    assert!((1..1000).contains(&chunk.records.len()) && chunk.next_seq > 300);
}

#[test]
fn when_a_full_disk_takes_no_note_the_first_removal_makes_room_for_it() {
    let mut world = World::new(TINY);
    for ms in 0..3 {
        world.append("a", [ms]);
    }
    world.acknowledge(3);
    NEXT_WRITE_FAILS.set(Some(std::io::ErrorKind::StorageFull));
    let now = world.now;
    world.spool().seal();
    assert_eq!(world.spool().sweep(now, Duration::ZERO).unwrap().segments, 3);
    let recovery = world.open();
    assert_eq!((recovery.acknowledged, recovery.damages), (3, vec![]));
}
