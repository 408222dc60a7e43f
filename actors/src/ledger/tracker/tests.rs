use GapReason::{RedisLost, Rejected, SpoolCorrupt, SpoolFull};

use super::super::losses::FOLLOWS_WITHIN;
use super::*;
use crate::ledger::coverage::open_gaps;
use uw_websocket_core::event::{Channel, Family, Topic};

fn tracker() -> GapTracker {
    let topics = [Topic { channel: Channel::parse("news").unwrap(), symbol: None }];
    let observations = Observations::new(
        "test".into(),
        "0",
        &[Channel::parse("news").unwrap()],
        &[("news", &topics[..])],
        1,
        Arc::default(),
    );
    let covered = Covered { topic: "news".into(), family: Family::News, reach: Reach::New };
    GapTracker::new(vec![vec![covered]], Arc::new(observations))
}

#[track_caller]
fn assert_open(tracker: &GapTracker, since: u64, reason: GapReason) {
    let open = open_gaps(&tracker.tick(unix_micros()).topics);
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!((open[0].from_us, open[0].reason), (since, reason));
}

/// A tracker, and a life of its connection, joined, with its last frame at 5 and its last event at 3.
fn joined() -> (GapTracker, Watch) {
    let tracker = tracker();
    let watch = tracker.watch(0);
    watch.opened();
    watch.joined("news");
    let connection = &tracker.observations.connections[0];
    connection.last_frame_at.set(5);
    connection.last_event_at.set(3);
    (tracker, watch)
}

#[test]
fn an_actor_that_dies_has_received_up_to_its_last_frame() {
    let (tracker, watch) = joined();
    drop(watch);
    assert_open(&tracker, 5, GapReason::Crash);
    let second = tracker.watch(0);
    second.opened();
    second.joined("news");
    let ended = tracker.tick(unix_micros()).ended;
    let gap = &ended.first().unwrap().gap;
    assert_eq!((ended.len(), gap.from_us, gap.reason), (1, 5, GapReason::Crash));
}

#[test]
fn silence_begins_with_the_last_event_and_death_with_the_last_frame() {
    for (reason, since) in [(GapReason::Silence, 3), (GapReason::Death, 5), (GapReason::Disconnect, 5)] {
        let (tracker, watch) = joined();
        watch.lost(reason, "");
        drop(watch);
        assert_open(&tracker, since, reason);
    }
}

#[test]
fn an_actor_that_ends_with_the_process_has_received_up_to_its_end() {
    let (tracker, mut watch) = joined();
    let before = unix_micros();
    watch.drained();
    drop(watch);
    let open = open_gaps(&tracker.tick(unix_micros()).topics);
    assert!(open[0].from_us >= before - micros(UNREAD), "{open:?}");
    assert_eq!(open[0].reason, GapReason::Shutdown);
}

#[test]
fn an_actor_that_does_not_end_in_time_has_received_up_to_its_last_frame() {
    let (tracker, watch) = joined();
    tracker.observations.stopping.store(true, Relaxed);
    drop(watch);
    assert_open(&tracker, 5, GapReason::Shutdown);
    let (tracker, watch) = joined();
    tracker.close(unix_micros());
    assert_open(&tracker, 5, GapReason::Shutdown);
    drop(watch);
    assert_open(&tracker, 5, GapReason::Shutdown);
}

#[test]
fn what_is_noted_is_on_every_page_until_it_has_ended_and_then_on_one_more() {
    let tracker = tracker();
    let loss = |reason| Gap::new(Family::News, vec!["news".into()], (1, 2), reason).with_events(3);
    for (nth, reason) in [SpoolFull, SpoolCorrupt, RedisLost, Rejected].into_iter().enumerate() {
        let now = 10 * FOLLOWS_WITHIN * nth as u64;
        tracker.clone().note_at(loss(reason), now);
        for _ in 0..2 {
            let taken = tracker.tick(now);
            assert_eq!((taken.ending, taken.ended.len()), (vec![loss(reason)], 0));
            assert_eq!(tracker.noted(), [loss(reason)]);
        }
        let taken = tracker.tick(now + FOLLOWS_WITHIN);
        assert_eq!((taken.ending, taken.ended.len()), (vec![], 1));
        assert_eq!(taken.ended.first().unwrap().gap, loss(reason));
        assert_eq!(tracker.noted(), []);
        assert!(tracker.tick(now + FOLLOWS_WITHIN).ended.is_empty());
    }
}

#[test]
#[should_panic(expected = "not one at 1")]
fn a_connection_that_the_book_does_not_know_has_no_side_of_it() {
    tracker().watch(1).opened();
}

#[test]
fn a_loss_that_goes_on_ends_with_the_book() {
    let tracker = tracker();
    let loss = Gap::new(Family::News, vec!["news".into()], (1, 2), SpoolFull).with_events(3);
    tracker.note_at(loss.clone(), 0);
    tracker.close(1);
    let taken = tracker.tick(1);
    assert_eq!((taken.ending, taken.ended.len()), (vec![], 1));
    assert_eq!(taken.ended.first().unwrap().gap, loss);
}
