//! Somebody else writes where only the service should.

use super::{COUNT, TARGETS, send};
use crate::support::oracle::{assert_stream_holds, assert_streams_equal, entries};
use crate::support::sample::payloads;
use crate::support::{Feed, RedisServer, SOON, Service, Setup, wait_for};

/// The greatest id that there is: nothing can be above it.
const GREATEST: &str = "18446744073709551615-18446744073709551615";
const FOREIGN: &str = r#"{"foreign":true}"#;

fn write(redis: &RedisServer, key: &str, id: &str) {
    // one that was restarted loads its data first
    wait_for("somebody else has written", SOON, || {
        let written = redis.try_command::<String>(&["XADD", key, id, "payload", FOREIGN]);
        written.map(drop).map_err(|error| error.to_string())
    });
}

/// An id so far in the future.
fn ahead(ms: u64) -> String {
    format!("{}-7", uw_websocket_actors::wall_clock::unix_micros() / 1000 + ms)
}

/// The stream without the foreign entries holds what was sent, under rising ids.
#[track_caller]
fn assert_holds_ours(redis: &RedisServer, key: &str, payloads: &[String]) {
    let all = entries(redis, key);
    assert!(all.is_sorted_by(|a, b| a.id < b.id), "ids of {key} rise");
    let ours = all.iter().map(|entry| &entry.payload[..]).filter(|payload| *payload != FOREIGN.as_bytes());
    assert!(ours.eq(payloads.iter().map(String::as_bytes)), "{key}");
}

#[test]
fn ids_go_on_above_a_foreign_entry_of_the_future_whenever_it_was_written() {
    const KEYS: [&str; 3] = ["uw:ws:price:SPY", "uw:ws:flow-alerts", "uw:ws:flow-alerts:SPY"];
    let (feed, redis) = (Feed::start(), RedisServer::start());
    // one of them before the start, and for one of two streams of an event
    write(&redis, KEYS[1], &ahead(3_600_000));
    let service = Service::start(&feed, &redis);
    for round in 0..6 {
        send(&feed, round);
        let streams = if round % 2 == 0 { &KEYS[..] } else { &KEYS[2..] };
        for key in streams {
            write(&redis, key, &ahead(10_000_000_000 * (round + 1)));
        }
    }
    send(&feed, 6);
    service.wait_for_metric("uw_ws_events_received_total", &[], 7 * 6 * COUNT);
    let metrics = service.wait_until_settled();
    let (prices, alerts) = (&feed.sent()["price:SPY"], &feed.sent()["flow-alerts"]);
    assert_holds_ours(&redis, KEYS[0], prices);
    assert_holds_ours(&redis, KEYS[1], alerts);
    assert_holds_ours(&redis, KEYS[2], alerts);
    assert_eq!(metrics.sum("uw_ws_events_stored_total", &[]), 7 * 6 * COUNT);
    service.finish();
}

#[test]
fn a_backlog_on_disk_gets_ids_above_a_foreign_entry_that_came_while_redis_was_away_from_us() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start_durable());
    let setup = Setup::new(&feed, &redis);
    let mut service = setup.clone().start_ready();
    send(&feed, 0);
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.wait_until_settled();
    redis.kill9();
    send(&feed, 1);
    super::wait_until_on_disk(&service, super::sent(&feed), 6 * COUNT);
    service.kill9();
    redis.restart(&[]);
    write(&redis, "uw:ws:price:SPY", &ahead(3_600_000));
    let service = super::start_again(&setup, &feed, &redis);
    send(&feed, 2);
    service.wait_for_metric("uw_ws_events_received_total", &[], 6 * COUNT);
    service.wait_until_settled();
    assert_holds_ours(&redis, "uw:ws:price:SPY", &feed.sent()["price:SPY"]);
    assert_stream_holds(&redis, "uw:ws:gex:QQQ", &feed.sent()["gex:QQQ"]);
    service.finish();
}

#[test]
fn what_is_stored_and_kept_on_disk_keeps_its_ids_when_later_events_get_new_ones() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start_durable());
    let setup = Setup::new(&feed, &redis).set("SPOOL_KEEP", "10m").set("WRITER_SHARDS", "1");
    let mut service = setup.clone().start_ready();
    send(&feed, 0);
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.wait_until_settled();
    redis.kill9();
    send(&feed, 1);
    super::wait_until_on_disk(&service, super::sent(&feed), 6 * COUNT);
    redis.restart(&[]);
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.wait_until_settled();
    let id = ahead(3_600_000);
    write(&redis, "uw:ws:price:SPY", &id);
    redis.command::<u64>(&["XDEL", "uw:ws:price:SPY", &id]);
    send(&feed, 2);
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.wait_until_settled();
    assert_eq!(service.terminate(), Some(0));
    let service = super::start_again(&setup, &feed, &redis);
    send(&feed, 3);
    service.wait_until_settled();
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.finish();
}

#[test]
fn a_stream_whose_id_cannot_be_exceeded_is_put_aside_and_the_others_go_on() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    write(&redis, "uw:ws:price:SPY", GREATEST);
    assert_put_aside(&feed, &redis, 1);
}

#[test]
fn a_key_of_another_type_puts_its_events_aside_and_the_others_go_on() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    redis.command::<()>(&["SET", "uw:ws:price:SPY", "not a stream"]);
    assert_put_aside(&feed, &redis, 0);
}

/// The prices of SPY cannot be stored; they go to quarantine, and nothing else does.
#[track_caller]
fn assert_put_aside(feed: &Feed, redis: &RedisServer, foreign: usize) {
    // one shard, so that good and bad are in one transaction
    let service = Setup::new(feed, redis).set("WRITER_SHARDS", "1").start_ready();
    let (bad, good) = (payloads("price", "SPY", 0, 50), payloads("price", "QQQ", 0, 50));
    for (bad, good) in bad.iter().zip(&good) {
        feed.send_all("price:SPY", std::slice::from_ref(bad));
        feed.send_all("price:QQQ", std::slice::from_ref(good));
    }
    service.wait_for_metric("uw_ws_events_quarantined_total", &[("channel", "price")], 50);
    let metrics = service.wait_until_settled();
    assert_eq!(metrics.sum("uw_ws_events_stored_total", &[("channel", "price")]), 50);
    assert_eq!(metrics.sum("uw_ws_events_dropped_total", &[]), 0);
    assert_stream_holds(redis, "uw:ws:price:QQQ", &good);
    if foreign > 0 {
        assert_eq!(entries(redis, "uw:ws:price:SPY").len(), foreign);
    }
    service.wait_until_ready();
    service.finish();
}
