//! What must be in Redis, worked out from what was sent, and how it is compared.

use std::collections::BTreeMap;
use std::time::Duration;

use deadpool_redis::redis::{FromRedisValue, RedisResult, Value as RedisValue, from_redis_value};
use serde_json::Value;

use super::wait::wait_for;
use super::{Cluster, Feed, RedisServer, SOON};

/// Streams of the service that hold no events.
const OWN_STREAMS: [&str; 1] = ["gaps"];

/// Where the streams are: one server, or a cluster.
pub(crate) trait Stored {
    /// Runs a command on the server that has the key, its second word.
    fn try_command<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T>;
    /// The same of a command that must succeed.
    fn command<T: FromRedisValue>(&self, words: &[&str]) -> T;
    /// The keys that match a pattern.
    fn keys(&self, pattern: &str) -> Vec<String>;
}

impl Stored for RedisServer {
    fn try_command<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        RedisServer::try_command(self, words)
    }

    #[track_caller]
    fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        RedisServer::command(self, words)
    }

    fn keys(&self, pattern: &str) -> Vec<String> {
        self.command(&["KEYS", pattern])
    }
}

impl Stored for Cluster {
    fn try_command<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        Cluster::try_command(self, words)
    }

    #[track_caller]
    fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        Cluster::command(self, words)
    }

    fn keys(&self, pattern: &str) -> Vec<String> {
        Cluster::keys(self, pattern)
    }
}

/// One entry of an event stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Milliseconds and sequence.
    pub(crate) id: (u64, u64),
    /// The bytes of the field `payload`.
    pub(crate) payload: Vec<u8>,
}

/// How much longer each entry is waited for: many times what it takes.
const AN_ENTRY: Duration = Duration::from_millis(1);
/// Entries that are read at once.
const PAGE: &str = "10000";

