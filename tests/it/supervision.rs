//! Crashes of children: restarted alone, counted, with what they held accounted for; too many end the process.

use std::time::{Duration, Instant};

use crate::support::oracle::{assert_stream_holds, entries};
use crate::support::sample::{payload, payloads};
use crate::support::{Feed, RedisServer, SOON, Service, Setup, has_passed, wait_for};

const TOPICS: [&str; 3] = ["price:SPY", "option_trades:SPY", "gex:SPY"];

fn setup(feed: &Feed, redis: &RedisServer, fault: &str) -> Setup {
    Setup::new(feed, redis).set("UW_WEBSOCKET_FAULT", fault)
}

fn restarts(service: &Service, child: &str) -> u64 {
    service.metrics().sum("uw_ws_actor_restarts_total", &[("actor", child)])
}

/// A child counts as frozen after 15 s, and is looked at once a second.
const FROZEN: Duration = Duration::from_secs(30);

/// Sends events of the topic one by one, numbered from 0, until `enough`; returns how many.
fn send_until(feed: &Feed, channel: &str, mut enough: impl FnMut() -> bool) -> u64 {
    let mut n = 0;
    let began = Instant::now();
    while !enough() {
        assert!(!has_passed(began, FROZEN), "{n} events were not enough");
        // between two lives of the connection nobody has joined
        feed.try_send(&format!("{channel}:SPY"), &payloads(channel, "SPY", n, 1));
        n += 1;
        std::thread::park_timeout(Duration::from_millis(10));
    }
    n
}

#[track_caller]
fn wait_until_stored(redis: &RedisServer, key: &str, payload: &str) {
    wait_for("the last event is stored", SOON, || {
        let stored = entries(redis, key);
        let is_last = stored.last().is_some_and(|entry| entry.payload == payload.as_bytes());
        if is_last { Ok(()) } else { Err(format!("{} entries", stored.len())) }
    });
}

/// The child of the prices breaks in this way once; its siblings keep their sessions and everything works again.
#[track_caller]
fn assert_connection_is_restarted(fault: &str) {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = setup(&feed, &redis, fault).start_ready();
    let sessions = feed.handshakes().len();
    let trades = payloads("option_trades", "SPY", 0, 200);
    feed.send_all("option_trades:SPY", &trades[..100]);
    let sent = send_until(&feed, "price", || restarts(&service, "connection-prices") > 0);
    feed.send_all("option_trades:SPY", &trades[100..]);
    feed.wait_for_joins(&TOPICS);
    service.wait_until_ready();
    let last = payload("price", "SPY", sent);
    feed.send("price:SPY", &last);
    wait_until_stored(&redis, "uw:ws:price:SPY", &last);
    service.wait_until_settled();
    assert_stream_holds(&redis, "uw:ws:option_trades:SPY", &trades);
    assert_eq!(feed.handshakes().len(), sessions + 1, "the siblings keep their sessions");
    assert_eq!(service.metrics().sum("uw_ws_actor_restarts_total", &[]), 1);
    assert_eq!(service.get("/healthz").0, 200);
    let what = if fault.contains("freeze") { "actor frozen" } else { "actor crashed" };
    service.wait_for_log(what, |record| record.msg == what && record.mentions("prices"));
    service.finish();
}

/// A thread that nothing restarts dies: the process says so, drains what it has to Redis, and ends with 70; the next one
/// continues.
#[track_caller]
fn assert_death_ends_the_process(fault: &str, thread: &str) {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis).set("ARCHIVE_DIR", "archive");
    let mut service = setup.clone().set("UW_WEBSOCKET_FAULT", fault).start();
    feed.wait_for_joins(&TOPICS);
    let sent = send_until(&feed, "price", || !service.is_running());
    assert_eq!(service.wait_for_exit(SOON), Some(70));
    let died = service.records().into_iter().find(|record| record.msg == "thread died").unwrap();
    assert!(died.level == "critical" && died.text("thread").starts_with(thread), "{died:?}");
    let stopped = service.records().into_iter().rfind(|record| record.msg == "stopped").unwrap();
    assert_eq!(stopped.keys["dropped"], 0, "{stopped:?}");
    let service = setup.start();
    feed.wait_for_joins(&TOPICS);
    let last = payload("price", "SPY", sent);
    feed.send("price:SPY", &last);
    wait_until_stored(&redis, "uw:ws:price:SPY", &last);
    let stored = entries(&redis, "uw:ws:price:SPY");
    assert!(stored.windows(2).all(|pair| pair[0].payload != pair[1].payload), "each event once");
    service.wait_for_metric("uw_ws_archive_up", &[], 1);
    service.finish();
}

