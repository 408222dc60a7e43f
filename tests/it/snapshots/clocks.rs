//! Times of the future, in Redis and from the feed: they count as of now, so that what comes later is newer.

use serde_json::json;

use super::{STRIKES, fetch, gamma_at, row_time, strike_row, wait_for_body};
use crate::support::sample;
use crate::support::{Feed, RedisServer, Setup};

fn setup(feed: &Feed, redis: &RedisServer) -> Setup {
    Setup::new(feed, redis).set("SNAPSHOT_INTERVAL_MS", "20ms")
}

/// A row of the feed for a strike, so many seconds after now.
fn row(strike: u64, seconds: i64, gamma: &str) -> String {
    let at = jiff::Timestamp::now().as_millisecond() + seconds * 1000;
    format!(
        r#"{{"ticker":"SPY","timestamp":{at},"call_gamma_oi":"{gamma}","strike":"{strike}","price":"562.96"}}"#
    )
}

#[test]
fn a_body_that_was_fetched_in_the_future_gives_way_to_the_next_answer() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let poison = json!({"data": [strike_row(650, &row_time(60), "9")]}).to_string();
    redis.command::<i64>(&["HSET", STRIKES, "payload", &poison, "fetched_at", "2099-01-01T00:00:00+00:00"]);
    let service = setup(&feed, &redis).start_ready();
    feed.send("gex_strike:SPY", &row(700, 0, "1"));
    wait_for_body(&redis, STRIKES, |body| gamma_at(body, 700) == Some("1"));
    service.wait_for_metric("uw_ws_distrusted_total", &[("kind", "future")], 1);
    let told = |record: &crate::support::logs::LogRecord| record.msg == "time of the future";
    assert!(service.wait_for_log("the poison", told).mentions(STRIKES));
    assert!(service.status()["distrusted"]["future"].as_u64() >= Some(1));

    fetch(&redis, STRIKES, &json!({"data": [strike_row(650, &row_time(0), "1.5")]}));
    feed.send("gex_strike:SPY", &row(710, 0, "2"));
    let is_new = |body: &serde_json::Value| gamma_at(body, 710) == Some("2");
    let body = wait_for_body(&redis, STRIKES, is_new);
    assert_eq!(gamma_at(&body, 650), Some("1.5"), "{body}");
    service.finish();
}

#[test]
fn a_row_of_the_future_gives_way_to_the_next_one() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    fetch(&redis, STRIKES, &json!({"data": [strike_row(700, "2099-01-01T00:00:00.000000Z", "9")]}));
    let service = setup(&feed, &redis).start_ready();
    // minutes ahead, and so far that nothing would ever be newer
    for (seconds, gamma) in [(600, "1"), (0, "2"), (3_000_000_000, "3"), (0, "4")] {
        feed.send("gex_strike:SPY", &row(700, seconds, gamma));
        wait_for_body(&redis, STRIKES, |body| gamma_at(body, 700) == Some(gamma));
    }
    service.wait_for_metric("uw_ws_distrusted_total", &[("kind", "future")], 2);
    service.finish();
}

#[test]
fn a_row_of_the_future_does_not_hold_up_a_map() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = setup(&feed, &redis).start_ready();
    let by_expiry =
        |seconds, gamma| row(700, seconds, gamma).replace(r#""strike""#, r#""expiry":"2099-01-02","strike""#);
    // both wait for the same write of the hash
    feed.send("gex_strike_expiry:SPY", &by_expiry(3_000_000_000, "1"));
    let newest = by_expiry(0, "2");
    feed.send("gex_strike_expiry:SPY", &newest);
    crate::support::wait_for("the map has the newest row", crate::support::SOON, || {
        let cell: Option<String> =
            redis.command(&["HGET", "uw:ws:map:gex_strike_expiry:SPY", "2099-01-02:700"]);
        if cell.as_ref() == Some(&newest) { Ok(()) } else { Err(format!("{cell:?}")) }
    });
    service.wait_for_metric("uw_ws_distrusted_total", &[("kind", "future")], 1);
    service.finish();
}

#[test]
fn a_hash_of_the_newest_event_that_is_of_the_future_is_written_all_the_same() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let latest = "uw:ws:latest:gex_strike:SPY";
    redis.command::<i64>(&[
        "HSET",
        latest,
        "stream_id",
        "4070908800000-0",
        "payload",
        &row(1, 3_000_000_000, "1"),
    ]);
    let service = setup(&feed, &redis).start_ready();
    let event = sample::strike_row(None, "700", 0, 1);
    feed.send("gex_strike:SPY", &event);
    crate::support::wait_for("the newest event stands there", crate::support::SOON, || {
        let newest: Option<String> = redis.command(&["HGET", latest, "payload"]);
        if newest.as_ref() == Some(&event) { Ok(()) } else { Err(format!("{newest:?}")) }
    });
    service.wait_for_metric("uw_ws_distrusted_total", &[("kind", "future")], 1);
    service.finish();
}
