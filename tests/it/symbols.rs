//! Symbols without end: a whole market whose every event names a symbol that never comes again.

use std::time::{Duration, Instant};

use crate::support::feed::wire;
use crate::support::{Feed, RedisServer, SOON, Setup, wait_for};

/// What the README promises, whatever the feed sends.
const MEMORY: u64 = 256 * 1024 * 1024;
/// The channels with all kinds of hashes: with a body alone, with a map and a body, with a map, with none.
const CHANNELS: [&str; 4] = ["price", "gex_strike", "gex_strike_expiry", "option_trades"];
/// Symbols of `make test`: several times what any table holds.
const SYMBOLS: usize = 100_000;
/// Symbols of `make symbols`.
const ALL_SYMBOLS: usize = 2_000_000;
/// Events per write.
const AT_ONCE: usize = 10_000;

/// The only event of the `n`-th symbol, on the channel whose turn it is.
fn event(n: usize) -> Vec<u8> {
    let channel = CHANNELS[n % CHANNELS.len()];
    let at = jiff::Timestamp::now().as_millisecond();
    let payload = match channel {
        "price" => format!(r#"{{"ticker":"S{n}","close":"562.82","time":{at},"vol":{n}}}"#),
        "option_trades" => format!(r#"{{"underlying_symbol":"S{n}","id":"{n}","executed_at":{at}}}"#),
        _ => format!(
            r#"{{"ticker":"S{n}","expiry":"2099-01-01","timestamp":{at},"strike":"290","price":"562.96"}}"#
        ),
    };
    wire::event(channel, &payload)
}

#[test]
fn what_redis_lost_of_streams_that_were_forgotten_is_written_again() {
    // each shard has its share of the tables: a hundredth of these streams is more than it remembers
    const STREAMS: usize = 80_000;
    let (feed, mut redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis)
        .set("TARGET_SYMBOLS", "*")
        .set("CHANNELS", "option_trades")
        .set("STORE_TO_REDIS", "false")
        .set("WRITER_SHARDS", "64")
        .set("SPOOL_KEEP", "1h");
    let service = setup.start_ready();
    for from in (0..STREAMS).step_by(AT_ONCE) {
        let events = (from..from + AT_ONCE).flat_map(|n| event(n * CHANNELS.len() + 3));
        feed.send_raw("option_trades", &events.collect::<Vec<u8>>());
    }
    service.wait_for_metric("uw_ws_events_stored_total", &[], STREAMS as u64);
    assert!(service.metrics().sum("uw_ws_forgotten_total", &[("table", "stored")]) > 0);
    redis.restart(&[]);
    wait_for("every stream is back", 10 * SOON, || {
        // beside them: the lease, the state, the status and the ledger
        let keys: usize = redis.command(&["DBSIZE"]);
        if (STREAMS..STREAMS + 10).contains(&keys) { Ok(()) } else { Err(keys.to_string()) }
    });
    for n in [3, 4_003, 319_999] {
        assert_eq!(redis.command::<u64>(&["XLEN", &format!("uw:ws:option_trades:S{n}")]), 1);
    }
    let mut said: Vec<String> = service
        .records()
        .iter()
        .filter(|record| record.msg == "more symbols than are remembered")
        .map(|record| record.text("table"))
        .collect();
    said.sort_unstable();
    assert_eq!(said, ["ids", "last_ids", "routes", "stored", "streams"], "each table once");
    service.finish();
}

fn send(feed: &Feed, symbols: usize) {
    for from in (0..symbols).step_by(AT_ONCE) {
        for (at, channel) in CHANNELS.iter().enumerate() {
            let of_channel = (from..(from + AT_ONCE).min(symbols)).filter(|n| n % CHANNELS.len() == at);
            feed.send_raw(channel, &of_channel.flat_map(event).collect::<Vec<u8>>());
        }
    }
}

/// Far longer than it takes.
fn limit(symbols: usize) -> Duration {
    SOON + Duration::from_millis(2) * u32::try_from(symbols).unwrap()
}

fn run(symbols: usize) {
    let (feed, mut redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis).set("TARGET_SYMBOLS", "*").set("CHANNELS", &CHANNELS.join(","));
    let mut service = setup.clone().start_ready();
    redis.kill9();
    send(&feed, symbols);
    wait_for("everything is on disk", limit(symbols), || {
        let events = service.metrics().sum("uw_ws_spool_events", &[]);
        if events == symbols as u64 { Ok(()) } else { Err(events.to_string()) }
    });
    println!("peak while redis is away: {} MiB", service.peak_resident_bytes() >> 20);
    let before = service.peak_resident_bytes();
    service.kill9();
    redis.restart(&[]);
    let began = Instant::now();
    let service = service.start_again(&setup);
    wait_for("everything is stored", limit(symbols), || {
        let stored = service.metrics().sum("uw_ws_events_stored_total", &[]);
        if stored == symbols as u64 { Ok(()) } else { Err(stored.to_string()) }
    });
    let elapsed = began.elapsed().as_secs_f64();
    let peak = service.peak_resident_bytes();
    let cpu = service.cpu().as_secs_f64() * 1e6 / symbols as f64;
    println!("drained {:.0} events/s, {cpu:.0} µs of CPU each", symbols as f64 / elapsed);
    println!("peak while draining: {} MiB", peak >> 20);
    assert!(before < MEMORY && peak < MEMORY, "{before}, {peak}");
    service.finish();
}

#[test]
fn one_off_symbols_take_a_bounded_memory() {
    run(SYMBOLS);
}

#[test]
#[ignore = "two million symbols: `make symbols`"]
fn two_million_one_off_symbols() {
    run(ALL_SYMBOLS);
}
