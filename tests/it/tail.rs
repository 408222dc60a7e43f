//! `tail`: what is in the streams, in one order, and what comes to them, whatever happens to Redis.

use std::io::{BufRead as _, BufReader};

use rustix::process::Signal;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::support::sample::{news, payload};
use crate::support::tool::Tool;
use crate::support::{RedisServer, SOON, wait_until};

/// Writes an event under an id of our own.
fn add(redis: &RedisServer, stream: &str, id: &str, payload: &str) {
    redis.command::<String>(&["XADD", &format!("uw:ws:{stream}"), id, "payload", payload]);
}

/// The id and the stream of each line of `--json`.
fn ids(lines: &[String]) -> Vec<String> {
    let id = |line: &String| {
        let object: Value = serde_json::from_str(line).unwrap();
        format!("{} {}", object["id"].as_str().unwrap(), object["stream"].as_str().unwrap())
    };
    lines.iter().map(id).collect()
}

/// Waits until a client of Redis waits for entries: from then on nothing that is added can be old.
fn wait_until_follows(redis: &RedisServer) {
    let blocked = || redis.command::<String>(&["INFO", "clients"]).contains("blocked_clients:1");
    wait_until("it waits for entries", SOON, blocked, || "it does not".to_owned());
}

/// Three streams whose entries take turns; all of one page and more.
fn fill(redis: &RedisServer, count: u64) -> Vec<String> {
    let streams = ["price:SPY", "price:QQQ", "gex:SPY"];
    let mut expected = Vec::new();
    for n in 1..=count {
        let stream = streams[usize::try_from(n * n % 7 % 3).unwrap()];
        add(redis, stream, &format!("{}-{}", 1000 + n / 2, n % 2), &payload("price", "SPY", n));
        expected.push(format!("{}-{} uw:ws:{stream}", 1000 + n / 2, n % 2));
    }
    expected
}

#[test]
fn all_streams_come_in_the_order_of_their_ids() {
    let redis = RedisServer::start();
    let expected = fill(&redis, 2_500);
    redis.command::<()>(&["HSET", "uw:ws:latest:price:SPY", "payload", "{}"]);
    redis.command::<String>(&["XADD", "uw:ws:gaps", "1-0", "family", "gex"]);
    redis.command::<()>(&["SET", "uw:ws:news", "no stream"]);
    assert_eq!(ids(&Tool::lines(&["tail", "--no-follow", "--json"], &redis)), expected);
    let since = Tool::lines(&["tail", "--since", "1970-01-01T00:00:02Z", "--no-follow", "--json"], &redis);
    let later = expected.iter().filter(|id| id.split('-').next().unwrap().parse::<u64>().unwrap() >= 2_000);
    assert_eq!(ids(&since), later.cloned().collect::<Vec<_>>());
    for (count, extra) in [
        ("1", &[][..]),
        ("5", &[]),
        ("1200", &[]),
        ("9999", &[]),
        ("7", &["--since", "1970-01-01T00:00:02Z"]),
    ] {
        let args = [&["tail", "--no-follow", "--json", "-n", count], extra].concat();
        let last = expected.len().saturating_sub(count.parse().unwrap());
        assert_eq!(ids(&Tool::lines(&args, &redis)), expected[last..], "{args:?}");
    }
    let of_qqq: Vec<_> = expected.iter().filter(|id| id.ends_with("price:QQQ")).collect();
    let last = Tool::lines(&["tail", "price:QQQ", "--no-follow", "--json", "-n", "7"], &redis);
    assert_eq!(ids(&last).iter().collect::<Vec<_>>(), of_qqq[of_qqq.len() - 7..]);
}

