//! Somebody else writes the body at the same time: nothing of theirs is overwritten with a stale copy, and nothing of ours
//! is missing in the end. Nor does it matter that Redis has forgotten our scripts.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use deadpool_redis::redis::cmd;
use serde_json::{Value, json};

use super::{STRIKES, fetch, gamma_at, now, row_time, rows, strike_row, wait_for_body};
use crate::support::sample;
use crate::support::{Feed, RedisServer, Service, Setup};

/// The strike whose row is REST's alone, and counts its writes.
const COUNTED: u64 = 100;
/// Between two writes of a fetcher that hammers.
const HAMMER: Duration = Duration::from_millis(1);
/// Answers of the fetcher that meet the writer often enough.
const ENOUGH: u64 = 300;

/// Writes the body again and again until told to end. Before each write it looks that what it wrote last is there: as it
/// was, or with events merged into it.
fn hammer(redis: &RedisServer, is_over: &AtomicBool) -> u64 {
    let mut connection = redis.connect().unwrap();
    let time = row_time(1);
    let mut written = 0;
    while !is_over.load(SeqCst) || written <= ENOUGH {
        let (payload, fetched_at): (Option<String>, Option<String>) =
            cmd("HMGET").arg(STRIKES).arg("payload").arg("fetched_at").query(&mut connection).unwrap();
        if let (Some(payload), Some(fetched_at)) = (payload, fetched_at) {
            let body: Value = serde_json::from_str(&payload).unwrap();
            let counted = gamma_at(&body, COUNTED).map(str::to_owned);
            assert_eq!(counted, Some(written.to_string()), "an older answer came back at {fetched_at}");
        }
        written += 1;
        let body = json!({"data": [strike_row(COUNTED, &time, &written.to_string())]}).to_string();
        cmd("HSET")
            .arg(STRIKES)
            .arg(&["payload", &body, "fetched_at", &now()])
            .exec(&mut connection)
            .unwrap();
        std::thread::park_timeout(HAMMER);
    }
    written
}

#[test]
fn a_fetcher_that_hammers_never_loses_to_a_stale_copy() {
    const EVENTS: u64 = 600;
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Setup::new(&feed, &redis).set("SNAPSHOT_INTERVAL_MS", "5ms").start_ready();
    let is_over = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let hammering = scope.spawn(|| hammer(&redis, &is_over));
        let began = Instant::now();
        for n in 0..EVENTS {
            feed.send("gex_strike:SPY", &sample::strike_row(None, &(200 + n % 50).to_string(), 0, n));
            std::thread::park_timeout(Duration::from_millis(3));
            if hammering.is_finished() {
                break;
            }
        }
        assert!(began.elapsed() > Duration::from_secs(1), "long enough to meet one another");
        is_over.store(true, SeqCst);
        hammering.join().expect("the fetcher finds what it wrote")
    });
    assert!(written > ENOUGH, "{written}");
    let newest = |strike: u64| (EVENTS - 50 + (strike - 200)).to_string();
    let body = wait_for_body(&redis, STRIKES, |body| {
        (200..250).all(|strike| gamma_at(body, strike) == Some(&*newest(strike)))
    });
    assert_eq!(gamma_at(&body, COUNTED), Some(&*written.to_string()), "REST's last answer is beside them");
    service.finish();
}

#[test]
fn a_redis_that_forgets_scripts_goes_unnoticed() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    fetch(&redis, STRIKES, &json!({"data": [strike_row(COUNTED, &row_time(60), "0")]}));
    for n in 1..=3 {
        feed.send("gex_strike:SPY", &sample::strike_row(None, "700", 0, n));
        wait_for_body(&redis, STRIKES, |body| gamma_at(body, 700) == Some(&*n.to_string()));
        redis.command::<String>(&["SCRIPT", "FLUSH"]);
    }
    let complaints: Vec<_> = service
        .records()
        .into_iter()
        .filter(|record| matches!(record.level, "warning" | "error" | "critical"))
        .filter(|record| record.mentions("snapshot") || record.mentions("noscript"))
        .collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    service.finish();
}

#[test]
fn a_row_that_comes_late_hides_no_newer_one() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    let (newer, older) = (sample::strike_row(None, "700", 0, 1), sample::strike_row(None, "700", 1_000, 2));
    // together, so that one write of the body has to choose
    feed.send_all("gex_strike:SPY", &[newer, older, sample::strike_row(None, "800", 0, 3)]);
    let body = wait_for_body(&redis, STRIKES, |body| gamma_at(body, 800).is_some());
    assert_eq!(gamma_at(&body, 700), Some("1"));
    service.finish();
}

#[test]
fn of_two_rows_of_one_moment_the_later_one_is_shown() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    let (first, restated) =
        (sample::strike_row(None, "700.00", 0, 2), sample::strike_row(None, "700", 0, 10));
    feed.send_all("gex_strike:SPY", &[first, restated, sample::strike_row(None, "800", 0, 3)]);
    let body = wait_for_body(&redis, STRIKES, |body| gamma_at(body, 800).is_some());
    let shown = rows(&body)[0]["call_gamma_oi"].as_str();
    assert_eq!(shown, Some("10"));
    service.finish();
}
