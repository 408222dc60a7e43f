//! Joins: what is asked for, what counts as an answer, and what the service says while one is missing.

use crate::support::feed::{Ack, wire};
use crate::support::oracle::{assert_stream_holds, assert_streams_equal, stream_keys};
use crate::support::sample::{payload, payloads};
use crate::support::service::TOKEN;
use crate::support::{Feed, RedisServer, Service, Setup};

const TARGETS: [&str; 2] = ["SPY", "QQQ"];
const TOPICS: [&str; 12] = [
    "flow-alerts",
    "gex:QQQ",
    "gex:SPY",
    "gex_strike:QQQ",
    "gex_strike:SPY",
    "gex_strike_expiry:QQQ",
    "gex_strike_expiry:SPY",
    "news",
    "option_trades:QQQ",
    "option_trades:SPY",
    "price:QQQ",
    "price:SPY",
];

#[test]
fn every_topic_is_joined_once_with_a_text_frame() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    let mut joins = feed.joins();
    joins.sort_by(|a, b| a.topic.cmp(&b.topic));
    assert!(joins.iter().all(|join| join.as_text), "{joins:?}");
    assert_eq!(joins.iter().map(|join| join.topic.as_str()).collect::<Vec<_>>(), TOPICS);
    assert_eq!(feed.open_sessions(), 5, "one socket a family");
    service.finish();
}

#[test]
fn one_socket_carries_everything_when_asked_to() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Setup::new(&feed, &redis).set("WEBSOCKET_MAX_CONNECTIONS", "1").start_ready();
    assert_eq!((feed.open_sessions(), feed.joins().len()), (1, TOPICS.len()));
    feed.send("news", &payload("news", "SPY", 1));
    feed.send("price:SPY", &payload("price", "SPY", 1));
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.finish();
}

#[test]
fn a_subscription_is_logged_on_its_acknowledgement() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    feed.answer_joins("price:QQQ", Ack::Silence);
    let service = Setup::new(&feed, &redis).start();
    for topic in TOPICS.into_iter().filter(|topic| *topic != "price:QQQ") {
        let record = service.wait_for_log(&format!("subscribed to {topic}"), |record| {
            record.msg == "subscribed" && record.text("topic") == topic
        });
        assert_eq!(record.level, "info");
    }
    assert!(!service.records().iter().any(|r| r.msg == "subscribed" && r.text("topic") == "price:QQQ"));
    feed.acknowledge("price:QQQ");
    service
        .wait_for_log("subscribed to price:QQQ", |r| r.msg == "subscribed" && r.text("topic") == "price:QQQ");
    service.wait_until_ready();
    assert_eq!(service.count_logs("subscribed"), TOPICS.len());
    service.finish();
}

#[test]
fn a_missing_acknowledgement_shows_as_not_ready_while_the_data_of_the_others_flows() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    feed.answer_joins("gex_strike:SPY", Ack::Silence);
    let service = Setup::new(&feed, &redis).start();
    feed.wait_for_joins(&TOPICS);
    // before, between and after the answers: data does not wait for them
    for n in 0..20 {
        feed.send("gex:SPY", &payload("gex", "SPY", n));
        feed.send("price:SPY", &payload("price", "SPY", n));
    }
    assert_streams_equal(&feed, &redis, &TARGETS);
    let reasons = service.wait_until_not_ready();
    assert!(reasons.contains("gex_strike:SPY") && !reasons.contains("gex:QQQ"), "{reasons}");
    feed.acknowledge("gex_strike:SPY");
    service.wait_until_ready();
    feed.send("gex_strike:SPY", &payload("gex_strike", "SPY", 1));
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.finish();
}

#[test]
fn an_acknowledgement_is_never_stored() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    feed.send_all("price:SPY", &payloads("price", "SPY", 0, 5));
    for ack in
        [wire::ACK, r#"{"status":"ok","response":{}}"#, r#"{ "status" : "ok" , "response" : {"a":[1]} }"#]
    {
        feed.send_raw("price:SPY", &wire::event("price:SPY", ack));
    }
    feed.send_all("price:SPY", &payloads("price", "SPY", 5, 5));
    assert_streams_equal(&feed, &redis, &TARGETS);
    let received = service.wait_until_settled().sum("uw_ws_events_received_total", &[("channel", "price")]);
    assert_eq!(received, 10);
    service.finish();
}

#[test]
fn a_refused_join_is_logged_counted_and_not_ready() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    feed.answer_joins("news", Ack::Error("your plan has no news"));
    let service = Setup::new(&feed, &redis).start();
    let record = service.wait_for_log("the reason", |record| record.mentions("your plan has no news"));
    assert!(matches!(record.level, "warning" | "error"), "{record:?}");
    service.wait_for_metric("uw_ws_frames_rejected_total", &[("kind", "join_refused")], 1);
    feed.wait_for_joins(&TOPICS);
    feed.send("price:SPY", &payload("price", "SPY", 1));
    assert_streams_equal(&feed, &redis, &TARGETS);
    let reasons = service.wait_until_not_ready();
    assert!(reasons.contains("news") && reasons.contains("your plan has no news"), "{reasons}");
    service.finish();
}

