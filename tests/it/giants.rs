//! Values that somebody else has made giant: they are left alone, said once, counted and shown; nothing else waits for
//! them, and neither memory nor logs grow with them.

use serde_json::json;

use crate::support::sample::{NOON_MS, payload};
use crate::support::{Feed, RedisServer, SOON, Service, Setup, wait_for, wait_until};

const MIB: usize = 1024 * 1024;
/// What the README promises, whatever Redis holds.
const MEMORY: u64 = 256 * 1024 * 1024;
/// More than everything that the service says in one of these tests.
const OUTPUT: usize = MIB;
const LEFT_ALONE: &str = "rest body left alone";

/// All bodies that the events of two symbols keep fresh.
const BODIES: [&str; 8] = [
    "uw:rest:flow_alerts:SPY",
    "uw:rest:flow_alerts:QQQ",
    "uw:rest:stock_state:SPY",
    "uw:rest:stock_state:QQQ",
    "uw:rest:spot_exposures:SPY",
    "uw:rest:spot_exposures:QQQ",
    "uw:rest:spot_exposures_strike:SPY",
    "uw:rest:spot_exposures_strike:QQQ",
];
const TOPICS: [&str; 7] =
    ["flow-alerts", "price:SPY", "price:QQQ", "gex:SPY", "gex:QQQ", "gex_strike:SPY", "gex_strike:QQQ"];

/// Makes a field of a hash so large, without a copy of it here.
fn blow_up(redis: &RedisServer, key: &str, field: &str, bytes: usize) {
    let make = "return redis.call('HSET', KEYS[1], ARGV[1], string.rep('x', tonumber(ARGV[2])))";
    redis.command::<i64>(&["EVAL", make, "1", key, field, &bytes.to_string()]);
}

fn setup(feed: &Feed, redis: &RedisServer) -> Setup {
    Setup::new(feed, redis).set("WRITER_SHARDS", "1").set("SNAPSHOT_INTERVAL_MS", "20ms")
}

/// Sends an event of each topic and waits until the hashes of the newest events have them.
#[track_caller]
fn send_all(feed: &Feed, redis: &RedisServer, n: u64) {
    for (at, topic) in (0..).zip(TOPICS) {
        let (channel, symbol) = topic.split_once(':').unwrap_or((topic, "SPY"));
        // events of two symbols with equal bytes would be duplicates
        let event = payload(channel, symbol, 10 * n + at);
        feed.send(topic, &event);
        let hash = format!("uw:ws:latest:{topic}");
        wait_for(&format!("{hash} has the newest event"), SOON, || {
            let newest: Option<String> = redis.command(&["HGET", &hash, "payload"]);
            if newest.as_ref() == Some(&event) { Ok(()) } else { Err("not yet".to_owned()) }
        });
    }
}

fn sent_by(redis: &RedisServer) -> u64 {
    let info: String = redis.command(&["INFO", "stats"]);
    let line = info.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:")).unwrap();
    line.trim().parse().unwrap()
}

/// The service has said little and never had much in memory.
#[track_caller]
fn finish_small(service: Service) {
    let (peak, output) = (service.peak_resident_bytes(), service.output().len());
    println!("peak of {} MiB, {output} bytes of log", peak / MIB as u64);
    assert!(peak < MEMORY, "{peak}");
    assert!(output < OUTPUT, "{output}");
    service.finish();
}

#[track_caller]
fn assert_shown(service: &Service, at_least: u64) {
    service.wait_for_metric("uw_ws_distrusted_total", &[("kind", "too_large")], at_least);
    assert!(service.status()["distrusted"]["too_large"].as_u64().unwrap() >= at_least);
}

