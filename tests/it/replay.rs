//! `replay`: what was recorded comes again, over the vendor's protocol, into a service that cannot tell the difference.

use std::io::Write as _;
use std::path::Path;

use rustix::process::Signal;

use crate::support::oracle::{entries, stream_keys};
use crate::support::tool::Tool;
use crate::support::{Feed, RedisServer, SOON, Service, Setup, wait_for};

const TARGETS: [&str; 2] = ["SPY", "QQQ"];
/// The joins of a service for [`TARGETS`].
const JOINS: &str = "12";

/// Records some traffic of all channels under `uw`.
fn record(redis: &RedisServer, rounds: u64) {
    let feed = Feed::start();
    let service = Service::start(&feed, redis);
    feed.send_all_channels(&TARGETS, rounds);
    service.wait_for_metric("uw_ws_events_stored_total", &[], rounds * 12);
    service.finish();
}

/// Starts a replay, and returns the URL that it listens on.
fn start(args: &[&str], redis: &RedisServer) -> (Tool, String) {
    let replay = Tool::start(&[&["replay"], args].concat(), redis);
    let line = replay.wait_for_lines(1).remove(0);
    let url = line.strip_prefix("listening on ").expect("the first line").to_owned();
    (replay, url)
}

/// A service that is fed by a replay and writes under another prefix.
fn service(url: &str, redis: &RedisServer) -> Service {
    let unused = Feed::start();
    let setup = Setup::new(&unused, redis).set("UNUSUAL_WHALES_WEBSOCKET_URL", url);
    setup.set("KEY_PREFIX", "again").start()
}

fn payloads(redis: &RedisServer, key: &str) -> Vec<String> {
    let text = |payload| String::from_utf8(payload).unwrap();
    entries(redis, key).into_iter().map(|entry| text(entry.payload)).collect()
}

/// Waits until every stream under `again` holds what the one under `uw` holds, and that there are no others.
#[track_caller]
fn assert_replayed(redis: &RedisServer) {
    let keys = stream_keys(redis, "uw");
    for key in &keys {
        let again = key.replacen("uw", "again", 1);
        let recorded = payloads(redis, key);
        wait_for("the stream is as long", SOON, || {
            let length: usize = redis.command(&["XLEN", &again]);
            if length >= recorded.len() {
                Ok(())
            } else {
                Err(format!("{again}: {length} of {}", recorded.len()))
            }
        });
        assert_eq!(payloads(redis, &again), recorded, "{again}");
    }
    let expected: Vec<String> = keys.iter().map(|key| key.replacen("uw", "again", 1)).collect();
    assert_eq!(stream_keys(redis, "again"), expected);
}

#[test]
fn a_service_that_is_fed_by_a_replay_stores_the_same_in_every_stream() {
    let redis = RedisServer::start();
    record(&redis, 300);
    let (mut replay, url) = start(&["--speed", "max", "--wait-joins", JOINS], &redis);
    let mut again = service(&url, &redis);
    assert_eq!(replay.wait_for_exit(), Some(0), "{}", replay.stderr());
    assert_replayed(&redis);
    let summary = replay.stdout();
    assert!(summary[1].starts_with("3600 events in "), "{summary:?}");
    assert!(summary.contains(&"  news: 300".to_owned()), "{summary:?}");
    // the replay said goodbye, and the service waits for it to come back
    let closed = |service: &Service| {
        service.records().iter().any(|record| record.mentions("closed by the peer with code 1000"))
    };
    wait_for("the connections were closed with 1000", SOON, || {
        if closed(&again) { Ok(()) } else { Err(again.output()) }
    });
    assert_eq!(again.terminate(), Some(0));
}

