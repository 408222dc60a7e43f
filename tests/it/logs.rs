//! The log as people and programs read it.

use std::fs;

use crate::log_table::documented;
use crate::support::feed::Ack;
use crate::support::feed::wire;
use crate::support::sample::payload;
use crate::support::{Feed, RedisServer, SOON, Setup, wait_for};

#[test]
fn json_is_one_object_a_line_with_message_level_time_and_environment() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let mut service = Setup::new(&feed, &redis).set("ENVIRONMENT", "staging").start_ready();
    feed.send("price:SPY", &payload("price", "SPY", 1));
    service.wait_until_settled();
    assert_eq!(service.terminate(), Some(0));
    let lines = service.stdout();
    let records = service.records();
    assert!(!lines.is_empty());
    assert_eq!(records.len(), lines.len(), "every line is a record: {lines:#?}");
    for record in &records {
        assert_eq!(record.text("environment"), "staging", "{record:?}");
        assert!(record.text("ts").parse::<jiff::Timestamp>().is_ok(), "{record:?}");
        assert!(
            !record.msg.is_empty() && !record.msg.ends_with('.') && !record.msg.contains('{'),
            "{record:?}"
        );
    }
}

#[test]
fn a_connection_tells_its_story() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Setup::new(&feed, &redis).set("CHANNELS", "price").start_ready();
    feed.send("price:SPY", &payload("price", "SPY", 1));
    feed.send("price:SPY", &payload("price", "SPY", 2));
    let story = |what: &str, words: &[&str]| {
        service.wait_for_log(what, |record| {
            record.level == "info" && words.iter().all(|word| record.mentions(word))
        })
    };
    story("the attempt with its number", &["connecting", "attempt", "prices"]);
    story("the subscription", &["subscribed", "price:SPY"]);
    story("the first frame", &["first", "price"]);
    feed.close_all(1001, "bye");
    let end = service
        .wait_for_log("the disconnect", |record| record.mentions("disconnect") && record.mentions("bye"));
    assert!(
        end.keys.keys().any(|key| key.contains("session") || key.contains("lasted")),
        "the session's length: {end:?}"
    );
    story("the next attempt with its delay", &["attempt", "delay"]);
    service.finish();
}

#[test]
fn every_record_is_declared_with_its_level_and_keys() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start());
    feed.answer_joins("news", Ack::Error("not in your plan"));
    let mut service = Setup::new(&feed, &redis).set("UW_WEBSOCKET_FAULT", "connection-prices:panic").start();
    feed.wait_for_joins(&["price:SPY", "news", "gex:SPY"]);
    feed.send("gex:SPY", &payload("gex", "SPY", 1));
    feed.send_raw("gex:SPY", &wire::text("no json"));
    feed.send("price:SPY", &payload("price", "SPY", 1));
    service.wait_for_log("the restart", |record| record.msg == "actor restarting");
    feed.close_all(1001, "bye");
    redis.kill9();
    feed.wait_for_joins(&["gex:QQQ"]);
    feed.send("gex:QQQ", &payload("gex", "QQQ", 2));
    service.wait_for_log("the outage", |record| record.msg == "redis unavailable");
    redis.restart(&[]);
    service.wait_for_log("its end", |record| record.msg == "redis back");
    assert_eq!(service.terminate(), Some(0));
    let documented = documented();
    for record in service.records() {
        let declared = documented.iter().find(|declared| declared.message == record.msg);
        let Some(declared) = declared else { panic!("not declared: {record:?}") };
        assert_eq!(record.level, declared.level, "{record:?}");
        for key in &declared.keys {
            assert!(record.keys.contains_key(key), "{key} is missing: {record:?}");
        }
    }
}

#[test]
fn nothing_is_logged_per_frame_above_trace() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Setup::new(&feed, &redis).set("LOG_LEVEL", "info").start_ready();
    feed.send("price:SPY", &payload("price", "SPY", 0));
    service.wait_until_settled();
    let before = service.records().len();
    for n in 1..300 {
        feed.send("price:SPY", &payload("price", "SPY", n));
    }
    service.wait_for_metric("uw_ws_events_stored_total", &[("channel", "price")], 300);
    let more = service.records().len() - before;
    assert!(more < 30, "{more} records for 299 frames");
    service.finish();
}

#[test]
fn the_term_format_is_for_people() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let mut service = Setup::new(&feed, &redis).set("LOG_FORMAT", "term").set("HTTP_ADDR", "off").start();
    feed.wait_for_joins(&["price:SPY", "news"]);
    wait_for("the log names the subscription", SOON, || {
        let output = service.output();
        if output.contains("subscribed") && output.contains("price:SPY") { Ok(()) } else { Err(output) }
    });
    assert_eq!(service.terminate(), Some(0));
    assert!(service.records().is_empty(), "no JSON");
    service.assert_no_secret();
}

#[test]
fn a_folder_gets_a_file_with_the_same_records() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let mut service = Setup::new(&feed, &redis).set("LOG_DIR", "logs").start_ready();
    let folder = service.folder().join("logs");
    assert_eq!(service.terminate(), Some(0));
    let names: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let [name] = &names[..] else { panic!("one file: {names:?}") };
    let stamp = name.strip_prefix("uw_websocket_").unwrap().strip_suffix(".log").unwrap();
    let shape: String = stamp.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "00000000_000000", "{name}");
    let text = fs::read_to_string(folder.join(name)).unwrap();
    assert!(text.contains("subscribed") && text.contains("price:SPY"), "{text}");
    assert!(!text.contains("a-token"), "no secret in the file");
}