#[test]
fn a_giant_body_is_left_alone_and_not_read_and_the_others_of_its_shard_go_on() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let giant = "uw:rest:spot_exposures_strike:SPY";
    blow_up(&redis, giant, "payload", 70 * MIB);
    redis.command::<i64>(&["HSET", giant, "fetched_at", "2025-10-03T20:14:50+00:00"]);
    let other = "uw:rest:stock_state:SPY";
    let noon = jiff::Timestamp::from_millisecond(i64::try_from(*NOON_MS).unwrap()).unwrap();
    let tape_time = noon.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let state =
        json!({"data": {"close": "1", "high": "1", "low": "1", "tape_time": tape_time, "total_volume": 1}});
    redis.command::<i64>(&["HSET", other, "payload", &state.to_string(), "fetched_at", &tape_time]);
    let service = setup(&feed, &redis).start_ready();
    let before = sent_by(&redis);
    (0..3).for_each(|n| send_all(&feed, &redis, n));
    // it is found when it is looked at next, too
    service.wait_for_metric("uw_ws_snapshot_writes_total", &[("kind", "rest")], 2);
    redis.command::<i64>(&["HSET", giant, "fetched_at", "2025-10-03T20:15:50+00:00"]);
    let said = || {
        let records = service.records();
        records.iter().filter(|record| record.msg == LEFT_ALONE && record.mentions(giant)).count()
    };
    assert_shown(&service, 2);
    (3..6).for_each(|n| send_all(&feed, &redis, n));
    assert_eq!(said(), 1);
    assert_eq!(redis.command::<u64>(&["HSTRLEN", giant, "payload"]), 70 * MIB as u64);
    let sent = sent_by(&redis) - before;
    assert!(sent < 70 * MIB as u64, "it was read: {sent} bytes");
    finish_small(service);
}

#[test]
fn eight_giant_bodies_and_times_take_no_memory() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    for (n, key) in BODIES.into_iter().enumerate() {
        let (large, small) = if n % 4 == 3 { ("fetched_at", "payload") } else { ("payload", "fetched_at") };
        blow_up(&redis, key, large, 60 * MIB);
        redis.command::<i64>(&["HSET", key, small, "2025-10-03T20:14:50+00:00"]);
    }
    let service = setup(&feed, &redis).start_ready();
    (0..3).for_each(|n| send_all(&feed, &redis, n));
    assert_shown(&service, 7);
    finish_small(service);
}

#[test]
fn bodies_as_large_as_bodies_may_be_are_read_within_the_bound() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    for key in BODIES {
        blow_up(&redis, key, "payload", 8 * MIB);
        redis.command::<i64>(&["HSET", key, "fetched_at", "2025-10-03T20:14:50+00:00"]);
    }
    let service = setup(&feed, &redis).start_ready();
    (0..3).for_each(|n| send_all(&feed, &redis, n));
    service.wait_for_metric("uw_ws_snapshot_troubles_total", &[("kind", "unreadable")], 7);
    finish_small(service);
}

#[test]
fn giant_entries_and_hashes_of_newest_events_hold_up_nothing() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    for topic in TOPICS {
        blow_up(&redis, &format!("uw:ws:latest:{topic}"), "payload", 20 * MIB);
        let add = "return redis.call('XADD', KEYS[1], '5-5', 'payload', string.rep('x', 20971520))";
        redis.command::<String>(&["EVAL", add, "1", &format!("uw:ws:{topic}")]);
    }
    let service = setup(&feed, &redis).start_ready();
    (0..3).for_each(|n| send_all(&feed, &redis, n));
    // over another connection everything is looked up again
    redis.command::<u64>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    (3..6).for_each(|n| send_all(&feed, &redis, n));
    finish_small(service);
}

#[test]
fn a_giant_owner_is_nobody_and_takes_neither_memory_nor_log() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    redis.command::<u64>(&["SETRANGE", "uw:ws:owner", "314572800", "x"]);
    let service = setup(&feed, &redis).start();
    let told = |record: &crate::support::logs::LogRecord| {
        record.msg == "lease unconfirmed" && record.mentions("314572801")
    };
    service.wait_for_log("whose it is not", told);
    assert!(service.wait_until_not_ready().contains("\"lease\""));
    assert_shown(&service, 1);
    redis.command::<u64>(&["DEL", "uw:ws:owner"]);
    service.wait_until_ready();
    finish_small(service);
}

#[test]
fn a_giant_state_of_the_ledger_is_not_read() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    redis.command::<u64>(&["SETRANGE", "uw:ws:ledger", "314572800", "x"]);
    let service = setup(&feed, &redis).start_ready();
    let told = |record: &crate::support::logs::LogRecord| {
        record.msg == "state of the ledger not readable" && record.mentions("314572801")
    };
    service.wait_for_log("its length", told);
    assert_shown(&service, 1);
    let length = || redis.command::<u64>(&["STRLEN", "uw:ws:ledger"]);
    wait_until("the key has our state", SOON, || length() < OUTPUT as u64, || length().to_string());
    finish_small(service);
}
