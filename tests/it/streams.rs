//! Every event is in its streams, byte for byte, in order, once; which streams, and what stands beside them.

use std::collections::BTreeMap;

use crate::support::feed::wire;
use crate::support::oracle::{
    assert_stream_holds, assert_streams_equal, assert_streams_equal_under, entries, stream_keys,
};
use crate::support::sample::{self, payload, payloads};
use crate::support::{Feed, RedisServer, SOON, Service, Setup, wait_for};

const TARGETS: [&str; 2] = ["SPY", "QQQ"];

fn keys(redis: &RedisServer, pattern: &str) -> Vec<String> {
    let mut keys: Vec<String> = redis.command(&["KEYS", pattern]);
    keys.sort();
    keys
}

fn hash(redis: &RedisServer, key: &str) -> BTreeMap<String, String> {
    redis.command(&["HGETALL", key])
}

/// Waits until the hash is what `is_so` asks for.
#[track_caller]
fn wait_for_hash(
    redis: &RedisServer,
    key: &str,
    is_so: impl Fn(&BTreeMap<String, String>) -> bool,
) -> BTreeMap<String, String> {
    wait_for(&format!("{key} is up to date"), SOON, || {
        let hash = hash(redis, key);
        if is_so(&hash) { Ok(hash) } else { Err(format!("{hash:?}")) }
    })
}

#[test]
fn events_of_all_channels_reach_their_streams_byte_for_byte_in_order_once() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    feed.send_all_channels(&TARGETS, 200);
    assert_streams_equal(&feed, &redis, &TARGETS);
    let metrics = service.wait_until_settled();
    assert_eq!(metrics.sum("uw_ws_events_stored_total", &[]), 200 * 12);
    service.finish();
}

#[test]
fn a_wave_of_four_thousand_rows_in_one_burst_is_stored_whole() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    feed.send_all("gex_strike_expiry:SPY", &payloads("gex_strike_expiry", "SPY", 0, 4_000));
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.finish();
}

#[test]
fn the_whole_market_is_spread_over_streams_per_symbol() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Setup::new(&feed, &redis).set("TARGET_SYMBOLS", "*").start_ready();
    for n in 0..30 {
        let symbol = ["AAPL", "BRK.B", "SPXW"][usize::try_from(n % 3).unwrap()];
        feed.send("price", &sample::price_with_ticker(symbol, n));
        for channel in ["option_trades", "gex", "gex_strike", "gex_strike_expiry", "flow-alerts"] {
            feed.send(channel, &payload(channel, symbol, n));
        }
        feed.send("news", &sample::news(&[symbol, "GME"], n));
    }
    assert_streams_equal(&feed, &redis, &[]);
    assert!(stream_keys(&redis, "uw").contains(&"uw:ws:news:GME".to_owned()));
    assert!(
        !stream_keys(&redis, "uw").contains(&"uw:ws:price".to_owned()),
        "no full stream of a channel per ticker"
    );
    service.finish();
}

#[test]
fn an_event_of_a_topic_that_nobody_joined_is_filtered_and_counted() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    feed.send_raw("price:SPY", &wire::event("price:TSLA", &payload("price", "TSLA", 1)));
    service.wait_for_metric("uw_ws_events_filtered_total", &[("channel", "price")], 1);
    assert_eq!(stream_keys(&redis, "uw"), [""; 0]);
    service.finish();
}

#[test]
fn an_event_of_the_whole_market_that_names_no_symbol_is_kept_in_the_full_stream() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Setup::new(&feed, &redis).set("TARGET_SYMBOLS", "*").set("CHANNELS", "price").start_ready();
    feed.send("price", &payload("price", "", 1));
    feed.send("price", &sample::price_with_ticker("not a symbol", 2));
    feed.send("price", &sample::price_with_ticker("SPY", 3));
    assert_streams_equal(&feed, &redis, &[]);
    assert_eq!(stream_keys(&redis, "uw"), ["uw:ws:price", "uw:ws:price:SPY"]);
    service.finish();
}

