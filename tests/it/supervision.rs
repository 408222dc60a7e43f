//! Crashes of children: restarted alone, counted, with what they held accounted for; too many end the process.

use crate::support::oracle::{assert_stream_holds, entries};
use crate::support::sample::payloads;
use crate::support::{Feed, RedisServer, SOON, Service, Setup, wait_for};

const TOPICS: [&str; 3] = ["price:SPY", "option_trades:SPY", "gex:SPY"];

fn setup(feed: &Feed, redis: &RedisServer, fault: &str) -> Setup {
    Setup::new(feed, redis).set("UW_WEBSOCKET_FAULT", fault)
}

fn restarts(service: &Service, child: &str) -> u64 {
    service.metrics().sum("uw_ws_actor_restarts_total", &[("actor", child)])
}

#[track_caller]
fn wait_for_restarts(service: &Service, child: &str, at_least: u64) {
    service.wait_for_metric("uw_ws_actor_restarts_total", &[("actor", child)], at_least);
}

/// The child breaks in this way once; its siblings keep their sessions and everything works again.
#[track_caller]
fn assert_connection_is_restarted(fault: &str) {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = setup(&feed, &redis, fault).start_ready();
    let sessions = feed.handshakes().len();
    let trades = payloads("option_trades", "SPY", 0, 200);
    for (n, chunk) in trades.chunks(10).enumerate() {
        feed.send_all("option_trades:SPY", chunk);
        if n == 0 {
            feed.send_all("price:SPY", &payloads("price", "SPY", 0, 10));
            wait_for_restarts(&service, "prices", 1);
        }
    }
    feed.wait_for_joins(&TOPICS);
    service.wait_until_ready();
    feed.send_all("price:SPY", &payloads("price", "SPY", 10, 10));
    wait_for("the events after the restart are stored", SOON, || {
        let stored = entries(&redis, "uw:ws:price:SPY");
        let last = payloads("price", "SPY", 19, 1).remove(0);
        if stored.last().is_some_and(|entry| entry.payload == last.as_bytes()) {
            Ok(())
        } else {
            Err(stored.len().to_string())
        }
    });
    service.wait_until_settled();
    assert_stream_holds(&redis, "uw:ws:option_trades:SPY", &trades);
    assert_eq!(feed.handshakes().len(), sessions + 1, "the siblings keep their sessions");
    assert_eq!(restarts(&service, "prices"), 1);
    assert_eq!(service.metrics().sum("uw_ws_actor_restarts_total", &[]), 1);
    assert_eq!(service.get("/healthz").0, 200);
    service.wait_for_log("the crash", |record| record.level == "error" && record.mentions("prices"));
    service.finish();
}

#[test]
fn a_connection_that_panics_is_restarted_alone() {
    assert_connection_is_restarted("prices:panic");
}

#[test]
fn a_connection_that_ends_by_itself_is_restarted_alone() {
    assert_connection_is_restarted("prices:end");
}

#[test]
fn a_writer_that_panics_is_restarted_and_what_it_held_is_counted() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = setup(&feed, &redis, "writer-0:panic:after=2").set("WRITER_SHARDS", "1").start_ready();
    let sessions = feed.handshakes().len();
    for n in 0..50 {
        feed.send_all("price:SPY", &payloads("price", "SPY", n * 10, 10));
    }
    wait_for_restarts(&service, "writer-0", 1);
    feed.send_all("price:SPY", &payloads("price", "SPY", 500, 10));
    let metrics = wait_for("the last events are stored", SOON, || {
        let metrics = service.metrics();
        metrics.check_conservation()?;
        let last = payloads("price", "SPY", 509, 1).remove(0);
        let stored = entries(&redis, "uw:ws:price:SPY");
        if stored.last().is_some_and(|entry| entry.payload == last.as_bytes()) {
            Ok(metrics)
        } else {
            Err(stored.len().to_string())
        }
    });
    drop(metrics);
    let metrics = service.wait_until_settled();
    let stored = entries(&redis, "uw:ws:price:SPY");
    let lost = metrics.sum("uw_ws_events_dropped_total", &[("reason", "crash")]);
    assert_eq!(stored.len() as u64 + lost, 510, "stored, or counted as lost");
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
fn too_many_crashes_drain_what_there_is_and_end_the_process_with_70() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let mut service = setup(&feed, &redis, "prices:panic:times=100")
        .set("RESTART_INTENSITY", "2")
        .set("RESTART_PERIOD_SECONDS", "60")
        .start_ready();
    let trades = payloads("option_trades", "SPY", 0, 100);
    feed.send_all("option_trades:SPY", &trades);
    std::thread::scope(|scope| {
        let pest = scope.spawn(|| {
            // an event for each life of the child, until there is none any more
            let mut n = 0;
            while feed.open_sessions() > 0 {
                feed.try_send("price:SPY", &payloads("price", "SPY", n, 1));
                n += 1;
                std::thread::park_timeout(std::time::Duration::from_millis(20));
            }
        });
        assert_eq!(service.wait_for_exit(SOON), Some(70));
        pest.join().unwrap();
    });
    assert_stream_holds(&redis, "uw:ws:option_trades:SPY", &trades);
    assert!(service.records().iter().any(|r| matches!(r.level, "error" | "critical") && r.mentions("crash")));
    service.assert_no_secret();
}
