//! Frames that are no events: counted by their kind, shown once a minute, and no reason to lose a connection.

use crate::support::feed::wire::{self, opcode};
use crate::support::oracle::assert_streams_equal;
use crate::support::sample::{payload, payloads};
use crate::support::{Feed, RedisServer, SOON, Service, wait_until};

const TARGETS: [&str; 2] = ["SPY", "QQQ"];
/// The socket that gets the frames.
const TOPIC: &str = "price:SPY";

/// Sends `frames` between two good events and expects each to be counted as `kind` and the connection to stay.
#[track_caller]
fn assert_counted(kind: &str, frames: &[Vec<u8>]) {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    let sessions = feed.handshakes().len();
    feed.send(TOPIC, &payload("price", "SPY", 1));
    for frame in frames {
        feed.send_raw(TOPIC, frame);
    }
    feed.send(TOPIC, &payload("price", "SPY", 2));
    assert_streams_equal(&feed, &redis, &TARGETS);
    let metrics = service.wait_until_settled();
    assert_eq!(metrics.sum("uw_ws_frames_rejected_total", &[("kind", kind)]), frames.len() as u64);
    assert_eq!(metrics.sum("uw_ws_frames_rejected_total", &[]), frames.len() as u64, "of any kind");
    assert_eq!(feed.handshakes().len(), sessions, "the connection stays");
    let shown = service.records().iter().filter(|record| record.text("kind") == kind).count();
    assert_eq!(shown, 1, "the first of the kind is logged, the others of the minute are not");
    service.finish();
}

#[test]
fn what_is_not_json_is_counted() {
    let frames = [
        "hello",
        "",
        "[",
        r#"["price:SPY",{"close":}]"#,
        r#"["price:SPY",{"close":"1"}"#,
        r#"["price:SPY",{}]]"#,
    ];
    assert_counted("not_json", &frames.map(wire::text));
}

#[test]
fn what_has_the_wrong_shape_is_counted() {
    let frames = [
        "7",
        "null",
        "[]",
        r#"["price:SPY"]"#,
        r#"["price:SPY",{},{}]"#,
        r#"["price:SPY",[{"close":"1"}]]"#,
        r#"["price:SPY","{}"]"#,
        "[1,{}]",
    ];
    assert_counted("wrong_shape", &frames.map(wire::text));
}

#[test]
fn what_is_not_utf8_is_counted() {
    let frame = |text: &[u8]| wire::frame(opcode::TEXT, text);
    assert_counted("invalid_utf8", &[frame(b"[\"price:SPY\",{\"close\":\"\xff\"}]"), frame(b"\xc0\x80")]);
}

