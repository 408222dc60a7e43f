//! What Redis and the feed hold controls no terminal, whichever command shows it.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};
use uw_websocket::escape::controls;
use uw_websocket_core::event::EntryId;
use uw_websocket_core::spool::{Limits, Records, ShardFolder, Spool};

use crate::support::feed::{Ack, Refusal, wire};
use crate::support::tool::Tool;
use crate::support::{Feed, RedisServer, Setup};

/// A clear screen, a bell, a colour by C1, a return, text that runs backwards.
const HOSTILE: &str = "\u{1b}[2J\u{7}\u{9b}31m\r\u{85}\u{202e}\u{2066}\u{200f}\u{61c}\u{7f}";

#[track_caller]
fn assert_json(command: &[&str], stdout: &str) {
    assert!(!stdout.is_empty(), "{command:?}");
    for line in stdout.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    }
}

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

/// A text of any characters, among them all kinds that control a terminal, reorder text or end JSON.
fn any_text() -> impl Strategy<Value = String> {
    let control = prop_oneof![
        0_u32..0x20,
        0x7f_u32..0xa0,
        Just(0x61c_u32),
        0x200b_u32..0x2070,
        Just(0xfeff_u32),
        0xfff9_u32..0xfffc,
        0xe0000_u32..0xe0080,
    ];
    let control = control.prop_filter_map("a character", char::from_u32);
    let syntax = prop::sample::select("\"\\{}[],:u0 \u{e9}".chars().collect::<Vec<_>>());
    let characters = prop_oneof![3 => control, 1 => syntax, 1 => any::<char>()];
    prop::collection::vec(characters, 1..60).prop_map(|characters| characters.into_iter().collect())
}

/// What holds the text wherever something foreign may be, and what shows it.
struct Places {
    feed: Feed,
    redis: RedisServer,
    setup: Setup,
    text: &'static str,
}

impl Places {
    fn of(text: &str) -> Places {
        // the feed is scripted by texts that live as long as the test
        let text: &'static str = Box::leak(text.to_owned().into_boxed_str());
        let (feed, redis) = (Feed::start(), RedisServer::start());
        let setup = Setup::new(&feed, &redis).set("CHANNELS", "news,price").set("SPOOL_DIR", "spool");
        let places = Places { feed, redis, setup, text };
        places.fill_redis();
        places.fill_disk(&places.setup.folder().join("spool"));
        places
    }

    fn fill_redis(&self) {
        let (redis, text) = (&self.redis, self.text);
        // JSON with the text as it is, but for what JSON itself must escape
        let json = json!({ text: [text], "headline": text, "tickers": [text] }).to_string();
        for payload in [text, &json, &format!("{{\"a\":\r1,\t\"b\":{json}}}")] {
            redis.command::<String>(&["XADD", "uw:ws:news", "*", "payload", payload]);
        }
        redis.command::<String>(&["XADD", "uw:ws:news", "*", text, text]);
        let times = ["from", "2026-01-05T15:00:00+00:00", "to", "2026-01-05T15:00:10+00:00"];
        let names = ["family", "prices", "channels", text, "reason", "crash", "detail", text];
        redis.command::<String>(&[&["XADD", "uw:ws:gaps", "1767625210000-0"], &names[..], &times].concat());
        redis.command::<()>(&["SET", "uw:ws:owner", text, "PX", "600000"]);
    }

    fn fill_disk(&self, folder: &Path) {
        let limits = Limits {
            segment_bytes: 1,
            segment_age: Duration::from_secs(60),
            max_bytes: 1 << 30,
            durable: false,
            max_streams: 100,
        };
        let shard = ShardFolder::new(folder, 0, 2).path;
        let (mut spool, _) = Spool::open(&shard, limits, Instant::now()).unwrap();
        let mut records = Records::new();
        for payload in [self.text.to_owned(), json!({ "headline": self.text }).to_string()] {
            let destination = (None, EntryId { ms: 1, seq: records.next_seq() });
            records.push("news", 1, std::iter::once(destination), payload.as_bytes()).unwrap();
        }
        spool.append(&records, Instant::now()).unwrap();
        let name: String = self.text.chars().filter(|c| !matches!(c, '/' | '\0')).take(30).collect();
        std::fs::write(shard.join(format!("x{name}")), "foreign").unwrap();
        let line = json!({ "quarantined_at": self.text, "reason": self.text, "channel": self.text });
        std::fs::write(folder.join("quarantine.jsonl"), line.to_string()).unwrap();
    }

