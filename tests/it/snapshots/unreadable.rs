//! A body that is not what its endpoint answers is left alone, said once, counted, and taken up again when REST has
//! written a good one.

use serde_json::json;

use super::{STRIKES, fetch, gamma_at, row_time, strike_row, wait_for_body};
use crate::support::sample;
use crate::support::{Feed, RedisServer, SOON, Service, Setup, wait_for};

const LATEST: &str = "uw:ws:latest:gex_strike:SPY";
const LEFT_ALONE: &str = "rest body left alone";

/// Sends a row and waits until the hashes beside its stream were written.
#[track_caller]
fn send_row(feed: &Feed, redis: &RedisServer, n: u64) {
    let row = sample::strike_row(None, "700", 0, n);
    feed.send("gex_strike:SPY", &row);
    wait_for("the newest event stands in its hash", SOON, || {
        let newest: Option<String> = redis.command(&["HGET", LATEST, "payload"]);
        if newest.as_ref() == Some(&row) { Ok(()) } else { Err(format!("{newest:?}")) }
    });
}

/// Puts something unreadable at the key by `make`, and looks that it stays, while events come, until REST writes, and that
/// `why` is said.
#[track_caller]
fn assert_left_alone(make: &[&str], dump: &[&str], why: &str) {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    redis.command::<()>(make);
    let before: String = format!("{:?}", redis.command::<deadpool_redis::redis::Value>(dump));
    let service = Setup::new(&feed, &redis).set("SNAPSHOT_INTERVAL_MS", "20ms").start_ready();
    for n in 1..=5 {
        // a later row is written when the body of the earlier one has been
        send_row(&feed, &redis, n);
    }
    assert_eq!(format!("{:?}", redis.command::<deadpool_redis::redis::Value>(dump)), before, "it stays");
    service.wait_for_metric("uw_ws_snapshot_troubles_total", &[("kind", "unreadable")], 1);
    let said = |service: &Service| {
        let mut records = service.records();
        records.retain(|record| record.msg == LEFT_ALONE && record.mentions(STRIKES) && record.mentions(why));
        records.len()
    };
    assert_eq!(said(&service), 1, "it is said once");

    // REST's own write needs a key that is a hash
    if redis.command::<String>(&["TYPE", STRIKES]) != "hash" {
        redis.command::<u64>(&["DEL", STRIKES]);
    }
    fetch(&redis, STRIKES, &json!({"data": [strike_row(650, &row_time(60), "1.5")]}));
    // it is found by a look; from then on events are merged into it
    let mut n = 5;
    let body = wait_for("events are in the body again", SOON, || {
        n += 1;
        send_row(&feed, &redis, n);
        let body = wait_for_body(&redis, STRIKES, |_| true);
        if gamma_at(&body, 700).is_some() { Ok(body) } else { Err(body.to_string()) }
    });
    assert_eq!(gamma_at(&body, 650), Some("1.5"));
    assert_eq!(said(&service), 1);
    service.finish();
}

#[test]
fn what_is_not_json_is_left_alone() {
    let not_json =
        ["HSET", STRIKES, "payload", "{\"data\":[", "fetched_at", "2025-10-03T20:14:50.515417+00:00"];
    assert_left_alone(&not_json, &["HGETALL", STRIKES], "it is not a JSON object");
}

#[test]
fn a_body_of_another_shape_is_left_alone() {
    let other = [
        "HSET",
        STRIKES,
        "payload",
        "{\"data\":{\"close\":\"1\"}}",
        "fetched_at",
        "2025-10-03T20:14:50+00:00",
    ];
    assert_left_alone(&other, &["HGETALL", STRIKES], "its `data` is not an array");
}

#[test]
fn a_key_that_is_no_hash_is_left_alone() {
    assert_left_alone(&["SET", STRIKES, "what is this?"], &["GET", STRIKES], "WRONGTYPE");
}
