//! Redis confirms entries of the gap ledger and forgets them: they are written again under their own ids, once.

use std::collections::BTreeMap;

use rustix::process::Signal;

use crate::support::{Feed, RedisServer, SOON, Service, Setup, wait_for};

const STREAM: &str = "uw:ws:gaps";

type Entry = (String, BTreeMap<String, String>);

fn setup(feed: &Feed, redis: &RedisServer) -> Setup {
    Setup::new(feed, redis).set("CHANNELS", "price")
}

fn ledger(redis: &RedisServer) -> Vec<Entry> {
    redis.try_command(&["XRANGE", STREAM, "-", "+"]).unwrap_or_default()
}

/// Waits until the ledger has as many entries, and gives them.
#[track_caller]
fn wait_for_gaps(redis: &RedisServer, count: usize) -> Vec<Entry> {
    wait_for("the gaps are on record", SOON, || {
        let entries = ledger(redis);
        if entries.len() >= count { Ok(entries) } else { Err(format!("{entries:?}")) }
    })
}

/// Waits until the state on disk holds this many entries that Redis has confirmed and none that waits.
#[track_caller]
fn wait_until_confirmed(service: &Service, count: usize) {
    let path = service.folder().join("data/spool/ledger/state.json");
    wait_for("the state has the entries as written", SOON, || {
        let state: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap_or_default()).unwrap_or_default();
        let length = |entries: &serde_json::Value| entries.as_array().map_or(0, Vec::len);
        if (length(&state["written"]["entries"]), length(&state["waiting"])) == (count, 0) {
            Ok(())
        } else {
            Err(state.to_string())
        }
    });
}

/// Ends the session and waits until its gap is the last of `count`.
#[track_caller]
fn make_gap(feed: &Feed, service: &Service, redis: &RedisServer, count: usize) -> Vec<Entry> {
    service.wait_until_ready();
    feed.cut_all();
    let gaps = wait_for_gaps(redis, count);
    service.wait_until_ready();
    gaps
}

#[test]
fn an_entry_that_redis_confirmed_and_lost_is_there_again_once_before_any_new_one() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start());
    let service = setup(&feed, &redis).start_ready();
    let first = make_gap(&feed, &service, &redis, 1);
    redis.restart(&[]);
    assert_eq!(wait_for_gaps(&redis, 1), first);
    // and again, with what came in between
    let both = make_gap(&feed, &service, &redis, 2);
    assert_eq!(both[..1], first[..]);
    redis.restart(&[]);
    assert_eq!(wait_for_gaps(&redis, 2), both);
    let all = make_gap(&feed, &service, &redis, 3);
    assert_eq!(all[..2], both[..]);
    let told = |record: &crate::support::logs::LogRecord| record.msg == "redis had lost gaps";
    assert_eq!(service.wait_for_log("the loss", told).keys["written_again"], 1);
    service.finish();
    assert_eq!(ledger(&redis), all);
}

#[test]
fn an_entry_that_redis_lost_while_the_process_was_dead_is_there_again_once() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start());
    let mut service = setup(&feed, &redis).start_ready();
    let first = make_gap(&feed, &service, &redis, 1);
    wait_until_confirmed(&service, 1);
    service.signal(Signal::KILL);
    service.wait_for_exit(SOON);
    redis.restart(&[]);
    let service = service.start_again(&setup(&feed, &redis));
    // that of the death follows
    let gaps = wait_for_gaps(&redis, 2);
    assert_eq!((&gaps[..1], &*gaps[1].1["reason"]), (&first[..], "crash"));
    service.wait_until_ready();
    service.finish();
    assert_eq!(ledger(&redis), gaps);
}