    /// The commands that show what others wrote, for people and for programs.
    fn assert_commands_are_harmless(&self) {
        for command in [
            &["gaps"][..],
            &["tail", "news", "gaps", "--no-follow"],
            &["spool", "inspect"],
            &["spool", "verify"],
        ] {
            Self::assert_harmless(&self.setup, command);
        }
        for command in [&["gaps", "--json"][..], &["tail", "news", "gaps", "--no-follow", "--json"]] {
            assert_json(command, &Self::assert_harmless(&self.setup, command));
        }
        // into a file or a pipe it is byte for byte
        let export = ["spool", "export", "--all"];
        assert_json(&export, &self.setup.output(&export).1);
        self.feed.refuse_all(Some(Refusal { status: "401 No", headers: "", body: self.text }));
        Self::assert_harmless(&self.setup, &["check"]);
        self.feed.refuse_all(None);
        for ack in [Ack::Error(self.text), Ack::Notice(self.text)] {
            self.feed.answer_joins("news", ack);
            Self::assert_harmless(&self.setup, &["check"]);
        }
        // the environment holds no zeros
        let value = self.text.replace('\0', "");
        for name in ["LOG_DIR", "TARGET_SYMBOLS", "KEY_PREFIX", "HTTP_ADDR", "REDIS_URL", "CHANNELS"] {
            Self::assert_harmless(&self.setup.clone().set(name, &value), &["settings"]);
        }
        self.assert_health_is_harmless();
    }

    fn assert_health_is_harmless(&self) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let setup = self.setup.clone().set("PROBE_ADDR", &listener.local_addr().unwrap().to_string());
        let status = format!("HTTP/1.1 500 {}\r\n\r\n", self.text);
        let server = std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            drop(client.read(&mut [0; 1024]));
            client.write_all(status.as_bytes()).unwrap();
        });
        Self::assert_harmless(&setup, &["healthcheck"]);
        server.join().unwrap();
    }

    fn assert_harmless(setup: &Setup, command: &[&str]) -> String {
        let (_, stdout, stderr) = setup.output(command);
        assert_harmless(&stdout);
        assert_harmless(&stderr);
        stdout
    }

    /// The log of a service that is told the text by the feed, for people and for programs.
    fn assert_logs_are_harmless(&self) {
        self.redis.command::<u64>(&["DEL", "uw:ws:owner"]);
        for format in ["term", "json"] {
            self.feed.answer_joins("news", Ack::Error(self.text));
            let mut service = self.setup.clone().set("LOG_FORMAT", format).start();
            let earlier = self.feed.sessions();
            self.feed.wait_for_joins(&["price:SPY"]);
            self.feed.send_raw("price:SPY", &wire::text(self.text));
            self.feed.send_raw("price:SPY", &wire::text(&json!({ self.text: self.text }).to_string()));
            self.feed.close_all(1011, &self.text.chars().take(20).collect::<String>());
            crate::support::wait_until(
                "it connects again",
                crate::support::SOON,
                || self.feed.sessions() > earlier + 2,
                || self.feed.sessions().to_string(),
            );
            service.terminate();
            assert_harmless(&service.output());
            if format == "json" {
                for line in service.stdout() {
                    serde_json::from_str::<Value>(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
                }
            }
        }
    }
}

proptest! {
    // each case starts a dozen commands and two services
    #![proptest_config(ProptestConfig { max_shrink_iters: 20, ..ProptestConfig::with_cases(6) })]

    #[test]
    fn no_text_of_others_controls_a_terminal_or_breaks_json(text in any_text()) {
        let places = Places::of(&text);
        places.assert_commands_are_harmless();
        places.assert_logs_are_harmless();
    }
}