/// Reads a whole stream. An entry with anything but one field `payload` fails the test.
#[track_caller]
pub(crate) fn entries(redis: &impl Stored, key: &str) -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::new();
    loop {
        let from = all.last().map_or_else(|| "-".to_owned(), |Entry { id: (ms, n), .. }| format!("{ms}-{n}"));
        let mut page = read_entries(redis.command(&["XRANGE", key, &from, "+", "COUNT", PAGE]), key);
        // nothing can be asked for above the greatest id, so the last entry comes again
        page.retain(|entry| all.last().is_none_or(|last| last.id < entry.id));
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// The payload of the newest entry; `None` too while Redis does not say.
pub(crate) fn newest_payload(redis: &impl Stored, key: &str) -> Option<Vec<u8>> {
    let raw = redis.try_command(&["XREVRANGE", key, "+", "-", "COUNT", "1"]).ok()?;
    read_entries(raw, key).pop().map(|entry| entry.payload)
}

fn read_entries(raw: Vec<(String, Vec<RedisValue>)>, key: &str) -> Vec<Entry> {
    raw.into_iter()
        .map(|(id, fields)| {
            let [name, payload] = <[RedisValue; 2]>::try_from(fields).expect("one field an entry");
            assert_eq!(text(name), "payload", "the field of an entry of {key}");
            let (ms, sequence) = id.split_once('-').unwrap();
            let payload = Vec::<u8>::from_redis_value(payload).unwrap();
            Entry { id: (ms.parse().unwrap(), sequence.parse().unwrap()), payload }
        })
        .collect()
}

fn text(value: RedisValue) -> String {
    from_redis_value(value).unwrap()
}

/// The event streams that there are, by key.
pub(crate) fn stream_keys(redis: &impl Stored, prefix: &str) -> Vec<String> {
    let mut keys = redis.keys(&format!("{prefix}:ws:*"));
    keys.retain(|key| {
        let own = OWN_STREAMS.iter().any(|name| *key == format!("{prefix}:ws:{name}"));
        !own && redis.command::<String>(&["TYPE", key]) == "stream"
    });
    keys.sort();
    keys
}

/// Which streams must hold which payloads, in order, for what was sent. `targets` is empty for the whole market.
pub(crate) fn expected(
    sent: &BTreeMap<String, Vec<String>>,
    prefix: &str,
    targets: &[&str],
) -> BTreeMap<String, Vec<String>> {
    let mut streams: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (topic, payloads) in sent {
        for payload in payloads {
            for name in streams_of(topic, payload, targets) {
                streams.entry(format!("{prefix}:ws:{name}")).or_default().push(payload.clone());
            }
        }
    }
    streams
}

/// The streams of one event without the prefix, as section 4 of the contract has it.
pub(crate) fn streams_of(topic: &str, payload: &str, targets: &[&str]) -> Vec<String> {
    const PER_TICKER: [&str; 5] = ["option_trades", "price", "gex", "gex_strike", "gex_strike_expiry"];
    if topic.contains(':') {
        return vec![topic.to_owned()];
    }
    let payload: Value = serde_json::from_str(payload).unwrap_or_default();
    let symbols: Vec<&str> = match topic {
        "news" => payload["tickers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
        _ => ["ticker", "underlying_symbol", "symbol"]
            .iter()
            .find_map(|key| payload[key].as_str())
            .into_iter()
            .collect(),
    };
    let legal = |symbol: &str| {
        let byte = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b".-_/".contains(&b);
        (1..=32).contains(&symbol.len()) && symbol.bytes().all(byte)
    };
    let wanted = |symbol: &&&str| legal(symbol) && (targets.is_empty() || targets.contains(*symbol));
    let mut each: Vec<String> =
        symbols.iter().filter(wanted).map(|symbol| format!("{topic}:{symbol}")).collect();
    if each.is_empty() || !PER_TICKER.contains(&topic) {
        each.push(topic.to_owned());
    }
    each
}

/// Waits until Redis holds as many entries as it must, then compares every stream: the same payloads byte for byte, in
/// the order in which they were sent, each once, under rising ids, and no other stream.
#[track_caller]
pub(crate) fn assert_streams_equal(feed: &Feed, redis: &impl Stored, targets: &[&str]) {
    assert_streams_equal_under("uw", feed, redis, targets);
}

/// The same under another first segment of the keys.
#[track_caller]
pub(crate) fn assert_streams_equal_under(prefix: &str, feed: &Feed, redis: &impl Stored, targets: &[&str]) {
    let expected = expected(&feed.sent(), prefix, targets);
    let entries: usize = expected.values().map(Vec::len).sum();
    let limit = SOON + AN_ENTRY * u32::try_from(entries).unwrap();
    wait_for("every event is in its streams", limit, || {
        let short: Vec<String> = expected
            .iter()
            .filter_map(|(key, payloads)| {
                let length: usize = redis.try_command(&["XLEN", key]).unwrap_or(0);
                (length < payloads.len()).then(|| format!("{key}: {length} of {}", payloads.len()))
            })
            .collect();
        if short.is_empty() { Ok(()) } else { Err(short.join(", ")) }
    });
    assert_eq!(stream_keys(redis, prefix), expected.keys().cloned().collect::<Vec<_>>(), "the streams");
    for (key, payloads) in &expected {
        assert_stream_holds(redis, key, payloads);
    }
}

/// The stream holds these payloads and nothing else, under rising ids.
#[track_caller]
pub(crate) fn assert_stream_holds(redis: &impl Stored, key: &str, payloads: &[String]) {
    let entries = entries(redis, key);
    for (position, (entry, payload)) in entries.iter().zip(payloads).enumerate() {
        let stored = String::from_utf8_lossy(&entry.payload);
        assert_eq!(
            stored,
            payload.as_str(),
            "entry {position} of {key} ({} of {})",
            entries.len(),
            payloads.len()
        );
    }
    assert_eq!(entries.len(), payloads.len(), "entries of {key}");
    assert!(entries.is_sorted_by(|a, b| a.id < b.id), "ids of {key} rise");
}
