//! One memory bound: every kind of hostile feed, neighbour in Redis and HTTP client in one process, which the kernel grants
//! no more than what the README promises.
//!
//! The limit is `RLIMIT_DATA`: it counts private memory alone, not the page cache and not the program itself, and it is
//! enforced at every allocation, where polling would miss a peak between two looks. A process that asks for more is
//! aborted. The peak of each kind is resident memory without mapped files.

use crate::support::attack::Attack;
use crate::support::feed::wire::{self, opcode};
use crate::support::sample::strike_row;
use crate::support::{Feed, RedisServer, SOON, Service, Setup, asked, wait_for};

const MIB: usize = 1024 * 1024;
/// What the README promises, in MiB; `UW_TEST_MEMORY_MIB` is another limit, to see that the test fails below some.
const MEMORY_MIB: u64 = 256;
/// The channels with hashes of all kinds, and one that names many symbols at once.
const CHANNELS: [&str; 5] = ["price", "gex_strike", "gex_strike_expiry", "option_trades", "news"];
/// A symbol of each target, and of nothing hostile.
const TOPIC: &str = "price";

struct World {
    feed: Feed,
    redis: RedisServer,
    service: Service,
    markers: u64,
    sent: u64,
}

impl World {
    fn begin() -> World {
        let (feed, redis) = (Feed::start(), RedisServer::start());
        let setup = Setup::new(&feed, &redis).set("TARGET_SYMBOLS", "*").set("CHANNELS", &CHANNELS.join(","));
        let service = setup.start_ready();
        let mib = asked("UW_TEST_MEMORY_MIB").unwrap_or(MEMORY_MIB);
        service.limit_data(mib * MIB as u64);
        World { feed, redis, service, markers: 0, sent: 0 }
    }

    /// Does something hostile; afterwards the service stores an event and answers. Reports the peak.
    fn meet(&mut self, kind: &str, act: impl FnOnce(&mut World)) {
        self.service.forget_peak();
        act(self);
        self.assert_lives();
        println!("{kind}: peak of {} MiB", self.service.peak_private_bytes() / MIB as u64);
    }