#[test]
fn other_channels_are_stored_raw() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let channels = "market_tide,lit_trades,net_flow,option_trades:SPXW";
    let service = Setup::new(&feed, &redis).set("CHANNELS", channels).start_ready();
    for n in 0..20 {
        feed.send("market_tide", &format!(r#"{{"timestamp":"2026-09-30T16:30:01Z","net_volume":{n}}}"#));
        let symbol = ["SPY", "AAPL"][usize::try_from(n % 2).unwrap()];
        feed.send("lit_trades", &format!(r#"{{"symbol":"{symbol}","price":"150.25","size":{n}}}"#));
        feed.send("net_flow:QQQ", &payload("net_flow", "QQQ", n));
        feed.send("option_trades:SPXW", &payload("option_trades", "SPX", n));
    }
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.finish();
}

#[test]
fn a_symbol_that_could_break_a_key_reaches_the_full_stream_only() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Setup::new(&feed, &redis)
        .set("TARGET_SYMBOLS", "*")
        .set("CHANNELS", "flow-alerts,news")
        .start_ready();
    let long = "A".repeat(33);
    for (n, symbol) in ["spy", "A B", "", "A:B", "*", "ÄPFEL", "A\\nB", &long].into_iter().enumerate() {
        feed.send("flow-alerts", &payload("flow-alerts", symbol, n as u64));
    }
    feed.send("news", r#"{"headline":"h","tickers":["x y",7,null,"OK",{}],"source":"s"}"#);
    let longest = "A".repeat(32);
    feed.send("flow-alerts", &payload("flow-alerts", &longest, 100));
    assert_streams_equal(&feed, &redis, &[]);
    let streams = stream_keys(&redis, "uw");
    let legal = format!("uw:ws:flow-alerts:{longest}");
    assert_eq!(streams, ["uw:ws:flow-alerts", legal.as_str(), "uw:ws:news", "uw:ws:news:OK"]);
    service.finish();
}

#[test]
fn the_newest_event_of_a_stream_stands_in_its_latest_hash() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    let trades = payloads("option_trades", "SPY", 0, 50);
    feed.send_all("option_trades:SPY", &trades);
    feed.send("flow-alerts", &payload("flow-alerts", "TSLA", 1));
    let is_last = |hash: &BTreeMap<String, String>| hash.get("payload") == trades.last();
    let latest = wait_for_hash(&redis, "uw:ws:latest:option_trades:SPY", is_last);
    assert_eq!(latest.keys().collect::<Vec<_>>(), ["payload", "received_at", "stream_id"]);
    let at = &latest["received_at"];
    assert!(at.ends_with("+00:00") && at.len() == "2026-01-02T03:04:05.000006+00:00".len(), "{at}");
    at.parse::<jiff::Timestamp>().unwrap();
    let last = entries(&redis, "uw:ws:option_trades:SPY").pop().unwrap();
    assert_eq!(latest["stream_id"], format!("{}-{}", last.id.0, last.id.1));
    assert_eq!(latest["payload"].as_bytes(), last.payload);
    wait_for_hash(&redis, "uw:ws:latest:flow-alerts", |hash| hash.len() == 3);
    assert_eq!(keys(&redis, "uw:ws:latest:*").len(), 2, "TSLA is no target");
    service.finish();
}

#[test]
fn strike_maps_hold_the_newest_row_of_each_strike_of_the_session() {
    const TWO_DAYS_MS: u64 = 2 * 86_400_000;
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    let row = sample::strike_row;
    let of_strike = [
        row(None, "290", TWO_DAYS_MS, 1),
        row(None, "300", 0, 2),
        row(None, "310.5", 0, 3),
        row(None, "300", 0, 4),
    ];
    feed.send_all("gex_strike:SPY", &of_strike);
    let want = BTreeMap::from([
        ("300".to_owned(), of_strike[3].clone()),
        ("310.5".to_owned(), of_strike[2].clone()),
    ]);
    wait_for_hash(&redis, "uw:ws:map:gex_strike:SPY", |map| *map == want);

    let of_expiry = [row(Some("2020-01-24"), "300", 0, 5), row(Some("2099-01-24"), "300", 0, 6)];
    feed.send_all("gex_strike_expiry:SPY", &of_expiry);
    let want = BTreeMap::from([("2099-01-24:300".to_owned(), of_expiry[1].clone())]);
    wait_for_hash(&redis, "uw:ws:map:gex_strike_expiry:SPY", |map| *map == want);
    assert_eq!(keys(&redis, "uw:ws:map:*").len(), 2);
    service.finish();
}

#[test]
fn the_status_hash_says_who_serves_and_expires() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    feed.send("price:SPY", &payload("price", "SPY", 1));
    let status = wait_for_hash(&redis, "uw:ws:status", |hash| {
        hash.get("last_event_at").is_some_and(|at| !at.is_empty())
    });
    for field in ["instance", "version", "started_at", "last_event_at", "state"] {
        assert!(status.contains_key(field), "{field}: {status:?}");
    }
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    let ttl: i64 = redis.command(&["TTL", "uw:ws:status"]);
    assert!((1..=30).contains(&ttl), "{ttl}");
    service.finish();
}

#[test]
fn streams_are_capped_by_count() {
    let options = ["--save", "", "--appendonly", "no", "--stream-node-max-entries", "10"];
    let (feed, redis) = (Feed::start(), RedisServer::start_with(&options, None));
    let service = Setup::new(&feed, &redis)
        .set("REDIS_STREAM_MAXLEN", "100")
        .set("REDIS_STREAM_MAXLEN_BY_CHANNEL", "price=50,gex=0")
        .start_ready();
    for channel in ["option_trades", "price", "gex"] {
        feed.send_all(&format!("{channel}:SPY"), &payloads(channel, "SPY", 0, 1_000));
    }
    let metrics = wait_for("all is stored", SOON, || {
        let metrics = service.metrics();
        let stored = metrics.sum("uw_ws_events_stored_total", &[]);
        if stored >= 3_000 { Ok(metrics) } else { Err(stored.to_string()) }
    });
    metrics.check_conservation().unwrap();
    for (channel, cap, slack) in [("option_trades", 100, 20), ("price", 50, 20), ("gex", 1_000, 0)] {
        let key = format!("uw:ws:{channel}:SPY");
        let length: usize = redis.command(&["XLEN", &key]);
        assert!((cap..=cap + slack).contains(&length), "{key}: {length}");
        assert_stream_holds(&redis, &key, &payloads(channel, "SPY", (1_000 - length) as u64, length as u64));
    }
    service.finish();
}

#[test]
fn snapshots_can_be_left_out() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Setup::new(&feed, &redis).set("STORE_TO_REDIS", "false").start_ready();
    feed.send_all_channels(&TARGETS, 5);
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.wait_until_settled();
    for pattern in ["uw:ws:latest:*", "uw:ws:map:*", "uw:rest:*"] {
        assert_eq!(keys(&redis, pattern), [""; 0], "{pattern}");
    }
    service.finish();
}

