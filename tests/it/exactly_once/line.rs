//! The line to Redis breaks while a transaction is under way.

use std::time::Duration;

use super::{TARGETS, assert_all_is_there, line_to, send, sent, through};
use crate::support::oracle::assert_streams_equal;
use crate::support::proxy::{Direction, Mode};
use crate::support::sample::payloads;
use crate::support::{Feed, RedisServer, SOON, wait_for, wait_until};

/// Longer than the service waits for an answer.
const BEYOND_PATIENCE: Duration = Duration::from_secs(6);

/// Cuts a transaction after 0, `step`, 2 × `step` … bytes, until it is shorter than that.
#[track_caller]
fn assert_survives_cuts(direction: Direction, step: u64) {
    const EVENTS: u64 = 3;
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let line = line_to(&redis);
    // one shard, so that what is counted is one transaction
    let service = through(&line, &feed, &redis).set("WRITER_SHARDS", "1").start_ready();
    let mut stored = 0;
    for turn in 0.. {
        let cuts = line.cuts();
        line.set(Mode::CutAfter(direction, turn * step));
        feed.send_all("flow-alerts", &payloads("flow-alerts", "SPY", turn * EVENTS, EVENTS));
        stored += EVENTS;
        wait_for("the events are stored", SOON, || {
            let length: u64 = redis.command(&["XLEN", "uw:ws:flow-alerts"]);
            if length >= stored { Ok(()) } else { Err(format!("{length} of {stored}")) }
        });
        service.wait_until_settled();
        if line.cuts() == cuts {
            break;
        }
    }
    assert!(line.cuts() > 20, "{} cuts were made", line.cuts());
    line.set(Mode::Pass);
    assert_all_is_there(service, &feed, &redis);
}

#[test]
fn a_request_that_is_cut_at_any_byte_is_stored_once() {
    assert_survives_cuts(Direction::ToServer, 97);
}

#[test]
fn an_answer_that_is_cut_at_any_byte_is_stored_once() {
    assert_survives_cuts(Direction::ToClient, 7);
}

/// Sends while the line is broken in this way, until the service has noticed.
#[track_caller]
fn assert_survives(mode: Mode) {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let line = line_to(&redis);
    let service = through(&line, &feed, &redis).start_ready();
    send(&feed, 0);
    assert_streams_equal(&feed, &redis, &TARGETS);
    line.set(mode);
    send(&feed, 1);
    service.wait_for_redis_error("no answer");
    let entries = || -> u64 { redis.command(&["XLEN", "uw:ws:price:SPY"]) };
    match mode {
        Mode::Mute => assert_eq!(entries(), 2 * super::COUNT, "the transaction was applied"),
        Mode::HalfOpen => assert_eq!(entries(), super::COUNT, "the transaction was not applied"),
        _ => {}
    }
    send(&feed, 2);
    line.set(Mode::Pass);
    send(&feed, 3);
    assert_all_is_there(service, &feed, &redis);
}

#[test]
fn a_transaction_that_was_applied_and_never_answered_is_not_written_again() {
    assert_survives(Mode::Mute);
}

#[test]
fn a_transaction_that_never_arrived_is_written_again() {
    assert_survives(Mode::HalfOpen);
}

#[test]
fn a_transaction_that_arrives_after_it_was_given_up_is_there_once() {
    assert_survives(Mode::Delay(BEYOND_PATIENCE));
}

#[test]
fn a_line_that_is_refused_for_a_while_costs_nothing() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let line = line_to(&redis);
    let service = through(&line, &feed, &redis).start_ready();
    for round in 0..5 {
        send(&feed, 2 * round);
        line.set(Mode::Refuse);
        send(&feed, 2 * round + 1);
        service.wait_for_metric("uw_ws_events_received_total", &[], sent(&feed));
        service.wait_for_redis_error("connect");
        line.set(Mode::Pass);
    }
    assert_all_is_there(service, &feed, &redis);
}

#[test]
fn a_lack_of_memory_that_begins_and_ends_in_the_middle_of_a_batch_costs_nothing() {
    const EVENTS: u64 = 200;
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let line = line_to(&redis);
    let service = through(&line, &feed, &redis).set("WRITER_SHARDS", "1").start_ready();
    for round in 0..3 {
        // a transaction of these takes most of a second, and Redis queues its commands as they come
        line.set(Mode::Slow(200_000));
        let before = line.passed(Direction::ToServer);
        let wait_for_bytes = |bytes| {
            let passed = || line.passed(Direction::ToServer) - before;
            wait_until(
                "a part of the transaction has passed",
                SOON,
                || passed() >= bytes,
                || passed().to_string(),
            );
        };
        feed.send_all("option_trades:SPY", &payloads("option_trades", "SPY", round * EVENTS, EVENTS));
        wait_for_bytes(40_000);
        redis.config_set("maxmemory", "1");
        wait_for_bytes(80_000);
        redis.config_set("maxmemory", "0");
        line.set(Mode::Pass);
        service.wait_for_metric("uw_ws_writer_retries_total", &[], round + 1);
        service.wait_until_settled();
    }
    assert_all_is_there(service, &feed, &redis);
}
