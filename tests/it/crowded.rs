//! A Redis that has as many connections as it may: its words reach every place where people look, and what could not be
//! written is written once there is room.

use deadpool_redis::redis::{Connection, cmd};

use crate::support::oracle::assert_streams_equal;
use crate::support::sample::payload;
use crate::support::{Feed, RedisServer, SOON, Service, wait_for};

const TARGETS: [&str; 2] = ["SPY", "QQQ"];
const WORDS: &str = "max number of clients reached";

/// Accepts no further connection.
fn close(redis: &RedisServer) -> Connection {
    let mut own = redis.connect().unwrap();
    cmd("CONFIG").arg("SET").arg("maxclients").arg(1).exec(&mut own).unwrap();
    own
}

fn open(own: &mut Connection) {
    cmd("CONFIG").arg("SET").arg("maxclients").arg(1000).exec(own).unwrap();
}

/// Ends the connections whose last command is one of these; all but our own if there is none.
fn end_connections(own: &mut Connection, last_commands: &[&str]) -> usize {
    let id: u64 = cmd("CLIENT").arg("ID").query(own).unwrap();
    let list: String = cmd("CLIENT").arg("LIST").query(own).unwrap();
    let field = |line: &str, name: &str| {
        line.split(' ').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
    };
    let is_meant = |line: &&str| {
        last_commands.is_empty()
            || field(line, "cmd").is_some_and(|cmd| last_commands.contains(&cmd.as_str()))
    };
    let ids = list.lines().filter(is_meant).filter_map(|line| field(line, "id"));
    let others: Vec<String> = ids.filter(|other| *other != id.to_string()).collect();
    for other in &others {
        cmd("CLIENT").arg("KILL").arg("ID").arg(other).query::<u64>(own).unwrap();
    }
    others.len()
}

/// Waits until `/readyz` has a reason about the subject with the words of Redis.
#[track_caller]
fn wait_for_reason(service: &Service, subject: &str) {
    wait_for(&format!("{subject} is a reason"), SOON, || {
        let (_, text) = service.get("/readyz");
        let reasons: serde_json::Value = serde_json::from_str(&text).unwrap();
        let reasons = reasons.as_array().cloned().unwrap_or_default();
        let is_told = reasons.iter().any(|reason| {
            let text = |key: &str| reason[key].as_str().unwrap_or_default().to_owned();
            text("subject").starts_with(subject) && text("detail").contains(WORDS)
        });
        if is_told { Ok(()) } else { Err(text) }
    });
}

/// Waits until the hash of the newest trade is that of the last event.
#[track_caller]
fn wait_for_newest(redis: &RedisServer, expected: &str) {
    wait_for("the newest event is in its hash", SOON, || {
        let newest: Option<String> = redis.command(&["HGET", "uw:ws:latest:option_trades:SPY", "payload"]);
        if newest.as_deref() == Some(expected) { Ok(()) } else { Err(format!("{newest:?}")) }
    });
}

#[test]
fn a_redis_without_room_is_quoted_by_every_part_and_gets_everything_later() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    feed.send_all_channels(&TARGETS, 5);
    assert_streams_equal(&feed, &redis, &TARGETS);
    let mut own = close(&redis);
    end_connections(&mut own, &[]);
    feed.send("option_trades:SPY", &payload("option_trades", "SPY", 1_000));
    for subject in ["shard 0", "lease"] {
        wait_for_reason(&service, subject);
    }
    service.wait_for_redis_error(WORDS);
    for message in ["redis unavailable", "lease unconfirmed"] {
        let records = service.records();
        let is_quoted = records.iter().any(|record| record.msg == message && record.mentions(WORDS));
        assert!(is_quoted, "{message}");
    }
    open(&mut own);
    service.wait_until_ready();
    assert_streams_equal(&feed, &redis, &TARGETS);
    wait_for_newest(&redis, &payload("option_trades", "SPY", 1_000));
    service.finish();
}

#[test]
fn a_hash_whose_connection_was_refused_is_written_later_and_counted_once() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    feed.send("option_trades:SPY", &payload("option_trades", "SPY", 1));
    wait_for_newest(&redis, &payload("option_trades", "SPY", 1));
    let mut own = close(&redis);
    wait_for("the connections of the hashes and of the ledger are ended", SOON, || {
        match end_connections(&mut own, &["hset", "set"]) {
            0 => Err("none is seen".to_owned()),
            _ => Ok(()),
        }
    });
    feed.send("option_trades:SPY", &payload("option_trades", "SPY", 2));
    wait_for_reason(&service, "snapshots of shard");
    wait_for_reason(&service, "ledger");
    let metric = |kind| service.metrics().sum("uw_ws_snapshot_writes_total", &[("kind", kind)]);
    let before = metric("latest");
    assert!(
        service
            .records()
            .iter()
            .any(|record| record.msg == "snapshots wait for redis" && record.mentions(WORDS))
    );
    open(&mut own);
    wait_for_newest(&redis, &payload("option_trades", "SPY", 2));
    wait_for("it is counted", SOON, || match metric("latest") {
        after if after == before + 1 => Ok(()),
        after => Err(format!("{before} and {after}")),
    });
    assert_eq!(service.metrics().sum("uw_ws_snapshot_troubles_total", &[("kind", "refused")]), 0);
    service.wait_until_ready();
    service.finish();
}

#[test]
fn a_hash_that_was_refused_because_of_its_key_is_written_once_the_key_is_gone() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let key = "uw:ws:latest:option_trades:SPY";
    redis.command::<()>(&["SET", key, "of somebody else"]);
    let service = Service::start(&feed, &redis);
    feed.send("option_trades:SPY", &payload("option_trades", "SPY", 1));
    service.wait_for_metric("uw_ws_snapshot_troubles_total", &[("kind", "refused")], 1);
    assert_eq!(service.metrics().sum("uw_ws_snapshot_writes_total", &[("kind", "latest")]), 0);
    let is_named = |record: &crate::support::logs::LogRecord| {
        record.msg == "snapshot refused" && record.mentions(key) && record.mentions("WRONGTYPE")
    };
    assert!(service.records().iter().any(is_named));
    redis.command::<u64>(&["DEL", key]);
    wait_for_newest(&redis, &payload("option_trades", "SPY", 1));
    service.finish();
}