    fn assert_lives(&mut self) {
        self.markers += 1;
        let marker = format!(r#"{{"ticker":"ALIVE","close":"1","vol":{}}}"#, self.markers);
        wait_for("the topics are joined", SOON, || {
            if self.feed.try_send(TOPIC, std::slice::from_ref(&marker)) {
                Ok(())
            } else {
                Err("no".to_owned())
            }
        });
        wait_for("an event is stored", 4 * SOON, || {
            let stored: Option<String> = self.redis.command(&["HGET", "uw:ws:latest:price:ALIVE", "payload"]);
            if stored.as_ref() == Some(&marker) { Ok(()) } else { Err(format!("{stored:?}")) }
        });
        assert_eq!(self.service.probe_health().0, 200);
    }

    fn send(&mut self, channel: &str, payloads: impl Iterator<Item = String>) {
        let mut frames = Vec::new();
        for payload in payloads {
            self.sent += 1;
            frames.extend(wire::event(channel, &payload));
            if frames.len() > MIB {
                self.feed.send_raw(channel, &std::mem::take(&mut frames));
            }
        }
        self.feed.send_raw(channel, &frames);
    }
}

/// Symbols that come once.
fn one_off(world: &mut World) {
    let from = world.sent;
    for channel in ["price", "gex_strike", "gex_strike_expiry", "option_trades"] {
        let row = |n| {
            format!(
                r#"{{"ticker":"S{n}","underlying_symbol":"S{n}","expiry":"2099-01-01","strike":"1","n":{n}}}"#
            )
        };
        world.send(channel, (from..from + 10_000).map(row));
    }
}

/// Headlines about as many symbols as an event may have streams, each of them new.
fn headlines(world: &mut World) {
    let headline = |n: u64| {
        let tickers: Vec<String> = (0..254).map(|at| format!("\"N{}\"", n * 254 + at)).collect();
        format!(r#"{{"headline":"{n}","tickers":[{}]}}"#, tickers.join(","))
    };
    world.send("news", (0..300).map(headline));
}

/// The largest events that are accepted.
fn large(world: &mut World) {
    let filler = "x".repeat(4 * MIB - 200);
    world.send("option_trades", (0..16).map(|n| format!(r#"{{"ticker":"BIG","n":{n},"x":"{filler}"}}"#)));
}

/// Strikes without end, of one symbol.
fn strikes(world: &mut World) {
    let row = |n: u64| strike_row(None, &format!("{n}.5"), 0, n);
    world.send("gex_strike", (0..70_000).map(row));
}

/// What is no event.
fn malformed(world: &mut World) {
    let (open, close) = ("[".repeat(1_000_000), "]".repeat(1_000_000));
    for _ in 0..3 {
        world.feed.send_raw(TOPIC, &wire::event(TOPIC, &format!(r#"{{"a":{open}{close}}}"#)));
        world.feed.send_raw(TOPIC, &wire::text(&"\u{1b}".repeat(MIB)));
        world.feed.send_raw(TOPIC, &wire::event(&"t".repeat(MIB), "{}"));
    }
    // the connection ends over fragments without an end, and comes back
    world.feed.send_raw(TOPIC, &wire::fragment(opcode::TEXT, false, &vec![b' '; MIB]));
    for _ in 0..5 {
        world.feed.send_raw(TOPIC, &wire::fragment(opcode::CONTINUATION, false, &vec![b' '; MIB]));
    }
    world.service.wait_for_metric("uw_ws_frames_rejected_total", &[("kind", "too_large")], 1);
}

/// Values that are larger than they may be, wherever the service reads.
fn giants(world: &mut World) {
    let make = "return redis.call('HSET', KEYS[1], ARGV[1], string.rep('x', tonumber(ARGV[2])))";
    for (key, field) in [
        ("uw:rest:stock_state:SPY", "payload"),
        ("uw:rest:stock_state:QQQ", "fetched_at"),
        ("uw:rest:spot_exposures_strike:SPY", "payload"),
        ("uw:ws:latest:gex_strike:SPY", "payload"),
        ("uw:ws:latest:price:QQQ", "stream_id"),
    ] {
        world.redis.command::<i64>(&["EVAL", make, "1", key, field, "33554432"]);
    }
    // in one step: what still waits in the service may be written to the stream at any time
    let replace = "redis.call('DEL', KEYS[1])
        return redis.call('XADD', KEYS[1], '5-5', 'payload', string.rep('x', 33554432))";
    for stream in ["uw:ws:price:SPY", "uw:ws:price:QQQ", "uw:ws:gex_strike:SPY", "uw:ws:gaps"] {
        world.redis.command::<String>(&["EVAL", replace, "1", stream]);
    }
    world.redis.command::<u64>(&["SETRANGE", "uw:ws:ledger", "33554432", "x"]);
    world.redis.command::<u64>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    for symbol in ["SPY", "QQQ"] {
        let row = |n: u64| format!(r#"{{"ticker":"{symbol}","strike":"{n}","close":"1","n":{n}}}"#);
        world.send("price", (0..50).map(row));
        world.send("gex_strike", (0..50).map(row));
    }
}

/// Redis away, a backlog of all kinds meanwhile, and a Redis that has lost everything.
fn outage(world: &mut World) {
    world.redis.kill9();
    one_off(world);
    large(world);
    headlines(world);
    world.redis.restart(&[]);
}

#[test]
fn all_hostile_kinds_together_stay_within_the_memory_that_is_promised() {
    let mut world = World::begin();
    let http = world.service.http();
    let attack = Attack::begin(http.strip_prefix("http://").unwrap());
    world.meet("http clients", |_| {});
    world.meet("one-off symbols", one_off);
    world.meet("headlines of 254 new symbols", headlines);
    world.meet("events of 4 MiB", large);
    world.meet("strikes without end", strikes);
    world.meet("frames that are no events", malformed);
    world.meet("giant values in redis", giants);
    world.meet("an outage and an empty redis", outage);
    drop(attack);
    let left_out = world.service.metrics().sum("uw_ws_snapshot_troubles_total", &[("kind", "full")]);
    assert!(left_out > 0, "cells beyond a full map are left out");
    world.service.finish();
}
