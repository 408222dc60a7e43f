//! The bodies under `uw:rest:`: how often they are written, what happens when somebody else writes at the same time, and
//! what is left of them after outages and deaths. What a reader sees of them meanwhile is in [`crate::rest_reader`].

mod boards;
mod clocks;
mod conflicts;
mod outages;
mod pace;
mod unreadable;

use std::time::{SystemTime, UNIX_EPOCH};

use deadpool_redis::redis::{RedisResult, cmd};
use serde_json::{Value, json};

use crate::support::sample::{NOON_MS, payload};
use crate::support::{RedisServer, SOON, wait_for};

const ALERTS: &str = "uw:rest:flow_alerts:SPY";
const STATE: &str = "uw:rest:stock_state:SPY";
const SERIES: &str = "uw:rest:spot_exposures:SPY";
const STRIKES: &str = "uw:rest:spot_exposures_strike:SPY";

/// Now, as the fetcher writes it.
fn now() -> String {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    isoformat(i64::try_from(since_epoch.as_micros()).unwrap())
}

/// Python's `isoformat()` of a time in UTC; a fraction of zero has its digits, which is as good to us.
fn isoformat(unix_us: i64) -> String {
    let at = jiff::Timestamp::from_microsecond(unix_us).unwrap();
    at.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
}

/// The time of a row, so many seconds before now.
fn row_time(seconds_ago: i64) -> String {
    let at = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(seconds_ago);
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// Writes a body as the fetcher does.
#[track_caller]
fn fetch(redis: &RedisServer, key: &str, body: &Value) {
    redis.command::<i64>(&["HSET", key, "payload", &body.to_string(), "fetched_at", &now()]);
}

/// A body and its `fetched_at`, if there are any.
fn read(redis: &RedisServer, key: &str) -> RedisResult<Option<(Value, String)>> {
    let (payload, fetched_at): (Option<String>, Option<String>) =
        cmd("HMGET").arg(key).arg("payload").arg("fetched_at").query(&mut redis.connect()?)?;
    let payload = payload.map(|payload| serde_json::from_str(&payload).expect("a body is JSON"));
    Ok(payload.zip(fetched_at))
}

/// Waits until a body is what `is_so` asks for.
#[track_caller]
fn wait_for_body(redis: &RedisServer, key: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    wait_for(&format!("{key} is up to date"), SOON, || match read(redis, key) {
        Ok(Some((body, _))) if is_so(&body) => Ok(body),
        seen => Err(format!("{seen:?}").chars().take(2_000).collect()),
    })
}

fn rows(body: &Value) -> &[Value] {
    body["data"].as_array().map_or(&[], Vec::as_slice)
}

/// A row of `spot_exposures_strike`; of its many columns only the first.
fn strike_row(strike: u64, time: &str, gamma: &str) -> Value {
    json!({"ticker": "SPY", "date": &time[..10], "time": time, "strike": strike.to_string(), "price": "668.88", "call_gamma_oi": gamma})
}

/// What `gex_strike` has in `call_gamma_oi` for a strike of a body.
fn gamma_at(body: &Value, strike: u64) -> Option<&str> {
    let strike = strike.to_string();
    rows(body).iter().find(|row| row["strike"] == *strike)?["call_gamma_oi"].as_str()
}

/// An alert as the feed sends it, unlike all others in its size.
fn alert(n: u64) -> String {
    payload("flow-alerts", "SPY", n).replace(r#""total_size":50"#, &format!(r#""total_size":{}"#, 50 + n))
}

/// A `stock_state` of some seconds before the prices of the samples.
fn state(seconds_ago: i64, close: &str, total_volume: u64) -> Value {
    let at =
        jiff::Timestamp::from_millisecond(i64::try_from(*NOON_MS).unwrap() - 1_000 * seconds_ago).unwrap();
    let tape_time = at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({"data": {"close": close, "high": close, "low": close, "open": close, "volume": 6_301_169,
        "market_time": "regular", "tape_time": tape_time, "total_volume": total_volume, "prev_close": "669.21"}})
}
