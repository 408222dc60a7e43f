//! The age limit, and what the start says of memory.

use crate::support::logs::LogRecord;
use crate::support::sample::payload;
use crate::support::{Feed, RedisServer, SOON, Service, Setup, wait_for};

/// Entries of 2023, then one of the present.
fn fill(redis: &RedisServer, stream: &str, count: u64) {
    const ADD: &str = "for at = 1, ARGV[1] do \
                       redis.call('XADD', KEYS[1], (1.6e12 + at) .. '-0', 'payload', ARGV[2]) end";
    redis.command::<()>(&["EVAL", ADD, "1", stream, &count.to_string(), &payload("price", "SPY", 1)]);
}

fn length(redis: &RedisServer, stream: &str) -> u64 {
    redis.command(&["XLEN", stream])
}

fn forecast(service: &Service, channel: &str) -> LogRecord {
    service.wait_for_log(&format!("the forecast of {channel}"), |record| {
        record.msg == "memory forecast" && record.text("channel") == channel
    })
}

#[test]
fn what_is_older_than_the_limit_goes_and_what_comes_stays() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    fill(&redis, "uw:ws:price:SPY", 5_000);
    redis.command::<String>(&["XADD", "uw:ws:price:SPY", "*", "payload", "{}"]);
    fill(&redis, "uw:ws:price:GONE", 10);
    fill(&redis, "uw:ws:gaps", 10);
    let service = Service::start(&feed, &redis);
    service.wait_for_metric("uw_ws_trimmed_entries_total", &[], 4_900);
    service.wait_for_metric("uw_ws_removed_keys_total", &[], 1);
    feed.send("price:SPY", &payload("price", "SPY", 7));
    service.wait_for_metric("uw_ws_events_stored_total", &[("channel", "price")], 1);
    assert!((2..102).contains(&length(&redis, "uw:ws:price:SPY")));
    assert_eq!(length(&redis, "uw:ws:gaps"), 10);
    assert!(!redis.command::<bool>(&["EXISTS", "uw:ws:price:GONE"]));
    let round = service.wait_for_log("the round", |record| record.msg == "old entries removed");
    assert_eq!((round.keys["streams"].as_u64(), round.keys["keys"].as_u64()), (Some(1), Some(1)));
    service.finish();
}

#[test]
fn without_a_limit_old_entries_stay() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    fill(&redis, "uw:ws:price:SPY", 500);
    let service = Setup::new(&feed, &redis).set("STREAM_RETENTION", "off").start_ready();
    feed.send("price:SPY", &payload("price", "SPY", 7));
    service.wait_for_metric("uw_ws_events_stored_total", &[("channel", "price")], 1);
    service.finish();
    assert_eq!(length(&redis, "uw:ws:price:SPY"), 501);
}

#[test]
fn the_start_tells_what_the_settings_can_come_to() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    redis.config_set("maxmemory", "100mb");
    let service = Service::start(&feed, &redis);
    let trades = forecast(&service, "option_trades");
    assert_eq!(trades.keys["streams"].as_u64(), Some(2));
    assert_eq!(trades.keys["cap_hours"].as_f64(), Some(0.3));
    assert_eq!(trades.keys["measured"].as_bool(), Some(false));
    let warning = service.wait_for_log("the warning", |record| record.msg == "redis may run out of memory");
    assert_eq!(warning.keys["maxmemory_mib"].as_f64(), Some(100.0));
    service.finish();
}

#[test]
fn the_start_measures_streams_that_are_there() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    fill(&redis, "uw:ws:price:SPY", 5_000);
    let service = Setup::new(&feed, &redis).set("STREAM_RETENTION", "off").start_ready();
    assert_eq!(forecast(&service, "price").keys["measured"].as_bool(), Some(true));
    let all = service.wait_for_log("the sum", |record| record.msg == "memory forecast in all");
    assert!(all.keys["maxmemory_mib"].is_null() && all.keys["mib"].as_f64() > Some(100.0));
    assert_eq!(service.count_logs("redis may run out of memory"), 0);
    service.finish();
}

#[test]
fn an_outage_of_redis_at_the_start_costs_the_forecast_its_measures_only() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start());
    redis.kill9();
    let service = Setup::new(&feed, &redis).start();
    forecast(&service, "news");
    redis.restart(&[]);
    wait_for("redis is up", SOON, || match service.metrics().sum("uw_ws_redis_up", &[]) {
        1 => Ok(()),
        other => Err(other.to_string()),
    });
    service.finish();
}