#[test]
fn refusals_without_end_are_counted_and_change_nothing() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    feed.answer_joins("news", Ack::Error("your plan has no news"));
    let service = Setup::new(&feed, &redis).start();
    service.wait_for_log("the reason", |record| record.msg == "join refused");
    service
        .wait_for_log("the join", |record| record.msg == "subscribed" && record.text("topic") == "price:SPY");
    for n in 0..50 {
        let refusal = format!(r#"{{"status":"error","response":{{"reason":"already joined, {n}"}}}}"#);
        for topic in ["price:SPY", "nobody:SPY"] {
            feed.send_raw("price:SPY", &wire::event(topic, &refusal));
        }
        let refusal = format!(r#"{{"status":"error","response":{{"reason":"still no news, {n}"}}}}"#);
        feed.send_raw("news", &wire::event("news", &refusal));
    }
    service.wait_for_metric("uw_ws_frames_rejected_total", &[("kind", "join_refused")], 151);
    for connection in ["prices", "news"] {
        service.wait_for_log(&format!("a sample of {connection}"), |record| {
            record.mentions("join_refused") && record.text("connection") == connection
        });
    }
    let count = |word: &str| service.records().iter().filter(|record| record.mentions(word)).count();
    assert_eq!((count("join_refused"), count("join refused")), (2, 1), "one sample a connection");
    let reasons = service.wait_until_not_ready();
    assert!(reasons.contains("your plan has no news") && !reasons.contains("price:SPY"), "{reasons}");
    service.finish();
}

#[test]
fn a_notice_of_the_server_is_logged_and_counted_without_its_secrets() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    feed.answer_joins("news", Ack::Notice("Channel subscription limit of 50 reached"));
    let service = Setup::new(&feed, &redis).set("LOG_LEVEL", "trace").start();
    service.wait_for_log("the notice", |record| record.mentions("Channel subscription limit of 50 reached"));
    service.wait_for_metric("uw_ws_frames_rejected_total", &[("kind", "server_notice")], 1);
    feed.wait_for_joins(&TOPICS);
    let sessions = feed.handshakes().len();
    feed.send_raw(
        "price:SPY",
        &wire::text(&format!(r#"{{"error":"invalid token {TOKEN}","url":"/?token={TOKEN}"}}"#)),
    );
    service.wait_for_metric("uw_ws_frames_rejected_total", &[("kind", "server_notice")], 2);
    feed.send("price:SPY", &payload("price", "SPY", 1));
    assert_streams_equal(&feed, &redis, &TARGETS);
    assert_eq!(feed.handshakes().len(), sessions, "a notice ends nothing");
    assert!(service.wait_until_not_ready().contains("news"));
    service.finish();
}

#[test]
fn joins_that_do_not_fit_are_replaced_on_request_and_events_of_other_symbols_are_filtered() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis)
        .set("CHANNELS", "flow-alerts,option_trades,price,gex")
        .set("WEBSOCKET_MAX_CONNECTIONS", "1")
        .set("WEBSOCKET_MAX_CHANNELS_PER_CONNECTION", "6")
        .set("WHEN_JOINS_EXCEED", "global");
    let (code, output) = setup.command(&["check", "--no-feed"]);
    assert_eq!(code, Some(0), "{output}");
    let told = "price is joined for all symbols, as 2 joins do not fit: about 4 events/s, of which those of other symbols \
                are filtered";
    assert!(output.contains(told), "{output}");
    assert!(output.contains("6  flow-alerts  price  option_trades:SPY,QQQ  gex:SPY,QQQ"), "{output}");
    let service = setup.start_ready();
    let joined =
        service.wait_for_log("what the socket carries", |r| r.msg == "channel joined for all symbols");
    let carries = [joined.text("channel"), joined.text("connection")];
    assert_eq!(carries, ["price", "flow+trades+prices+gex"]);
    assert_eq!(service.count_logs("channel joined for all symbols"), 1);
    let mut topics: Vec<String> = feed.joins().into_iter().map(|join| join.topic).collect();
    topics.sort();
    let expected = ["flow-alerts", "gex:QQQ", "gex:SPY", "option_trades:QQQ", "option_trades:SPY", "price"];
    assert_eq!(topics, expected, "each channel in one form");
    let named =
        |symbol: &str, payload: String| payload.replacen('{', &format!(r#"{{"ticker":"{symbol}","#), 1);
    let prices = |symbol: &str| -> Vec<String> {
        payloads("price", symbol, 0, 20).into_iter().map(|payload| named(symbol, payload)).collect()
    };
    for symbol in ["AAPL", "SPY", "not a symbol"] {
        feed.send_all("price", &prices(symbol));
    }
    feed.send("gex:QQQ", &payload("gex", "QQQ", 1));
    service.wait_for_metric("uw_ws_events_filtered_total", &[("channel", "price")], 40);
    service.wait_for_metric("uw_ws_events_stored_total", &[("channel", "gex")], 1);
    let keys = stream_keys(&redis, "uw");
    assert_eq!(keys, ["uw:ws:gex:QQQ", "uw:ws:price:SPY"], "no full stream, and none of another symbol");
    assert_stream_holds(&redis, "uw:ws:price:SPY", &prices("SPY"));
    service.finish();
}
