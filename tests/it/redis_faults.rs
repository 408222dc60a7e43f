//! Redis away, refusing, hanging, forgetting who we are: told apart, and not an event lost, doubled or out of order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use deadpool_redis::redis::Connection;

use crate::support::faults::{Fault, LOAD_SLOWLY, fill};
use crate::support::oracle::{assert_stream_holds, assert_streams_equal};
use crate::support::redis::PASSWORD;
use crate::support::sample::payloads;
use crate::support::{Feed, RedisServer, SOON, Service, Setup, wait_for, wait_until};

const TARGETS: [&str; 2] = ["SPY", "QQQ"];

/// Events over all connections and shards, numbered by the round.
fn send(feed: &Feed, round: u64) {
    const COUNT: u64 = 100;
    let first = round * COUNT;
    for (channel, symbol) in [("price", "SPY"), ("option_trades", "QQQ"), ("gex_strike", "SPY")] {
        feed.send_all(&format!("{channel}:{symbol}"), &payloads(channel, symbol, first, COUNT));
    }
    for (channel, symbol) in [("flow-alerts", "SPY"), ("news", "QQQ")] {
        feed.send_all(channel, &payloads(channel, symbol, first, COUNT));
    }
}

/// Sends before, during and after `fault`, and expects the service to name `word` meanwhile and to lose nothing.
#[track_caller]
fn assert_survives(redis: &mut RedisServer, word: &str, begin: impl FnOnce(&mut RedisServer, &Feed) -> Undo) {
    let feed = Feed::start();
    let service = Service::start(&feed, redis);
    send(&feed, 0);
    assert_streams_equal(&feed, redis, &TARGETS);
    let undo = begin(redis, &feed);
    send(&feed, 1);
    service.wait_for_redis_error(word);
    assert!(service.wait_until_not_ready().to_lowercase().contains(&word.to_lowercase()));
    assert_eq!(service.get("/healthz").0, 200, "a restart of the process would not help");
    send(&feed, 2);
    undo(redis);
    send(&feed, 3);
    assert_streams_equal(&feed, redis, &TARGETS);
    service.wait_until_ready();
    assert!(service.records().iter().any(|record| record.mentions(word)), "the log names {word}");
    service.finish();
}

type Undo = Box<dyn FnOnce(&mut RedisServer)>;

#[track_caller]
fn assert_survives_refusal(fault: Fault) {
    let mut redis = RedisServer::start();
    assert_survives(&mut redis, fault.code(), |redis, _| {
        let ongoing = fault.begin(redis);
        Box::new(move |redis| ongoing.end(redis))
    });
}

#[test]
fn survives_a_redis_without_memory() {
    assert_survives_refusal(Fault::OutOfMemory);
}

#[test]
fn survives_a_redis_that_became_a_replica() {
    assert_survives_refusal(Fault::ReadOnly);
}

#[test]
fn survives_a_redis_that_cannot_save() {
    assert_survives_refusal(Fault::Misconfigured);
}

#[test]
fn survives_a_redis_that_misses_its_replicas() {
    assert_survives_refusal(Fault::NoReplicas);
}

#[test]
fn survives_a_redis_that_runs_a_script() {
    assert_survives_refusal(Fault::Busy);
}

fn run(connection: &mut Connection, words: &[&str]) {
    deadpool_redis::redis::cmd(words[0]).arg(&words[1..]).query::<()>(connection).unwrap();
}

#[test]
fn survives_a_redis_that_asks_for_a_password_all_of_a_sudden() {
    // our own commands log in as another user
    let user = ["--user", "test", "on", "nopass", "~*", "&*", "+@all", "--save", "", "--appendonly", "no"];
    let mut redis = RedisServer::start_with(&user, None);
    assert_survives(&mut redis, "NOAUTH", |redis, _| {
        let mut connection = redis.connect_as("test").unwrap();
        run(&mut connection, &["CONFIG", "SET", "requirepass", PASSWORD]);
        run(&mut connection, &["CLIENT", "KILL", "USER", "default"]);
        Box::new(move |_| run(&mut connection, &["CONFIG", "SET", "requirepass", ""]))
    });
}

