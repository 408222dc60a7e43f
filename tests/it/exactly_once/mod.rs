//! Read means kept: one test for each way in which an event could be lost, doubled or put out of order.
//!
//! What [`crate::chaos`] does at random and all at once is done here alone and at the worst moment. Refusals of a Redis
//! that answers are in [`crate::redis_faults`].

mod deaths;
mod disk;
mod foreign;
mod forgetting;
mod line;
mod lives;
mod memory;
mod repeats;
mod upgrade;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::support::oracle::assert_streams_equal;
use crate::support::proxy::Proxy;
use crate::support::sample::payloads;
use crate::support::{Feed, RedisServer, SOON, Service, Setup, wait_for, wait_until};

const TARGETS: [&str; 2] = ["SPY", "QQQ"];
/// Events of a topic and round.
const COUNT: u64 = 30;
const TOPICS: [(&str, &str); 5] = [
    ("price", "SPY"),
    ("option_trades", "SPY"),
    ("option_trades", "QQQ"),
    ("gex_strike", "SPY"),
    ("gex", "QQQ"),
];

/// The proxy in front of Redis.
fn line_to(redis: &RedisServer) -> Proxy {
    Proxy::start(SocketAddr::from(([127, 0, 0, 1], redis.port())))
}

/// The service, with the proxy between it and Redis.
fn through(line: &Proxy, feed: &Feed, redis: &RedisServer) -> Setup {
    Setup::new(feed, redis).set("REDIS_URL", &format!("redis://{}/0", line.address()))
}

/// Sends events of several channels, with one that has two streams an event among them.
fn send(feed: &Feed, round: u64) {
    let first = round * COUNT;
    for (channel, symbol) in TOPICS {
        feed.send_all(&format!("{channel}:{symbol}"), &payloads(channel, symbol, first, COUNT));
    }
    feed.send_all("flow-alerts", &payloads("flow-alerts", "SPY", first, COUNT));
}

fn sent(feed: &Feed) -> u64 {
    feed.sent().values().map(|payloads| payloads.len() as u64).sum()
}

/// Waits until the process has read so many events and has them all on disk.
#[track_caller]
fn wait_until_on_disk(service: &Service, read: u64, on_disk: u64) {
    service.wait_for_metric("uw_ws_events_received_total", &[], read);
    service.wait_for_metric("uw_ws_spool_events", &[], on_disk);
}

/// Lets nobody wait for the lease of a process that was killed.
fn forget_owner(redis: &RedisServer) {
    // there may be no Redis at the moment
    drop(redis.try_command::<u64>(&["DEL", "uw:ws:owner"]));
}

/// Another life in the same folder, listening to the same feed.
#[track_caller]
fn start_again(setup: &Setup, feed: &Feed, redis: &RedisServer) -> Service {
    forget_owner(redis);
    let gone = || feed.open_sessions() == 0;
    wait_until("the feed has seen the end", SOON, gone, || format!("{} sessions", feed.open_sessions()));
    let service = setup.clone().start();
    let mut topics: Vec<String> = TOPICS.map(|(channel, symbol)| format!("{channel}:{symbol}")).into();
    topics.push("flow-alerts".to_owned());
    feed.wait_for_joins(&topics.iter().map(String::as_str).collect::<Vec<_>>());
    service
}

/// The entries of the gap ledger, in order.
fn gaps(redis: &RedisServer) -> Vec<BTreeMap<String, String>> {
    let entries: Vec<(String, BTreeMap<String, String>)> = redis.command(&["XRANGE", "uw:ws:gaps", "-", "+"]);
    entries.into_iter().map(|(_, fields)| fields).collect()
}

/// The reasons in the gap ledger, in order.
fn gap_reasons(redis: &RedisServer) -> Vec<String> {
    gaps(redis).into_iter().map(|gap| gap["reason"].clone()).collect()
}

/// How many events the gap ledger says are lost for a reason.
fn lost_events(redis: &RedisServer, reason: &str) -> u64 {
    let gaps = gaps(redis).into_iter().filter(|gap| gap["reason"] == reason);
    gaps.map(|gap| gap["events"].parse::<u64>().unwrap()).sum()
}

#[track_caller]
fn wait_for_gap(redis: &RedisServer, reason: &str) {
    wait_for(&format!("the ledger has `{reason}`"), SOON, || {
        let reasons = gap_reasons(redis);
        if reasons.iter().any(|found| found == reason) { Ok(()) } else { Err(format!("{reasons:?}")) }
    });
}

/// How every test ends.
#[track_caller]
fn assert_all_is_there(service: Service, feed: &Feed, redis: &RedisServer) {
    assert_streams_equal(feed, redis, &TARGETS);
    service.wait_until_ready();
    service.finish();
}