#[test]
fn the_death_of_the_thread_of_a_disk_queue_ends_the_process() {
    assert_death_ends_the_process("spool:panic:at=disk_request:after=30", "spool of shard-");
}

#[test]
fn the_death_of_the_thread_that_syncs_a_disk_queue_ends_the_process() {
    assert_death_ends_the_process("spool:panic:at=disk_sync:after=1", "spool-sync of shard-");
}

#[test]
fn the_death_of_the_thread_of_the_archive_ends_the_process() {
    assert_death_ends_the_process("archive:panic:at=archive_turn:after=5", "archive");
}

#[test]
fn a_connection_that_panics_is_restarted_alone() {
    assert_connection_is_restarted("connection-prices:panic:after=10");
}

#[test]
fn a_connection_that_ends_by_itself_is_restarted_alone() {
    assert_connection_is_restarted("connection-prices:end:after=10");
}

#[test]
fn a_connection_that_freezes_is_restarted_alone() {
    assert_connection_is_restarted("connection-prices:freeze:after=10");
}

#[test]
fn a_writer_that_panics_is_restarted_and_what_it_held_is_counted() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = setup(&feed, &redis, "writer-0:panic:after=2").set("WRITER_SHARDS", "1").start_ready();
    let sessions = feed.handshakes().len();
    let sent = send_until(&feed, "price", || restarts(&service, "writer-0") > 0);
    let last = payload("price", "SPY", sent);
    feed.send("price:SPY", &last);
    wait_until_stored(&redis, "uw:ws:price:SPY", &last);
    let metrics = service.wait_until_settled();
    let stored = entries(&redis, "uw:ws:price:SPY");
    let dropped = metrics.sum("uw_ws_events_dropped_total", &[("reason", "crash")]);
    assert_eq!(stored.len() as u64 + dropped, sent + 1, "stored, or counted as lost");
    // what is there is in order and there once
    let sent = feed.sent()["price:SPY"].clone();
    let positions: Vec<_> = stored
        .iter()
        .map(|entry| sent.iter().position(|payload| payload.as_bytes() == entry.payload).unwrap())
        .collect();
    assert!(positions.is_sorted_by(|a, b| a < b), "{positions:?}");
    assert!(stored.is_sorted_by(|a, b| a.id < b.id));
    assert_eq!(feed.handshakes().len(), sessions, "the connections keep their sessions");
    service.finish();
}

#[test]
fn a_writer_whose_committer_freezes_is_restarted_and_nothing_is_lost() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    // its ingest and the snapshots beside it get on
    let service = setup(&feed, &redis, "writer-0:freeze:after=2").set("WRITER_SHARDS", "1").start_ready();
    let sent = send_until(&feed, "price", || restarts(&service, "writer-0") > 0);
    let last = payload("price", "SPY", sent);
    feed.send("price:SPY", &last);
    wait_until_stored(&redis, "uw:ws:price:SPY", &last);
    service.wait_until_settled();
    assert_stream_holds(&redis, "uw:ws:price:SPY", &feed.sent()["price:SPY"]);
    service
        .wait_for_log("actor frozen", |record| record.msg == "actor frozen" && record.mentions("writer-0"));
    assert_eq!(service.get("/healthz").0, 200);
    service.finish();
}

#[test]
fn too_many_crashes_drain_what_there_is_and_end_the_process_with_70() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let mut service = setup(&feed, &redis, "connection-prices:panic:after=10:times=100")
        .set("RESTART_INTENSITY", "2")
        .set("RESTART_PERIOD_SECONDS", "60")
        .start_ready();
    let trades = payloads("option_trades", "SPY", 0, 100);
    feed.send_all("option_trades:SPY", &trades);
    let mut code = None;
    send_until(&feed, "price", || {
        code = service.exit_code();
        code.is_some()
    });
    assert_eq!(code, Some(70));
    service.wait_for_exit(SOON);
    assert_stream_holds(&redis, "uw:ws:option_trades:SPY", &trades);
    assert_eq!(service.count_logs("supervisor gives up"), 1);
    service.assert_no_secret();
}
