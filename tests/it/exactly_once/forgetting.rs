//! Redis says yes and forgets: what it took in the last `SPOOL_KEEP` is written again, the rest is on record.

use std::fs::{self, File};
use std::time::Duration;

use super::{TARGETS, TOPICS, assert_all_is_there, gap_reasons, gaps, line_to, send, through, wait_for_gap};
use crate::support::oracle::{assert_streams_equal, entries};
use crate::support::proxy::Mode;
use crate::support::{Feed, RedisServer, SOON, Setup, wait_for, wait_until};

/// Longer than any of these tests takes.
const LONG: &str = "10m";

#[test]
fn a_redis_that_keeps_its_log_and_is_killed_again_and_again_loses_nothing() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start_durable());
    let service = Setup::new(&feed, &redis).start_ready();
    for round in 0..5 {
        send(&feed, 2 * round);
        redis.kill9();
        send(&feed, 2 * round + 1);
        redis.restart(&[]);
    }
    assert_all_is_there(service, &feed, &redis);
}

#[test]
fn what_the_log_lost_is_written_again() {
    let everysec = ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"];
    let (feed, mut redis) = (Feed::start(), RedisServer::start_with(&everysec, None));
    let service = Setup::new(&feed, &redis).set("SPOOL_KEEP", LONG).start_ready();
    for round in 0..4 {
        send(&feed, 2 * round);
        assert_streams_equal(&feed, &redis, &TARGETS);
        redis.kill9();
        cut_log(&redis, 40_000);
        send(&feed, 2 * round + 1);
        redis.restart(&[]);
    }
    assert_all_is_there(service, &feed, &redis);
    assert!(!gap_reasons(&redis).contains(&"redis_lost".to_owned()), "nothing is lost for good");
}

/// Takes the end off the log, as a crash of the machine would.
fn cut_log(redis: &RedisServer, bytes: u64) {
    let files =
        fs::read_dir(redis.folder().join("appendonlydir")).unwrap().map(|entry| entry.unwrap().path());
    let log = files.filter(|path| path.to_string_lossy().ends_with(".incr.aof")).max().unwrap();
    let log = File::options().write(true).open(log).unwrap();
    log.set_len(log.metadata().unwrap().len().saturating_sub(bytes)).unwrap();
}

#[test]
fn a_redis_that_comes_back_empty_gets_what_is_still_on_disk() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start());
    let service = Setup::new(&feed, &redis).set("SPOOL_KEEP", LONG).start_ready();
    for round in 0..3 {
        send(&feed, 2 * round);
        assert_streams_equal(&feed, &redis, &TARGETS);
        redis.restart(&[]);
        send(&feed, 2 * round + 1);
    }
    assert_all_is_there(service, &feed, &redis);
}

#[test]
fn what_was_forgotten_after_it_had_left_the_disk_is_on_record() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis).set("SPOOL_KEEP", "1s");
    let began = jiff::Timestamp::now();
    // the second process knows from the first one's state when the ledger was begun
    let mut service = setup.clone().start_ready();
    assert_eq!(service.terminate(), Some(0));
    let ended = jiff::Timestamp::now();
    let service = service.start_again(&setup);
    service.wait_until_ready();
    send(&feed, 0);
    assert_streams_equal(&feed, &redis, &TARGETS);
    // what is shown is some tenths of a second old
    let on_disk = || service.metrics().sum("uw_ws_spool_bytes", &[]);
    wait_until("the events are on the disk", SOON, || on_disk() > 0, || "no bytes".to_owned());
    wait_until("they have left it", SOON, || on_disk() == 0, || format!("{} bytes are left", on_disk()));
    redis.restart(&[]);
    send(&feed, 1);
    wait_for_gap(&redis, "redis_lost");
    for gap in gaps(&redis).into_iter().filter(|gap| gap["reason"] == "redis_lost") {
        let from: jiff::Timestamp = gap["from"].parse().unwrap();
        assert!((began..ended).contains(&from), "from {from}, the ledger was begun after {began}");
    }
    service.wait_for_metric("uw_ws_events_received_total", &[], 2 * 6 * super::COUNT);
    service.wait_until_settled();
    let stored: Vec<_> = entries(&redis, "uw:ws:price:SPY").into_iter().map(|entry| entry.payload).collect();
    let sent = &feed.sent()["price:SPY"];
    let newest = &sent[sent.len() - usize::try_from(super::COUNT).unwrap()..];
    assert!(stored.iter().eq(newest.iter().map(String::as_bytes)), "the newest, once and in order");
    service.finish();
}

