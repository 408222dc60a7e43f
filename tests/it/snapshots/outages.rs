//! After an outage of Redis or a death of the service the bodies are what they would have been without.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{
    ALERTS, SERIES, STATE, STRIKES, alert, fetch, gamma_at, read, row_time, rows, state, strike_row,
    wait_for_body,
};
use crate::support::proxy::{Mode, Proxy};
use crate::support::sample::{payload, payloads};
use crate::support::{Feed, RedisServer, SOON, Setup, wait_for, wait_until};

const KEYS: [&str; 4] = [ALERTS, STATE, SERIES, STRIKES];
const PER_TICKER: [&str; 3] = ["price", "gex", "gex_strike"];
/// Events of a channel and round.
const COUNT: u64 = 30;

/// Sends a round of events of the four channels.
fn send(feed: &Feed, round: u64) {
    for channel in PER_TICKER {
        feed.send_all(&format!("{channel}:SPY"), &payloads(channel, "SPY", round * COUNT, COUNT));
    }
    let alerts: Vec<String> = (round * COUNT..(round + 1) * COUNT).map(alert).collect();
    feed.send_all("flow-alerts", &alerts);
}

/// What REST answers in its first and second pass: older than all events.
fn answers() -> [Vec<(&'static str, Value)>; 2] {
    [1, 2].map(|pass| {
        let time = row_time(30 - pass);
        let exposure =
            json!({"time": time, "ticker": "SPY", "price": "671.15", "gamma_per_one_percent_move_oi": "1.5"});
        vec![
            (ALERTS, json!({"data": []})),
            (STATE, state(30 - pass, &format!("50{pass}"), 1)),
            (SERIES, json!({"data": [exposure]})),
            (
                STRIKES,
                json!({"data": [strike_row(100, &time, &pass.to_string()), strike_row(300, &time, "0")]}),
            ),
        ]
    })
}

fn fetch_all(redis: &RedisServer, answers: &[(&str, Value)]) {
    for (key, body) in answers {
        fetch(redis, key, body);
    }
}

/// The bodies, without the times at which their newest events were received.
fn bodies(redis: &RedisServer) -> Vec<Option<Value>> {
    KEYS.map(|key| read(redis, key).unwrap().map(|(body, _)| body)).into()
}

/// Waits until the bodies hold the last event of a round.
#[track_caller]
fn wait_for_round(redis: &RedisServer, round: u64) {
    let last = (round + 1) * COUNT - 1;
    let newest: Value = serde_json::from_str(&payload("price", "SPY", last)).unwrap();
    wait_for_body(redis, STATE, |body| body["data"]["total_volume"] == newest["vol"]);
    let newest: Value = serde_json::from_str(&payload("gex_strike", "SPY", last)).unwrap();
    let strike = newest["strike"].as_str().unwrap().parse().unwrap();
    wait_for_body(redis, STRIKES, |body| gamma_at(body, strike) == newest["call_gamma_oi"].as_str());
    let length = usize::try_from((last + 1).min(100)).unwrap();
    wait_for_body(redis, ALERTS, |body| rows(body).len() == length);
    wait_for_body(redis, SERIES, |body| rows(body).len() >= usize::try_from(last + 1).unwrap());
}

/// Three rounds of events and two passes of REST. In an outage the second of each comes while Redis cannot be reached by
/// the service alone.
fn play(answers: &[Vec<(&str, Value)>; 2], has_outage: bool) -> Vec<Option<Value>> {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let line = Proxy::start(SocketAddr::from(([127, 0, 0, 1], redis.port())));
    let setup = Setup::new(&feed, &redis).set("REDIS_URL", &format!("redis://{}/0", line.address()));
    fetch_all(&redis, &answers[0]);
    let service = setup.start_ready();
    send(&feed, 0);
    wait_for_round(&redis, 0);
    if has_outage {
        line.set(Mode::Refuse);
    }
    send(&feed, 1);
    fetch_all(&redis, &answers[1]);
    service.wait_for_metric("uw_ws_events_received_total", &[], 8 * COUNT);
    line.set(Mode::Pass);
    send(&feed, 2);
    wait_for_round(&redis, 2);
    service.wait_until_settled();
    let bodies = bodies(&redis);
    service.finish();
    bodies
}

#[test]
fn after_an_outage_of_redis_the_bodies_are_what_they_are_without_one() {
    let answers = answers();
    let calm = play(&answers, false);
    for (key, (after, without)) in KEYS.iter().zip(play(&answers, true).iter().zip(&calm)) {
        assert_eq!(after, without, "{key}");
    }
    assert_eq!(gamma_at(calm[3].as_ref().unwrap(), 100), Some("2"), "REST's second pass is in it");
}

#[test]
fn a_burst_before_a_kill_is_in_the_bodies_after_the_restart() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis).set("SNAPSHOT_INTERVAL_MS", "2s");
    fetch_all(&redis, &answers()[0]);
    let mut service = setup.clone().start_ready();
    // the interval begins with a first write, so the burst waits for its end
    send(&feed, 0);
    wait_for_round(&redis, 0);
    for (round, is_stored) in [(1, false), (2, true)] {
        let received = if is_stored { 4 } else { 8 } * COUNT;
        send(&feed, round);
        service.wait_for_metric("uw_ws_events_received_total", &[], received);
        if is_stored {
            service.wait_until_settled();
        }
        service.kill9();
        redis.command::<u64>(&["DEL", "uw:ws:owner"]);
        let gone = || feed.open_sessions() == 0;
        wait_until("the feed has seen the end", SOON, gone, || format!("{} sessions", feed.open_sessions()));
        service = setup.clone().start();
        // nothing more is sent: what is in the bodies comes from the disk queue
        wait_for_round(&redis, round);
        feed.wait_for_joins(&["price:SPY", "gex:SPY", "gex_strike:SPY", "flow-alerts"]);
    }
    wait_for("the streams have every event once", SOON, || {
        let length: u64 = redis.command(&["XLEN", "uw:ws:price:SPY"]);
        if length == 3 * COUNT { Ok(()) } else { Err(length.to_string()) }
    });
    service.finish();
}

#[test]
fn rows_that_rest_lacks_outlive_a_kill_and_its_next_answer() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis);
    let answers = answers();
    fetch_all(&redis, &answers[0]);
    let mut service = setup.clone().start_ready();
    send(&feed, 0);
    wait_for_round(&redis, 0);
    let before = bodies(&redis);
    service.kill9();
    redis.command::<u64>(&["DEL", "uw:ws:owner"]);
    let service = setup.start();
    service.wait_until_ready();
    // REST has not heard of any of the events
    fetch_all(&redis, &answers[0]);
    wait_for("the bodies are what they were", SOON, || {
        let after = bodies(&redis);
        let other: Vec<_> = KEYS.iter().zip(after.iter().zip(&before)).filter(|(_, (a, b))| a != b).collect();
        if other.is_empty() { Ok(()) } else { Err(format!("{other:?}").chars().take(1_000).collect()) }
    });
    service.finish();
}
