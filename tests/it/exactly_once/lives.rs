//! The process ends, in whatever way, and another one goes on in its folder.

use rustix::process::Signal;

use super::{
    TARGETS, assert_all_is_there, forget_owner, gap_reasons, send, sent, start_again, wait_for_gap,
    wait_until_on_disk,
};
use crate::support::oracle::{assert_stream_holds, assert_streams_equal};
use crate::support::sample::payloads;
use crate::support::{Feed, RedisServer, SOON, Service, Setup, wait_for};

/// What one life after the other is started with.
const LIVES: [[(&str, &str); 2]; 5] = [
    [("WRITER_SHARDS", "2"), ("WRITER_BATCH_MAX_EVENTS", "512")],
    [("WRITER_SHARDS", "4"), ("WRITER_BATCH_MAX_EVENTS", "16")],
    [("WRITER_SHARDS", "1"), ("WRITER_BATCH_MAX_EVENTS", "1")],
    [("WRITER_SHARDS", "3"), ("WRITER_BATCH_MAX_EVENTS", "128")],
    [("WRITER_SHARDS", "1"), ("WRITER_BATCH_MAX_EVENTS", "512")],
];

fn with(setup: &Setup, life: &[(&str, &str)]) -> Setup {
    life.iter().fold(setup.clone(), |setup, (name, value)| setup.set(name, value))
}

/// Ends each life while Redis is away and everything is on disk, and lets the last one write it all.
#[track_caller]
fn assert_survives(end: impl Fn(&mut Service)) {
    let (feed, mut redis) = (Feed::start(), RedisServer::start_durable());
    let setup = Setup::new(&feed, &redis);
    let mut service = setup.clone().start_ready();
    send(&feed, 0);
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.wait_until_settled();
    redis.kill9();
    let (mut before, mut stored) = (0, sent(&feed));
    for (round, life) in (1..).zip(LIVES) {
        send(&feed, round);
        wait_until_on_disk(&service, sent(&feed) - before, sent(&feed) - before - stored);
        end(&mut service);
        (before, stored) = (sent(&feed), 0);
        service = start_again(&with(&setup, &life), &feed, &redis);
    }
    redis.restart(&[]);
    forget_owner(&redis);
    wait_until_it_owns(&redis, &service);
    send(&feed, 10);
    assert_all_is_there(service, &feed, &redis);
}

/// A Redis that comes back names the owner that it knew. Whoever asks it before that one is forgotten stands by for a while.
#[track_caller]
fn wait_until_it_owns(redis: &RedisServer, service: &Service) {
    let instance = service.status()["instance"].as_str().unwrap().to_owned();
    wait_for("the lease is its own", SOON, || {
        match redis.command::<Option<String>>(&["GET", "uw:ws:owner"]) {
            Some(owner) if owner == instance => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    service.wait_until_ready();
}

#[test]
fn what_is_on_disk_survives_kill_9_and_other_settings_again_and_again() {
    assert_survives(Service::kill9);
}

#[test]
fn what_is_on_disk_survives_an_orderly_end_without_redis_and_other_settings() {
    assert_survives(|service| assert_eq!(service.terminate(), Some(0)));
}

#[test]
fn kill_9_under_load_loses_nothing_that_was_read() {
    let (feed, redis) = (Feed::start(), RedisServer::start_durable());
    let setup = Setup::new(&feed, &redis);
    let mut service = setup.clone().start_ready();
    for round in 0..5 {
        for part in 0..10 {
            send(&feed, 10 * round + part);
        }
        let read = if round == 0 { sent(&feed) } else { 60 * super::COUNT };
        // milliseconds after the read of its frame
        service.wait_for_metric("uw_ws_append_latency_seconds_count", &[], read);
        service.kill9();
        service = start_again(&setup, &feed, &redis);
    }
    wait_for_gap(&redis, "crash");
    assert_all_is_there(service, &feed, &redis);
    assert!(!gap_reasons(&redis).contains(&"redis_lost".to_owned()), "Redis forgot nothing");
}

#[test]
fn an_orderly_end_with_redis_loses_nothing_whatever_the_settings_of_the_next_life() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis);
    let mut service = setup.clone().start_ready();
    for (round, life) in (0..).zip(LIVES) {
        send(&feed, round);
        service.wait_for_metric("uw_ws_events_received_total", &[], 6 * super::COUNT);
        service.signal(Signal::TERM);
        assert_eq!(service.wait_for_exit(SOON), Some(0));
        service = start_again(&with(&setup, &life), &feed, &redis);
    }
    assert_all_is_there(service, &feed, &redis);
}

/// Steps of the wall clock, each kept through a life and a half.
#[test]
fn ids_rise_and_nothing_is_lost_when_the_clock_steps_back_an_hour() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clock");
    let setup = Setup::new(&feed, &redis).set("UW_WEBSOCKET_CLOCK_OFFSET_FILE", file.to_str().unwrap());
    let mut service = setup.clone().start_ready();
    send(&feed, 0);
    for (round, offset) in (1..).zip(["-3600", "0", "-7200"]) {
        std::fs::write(&file, offset).unwrap();
        send(&feed, 2 * round);
        assert_streams_equal(&feed, &redis, &TARGETS);
        service.wait_until_settled();
        assert_eq!(service.terminate(), Some(0));
        service = start_again(&setup, &feed, &redis);
        send(&feed, 2 * round + 1);
    }
    assert_all_is_there(service, &feed, &redis);
}

