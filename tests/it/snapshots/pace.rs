//! How often the snapshots are written, counted by Redis itself: by its keyspace notifications.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{STATE, STRIKES, fetch, rows, state, wait_for_body};
use crate::support::sample::{self, payload};
use crate::support::{Feed, RedisServer, SOON, Setup, stretched, wait_for};

/// `SNAPSHOT_INTERVAL_MS`, longer than the default so that a machine that stands still for a moment changes no count.
const INTERVAL: Duration = Duration::from_millis(500);
const LOAD: Duration = Duration::from_secs(3);
/// What ends the count.
const LAST: &str = "the-last";

/// Writes by key, from when it was started.
struct Writes {
    counted: Receiver<BTreeMap<String, u32>>,
    thread: JoinHandle<()>,
}

impl Writes {
    fn count(redis: &RedisServer) -> Writes {
        redis.config_set("notify-keyspace-events", "Kh");
        let mut connection = redis.connect().unwrap();
        let (done, counted) = channel();
        let (subscribed, is_subscribed) = channel();
        let thread = std::thread::spawn(move || {
            let mut events = connection.as_pubsub();
            events.psubscribe("__keyspace@0__:*").unwrap();
            subscribed.send(()).unwrap();
            let mut writes = BTreeMap::new();
            while let Ok(message) = events.get_message() {
                let key = message.get_channel_name().trim_start_matches("__keyspace@0__:").to_owned();
                if key == LAST {
                    break;
                }
                if message.get_payload::<String>().is_ok_and(|event| event == "hset") {
                    *writes.entry(key).or_default() += 1;
                }
            }
            // nobody listens after a failure
            drop(done.send(writes));
        });
        is_subscribed.recv_timeout(stretched(SOON)).unwrap();
        Writes { counted, thread }
    }

    /// Those until now.
    #[track_caller]
    fn end(self, redis: &RedisServer) -> BTreeMap<String, u32> {
        redis.command::<i64>(&["HSET", LAST, "of", "all"]);
        let counted =
            self.counted.recv_timeout(stretched(SOON)).expect("the notifications come to their end");
        self.thread.join().unwrap();
        counted
    }
}

#[test]
fn a_snapshot_is_written_at_most_once_an_interval_whatever_the_load() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let interval = INTERVAL.as_millis().to_string();
    let service = Setup::new(&feed, &redis).set("SNAPSHOT_INTERVAL_MS", &interval).start_ready();
    for symbol in ["SPY", "QQQ"] {
        fetch(&redis, &format!("uw:rest:stock_state:{symbol}"), &state(10, "500", 1));
    }
    let (load, writes) = (stretched(LOAD), Writes::count(&redis));
    let (began, mut sent) = (Instant::now(), 0);
    while began.elapsed() < load {
        for symbol in ["SPY", "QQQ"] {
            for channel in ["price", "gex", "gex_strike", "option_trades"] {
                feed.send(&format!("{channel}:{symbol}"), &payload(channel, symbol, sent));
            }
            feed.send("flow-alerts", &payload("flow-alerts", symbol, sent));
        }
        sent += 1;
        std::thread::park_timeout(Duration::from_millis(3));
    }
    let last = payload("price", "SPY", sent - 1);
    wait_for("the last event is in its hash", SOON, || {
        let newest: Option<String> = redis.command(&["HGET", "uw:ws:latest:price:SPY", "payload"]);
        if newest.as_ref() == Some(&last) { Ok(()) } else { Err(format!("{newest:?}")) }
    });
    service.wait_until_settled();
    // the first write is at once, and each that follows an interval later
    let most = u32::try_from(began.elapsed().as_millis() / INTERVAL.as_millis()).unwrap() + 1;
    let counted = writes.end(&redis);
    let snapshots: BTreeMap<_, _> = counted
        .iter()
        .filter(|(key, _)| key.starts_with("uw:rest:") || key.starts_with("uw:ws:latest:"))
        .collect();
    // two tickers with four bodies and as many newest events, their trades, and the alerts of all
    assert_eq!(snapshots.len(), 2 * (4 + 5) + 1, "{snapshots:?}");
    for (key, writes) in snapshots {
        assert!(*writes <= most, "{key}: {writes} writes of {sent} events in {:?}", began.elapsed());
        // more than the first and the last of them
        assert!(*writes > 2, "{key}: {writes} writes in {:?}", began.elapsed());
    }
    service.finish();
}

#[test]
fn a_wave_of_four_thousand_rows_makes_few_writes_of_the_body() {
    const ROWS: u64 = 4_000;
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Setup::new(&feed, &redis).set("SNAPSHOT_INTERVAL_MS", "1s").start_ready();
    let (writes, began) = (Writes::count(&redis), Instant::now());
    let wave: Vec<String> =
        (0..ROWS).map(|n| sample::strike_row(None, &(100 + n).to_string(), 0, n)).collect();
    feed.send_all("gex_strike:SPY", &wave);
    let body = wait_for_body(&redis, STRIKES, |body| rows(body).len() >= usize::try_from(ROWS).unwrap());
    assert_eq!(rows(&body).len(), usize::try_from(ROWS).unwrap());
    service.wait_until_settled();
    // the first write is at once, and each that follows a second later
    let most = u32::try_from(began.elapsed().as_secs()).unwrap() + 1;
    let counted = writes.end(&redis);
    assert!(counted[STRIKES] <= most, "{most}: {counted:?}");
    assert!(counted["uw:ws:latest:gex_strike:SPY"] <= most, "{most}: {counted:?}");
    service.finish();
}

#[test]
fn without_snapshots_what_rest_has_written_stays_as_it_is() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let base = state(10, "500", 1);
    fetch(&redis, STATE, &base);
    let writes = Writes::count(&redis);
    let service = Setup::new(&feed, &redis).set("STORE_TO_REDIS", "false").start_ready();
    for n in 0..50 {
        for channel in ["price", "gex", "gex_strike"] {
            feed.send(&format!("{channel}:SPY"), &payload(channel, "SPY", n));
        }
        feed.send("flow-alerts", &payload("flow-alerts", "SPY", n));
    }
    service.wait_for_metric("uw_ws_events_stored_total", &[], 200);
    service.wait_until_settled();
    // `ws:status` is always written
    let snapshots = |key: &String| !key.starts_with("uw:ws:status");
    assert_eq!(writes.end(&redis).into_keys().filter(snapshots).collect::<Vec<_>>(), [""; 0]);
    assert_eq!(wait_for_body(&redis, STATE, |_| true), base);
    service.finish();
}