#[test]
fn what_nests_too_deep_is_counted() {
    let (open, close) = ("[".repeat(5_000), "]".repeat(5_000));
    assert_counted("too_deep", &[wire::event(TOPIC, &format!(r#"{{"a":{open}{close}}}"#))]);
}

#[test]
fn binary_frames_are_counted() {
    assert_counted("binary", &[wire::frame(opcode::BINARY, br#"["price:SPY",{"close":"1"}]"#)]);
}

#[test]
fn channels_that_nobody_joined_are_counted() {
    assert_counted("unknown_channel", &[wire::event("net_flow:SPY", "{}"), wire::event("lit_trades", "{}")]);
}

#[test]
fn the_log_shows_at_most_two_hundred_bytes_of_a_frame() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    feed.send_raw(TOPIC, &wire::text(&"x".repeat(5_000)));
    let record = service.wait_for_log("the frame", |record| record.text("kind") == "not_json");
    assert!(record.mentions(&"x".repeat(100)) && !record.mentions(&"x".repeat(201)), "{record:?}");
    service.finish();
}

#[test]
fn an_oversized_frame_ends_the_connection_before_it_is_buffered() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    feed.send(TOPIC, &payload("price", "SPY", 1));
    for (count, length) in (1..).zip([5 * 1024 * 1024, 1 << 63, u64::MAX]) {
        let sessions = feed.handshakes().len();
        // the header alone: whoever waits for the rest waits for ever
        feed.send_raw(TOPIC, &wire::header(opcode::TEXT, true, length));
        service.wait_for_metric("uw_ws_frames_rejected_total", &[("kind", "too_large")], count);
        assert_reconnected(&feed, &service, sessions);
    }
    feed.send(TOPIC, &payload("price", "SPY", 2));
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.finish();
}

#[test]
fn a_message_of_fragments_is_bounded_like_a_frame() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    let sessions = feed.handshakes().len();
    let mebibyte = vec![b' '; 1024 * 1024];
    feed.send_raw(TOPIC, &wire::fragment(opcode::TEXT, false, &mebibyte));
    for _ in 0..5 {
        feed.send_raw(TOPIC, &wire::fragment(opcode::CONTINUATION, false, &mebibyte));
    }
    assert_reconnected(&feed, &service, sessions);
    service.finish();
}

/// One frame was too large, and its connection has come back.
#[track_caller]
fn assert_reconnected(feed: &Feed, service: &Service, sessions: usize) {
    service.wait_for_metric("uw_ws_frames_rejected_total", &[("kind", "too_large")], 1);
    let handshakes = || feed.handshakes().len();
    wait_until(
        "one connection is made again",
        SOON,
        || handshakes() == sessions + 1,
        || handshakes().to_string(),
    );
    service.wait_until_ready();
}

#[test]
fn a_large_event_and_one_in_fragments_are_stored() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    feed.send(TOPIC, &format!(r#"{{"close":"1","filler":"{}"}}"#, "ü".repeat(1024 * 1024)));
    let split = payload("price", "SPY", 3);
    let message = format!(r#"["{TOPIC}",{split}]"#);
    // a ping may come between two fragments of a message
    let (head, tail) = message.as_bytes().split_at(25);
    let frames = [
        wire::fragment(opcode::TEXT, false, head),
        wire::frame(opcode::PING, b"still there?"),
        wire::fragment(opcode::CONTINUATION, false, &tail[..1]),
        wire::fragment(opcode::CONTINUATION, true, &tail[1..]),
    ];
    feed.send_raw(TOPIC, &frames.concat());
    feed.remember(TOPIC, &split);
    feed.send_all(TOPIC, &payloads("price", "SPY", 4, 3));
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.finish();
}

#[test]
fn events_of_the_year_9999_are_stored_as_they_came() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    let at = 253_402_300_799_999_u64;
    let row =
        format!(r#"{{"ticker":"SPY","expiry":"9999-12-31","strike":"290","price":"1","timestamp":{at}}}"#);
    for channel in ["gex", "gex_strike", "gex_strike_expiry"] {
        feed.send(&format!("{channel}:SPY"), &row);
    }
    feed.send(TOPIC, &format!(r#"{{"close":"1","time":{at},"vol":1}}"#));
    feed.send(
        "option_trades:SPY",
        &format!(r#"{{"id":"1","option_symbol":"SPY991231C00290000","executed_at":{at}}}"#),
    );
    feed.send(
        "flow-alerts",
        &format!(r#"{{"ticker":"SPY","option_chain":"SPY991231C00290000","executed_at":{at}}}"#),
    );
    feed.send("news", r#"{"headline":"later","timestamp":"9999-12-31T23:59:59Z","tickers":["SPY"]}"#);
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.wait_for_metric("uw_ws_distrusted_total", &[("kind", "future")], 1);
    service.finish();
}

#[test]
fn an_unusual_but_valid_frame_is_stored_as_it_came() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    let payload = |n: u64| {
        format!(
            r#"{{ "close" : "{n}" , "u" : "\u00e9\/" , "big" : [1.0, 1E5, 123456789012345678901234567890] }}"#
        )
    };
    let frames = [
        format!(r#" [ "{TOPIC}" , {} ] "#, payload(1)),
        format!("\n[\t\"price\\u003aSPY\",\r\n{}]", payload(2)),
        format!(r#"["{TOPIC}",{}]"#, payload(3)),
    ];
    for (n, frame) in (1..).zip(&frames) {
        feed.send_raw(TOPIC, &wire::text(frame));
        feed.remember(TOPIC, &payload(n));
    }
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.finish();
}