#[test]
fn what_was_forgotten_and_cannot_be_read_from_the_disk_is_on_record() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis).set("SPOOL_KEEP", LONG).set("WRITER_SHARDS", "1");
    let service = setup.start_ready();
    send(&feed, 0);
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.wait_until_settled();
    let folder = fs::read_dir(service.folder().join("data/spool/shard-0-of-1")).unwrap();
    for file in folder.map(|file| file.unwrap().path()) {
        if file.extension().is_some_and(|ending| ending == "seg") {
            fs::remove_file(file).unwrap();
        }
    }
    redis.restart(&[]);
    wait_for_gap(&redis, "redis_lost");
    service.wait_for_log("the fault", |record| record.msg == "disk queue unreadable");
    service.finish();
}

#[test]
fn an_owner_that_loses_its_lease_writes_nothing_more_again() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start());
    let line = line_to(&redis);
    let setup = through(&line, &feed, &redis).set("SPOOL_KEEP", LONG).set("WRITER_BATCH_MAX_EVENTS", "1");
    let service = setup.set("WRITER_SHARDS", "1").set("SHUTDOWN_TIMEOUT_SECONDS", "3s").start_ready();
    send(&feed, 0);
    assert_streams_equal(&feed, &redis, &TARGETS);
    // event by event, so that there is time
    line.set(Mode::Delay(Duration::from_millis(25)));
    redis.restart(&[]);
    let stored = || TOPICS.map(|(channel, symbol)| length(&redis, channel, symbol)).iter().sum::<usize>();
    wait_until("some are written again", SOON, || stored() > 0, || "none".to_owned());
    redis.command::<()>(&["SET", "uw:ws:owner", "another", "PX", "60000"]);
    service.wait_for_log("the loss of the lease", |record| record.msg == "lease lost");
    let at_loss = stored();
    service.wait_for_log("the end of the term", |record| record.msg == "drained");
    assert!(stored() <= at_loss + 1, "{at_loss} entries became {}", stored());
}

fn length(redis: &RedisServer, channel: &str, symbol: &str) -> usize {
    redis.try_command(&["XLEN", &format!("uw:ws:{channel}:{symbol}")]).unwrap_or(0)
}

#[test]
fn what_is_written_again_leaves_the_other_rows_of_a_map_alone() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis).set("SPOOL_KEEP", LONG);
    let service = setup.clone().start_ready();
    send(&feed, 0);
    assert_streams_equal(&feed, &redis, &TARGETS);
    redis.command::<()>(&["SAVE"]);
    send(&feed, 1);
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.finish();
    let cells = |redis: &RedisServer| redis.command::<usize>(&["HLEN", "uw:ws:map:gex_strike:SPY"]);
    let before = cells(&redis);
    redis.restart(&[]);
    assert_eq!(length(&redis, "gex_strike", "SPY"), 30, "Redis has what it saved");
    let service = setup.start();
    assert_streams_equal(&feed, &redis, &TARGETS);
    assert_eq!(cells(&redis), before);
    service.finish();
}

/// The service's Redis was replaced by its replica, which lacked the newest writes, and then takes over again.
#[test]
fn what_a_failover_loses_is_written_again() {
    let (feed, redis, replica) = (Feed::start(), RedisServer::start(), RedisServer::start());
    let service = Setup::new(&feed, &redis).set("SPOOL_KEEP", LONG).start_ready();
    send(&feed, 0);
    assert_streams_equal(&feed, &redis, &TARGETS);
    follow(&replica, &redis);
    replica.command::<()>(&["REPLICAOF", "NO", "ONE"]);
    send(&feed, 1);
    assert_streams_equal(&feed, &redis, &TARGETS);
    follow(&redis, &replica);
    send(&feed, 2);
    service.wait_for_redis_error("READONLY");
    redis.command::<()>(&["REPLICAOF", "NO", "ONE"]);
    send(&feed, 3);
    assert_all_is_there(service, &feed, &redis);
}

/// Makes one server the replica of the other and waits until it has all of it.
fn follow(replica: &RedisServer, master: &RedisServer) {
    replica.command::<()>(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    wait_for("the replica has everything", SOON, || {
        let info: String = replica.command(&["INFO", "replication"]);
        if info.contains("master_link_status:up") { Ok(()) } else { Err(info) }
    });
}
