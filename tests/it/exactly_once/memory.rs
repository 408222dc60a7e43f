//! Memory is bounded whatever the feed or Redis does.

use std::time::{Duration, Instant};

use super::{TARGETS, assert_all_is_there};
use crate::support::feed::wire::{self, opcode};
use crate::support::oracle::assert_streams_equal;
use crate::support::sample::payloads;
use crate::support::{Feed, RedisServer, SOON, Service, Setup, wait_for, wait_until};

/// The contract's bound.
const LIMIT: u64 = 256 * 1024 * 1024;

#[track_caller]
fn assert_bounded(service: &Service) {
    let peak = service.peak_resident_bytes();
    assert!(peak < LIMIT, "{} MiB were resident", peak >> 20);
}

/// Does something at the beginning of each period until the time is over.
fn every(period: Duration, length: Duration, mut each: impl FnMut(u64)) {
    let began = Instant::now();
    for turn in 0u32.. {
        if period * turn >= length {
            return;
        }
        let wait = (period * turn).saturating_sub(began.elapsed());
        std::thread::park_timeout(wait);
        each(turn.into());
    }
}

#[test]
fn while_redis_is_away_and_thousands_of_events_a_second_arrive() {
    const PER_TICK: u64 = 250;
    let (feed, mut redis) = (Feed::start(), RedisServer::start_durable());
    let service = Setup::new(&feed, &redis).set("REDIS_STREAM_MAXLEN", "0").start_ready();
    redis.kill9();
    every(Duration::from_millis(50), Duration::from_secs(10), |turn| {
        feed.send_all("option_trades:SPY", &payloads("option_trades", "SPY", turn * PER_TICK, PER_TICK));
    });
    service.wait_for_metric("uw_ws_events_received_total", &[], 200 * PER_TICK);
    assert_ne!(service.connection("trades")["state"], "blocked", "a reader never waits for Redis");
    redis.restart(&[]);
    assert_streams_equal(&feed, &redis, &TARGETS);
    assert_bounded(&service);
    service.finish();
}

#[test]
fn while_waves_of_four_thousand_rows_a_symbol_come_every_second() {
    const ROWS: u64 = 4_000;
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Setup::new(&feed, &redis).set("REDIS_STREAM_MAXLEN", "0").start_ready();
    every(Duration::from_secs(1), Duration::from_secs(4), |turn| {
        for symbol in TARGETS {
            feed.send_all(
                &format!("gex_strike:{symbol}"),
                &payloads("gex_strike", symbol, turn * ROWS, ROWS),
            );
        }
    });
    assert_streams_equal(&feed, &redis, &TARGETS);
    assert_bounded(&service);
    service.finish();
}

#[test]
fn while_a_hundred_thousand_malformed_frames_come() {
    const FRAMES: usize = 100_000;
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Setup::new(&feed, &redis).start_ready();
    let kinds = [
        wire::text("no JSON"),
        wire::text(r#"["price:SPY",{"cut":"off"#),
        wire::frame(opcode::BINARY, b"[]"),
        wire::frame(opcode::TEXT, b"\xff\xff"),
    ];
    let thousand: Vec<u8> = kinds.iter().cycle().take(1_000).flatten().copied().collect();
    for _ in 0..FRAMES / 1_000 {
        feed.send_raw("price:SPY", &thousand);
    }
    feed.send_all("price:SPY", &payloads("price", "SPY", 0, 10));
    service.wait_for_metric("uw_ws_frames_rejected_total", &[], FRAMES as u64);
    assert_bounded(&service);
    assert!(service.records().len() < 500, "{} log records", service.records().len());
    assert_all_is_there(service, &feed, &redis);
}

#[test]
fn while_peers_announce_frames_of_a_gigabyte() {
    const TIMES: usize = 5;
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Setup::new(&feed, &redis).start_ready();
    for _ in 0..TIMES {
        let topic = "price:SPY".to_owned();
        let session = wait_for("a session is open", SOON, || {
            feed.session_with(std::slice::from_ref(&topic)).ok_or_else(|| "none".to_owned())
        });
        session.write(&wire::header(opcode::TEXT, true, 1 << 30));
        session.write(&vec![b'x'; 8 << 20]);
        wait_until("the session ends", SOON, || !session.is_open(), || "it is open".to_owned());
    }
    service.wait_until_ready();
    feed.send_all("price:SPY", &payloads("price", "SPY", 0, 10));
    assert_bounded(&service);
    assert_all_is_there(service, &feed, &redis);
}