#[test]
fn a_file_of_tail_is_replayed_with_its_own_gaps() {
    let redis = RedisServer::start();
    record(&redis, 40);
    let args =
        ["tail", "--no-follow", "--json", "option_trades", "price", "gex*", "news", "news:*", "flow-alerts"];
    let lines = Tool::lines(&args, &redis);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    let (mut replay, url) = start(&["--speed", "1000", "--wait-joins", JOINS, "--file", path(&file)], &redis);
    let mut again = service(&url, &redis);
    assert_eq!(replay.wait_for_exit(), Some(0), "{}", replay.stderr());
    assert_replayed(&redis);
    assert!(replay.stdout()[1].starts_with("480 events in "), "{:?}", replay.stdout());
    assert_eq!(again.terminate(), Some(0));
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_part_may_be_chosen_by_channel_symbol_and_time() {
    let redis = RedisServer::start();
    for (stream, id, payload) in [
        ("price:SPY", "1000-0", r#"{"close":"1"}"#),
        ("price:SPY", "2000-0", r#"{"close":"2"}"#),
        ("price:SPY", "3000-0", r#"{"close":"3"}"#),
        ("price:QQQ", "2000-0", r#"{"close":"4"}"#),
        ("gex:SPY", "2000-0", r#"{"price":"5"}"#),
        ("news", "2001-0", r#"{"headline":"6","tickers":["SPY"]}"#),
        ("news", "2002-0", r#"{"headline":"7","tickers":["QQQ"]}"#),
    ] {
        redis.command::<String>(&["XADD", &format!("uw:ws:{stream}"), id, "payload", payload]);
    }
    let args =
        ["--speed", "max", "--wait-joins", JOINS, "--channels", "price,news", "--symbols", "spy", "--from"];
    let times = ["1970-01-01T00:00:02Z", "--to", "1970-01-01T00:00:03Z"];
    let (mut replay, url) = start(&[&args[..], &times].concat(), &redis);
    let mut again = service(&url, &redis);
    assert_eq!(replay.wait_for_exit(), Some(0), "{}", replay.stderr());
    for (stream, payload) in
        [("price:SPY", r#"{"close":"2"}"#), ("news:SPY", r#"{"headline":"6","tickers":["SPY"]}"#)]
    {
        let key = format!("again:ws:{stream}");
        wait_for("the event is there", SOON, || {
            let payloads = payloads(&redis, &key);
            if payloads == [payload] { Ok(()) } else { Err(format!("{payloads:?}")) }
        });
    }
    assert_eq!(stream_keys(&redis, "again"), ["again:ws:news", "again:ws:news:SPY", "again:ws:price:SPY"]);
    assert!(replay.stdout()[1].starts_with("2 events in "), "{:?}", replay.stdout());
    assert_eq!(again.terminate(), Some(0));
}

#[test]
fn a_replay_says_why_it_cannot_be() {
    let redis = RedisServer::start();
    let mut nothing = Tool::start(&["replay"], &redis);
    assert_eq!(nothing.wait_for_exit(), Some(1));
    assert!(nothing.stderr().contains("no stream matches"), "{}", nothing.stderr());
    let mut no_file = Tool::start(&["replay", "--file", "/nonexistent.jsonl"], &redis);
    assert_eq!(no_file.wait_for_exit(), Some(1));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"[\"news\",{\"a\":1}]\n[\"news\",{\n\"a\":1}]\n").unwrap();
    for command in ["replay", "simulate"] {
        let mut no_event = Tool::start(&[command, "--file", path(file.path())], &redis);
        assert_eq!(no_event.wait_for_exit(), Some(65), "{}", no_event.stderr());
        assert!(no_event.stderr().contains("line 2: "), "{}", no_event.stderr());
    }
    let mut wrong = Tool::start(&["replay", "--speed", "0"], &redis);
    assert_eq!(wrong.wait_for_exit(), Some(64));
    let mut away = Tool::start(&["replay", "--redis", "redis://127.0.0.1:1/0"], &redis);
    assert_eq!(away.wait_for_exit(), Some(69), "{}", away.stderr());
}

#[test]
fn a_replay_without_events_ends_and_says_what_it_looked_for() {
    let redis = RedisServer::start();
    redis.command::<String>(&["XADD", "uw:ws:news", "1-0", "payload", r#"{"tickers":["SPY"]}"#]);
    for (args, told) in [
        (&["--from", "2026-01-01"][..], "from 2026-01-01T00:00:00 to "),
        (&["--to", "1970-01-01T00:00:00Z"], "from 1970-01-01T00:00:00 to 1970-01-01T00:00:00"),
        (&["--symbols", "QQQ"], "from 1970-01-01T00:00:00 to "),
    ] {
        let mut replay = Tool::start(&[&["replay"], args].concat(), &redis);
        assert_eq!(replay.wait_for_exit(), Some(1), "{args:?}");
        let said = replay.stderr();
        assert!(said.contains("no event matches in 1 stream(s) "), "{said}");
        assert!(said.contains(told), "{said}");
        assert_eq!(replay.stdout(), [""; 0], "{args:?}");
    }
    let mut replay = Tool::start(&["replay", "--channels", "newz"], &redis);
    assert_eq!(replay.wait_for_exit(), Some(1));
    assert!(
        replay.stderr().contains("newz: no such stream") && replay.stderr().contains("the nearest is news")
    );
}

#[test]
fn a_replay_that_waits_for_joins_says_so_and_ends_on_a_signal() {
    let redis = RedisServer::start();
    redis.command::<String>(&["XADD", "uw:ws:news", "1-0", "payload", "{}"]);
    let (mut replay, _) = start(&["--wait-joins", "3"], &redis);
    replay.wait_for_word("waiting for clients to join: 0 of 3 joins");
    replay.signal(Signal::INT);
    assert_eq!(replay.wait_for_exit(), Some(0), "{}", replay.stderr());
    assert_eq!(replay.stdout()[1], "0 events in 0.0 s, 0/s, interrupted");
}
