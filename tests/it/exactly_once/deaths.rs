//! An actor dies at a named point of its work, again and again and under load. With a writer nothing is lost; with a
//! connection what it had not read, and that is on record.

use std::collections::BTreeMap;

use uw_websocket_actors::fault::FaultPoint;

use super::{TARGETS, gap_reasons, gaps, line_to, send, sent, through};
use crate::chaos::{
    self, CHANNELS, Order, Past, Read, Seen, THREAD_POINTS, Traffic, catch_up, compare, point_of_death,
};
use crate::support::oracle::{assert_streams_equal, entries};
use crate::support::proxy::{Direction, Mode};
use crate::support::{Feed, RedisServer, SOON, Service, Setup, wait_for, wait_until};

/// Deaths of a test: of a fresh actor, and of lives that find what others left.
const TIMES: u64 = 3;
/// With these 20 000 events are sent at least.
const ROUNDS: u64 = 112;
/// A point that is never reached fails a test after this; snapshots are written every 250 ms alone, and lives are restarted
/// ever later.
const TO_DIE: std::time::Duration = SOON.saturating_mul(2);
/// What the rows of the samples are of.
const STRIKES: u64 = 50;
const WRITER: &str = "writer-0";
const CONNECTION: &str = "connection-trades";

fn dying(setup: Setup, child: &str, point: FaultPoint, after: u32) -> Setup {
    setup
        .set("RESTART_INTENSITY", "100")
        .set("REDIS_STREAM_MAXLEN", "0")
        .set("UW_WEBSOCKET_FAULT", &format!("{child}:panic:at={point}:after={after}:times={TIMES}"))
}

/// Does something until the child has died as often as it was told to, there and nowhere else.
#[track_caller]
fn outlive(service: &Service, child: &str, point: FaultPoint, mut act: impl FnMut()) {
    wait_for(&format!("{child} has died {TIMES} times at {point}"), TO_DIE, || {
        act();
        let restarts = service.metrics().sum("uw_ws_actor_restarts_total", &[("actor", child)]);
        if restarts >= TIMES { Ok(()) } else { Err(format!("{restarts} restarts")) }
    });
    let points: Vec<_> = service.records().iter().filter_map(point_of_death).collect();
    let wanted: Vec<_> = (0..TIMES).map(|_| point.to_string()).collect();
    assert_eq!(points, wanted, "where it died");
}

#[track_caller]
fn assert_nothing_is_lost(service: &Service) {
    let metrics = service.wait_until_settled();
    let count = |what: &str| metrics.sum(&format!("uw_ws_events_{what}_total"), &[]);
    let lost = ["dropped", "duplicate", "quarantined", "filtered"].map(count);
    assert_eq!(lost, [0; 4]);
    assert_eq!(count("stored"), count("received"));
    assert_eq!(metrics.sum("uw_ws_actor_restarts_total", &[]), TIMES, "no other actor died");
}

#[track_caller]
fn assert_writer_is_survived(point: FaultPoint, after: u32) {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let line = line_to(&redis);
    let is_cut = point == FaultPoint::Reconciling;
    let setup = if is_cut { through(&line, &feed, &redis) } else { Setup::new(&feed, &redis) };
    let service = dying(setup.set("WRITER_SHARDS", "1"), WRITER, point, after).start_ready();
    (0..ROUNDS).for_each(|round| send(&feed, round));
    let mut round = ROUNDS;
    outlive(&service, WRITER, point, || {
        if is_cut {
            // the line is whole until all is stored, and is cut in the answer to what comes then
            if service.metrics().sum("uw_ws_events_pending", &[]) > 0 {
                return;
            }
            line.set(Mode::CutAfter(Direction::ToClient, round % 5 * 20));
        }
        send(&feed, round);
        round += 1;
    });
    line.set(Mode::Pass);
    send(&feed, round);
    assert!(sent(&feed) > 20_000);
    assert_streams_equal(&feed, &redis, &TARGETS);
    assert_nothing_is_lost(&service);
    // a full inbox stops the readers for a while
    let reasons = gap_reasons(&redis);
    assert!(reasons.iter().all(|reason| reason == "blocked"), "{reasons:?}");
    let last = entries(&redis, "uw:ws:price:SPY").pop().unwrap();
    wait_until(
        "the hash shows the last event",
        SOON,
        || redis.command::<Vec<u8>>(&["HGET", "uw:ws:latest:price:SPY", "payload"]) == last.payload,
        || String::from_utf8_lossy(&last.payload).into_owned(),
    );
    // what a life had entered and not written is known to the next
    let strikes = || redis.command::<u64>(&["HLEN", "uw:ws:map:gex_strike:SPY"]);
    wait_until("the map has all strikes", SOON, || strikes() == STRIKES, || strikes().to_string());
    service.finish();
}