#[test]
fn streams_can_be_left_out() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Setup::new(&feed, &redis).set("ENABLE_HISTORY_STREAMS", "false").start_ready();
    feed.send_all_channels(&TARGETS, 5);
    let last = payload("price", "QQQ", 4);
    wait_for_hash(&redis, "uw:ws:latest:price:QQQ", |hash| hash.get("payload") == Some(&last));
    assert_eq!(stream_keys(&redis, "uw"), [""; 0]);
    service.finish();
}

#[test]
fn every_key_begins_with_the_prefix() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Setup::new(&feed, &redis).set("KEY_PREFIX", "desk-7").start_ready();
    feed.send_all_channels(&TARGETS, 5);
    assert_streams_equal_under("desk-7", &feed, &redis, &TARGETS);
    assert_eq!(keys(&redis, "*"), keys(&redis, "desk-7:*"));
    service.finish();
}

#[test]
fn ids_rise_above_what_a_stream_already_holds() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let foreign = r#"{"from":"a clock ahead of ours"}"#;
    redis.command::<String>(&["XADD", "uw:ws:price:SPY", "99999999999999-7", "payload", foreign]);
    let service = Service::start(&feed, &redis);
    let ours = payloads("price", "SPY", 0, 20);
    feed.send_all("price:SPY", &ours);
    service.wait_for_metric("uw_ws_events_stored_total", &[("channel", "price")], 20);
    assert_stream_holds(&redis, "uw:ws:price:SPY", &[vec![foreign.to_owned()], ours].concat());
    service.finish();
}
