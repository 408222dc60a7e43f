use uw_websocket_core::event::Route;

use super::*;
use crate::fixtures::batch;
use uw_websocket_core::fixtures::{destination, event, route};

const SIZE: TransactionSize = TransactionSize { events: 3, weight: 1000 };
const ROOM: usize = usize::MAX;

fn spy() -> Arc<Route> {
    route(0, vec![destination("price:SPY", 0)])
}

fn of(payloads: &[&str]) -> EventBatch {
    let spy = spy();
    batch(payloads.iter().map(|payload| event(&spy, payload, 0)))
}

fn empty() -> Backlog {
    Backlog::of_records(SIZE, 0..0)
}

/// A backlog of these batches, on disk from record 0 on.
fn on_disk(batches: &[&[&str]]) -> Backlog {
    let mut backlog = empty();
    for payloads in batches {
        backlog.push(of(payloads));
    }
    append(&mut backlog, 0, ROOM);
    backlog
}

fn append(backlog: &mut Backlog, record: u64, max_ready: usize) -> (usize, Option<u64>) {
    let spans: Vec<Span> = backlog.unspooled(ROOM).map(|(span, _)| span).collect();
    let mut kept = 0;
    let left = backlog.appended(&spans, record, max_ready, |_| kept += 1);
    (kept, left)
}

fn payloads(batch: &EventBatch) -> Vec<&str> {
    batch.events().iter().map(|event| std::str::from_utf8(&event.payload).unwrap()).collect()
}

#[track_caller]
fn lend(backlog: &mut Backlog) -> Lent {
    match backlog.lend() {
        Front::Lent(lent) => lent,
        other => panic!("{other:?}"),
    }
}

/// Lends and acknowledges everything in memory; returns positions and payloads.
fn drain(backlog: &mut Backlog) -> Vec<(Position, String)> {
    let mut all = Vec::new();
    while let Front::Lent(lent) = backlog.lend() {
        all.extend((lent.first..).zip(payloads(&lent.batch).into_iter().map(str::to_owned)));
        assert!(backlog.acknowledge(lent.first).is_some());
    }
    all
}

#[test]
fn what_is_pending_is_not_lent() {
    let mut backlog = empty();
    backlog.push(of(&["1"]));
    assert!(matches!(backlog.lend(), Front::Nothing));
    assert!(!backlog.is_safe() && !backlog.is_empty());
    assert_eq!(append(&mut backlog, 0, ROOM), (1, None));
    assert!(backlog.is_safe());
    let lent = lend(&mut backlog);
    assert!(lent.is_on_disk);
    assert_eq!((lent.first, payloads(&lent.batch)), (0, vec!["1"]));
}

#[test]
fn what_is_lent_stays_until_it_is_acknowledged() {
    let mut backlog = on_disk(&[&["1"], &["2", "3", "4"]]);
    let (first, again) = (lend(&mut backlog), lend(&mut backlog));
    assert!(Arc::ptr_eq(&first.batch, &again.batch));
    assert!(backlog.acknowledge(7).is_none(), "it was not lent");
    assert_eq!(backlog.acknowledge(0).unwrap().record, Some(0));
    assert_eq!(lend(&mut backlog).first, 1);
}

#[test]
fn small_batches_become_one_up_to_a_transaction() {
    let mut backlog = on_disk(&[&["1"], &["2"], &["3"], &["4"]]);
    assert_eq!(payloads(&lend(&mut backlog).batch), ["1", "2", "3"]);
    assert_eq!(drain(&mut backlog).len(), 4);
}

#[test]
fn nothing_is_added_to_what_is_lent() {
    let mut backlog = on_disk(&[&["1"]]);
    let lent = lend(&mut backlog);
    backlog.push(of(&["2"]));
    append(&mut backlog, 1, ROOM);
    assert_eq!(lent.batch.len(), 1);
    drop(lent);
    backlog.push(of(&["3"]));
    append(&mut backlog, 2, ROOM);
    assert_eq!(payloads(&lend(&mut backlog).batch), ["1"], "a dead writer may have sent it");
}

#[test]
fn beyond_the_memory_are_stretches_that_are_read() {
    let mut backlog = empty();
    for payload in ["1", "2", "3"] {
        backlog.push(of(&[payload]));
    }
    let one = of(&["1"]).bytes();
    append(&mut backlog, 0, one);
    assert_eq!(backlog.ready_bytes(), one);
    assert_eq!(payloads(&lend(&mut backlog).batch), ["1"]);
    backlog.acknowledge(0);
    let Front::OnDisk(records) = backlog.lend() else { panic!() };
    assert_eq!(records, 1..3);
    assert!(backlog.left_on_disk().is_some_and(|records| records > 0));
    backlog.put_read(1, vec![(1, of(&["2"]))], 2);
    assert_eq!(drain(&mut backlog), [(1, "2".into())]);
    let Front::OnDisk(records) = backlog.lend() else { panic!() };
    assert_eq!(records, 2..3);
    // nothing there because of damage
    backlog.put_read(2, Vec::new(), 3);
    assert!(backlog.is_empty());
}

#[test]
fn what_was_read_of_a_stretch_that_has_changed_is_left_out() {
    let mut backlog = Backlog::of_records(SIZE, 10..20);
    backlog.drop_records(5..12);
    backlog.put_read(10, vec![(10, of(&["gone"]))], 11);
    let Front::OnDisk(records) = backlog.lend() else { panic!() };
    assert_eq!(records, 12..20);
    backlog.put_read(12, vec![(12, of(&["a", "b"])), (15, of(&["c"]))], 16);
    assert_eq!(drain(&mut backlog), [(12, "a".into()), (13, "b".into()), (15, "c".into())]);
}

