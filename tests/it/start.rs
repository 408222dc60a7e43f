//! How the process starts: where settings come from, and what it says to wrong ones.

use std::fs;

use crate::support::oracle::assert_streams_equal;
use crate::support::sample::payload;
use crate::support::service::TOKEN;
use crate::support::{Feed, RedisServer, SOON, Service, Setup};

const TARGETS: [&str; 2] = ["SPY", "QQQ"];

#[test]
fn the_last_record_of_a_start_names_the_status_page() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    let ready = service.wait_for_log("the end of the start", |record| record.msg == "ready");
    assert_eq!((ready.text("page"), &ready.keys["joins"]), (format!("{}/", service.http()), &12.into()));
    let records = service.records();
    let at = records.iter().position(|record| record.msg == "ready").unwrap();
    let late: Vec<_> = records[at + 1..].iter().filter(|record| record.level != "debug").collect();
    assert!(late.is_empty(), "{late:?}");
    service.finish();
}

#[test]
fn nothing_to_write_is_a_wrong_setting() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let mut service =
        Setup::new(&feed, &redis).set("STORE_TO_REDIS", "false").set("ENABLE_HISTORY_STREAMS", "no").start();
    assert_eq!(service.wait_for_exit(SOON), Some(78));
    assert!(service.output().contains("ENABLE_HISTORY_STREAMS"));
}

#[test]
fn more_joins_than_the_sockets_can_carry_is_a_wrong_setting_with_its_arithmetic() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let mut service = Setup::new(&feed, &redis)
        .set("WEBSOCKET_MAX_CONNECTIONS", "1")
        .set("WEBSOCKET_MAX_CHANNELS_PER_CONNECTION", "7")
        .start();
    assert_eq!(service.wait_for_exit(SOON), Some(78));
    let output = service.output();
    for word in ["12", "7", "WEBSOCKET_MAX_CONNECTIONS", "TARGET_SYMBOLS", "CHANNELS"] {
        assert!(output.contains(word), "{word}: {output}");
    }
}

#[test]
fn a_family_too_large_for_one_socket_is_split() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Setup::new(&feed, &redis)
        .set("CHANNELS", "gex,gex_strike")
        .set("WEBSOCKET_MAX_CHANNELS_PER_CONNECTION", "3")
        .start_ready();
    assert_eq!((feed.open_sessions(), feed.joins().len()), (2, 4));
    feed.send("gex:SPY", &payload("gex", "SPY", 1));
    feed.send("gex_strike:QQQ", &payload("gex_strike", "QQQ", 1));
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.finish();
}

#[test]
fn settings_come_from_a_file_too_and_the_environment_wins() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis).set("KEY_PREFIX", "real");
    let file = "KEY_PREFIX=file\nCHANNELS=price\nTARGET_SYMBOLS=' qqq , spy,QQQ '\n";
    fs::write(setup.folder().join(".env"), file).unwrap();
    let service = setup.set("TARGET_SYMBOLS", " qqq , spy,QQQ ").start_ready();
    let mut topics: Vec<String> = feed.joins().into_iter().map(|join| join.topic).collect();
    topics.sort();
    assert_eq!(topics, ["price:QQQ", "price:SPY"]);
    feed.send("price:QQQ", &payload("price", "QQQ", 1));
    crate::support::oracle::assert_streams_equal_under("real", &feed, &redis, &TARGETS);
    service.finish();
}

#[test]
fn a_redis_user_with_no_more_rights_than_it_needs_will_do() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let rights = ["on", ">secret-of-feeder", "~uw:*", "+@all", "-@dangerous"];
    redis.command::<()>(&[&["ACL", "SETUSER", "feeder"], &rights[..]].concat());
    let url = redis.url().replace("redis://", "redis://feeder:secret-of-feeder@");
    let service = Setup::new(&feed, &redis).set("REDIS_URL", &url).start_ready();
    feed.send("price:SPY", &payload("price", "SPY", 1));
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.finish();
}

#[test]
fn the_token_can_come_from_a_file() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis);
    let path = setup.folder().join("token");
    fs::write(&path, format!("{TOKEN}\n")).unwrap();
    let setup =
        setup.unset("UNUSUAL_WHALES_API_TOKEN").set("UNUSUAL_WHALES_API_TOKEN_FILE", path.to_str().unwrap());
    let service = setup.set("CHANNELS", "news").start_ready();
    let url = url::Url::parse(&format!("ws://feed{}", feed.handshakes()[0].request.target)).unwrap();
    assert!(url.query_pairs().any(|(name, value)| name == "token" && value == TOKEN));
    service.finish();
}