#[test]
fn an_event_that_kills_its_writer_twice_is_put_aside_and_the_others_go_on() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let poison = r#"{"close":"1.0","time":1,"vol":666000666}"#;
    let setup = Setup::new(&feed, &redis)
        .set("WRITER_SHARDS", "1")
        .set("UW_WEBSOCKET_FAULT", "writer-0:panic:on=666000666:times=9");
    let service = setup.start_ready();
    let others = payloads("price", "SPY", 0, 100);
    feed.send_all("price:SPY", &others[..50]);
    feed.send("price:SPY", poison);
    feed.send_all("price:SPY", &others[50..]);
    service.wait_for_metric("uw_ws_events_quarantined_total", &[("channel", "price")], 1);
    let metrics = service.wait_until_settled();
    assert_stream_holds(&redis, "uw:ws:price:SPY", &others);
    assert_eq!(metrics.sum("uw_ws_actor_restarts_total", &[("actor", "writer-0")]), 2);
    assert_eq!(metrics.sum("uw_ws_events_quarantined_total", &[]), 1);
    service.finish();
}

#[test]
fn damage_under_a_copy_in_memory_costs_nothing_though_the_writer_dies() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start_durable());
    let service = Setup::new(&feed, &redis)
        .set("WRITER_SHARDS", "1")
        .set("UW_WEBSOCKET_FAULT", "writer-0:panic:on=666000666")
        .start_ready();
    redis.kill9();
    feed.send("price:SPY", r#"{"close":"1.0","time":1,"vol":666000666}"#);
    feed.send_all("price:SPY", &payloads("price", "SPY", 0, 100));
    wait_until_on_disk(&service, 101, 101);
    let folder = std::fs::read_dir(service.folder().join("data/spool/shard-0-of-1")).unwrap();
    let mut files = folder.map(|file| file.unwrap().path());
    let segment = files.find(|path| path.extension().is_some_and(|ending| ending == "seg")).unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    redis.restart(&[]);
    service.wait_for_metric("uw_ws_actor_restarts_total", &[("actor", "writer-0")], 1);
    let metrics = service.wait_until_settled();
    assert_eq!(metrics.sum("uw_ws_events_dropped_total", &[]), 0);
    assert_eq!(metrics.sum("uw_ws_events_stored_total", &[]), 101);
    service.finish();
}

#[test]
fn a_writer_that_crashes_loses_nothing() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis)
        .set("WRITER_SHARDS", "1")
        .set("RESTART_INTENSITY", "100")
        .set("UW_WEBSOCKET_FAULT", "writer-0:panic:after=3:times=5");
    let service = setup.start_ready();
    for round in 0..30 {
        send(&feed, round);
    }
    service.wait_for_metric("uw_ws_actor_restarts_total", &[("actor", "writer-0")], 1);
    assert_all_is_there(service, &feed, &redis);
}