#[test]
fn a_failing_disk_is_gone_round_in_order_and_caught_up() {
    let mut backlog = on_disk(&[&["1", "2", "3"]]);
    backlog.push(of(&["4"]));
    backlog.push(of(&["5"]));
    backlog.bridge();
    backlog.push(of(&["6"]));
    assert!(backlog.pending_bytes().is_some());
    let lent = lend(&mut backlog);
    backlog.acknowledge(lent.first);
    let lent = lend(&mut backlog);
    assert!(!lent.is_on_disk);
    assert_eq!(payloads(&lent.batch), ["4"]);
    // the first of them is stored during the append
    let spans: Vec<Span> = backlog.unspooled(ROOM).map(|(span, _)| span).collect();
    assert_eq!(backlog.acknowledge(lent.first).unwrap().record, None);
    let mut kept = Vec::new();
    let behind = backlog.appended(&spans, 3, ROOM, |batch| kept.push(payloads(batch).join(",")));
    assert_eq!((behind, kept), (Some(4), vec!["5".into(), "6".into()]));
    let lent = lend(&mut backlog);
    assert_eq!((lent.first, payloads(&lent.batch), lent.is_on_disk), (4, vec!["5", "6"], true));
    assert_eq!(backlog.acknowledge(lent.first).unwrap().record, Some(4));
}

#[test]
fn from_memory_the_oldest_go_that_are_not_lent() {
    let mut backlog = empty();
    for payloads in [["1", "2", "3"], ["4", "5", "6"], ["7", "8", "9"]] {
        backlog.push(of(&payloads));
        backlog.bridge();
    }
    lend(&mut backlog);
    let dropped = backlog.drop_memory(1);
    assert_eq!(dropped.iter().flat_map(|batch| payloads(batch)).collect::<Vec<_>>(), ["4", "5", "6"]);
    let positions: Vec<Position> = drain(&mut backlog).into_iter().map(|(at, _)| at).collect();
    assert_eq!(positions, [0, 1, 2, 6, 7, 8]);
    backlog.push(of(&["a"]));
    assert_eq!(backlog.take_memory().len(), 1, "pending too");
    assert!(backlog.is_empty());
}

#[test]
fn copies_are_let_go_but_for_those_that_are_lent() {
    let mut backlog = on_disk(&[&["1", "2", "3"], &["4", "5", "6"]]);
    lend(&mut backlog);
    assert_eq!(backlog.lent_records(), 3);
    backlog.forget_copies();
    assert_eq!(payloads(&lend(&mut backlog).batch), ["1", "2", "3"]);
    backlog.forget_all_copies();
    let Front::OnDisk(records) = backlog.lend() else { panic!() };
    assert_eq!((records, backlog.ready_bytes()), (0..6, 0));
}

#[test]
fn dropped_records_leave_a_hole_and_no_copy() {
    let mut backlog = on_disk(&[&["1", "2", "3"], &["4", "5", "6"], &["7", "8", "9"]]);
    backlog.drop_records(2..8);
    let Front::OnDisk(records) = backlog.lend() else { panic!() };
    assert_eq!(records, 0..2);
    backlog.put_read(0, vec![(0, of(&["1", "2"]))], 2);
    assert_eq!(drain(&mut backlog).len(), 2);
    let Front::OnDisk(records) = backlog.lend() else { panic!() };
    assert_eq!(records, 8..9);
}

#[test]
fn new_ids_rise_above_and_leave_alone_what_is_stored_or_above() {
    let id = |ms| EntryId { ms, seq: 0 };
    let with = |ids: &[u64]| {
        let spy = spy();
        batch(ids.iter().map(|ms| {
            let mut event = event(&spy, "x", 0);
            event.ids.set(0, id(*ms));
            event
        }))
    };
    let ids = |backlog: &mut Backlog| {
        lend(backlog).batch.events().iter().map(|event| event.ids.get(0)).collect::<Vec<_>>()
    };
    let far = 9_000_000_000_000;
    let mut backlog = empty();
    backlog.push(with(&[1, 2, far + 9]));
    backlog.bridge();
    let skip = HashSet::from([0]);
    assert_eq!(backlog.renumber("uw:ws:price:SPY", &skip, id(far)), id(far + 9));
    assert_eq!(ids(&mut backlog), [id(1), EntryId { ms: far, seq: 1 }, id(far + 9)]);
    assert_eq!(backlog.renumber("another", &skip, id(far)), id(far));
    let mut kept = on_disk(&[&["1"]]);
    assert_eq!(kept.renumber("uw:ws:price:SPY", &HashSet::new(), id(far)), id(far), "records have their own");
    assert_eq!(
        kept.renumber_copies("uw:ws:price:SPY", &HashSet::new(), id(far)),
        EntryId { ms: far, seq: 1 }
    );
    let last = EntryId { ms: u64::MAX, seq: u64::MAX };
    assert_eq!(kept.renumber_copies("uw:ws:price:SPY", &HashSet::new(), last), last, "none is left");
    assert_eq!(kept.records_of(&HashSet::from([0, 7])), HashSet::from([0]));
}