#[test]
fn the_last_ones_are_those_that_are_wanted_and_no_more_of_one_moment() {
    let redis = RedisServer::start();
    for n in 1..=1_000 {
        let symbol = ["SPY", "QQQ"][n % 2];
        let price = if n % 100 == 0 { "round" } else { "odd" };
        add(&redis, &format!("price:{symbol}"), &format!("{n}-0"), &format!(r#"{{"close":"{price}"}}"#));
    }
    for stream in ["price:SPY", "price:QQQ", "price:IWM"] {
        add(&redis, stream, "2000-0", r#"{"close":"round"}"#);
    }
    let last = |count: &str| {
        let args = ["tail", "--no-follow", "--json", "--grep", "ROUND", "-n", count];
        ids(&Tool::lines(&args, &redis))
            .iter()
            .map(|id| id.split('-').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(last("5"), ["900", "1000", "2000", "2000", "2000"]);
    assert_eq!(last("2"), ["2000", "2000"]);
    assert_eq!(last("50").len(), 13);
}

#[test]
fn a_name_that_selects_nothing_is_doubted() {
    let redis = RedisServer::start();
    add(&redis, "news", "1-0", r#"{"headline":"here"}"#);
    let mut tail = Tool::start(&["tail", "newz", "--no-follow"], &redis);
    assert_eq!(tail.wait_for_exit(), Some(0));
    assert!(
        tail.stderr().contains(
            "newz: no such stream, and the settings join nothing of that name; the nearest is news"
        ),
        "{}",
        tail.stderr()
    );
    let mut tail = Tool::start(&["tail", "price:SPY", "news", "--no-follow"], &redis);
    assert_eq!(tail.wait_for_exit(), Some(0));
    assert_eq!(tail.stderr(), "uw-websocket: price:SPY: no such stream yet");
    assert_eq!(tail.stdout().len(), 1);
}

#[test]
fn the_payload_of_json_is_that_of_the_stream_byte_for_byte() {
    let redis = RedisServer::start();
    let payloads = [
        news(&["SPY"], 1),
        payload("option_trades", "SPY", 2),
        r#"{ "a" : [1.50, 1e3] }"#.to_owned(),
        "{\n\"a\" :\r1}".to_owned(),
    ];
    for (n, payload) in payloads.iter().enumerate() {
        add(&redis, "news", &format!("{}-0", n + 1), payload);
    }
    let lines = Tool::lines(&["tail", "news", "--no-follow", "--json"], &redis);
    for (line, payload) in lines.iter().zip(&payloads) {
        #[derive(serde::Deserialize)]
        struct Line<'l> {
            #[serde(borrow)]
            payload: &'l RawValue,
        }
        let read = serde_json::from_str::<Line<'_>>(line).unwrap().payload.get();
        // JSON with line breaks is on one line, as a string
        let text = serde_json::from_str::<String>(read);
        assert_eq!(text.as_ref().map_or(read, String::as_str), payload);
        assert_eq!(text.is_ok(), payload.contains('\n'), "{line}");
    }
    assert_eq!(lines.len(), payloads.len());
}

#[test]
fn what_comes_is_followed_also_in_streams_that_are_new() {
    let redis = RedisServer::start();
    add(&redis, "price:SPY", "1-0", r#"{"close":"1"}"#);
    let mut tail = Tool::start(&["tail"], &redis);
    wait_until_follows(&redis);
    add(&redis, "price:SPY", "*", r#"{"close":"562.82","vol":7}"#);
    let line = tail.wait_for_lines(1).remove(0);
    assert!(line.ends_with("  price              SPY      562.82  volume 7"), "{line}");
    add(&redis, "news", "*", r#"{"headline":"a \u001b[2J new stream","tickers":["SPY"]}"#);
    let line = tail.wait_for_lines(2).remove(1);
    assert!(line.ends_with("SPY  a \\u{1b}[2J new stream"), "{line}");
    assert!(!tail.stdout().concat().contains('\u{1b}'), "a pipe gets no colours");
    tail.signal(Signal::INT);
    assert_eq!(tail.wait_for_exit(), Some(0), "{}", tail.stderr());
    assert_eq!(tail.stderr(), "");
}

#[test]
fn each_event_of_a_global_channel_comes_once_unless_its_symbol_is_named() {
    let redis = RedisServer::start();
    for stream in ["news", "news:SPY", "news:QQQ"] {
        add(&redis, stream, "5-0", &news(&["SPY", "QQQ"], 1));
    }
    let lines = |args: &[&str]| Tool::lines(&[&["tail", "--no-follow"], args].concat(), &redis).len();
    assert_eq!([lines(&[]), lines(&["news"]), lines(&["news:SPY"]), lines(&["news:*"])], [1, 1, 1, 2]);
}

#[test]
fn only_what_the_expression_finds_is_printed() {
    let redis = RedisServer::start();
    for (n, headline) in ["LNG exports", "oil", "more lng"].into_iter().enumerate() {
        add(&redis, "news", &format!("{}-0", n + 1), &format!(r#"{{"headline":"{headline}"}}"#));
    }
    let lines = Tool::lines(&["tail", "news", "--grep", "l[mn]g", "--no-follow"], &redis);
    assert_eq!(lines.len(), 2);
    assert!(lines[1].ends_with("more lng"), "{lines:?}");
    let mut wrong = Tool::start(&["tail", "--grep", "("], &redis);
    assert_eq!(wrong.wait_for_exit(), Some(64));
}

#[test]
fn the_ledger_is_followed_where_it_is_named() {
    let redis = RedisServer::start();
    let gap = [
        ("family", "gex"),
        ("channels", "gex:SPY"),
        ("from", "2025-05-16T18:19:43.100000+00:00"),
        ("to", "2025-05-16T18:19:53.100000+00:00"),
        ("reason", "death"),
        ("detail", "no pong"),
    ];
    let mut words = vec!["XADD", "uw:ws:gaps", "1747419593100-0"];
    words.extend(gap.iter().flat_map(|(name, value)| [*name, *value]));
    redis.command::<String>(&words);
    let lines = Tool::lines(&["tail", "gaps", "--no-follow"], &redis);
    assert_eq!(
        lines,
        [concat!(
            "05-16 18:19:53.100  gaps               gex     death             10.0 s  from 05-16 18:19:43.100  ",
            "gex:SPY  no pong"
        )]
    );
}

#[test]
fn a_restart_of_redis_is_survived_without_loss_or_repeats() {
    let mut redis = RedisServer::start_durable();
    add(&redis, "price:SPY", "1-0", r#"{"close":"1"}"#);
    let mut tail = Tool::start(&["tail", "price", "--json"], &redis);
    wait_until_follows(&redis);
    add(&redis, "price:SPY", "10-0", r#"{"close":"2"}"#);
    tail.wait_for_lines(1);
    redis.kill9();
    tail.wait_for_word("redis does not answer");
    redis.restart(&[]);
    for n in 11..=12 {
        add(&redis, "price:SPY", &format!("{n}-0"), r#"{"close":"3"}"#);
    }
    tail.wait_for_word("redis answers again");
    add(&redis, "price:SPY", "13-0", r#"{"close":"3"}"#);
    let expected: Vec<String> = (10..=13).map(|n| format!("{n}-0 uw:ws:price:SPY")).collect();
    assert_eq!(ids(&tail.wait_for_lines(4)), expected);
    tail.signal(Signal::TERM);
    assert_eq!(tail.wait_for_exit(), Some(0));
}

#[test]
fn what_was_trimmed_while_redis_was_away_is_said_to_be_missing() {
    let mut redis = RedisServer::start_durable();
    add(&redis, "price:SPY", "1-0", "{}");
    let tail = Tool::start(&["tail", "price", "--json"], &redis);
    wait_until_follows(&redis);
    redis.kill9();
    tail.wait_for_word("redis does not answer");
    // on another port, so that it is not read before it is trimmed
    let port = redis.port().to_string();
    redis.restart(&["--port", "0"]);
    let later = |seconds: u64| format!("{}-0", (unix_ms() / 1000 + seconds) * 1000);
    for seconds in [100, 200, 300] {
        add(&redis, "price:SPY", &later(seconds), "{}");
    }
    redis.command::<u64>(&["XTRIM", "uw:ws:price:SPY", "MAXLEN", "1"]);
    redis.config_set("port", &port);
    tail.wait_for_word("redis answers again");
    tail.wait_for_word("uw:ws:price:SPY was trimmed while it was not read: up to ");
    assert_eq!(tail.wait_for_lines(1).len(), 1);
    let stderr = tail.stderr();
    let seconds = stderr.split("up to ").nth(1).unwrap().split(' ').next().unwrap();
    assert!((280.0..=320.0).contains(&seconds.parse::<f64>().unwrap()), "{stderr}");
}

fn unix_ms() -> u64 {
    uw_websocket_actors::wall_clock::unix_micros() / 1000
}

#[test]
fn a_key_that_is_no_stream_any_more_is_left_and_the_others_are_followed() {
    let redis = RedisServer::start();
    for stream in ["price:SPY", "price:QQQ"] {
        add(&redis, stream, "1-0", "{}");
    }
    let tail = Tool::start(&["tail", "price", "--json"], &redis);
    wait_until_follows(&redis);
    redis.command::<()>(&["SET", "uw:ws:price:SPY", "something else"]);
    tail.wait_for_word("uw:ws:price:SPY is no longer a stream");
    add(&redis, "price:QQQ", "2-0", "{}");
    assert_eq!(ids(&tail.wait_for_lines(1)), ["2-0 uw:ws:price:QQQ"]);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let redis = RedisServer::start();
    fill(&redis, 2_000);
    let (_folder, mut command) = Tool::command(&["tail", "--since", "-"], &redis);
    let mut child = command.spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn a_reader_that_takes_nothing_does_not_hold_up_the_end() {
    let redis = RedisServer::start();
    fill(&redis, 2_000);
    let (_folder, mut command) = Tool::command(&["tail", "--since", "-", "--json"], &redis);
    let mut child = command.spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::INT).unwrap();
    wait_until("it ends", SOON, || child.try_wait().unwrap().is_some(), || "it runs".to_owned());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn another_redis_may_be_named_and_its_password_is_never_shown() {
    let (redis, other) = (RedisServer::with_password(), RedisServer::start());
    add(&redis, "news", "1-0", r#"{"headline":"here"}"#);
    let url = redis.url();
    assert_eq!(Tool::lines(&["tail", "--no-follow", "--redis", &url], &other).len(), 1);
    drop(redis);
    let mut tail = Tool::start(&["tail", "--redis", &url], &other);
    assert_eq!(tail.wait_for_exit(), Some(69), "{}", tail.stderr());
    let wrong = url.replace("redis://", "http://");
    let mut tail = Tool::start(&["tail", "--redis", &wrong], &other);
    assert_eq!(tail.wait_for_exit(), Some(78));
}
