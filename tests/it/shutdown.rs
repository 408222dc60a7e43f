//! The end of the process: everything read is stored first, within the limit, and what is not is counted.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::oracle::assert_streams_equal;
use crate::support::sample::payloads;
use crate::support::{Feed, RedisServer, SOON, Service, Setup, has_passed};

const TARGETS: [&str; 2] = ["SPY", "QQQ"];
const EVENTS: u64 = 3_000;
/// `SHUTDOWN_TIMEOUT_SECONDS` for those who shall have as long as they need.
const AS_LONG_AS_IT_TAKES: &str = "600";

fn send(feed: &Feed) {
    feed.send_all("option_trades:SPY", &payloads("option_trades", "SPY", 0, EVENTS));
    feed.send_all("price:QQQ", &payloads("price", "QQQ", 0, EVENTS));
}

/// Everything that was received when the signal came is in Redis when the process is gone.
#[track_caller]
fn assert_drains_on(signal: Signal) {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis).set("SHUTDOWN_TIMEOUT_SECONDS", AS_LONG_AS_IT_TAKES);
    let mut service = setup.start_ready();
    send(&feed);
    service.wait_for_metric("uw_ws_events_received_total", &[], 2 * EVENTS);
    service.signal(signal);
    assert_eq!(service.wait_for_exit(SOON), Some(0));
    assert_streams_equal(&feed, &redis, &TARGETS);
    assert_eq!(feed.open_sessions(), 0);
    service.assert_no_secret();
}

#[test]
fn sigterm_drains_and_exits_with_0() {
    assert_drains_on(Signal::TERM);
}

#[test]
fn sigint_drains_and_exits_with_0() {
    assert_drains_on(Signal::INT);
}

#[test]
fn sighup_and_sigquit_drain_and_exit_with_0() {
    assert_drains_on(Signal::HUP);
    assert_drains_on(Signal::QUIT);
}

#[test]
fn a_hangup_that_was_ignored_at_the_start_stays_ignored() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let mut service = Setup::new(&feed, &redis).ignoring_hangup().start_ready();
    service.signal(Signal::HUP);
    feed.send_all("price:QQQ", &payloads("price", "QQQ", 0, 10));
    service.wait_for_metric("uw_ws_events_stored_total", &[], 10);
    assert!(service.is_running() && !service.records().iter().any(|record| record.msg == "stopping"));
    service.signal(Signal::TERM);
    assert_eq!(service.wait_for_exit(SOON), Some(0));
}

/// A service that was told to end, and waits for Redis as long as it takes: what it has is in memory only.
#[track_caller]
fn draining(feed: &Feed, redis: &mut RedisServer, signal: Signal) -> Service {
    let setup = Setup::new(feed, redis).set("SPOOL_MODE", "off");
    let service = setup.set("SHUTDOWN_TIMEOUT_SECONDS", AS_LONG_AS_IT_TAKES).start_ready();
    redis.kill9();
    send(feed);
    service.wait_for_metric("uw_ws_events_received_total", &[], 2 * EVENTS);
    service.signal(signal);
    service.wait_for_log("the end begins", |record| record.msg == "stopping");
    service
}

#[test]
fn the_second_hangup_of_a_closing_terminal_does_not_end_the_drain() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start_durable());
    let mut service = draining(&feed, &mut redis, Signal::HUP);
    service.signal(Signal::HUP);
    redis.restart(&[]);
    assert_eq!(service.wait_for_exit(SOON), Some(0));
    assert_streams_equal(&feed, &redis, &TARGETS);
}

#[test]
fn without_a_disk_queue_a_drain_waits_for_a_redis_that_comes_back_in_time() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start_durable());
    let mut service = draining(&feed, &mut redis, Signal::TERM);
    redis.restart(&[]);
    assert_eq!(service.wait_for_exit(SOON), Some(0));
    assert_streams_equal(&feed, &redis, &TARGETS);
}

#[test]
fn without_redis_the_process_ends_within_the_limit_and_says_what_it_lost() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start());
    let mut service = Setup::new(&feed, &redis).set("SHUTDOWN_TIMEOUT_SECONDS", "1").start_ready();
    redis.kill9();
    feed.send_all("price:SPY", &payloads("price", "SPY", 0, 70));
    service.wait_for_metric("uw_ws_events_received_total", &[], 70);
    let asked = Instant::now();
    service.signal(Signal::TERM);
    assert_eq!(service.wait_for_exit(SOON), Some(0));
    assert!(!has_passed(asked, Duration::from_secs(4)), "{:?}", asked.elapsed());
    let last = service.records().pop().unwrap();
    assert!(last.keys.values().any(|value| *value == 70), "the last line counts what was lost: {last:?}");
    service.assert_no_secret();
}

/// Docker kills after 10 s, and the default deadline is 8 s.
#[test]
fn the_end_takes_less_than_two_seconds_more_than_the_deadline_whatever_clients_do() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let mut service = Setup::new(&feed, &redis).set("SHUTDOWN_TIMEOUT_SECONDS", "1").start_ready();
    let address = service.http().replace("http://", "");
    // more answers than the system's buffers hold, of which the client reads none
    let mut slow = TcpStream::connect(address).unwrap();
    slow.write_all("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(3_000).as_bytes()).unwrap();
    redis.pause();
    feed.send_all("price:SPY", &payloads("price", "SPY", 0, 70));
    service.wait_for_metric("uw_ws_events_received_total", &[], 70);
    let asked = Instant::now();
    service.signal(Signal::TERM);
    assert_eq!(service.wait_for_exit(SOON), Some(0));
    assert!(!has_passed(asked, Duration::from_secs(3)), "{:?}", asked.elapsed());
    assert_eq!(service.records().pop().unwrap().msg, "stopped", "the last record");
    redis.resume();
}

#[test]
fn a_second_signal_ends_at_once() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start());
    let mut service = draining(&feed, &mut redis, Signal::TERM);
    assert!(service.is_running());
    service.signal(Signal::TERM);
    let code = service.wait_for_exit(Duration::from_secs(5));
    assert_ne!(code, Some(0), "not a clean end");
}

#[test]
fn a_service_without_feed_and_redis_ends_cleanly_too() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start());
    redis.kill9();
    let nobody = format!("ws://{}/socket", Feed::start().address());
    let mut service = Setup::new(&feed, &redis).set("UNUSUAL_WHALES_WEBSOCKET_URL", &nobody).start();
    service.wait_for_metric("uw_ws_connection_attempts_total", &[], 5);
    let asked = Instant::now();
    assert_eq!(service.terminate(), Some(0));
    assert!(!has_passed(asked, Duration::from_secs(5)), "nothing to drain: {:?}", asked.elapsed());
}