/// Ends the senders, also when something fails.
struct Ends<'t>(&'t Traffic);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[track_caller]
fn assert_connection_is_on_record(point: FaultPoint, after: u32, settings: &[(&str, &str)]) {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup =
        Setup::new(&feed, &redis).set("CHANNELS", CHANNELS).set("TARGET_SYMBOLS", &chaos::TARGETS.join(","));
    let setup = settings.iter().fold(setup, |setup, (name, value)| setup.set(name, value));
    let service = dying(setup, CONNECTION, point, after).start_ready();
    // bursts alone, each when the one before was read: what dies unread was sent but a moment before the last frame
    let traffic = Traffic::new(0);
    std::thread::scope(|scope| {
        let _ends = Ends(&traffic);
        traffic.spawn(scope, &feed);
        let mut before = None;
        outlive(&service, CONNECTION, point, || {
            let received = service.metrics().sum("uw_ws_events_received_total", &[]);
            if before.replace(received) == Some(received) {
                traffic.order(Order::Burst(50));
                traffic.order(Order::Marker);
            }
        });
        catch_up(&service, &redis, &traffic);
    });
    assert_nothing_is_lost(&service);
    let metrics = service.metrics();
    let read = |channel: String| {
        let events = metrics.sum("uw_ws_events_received_total", &[("channel", &channel)]);
        (channel, events)
    };
    let events = metrics.labels("uw_ws_events_received_total", "channel").into_iter().map(read).collect();
    let read = Read { events, not_on_disk: 0 };
    service.finish();
    let seen = Seen { read: BTreeMap::from([(0, read)]), ..Seen::default() };
    // no session is excused: what was read before the last frame that is there must be there, of whichever topic
    let totals = compare(&[0], &redis, &traffic.journals(), &Past::default(), &seen);
    println!("{}", totals.unwrap_or_else(|error| panic!("{error}")).unread);
    let gaps = gaps(&redis);
    let is_its_own = |gap: &&BTreeMap<String, String>| gap["reason"] == "crash" && gap["family"] == "trades";
    assert!(gaps.iter().any(|gap| is_its_own(&gap)), "{gaps:?}");
    // where there is no room, there may be none for a while
    assert!(gaps.iter().all(|gap| is_its_own(&gap) || gap["reason"] == "blocked"), "{gaps:?}");
}

#[test]
fn a_writer_that_got_word_of_a_delivery() {
    assert_writer_is_survived(FaultPoint::Delivery, 3);
}

#[test]
fn a_writer_that_has_taken_events_over() {
    assert_writer_is_survived(FaultPoint::Accepted, 3);
}

#[test]
fn a_writer_whose_disk_has_not_answered() {
    assert_writer_is_survived(FaultPoint::AppendSent, 3);
}

#[test]
fn a_writer_whose_disk_has_appended() {
    assert_writer_is_survived(FaultPoint::Appended, 3);
}

#[test]
fn a_writer_that_has_what_it_will_write() {
    assert_writer_is_survived(FaultPoint::Peeked, 10);
}

#[test]
fn a_writer_whose_redis_has_answered() {
    assert_writer_is_survived(FaultPoint::Answered, 10);
}

#[test]
fn a_writer_that_has_acknowledged() {
    assert_writer_is_survived(FaultPoint::Acknowledged, 10);
}

#[test]
fn a_writer_that_looks_up_what_was_not_answered() {
    assert_writer_is_survived(FaultPoint::Reconciling, 0);
}

#[test]
fn a_writer_that_restores_what_redis_lacks() {
    assert_writer_is_survived(FaultPoint::Restoring, 0);
}

#[test]
fn a_writer_that_has_written_snapshots() {
    assert_writer_is_survived(FaultPoint::SnapshotFlush, 2);
}

#[test]
fn a_connection_that_has_read_frames() {
    assert_connection_is_on_record(FaultPoint::FramesRead, 20, &[]);
}

#[test]
fn a_connection_in_the_middle_of_a_chunk() {
    assert_connection_is_on_record(FaultPoint::FrameTaken, 137, &[]);
}

#[test]
fn a_connection_that_has_taken_a_chunk_in() {
    assert_connection_is_on_record(FaultPoint::ChunkTaken, 20, &[]);
}

#[test]
fn a_connection_that_has_delivered() {
    assert_connection_is_on_record(FaultPoint::Delivered, 20, &[]);
}

#[test]
fn a_connection_that_waits_for_room() {
    let narrow = [("WRITER_MAILBOX_CAPACITY", "1"), ("WRITER_BATCH_MAX_EVENTS", "1")];
    assert_connection_is_on_record(FaultPoint::NoRoom, 2, &narrow);
}

#[test]
fn every_point_of_an_actor_but_the_step_has_its_test() {
    let text = include_str!("deaths.rs");
    let is_tried_here = |point: &&FaultPoint| **point != FaultPoint::Step && !THREAD_POINTS.contains(point);
    for point in FaultPoint::ALL.iter().filter(is_tried_here) {
        let call = format!("(FaultPoint::{point:?}, ");
        assert!(text.contains(&call), "{point}");
    }
}
