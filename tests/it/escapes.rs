//! What Redis and the feed hold controls no terminal, whichever command shows it.

use serde_json::Value;
use uw_websocket::escape::controls;

use crate::support::feed::{Ack, Refusal};
use crate::support::tool::Tool;
use crate::support::{Feed, RedisServer, Setup};

/// A clear screen, a bell, a colour by C1, a return, text that runs backwards.
const HOSTILE: &str = "\u{1b}[2J\u{7}\u{9b}31m\r\u{85}\u{202e}\u{2066}\u{200f}\u{61c}\u{7f}";

#[track_caller]
fn assert_harmless(text: &str) {
    assert!(!text.lines().any(|line| line.contains(controls)), "{text:?}");
}

/// An entry of the ledger.
fn gap(redis: &RedisServer, from: &str) {
    let fields = [
        ("family", "prices"),
        ("channels", HOSTILE),
        ("from", from),
        ("to", "2026-01-05T15:00:10+00:00"),
        ("reason", "disconnect"),
        ("detail", HOSTILE),
    ];
    let mut command = vec!["XADD", "uw:ws:gaps", "1767625210000-0"];
    command.extend(fields.iter().flat_map(|(name, value)| [*name, *value]));
    redis.command::<String>(&command);
}

#[test]
fn gaps_and_events_are_shown_with_escapes() {
    let redis = RedisServer::start();
    gap(&redis, "2026-01-05T15:00:00+00:00");
    let payload = format!("{{\"headline\":\"\u{9b}{0}\u{202e}\",\"x\":[\"{0}\"]}}", "\u{7f}");
    for (id, payload) in [("1-0", payload.as_str()), ("2-0", HOSTILE), ("3-0", "{\"a\":\r1,\t\"b\":2}")] {
        redis.command::<String>(&["XADD", "uw:ws:news", id, "payload", payload]);
    }
    redis.command::<String>(&["XADD", "uw:ws:news", "4-0", HOSTILE, HOSTILE]);
    for command in [&["gaps"][..], &["tail", "news", "gaps", "--no-follow"]] {
        let lines = Tool::lines(command, &redis);
        assert!(!lines.is_empty(), "{command:?}");
        assert_harmless(&lines.concat());
        assert!(lines.concat().contains(r"\u{9b}"), "{lines:?}");
        let objects = Tool::lines(&[command, &["--json"]].concat(), &redis);
        assert_harmless(&objects.concat());
        assert!(objects.concat().contains(r"\u009b"), "{objects:?}");
        for object in &objects {
            serde_json::from_str::<Value>(object).unwrap();
        }
    }
}

#[test]
fn a_feed_that_refuses_is_shown_with_escapes() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    redis.command::<()>(&["SET", "uw:ws:owner", HOSTILE, "PX", "60000"]);
    feed.refuse_all(Some(Refusal { status: "401 No", headers: "", body: HOSTILE }));
    let (_, output) = Setup::new(&feed, &redis).command(&["check"]);
    assert_harmless(&output);
    assert!(output.contains(r"\u{9b}31m"), "{output}");
    feed.refuse_all(None);
    redis.command::<()>(&["DEL", "uw:ws:owner"]);
    feed.answer_joins("news", Ack::Error(HOSTILE));
    let (_, output) = Setup::new(&feed, &redis).command(&["check"]);
    assert_harmless(&output);
}
