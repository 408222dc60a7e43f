//! Entries of other clients that are larger than any event: commands that read streams skip them, say so, and go on.

use crate::support::RedisServer;
use crate::support::sample::payload;
use crate::support::tool::Tool;

/// What is said of each.
const SKIPPED: &str = "more than 5 MiB";

/// Adds an entry with a value of this size, without a copy of it here.
fn add(redis: &RedisServer, stream: &str, id: &str, bytes: usize) {
    let add = "return redis.call('XADD', KEYS[1], ARGV[1], 'payload', string.rep('x', tonumber(ARGV[2])))";
    redis.command::<String>(&["EVAL", add, "1", stream, id, &bytes.to_string()]);
}

fn add_event(redis: &RedisServer, id: &str) {
    redis.command::<String>(&["XADD", "uw:ws:price:SPY", id, "payload", &payload("price", "SPY", 1)]);
}

/// Runs a command to its end; its lines and what it complained of.
#[track_caller]
fn run(args: &[&str], redis: &RedisServer) -> (Vec<String>, String) {
    let mut tool = Tool::start(args, redis);
    assert_eq!(tool.wait_for_exit(), Some(0), "{}", tool.stderr());
    (tool.stdout(), tool.stderr())
}

#[test]
fn tail_reads_pages_of_any_size_and_skips_giant_entries() {
    let redis = RedisServer::start();
    add_event(&redis, "1-0");
    add(&redis, "uw:ws:price:SPY", "2-0", 20 << 20);
    add_event(&redis, "3-0");
    // a page of these has 20 MB
    (0..200).for_each(|n| add(&redis, "uw:ws:price:QQQ", &format!("2-{}", n + 1), 100_000));
    // the only entry, and the first and last one
    add(&redis, "uw:ws:price:IWM", "2-0", 20 << 20);
    let (lines, complaints) = run(&["tail", "--no-follow", "--json"], &redis);
    assert_eq!(lines.len(), 202);
    assert_eq!(complaints.matches(SKIPPED).count(), 2, "{complaints}");
    for stream in ["uw:ws:price:SPY", "uw:ws:price:IWM"] {
        assert!(complaints.lines().any(|line| line.contains(stream) && line.contains("2-0")), "{complaints}");
    }
}

#[test]
fn the_last_ones_are_found_behind_giant_entries() {
    let redis = RedisServer::start();
    (1..=5).for_each(|n| add_event(&redis, &format!("{n}-0")));
    add(&redis, "uw:ws:price:SPY", "6-0", 20 << 20);
    add_event(&redis, "7-0");
    let (lines, complaints) = run(&["tail", "--no-follow", "--json", "-n", "3"], &redis);
    let ids: Vec<&str> =
        lines.iter().filter_map(|line| line.split("\"id\":\"").nth(1)?.split('"').next()).collect();
    assert_eq!(ids, ["4-0", "5-0", "7-0"]);
    assert_eq!(complaints.matches(SKIPPED).count(), 1, "{complaints}");
}

#[test]
fn tail_follows_beyond_giant_entries() {
    let redis = RedisServer::start();
    add_event(&redis, "1-0");
    let tail = Tool::start(&["tail", "--since", "1970-01-01T00:00:00Z", "--json"], &redis);
    tail.wait_for_lines(1);
    add(&redis, "uw:ws:price:SPY", "2-0", 30 << 20);
    add_event(&redis, "3-0");
    tail.wait_for_lines(2);
    tail.wait_for_word(SKIPPED);
}

#[test]
fn gaps_reads_pages_of_any_size_and_skips_giant_entries() {
    let redis = RedisServer::start();
    let gap = |id: &str, detail: &str| {
        let fields = ["family", "prices", "channels", "price:SPY", "reason", "crash", "detail", detail];
        let times = ["from", "2026-01-05T15:00:00+00:00", "to", "2026-01-05T15:00:10+00:00"];
        redis.command::<String>(&[&["XADD", "uw:ws:gaps", id], &fields[..], &times].concat());
    };
    gap("1767625210000-0", "first");
    add(&redis, "uw:ws:gaps", "1767625210000-1", 20 << 20);
    let long = "x".repeat(30_000);
    (2..1_000).for_each(|n| gap(&format!("1767625210000-{n}"), &long));
    let (lines, complaints) = run(&["gaps", "--json"], &redis);
    assert_eq!(lines.len(), 999);
    assert_eq!(complaints.matches(SKIPPED).count(), 1, "{complaints}");
    assert!(complaints.contains("1767625210000-1"), "{complaints}");
}

#[test]
fn replay_skips_giant_entries() {
    let redis = RedisServer::start();
    add_event(&redis, "1000-0");
    add(&redis, "uw:ws:price:SPY", "1001-0", 20 << 20);
    add_event(&redis, "1002-0");
    let replay = Tool::start(&["replay", "--speed", "max"], &redis);
    let url = replay.wait_for_lines(1).remove(0);
    let url = url.strip_prefix("listening on ").unwrap().to_owned();
    let feed = crate::support::Feed::start();
    let setup = crate::support::Setup::new(&feed, &redis).set("UNUSUAL_WHALES_WEBSOCKET_URL", &url);
    let service = setup.set("KEY_PREFIX", "again").set("CHANNELS", "price").start();
    service.wait_for_metric("uw_ws_events_received_total", &[], 2);
    replay.wait_for_word(SKIPPED);
}
