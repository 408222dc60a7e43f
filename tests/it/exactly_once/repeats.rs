//! The feed sends again what it has sent before: dropped if it is the same to the byte, kept if it is amended.

use super::{forget_owner, start_again};
use crate::support::oracle::assert_stream_holds;
use crate::support::sample::payloads;
use crate::support::{Feed, RedisServer, SOON, Service, Setup, wait_until};

const KEY: &str = "uw:ws:option_trades:SPY";
const TOPIC: &str = "option_trades:SPY";

fn duplicates(service: &Service) -> u64 {
    service.wait_until_settled().sum("uw_ws_events_duplicate_total", &[])
}

#[track_caller]
fn wait_for_new_sessions(feed: &Feed, service: &Service, before: usize) {
    let back = || feed.sessions() > before && feed.session_with(&[TOPIC.to_owned()]).is_some();
    wait_until("the service is back", SOON, back, || format!("{} sessions", feed.sessions()));
    service.wait_until_ready();
}

#[test]
fn what_a_session_repeats_of_the_one_before_is_stored_once() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Setup::new(&feed, &redis).start_ready();
    let trades = payloads("option_trades", "SPY", 0, 300);
    feed.send_all(TOPIC, &trades[..200]);
    service.wait_for_metric("uw_ws_events_received_total", &[], 200);
    let sessions = feed.sessions();
    feed.cut_all();
    wait_for_new_sessions(&feed, &service, sessions);
    feed.send_all(TOPIC, &trades[100..]);
    service.wait_for_metric("uw_ws_events_received_total", &[], 400);
    assert_eq!(duplicates(&service), 100);
    assert_stream_holds(&redis, KEY, &trades);
    service.finish();
}

#[test]
fn what_is_repeated_to_the_next_life_is_stored_once() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start_durable());
    let setup = Setup::new(&feed, &redis);
    let mut service = setup.clone().start_ready();
    let trades = payloads("option_trades", "SPY", 0, 300);
    // the first hundred are in Redis, the next on disk
    feed.send_all(TOPIC, &trades[..100]);
    service.wait_for_metric("uw_ws_events_stored_total", &[], 100);
    service.wait_until_settled();
    redis.kill9();
    feed.send_all(TOPIC, &trades[100..200]);
    super::wait_until_on_disk(&service, 200, 100);
    service.kill9();
    let service = start_again(&setup, &feed, &redis);
    redis.restart(&[]);
    forget_owner(&redis);
    feed.send_all(TOPIC, &trades);
    service.wait_for_metric("uw_ws_events_received_total", &[], 300);
    assert_eq!(duplicates(&service), 200);
    assert_stream_holds(&redis, KEY, &trades);
    service.finish();
}

#[test]
fn an_amended_event_is_stored_beside_the_first() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Setup::new(&feed, &redis).start_ready();
    let trade = payloads("option_trades", "SPY", 0, 1).remove(0);
    let amended = trade.replace(r#""size":1"#, r#""size":2"#);
    assert_ne!(trade, amended);
    let both = [trade, amended];
    feed.send_all(TOPIC, &both);
    service.wait_for_metric("uw_ws_events_stored_total", &[], 2);
    assert_stream_holds(&redis, KEY, &both);
    service.finish();
}

#[test]
fn a_channel_whose_events_may_repeat_rightly_keeps_them_all() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service =
        Setup::new(&feed, &redis).set("CHANNELS", "lit_trades,iv_term_structure,a_new_one").start_ready();
    let trade = r#"{"symbol":"SPY","price":"500.1","size":100}"#.to_owned();
    let thrice = [trade.clone(), trade.clone(), trade];
    let [low, high] = ["0.21", "0.22"].map(|iv| {
        format!(r#"{{"ticker":"SPY","date":"2026-11-30","expiry":"2026-12-18","volatility":{iv},"implied_move":14.2,"implied_move_perc":0.021}}"#)
    });
    let back_again = [low.clone(), high, low];
    feed.send_all("lit_trades", &thrice);
    feed.send_all("iv_term_structure:SPY", &back_again);
    feed.send_all("a_new_one", &thrice);
    service.wait_for_metric("uw_ws_events_stored_total", &[], 9);
    assert_stream_holds(&redis, "uw:ws:lit_trades", &thrice);
    assert_stream_holds(&redis, "uw:ws:lit_trades:SPY", &thrice);
    assert_stream_holds(&redis, "uw:ws:iv_term_structure:SPY", &back_again);
    assert_stream_holds(&redis, "uw:ws:a_new_one", &thrice);
    service.finish();
}

#[test]
fn equal_payloads_of_two_tickers_are_two_events() {
    const KEYS: [(&str, &str); 2] = [("price:SPY", "uw:ws:price:SPY"), ("price:QQQ", "uw:ws:price:QQQ")];
    let (feed, redis) = (Feed::start(), RedisServer::start());
    // both tickers have their home in the only shard
    let setup = Setup::new(&feed, &redis).set("WRITER_SHARDS", "1");
    let mut service = setup.clone().start_ready();
    let mut prices = payloads("price", "SPY", 0, 30);
    assert_eq!(prices, payloads("price", "QQQ", 0, 30), "a price does not name its ticker");
    let send = |prices: &[String]| {
        feed.wait_for_joins(&KEYS.map(|(topic, _)| topic));
        for (topic, _) in KEYS {
            feed.send_all(topic, prices);
        }
    };
    let assert_stored = |prices: &[String]| {
        for (_, key) in KEYS {
            assert_stream_holds(&redis, key, prices);
        }
    };
    send(&prices);
    service.wait_for_metric("uw_ws_events_received_total", &[], 60);
    assert_eq!(duplicates(&service), 0);
    assert_stored(&prices);

    let sessions = feed.sessions();
    feed.cut_all();
    wait_for_new_sessions(&feed, &service, sessions);
    prices.extend(payloads("price", "SPY", 30, 30));
    send(&prices);
    service.wait_for_metric("uw_ws_events_received_total", &[], 60 + 120);
    assert_eq!(duplicates(&service), 60, "each ticker's own are known");
    assert_stored(&prices);

    service.kill9();
    let service = start_again(&setup, &feed, &redis);
    prices.extend(payloads("price", "SPY", 60, 30));
    send(&prices);
    service.wait_for_metric("uw_ws_events_received_total", &[], 180);
    assert_eq!(duplicates(&service), 120, "and known over a restart");
    assert_stored(&prices);
    service.finish();
}