#[test]
fn survives_a_redis_that_is_killed_and_started_again() {
    let mut redis = RedisServer::start_durable();
    assert_survives(&mut redis, "connect", |redis, _| {
        redis.kill9();
        Box::new(|redis| redis.restart(&[]))
    });
}

#[test]
fn survives_a_redis_that_loads_for_a_while() {
    let mut redis = RedisServer::start_durable();
    fill(&redis, 1_000);
    assert_survives(&mut redis, "LOADING", |redis, _| {
        redis.kill9();
        redis.restart(&LOAD_SLOWLY);
        Box::new(|redis| {
            wait_until(
                "Redis has loaded",
                SOON,
                || redis.try_command::<u64>(&["DBSIZE"]).is_ok(),
                || "loading".to_owned(),
            );
        })
    });
}

#[test]
fn survives_a_redis_that_hangs() {
    let mut redis = RedisServer::start();
    assert_survives(&mut redis, "no answer", |redis, _| {
        redis.pause();
        Box::new(|redis| redis.resume())
    });
}

#[test]
fn survives_a_redis_that_answers_late_so_that_the_outcome_is_unknown() {
    let mut redis = RedisServer::start();
    assert_survives(&mut redis, "no answer", |redis, _| {
        // reads are answered, writes wait: a transaction is applied after its sender has given up
        redis.command::<()>(&["CLIENT", "PAUSE", "600000", "WRITE"]);
        Box::new(|redis| redis.command(&["CLIENT", "UNPAUSE"]))
    });
}

#[test]
fn survives_connections_that_are_cut_in_the_middle_of_batches() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    let mut admin = redis.connect().unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut kill = deadpool_redis::redis::cmd("CLIENT");
            kill.arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"]);
            while !done.load(SeqCst) {
                kill.query::<()>(&mut admin).unwrap();
                std::thread::park_timeout(std::time::Duration::from_millis(30));
            }
        });
        for round in 0..60 {
            send(&feed, round);
        }
        done.store(true, SeqCst);
    });
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.wait_until_ready();
    service.finish();
}

#[test]
fn waits_for_a_redis_that_is_away_at_start() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start());
    redis.kill9();
    let service = Setup::new(&feed, &redis).start();
    feed.wait_for_joins(&["price:SPY", "option_trades:QQQ", "gex_strike:SPY", "flow-alerts", "news"]);
    send(&feed, 0);
    service.wait_for_metric("uw_ws_events_received_total", &[], 500);
    assert!(service.wait_until_not_ready().to_lowercase().contains("redis"));
    redis.restart(&[]);
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.wait_until_ready();
    service.finish();
}

#[test]
fn a_wrong_password_at_start_ends_the_process_with_78() {
    let (feed, redis) = (Feed::start(), RedisServer::with_password());
    for login in ["", ":a-wrong-password@", "nobody:a-wrong-password@"] {
        let url = format!("redis://{login}127.0.0.1:{}/0", redis.port());
        let mut service = Setup::new(&feed, &redis).set("REDIS_URL", &url).start();
        assert_eq!(service.wait_for_exit(SOON), Some(78), "{url}");
        let output = service.output();
        let reason = if login.is_empty() { "NOAUTH" } else { "WRONGPASS" };
        assert!(output.contains(reason), "{reason}: {output}");
        assert!(!output.contains("a-wrong-password"));
    }
}

#[test]
fn a_password_is_used_and_never_shown() {
    let (feed, redis) = (Feed::start(), RedisServer::with_password());
    let service = Setup::new(&feed, &redis).set("LOG_LEVEL", "trace").start_ready();
    send(&feed, 0);
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.finish();
}

#[test]
fn events_for_a_key_of_another_type_are_put_into_quarantine_and_the_others_go_on() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    redis.command::<()>(&["SET", "uw:ws:price:SPY", "not a stream"]);
    let service = Service::start(&feed, &redis);
    let (bad, good) = (payloads("price", "SPY", 0, 50), payloads("price", "QQQ", 0, 50));
    for (bad, good) in bad.iter().zip(&good) {
        feed.send("price:SPY", bad);
        feed.send("price:QQQ", good);
    }
    service.wait_for_metric("uw_ws_events_quarantined_total", &[("channel", "price")], 50);
    let metrics = service.wait_until_settled();
    assert_eq!(metrics.sum("uw_ws_events_stored_total", &[("channel", "price")]), 50);
    assert_stream_holds(&redis, "uw:ws:price:QQQ", &good);
    service.wait_for_log("the reason", |record| record.mentions("WRONGTYPE"));
    let quarantine = std::fs::read_to_string(service.folder().join("data/spool/quarantine.jsonl")).unwrap();
    let put_away: Vec<&str> = quarantine.lines().filter(|line| line.contains("WRONGTYPE")).collect();
    assert_eq!(put_away.len(), 50);
    assert!(bad.iter().zip(&put_away).all(|(payload, line)| line.contains(payload)), "{}", put_away[0]);
    service.wait_until_ready();
    service.finish();
}

/// The ledger gets them summed up, in some seconds or at the end.
#[test]
fn every_event_that_is_put_into_quarantine_is_on_record_at_the_end() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    redis.command::<()>(&["SET", "uw:ws:price:SPY", "not a stream"]);
    let service = Service::start(&feed, &redis);
    for (round, events) in [(0, 1), (1, 7)] {
        feed.send_all("price:SPY", &payloads("price", "SPY", 10 * round, events));
        service.wait_for_metric("uw_ws_events_quarantined_total", &[("channel", "price")], 1 + 7 * round);
    }
    service.finish();
    let gaps: Vec<(String, BTreeMap<String, String>)> = redis.command(&["XRANGE", "uw:ws:gaps", "-", "+"]);
    let rejected = gaps.iter().map(|(_, gap)| gap).filter(|gap| gap["reason"] == "rejected");
    assert_eq!(rejected.map(|gap| gap["events"].parse::<u64>().unwrap()).sum::<u64>(), 8);
}

#[test]
fn memory_stays_bounded_without_a_disk_queue_while_redis_is_away_and_the_feed_does_not_stop() {
    const LIMIT_BYTES: u64 = 256 * 1024 * 1024;
    let (feed, mut redis) = (Feed::start(), RedisServer::start());
    let service = Setup::new(&feed, &redis)
        .set("SPOOL_MODE", "off")
        .set("SPOOL_WHEN_FULL", "block")
        .set("WRITER_MAILBOX_CAPACITY", "4")
        .set("WRITER_BATCH_MAX_EVENTS", "64")
        .start_ready();
    redis.kill9();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let mut first = 0;
            while !done.load(SeqCst) {
                feed.send_all("option_trades:SPY", &payloads("option_trades", "SPY", first, 500));
                first += 500;
            }
        });
        wait_for("the connection is blocked", SOON, || {
            let state = service.connection("trades")["state"].clone();
            if state == "blocked" { Ok(()) } else { Err(state.to_string()) }
        });
        wait_for("the feed can send no more", SOON, || {
            let before = feed.sent().values().map(Vec::len).sum::<usize>();
            std::thread::park_timeout(std::time::Duration::from_millis(500));
            let after = feed.sent().values().map(Vec::len).sum::<usize>();
            if before == after { Ok(()) } else { Err(format!("{after} events were sent")) }
        });
        let resident = service.resident_bytes();
        assert!(resident < LIMIT_BYTES, "{resident} bytes are resident");
        done.store(true, SeqCst);
        redis.restart(&[]);
        flood.join().unwrap();
    });
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.wait_until_ready();
    service.finish();
}
