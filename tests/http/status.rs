//! `/api/status`.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uw_websocket_actors::ledger::gap::GapReason;
use uw_websocket_actors::observation::{
    ConnectionState, DropReason, LeaseState, MasterState, RedisFacts, WriterState,
};
use uw_websocket_actors::sync::lock;
use uw_websocket_actors::wall_clock::unix_micros;

use uw_websocket::http::readiness::ReasonCode;

use super::{PATIENCE, get, in_order, stall, start};
use crate::yardstick::{has_passed, stretched};

#[test]
fn status_shows_the_observations() {
    let observations = in_order();
    observations.started_at.set(unix_micros() - 90_000_000);
    let price = &observations.channels[1];
    price.received.add(5);
    price.recovered.add(4);
    price.stored.add(3);
    price.duplicate.add(2);
    price.quarantined.add(1);
    price.dropped(DropReason::Rejected).add(1);
    let flow = &observations.connections[0];
    flow.state.set(ConnectionState::Waiting);
    flow.session_since.clear();
    *lock(&flow.last_error) = Some("closed by the feed".to_owned());
    let writer = &observations.writers[0];
    writer.state.set(WriterState::Writing);
    writer.transactions.add(2);
    writer.events.add(5);
    writer.latency.observe(Duration::from_millis(4), 99);
    writer.latency.observe(Duration::from_millis(40), 9);
    writer.append_latency.observe(Duration::from_micros(700), 99);
    writer.append_latency.observe(Duration::from_millis(6), 9);
    writer.spool_events.set(7);
    writer.spool_bytes.set(8_000);

    let side = start(&observations);
    let status = get(&side, "/api/status").json();
    assert_eq!((&status["instance"], &status["version"]), (&json!("host-1"), &json!("1.2.3")));
    assert!(status["started_at"].as_str().unwrap().ends_with("+00:00"), "{}", status["started_at"]);
    assert!(status["uptime_seconds"].as_f64().unwrap() >= 90.0);
    assert_eq!((&status["state"], &status["ready"]), (&json!("not_ready"), &json!(false)));
    let reason = json!({
        "code": "connection", "subject": "flow", "detail": "waiting, after: closed by the feed",
        "advice": ReasonCode::Connection.advice(),
    });
    assert_eq!(status["reasons"], json!([reason]));
    let flow = &status["connections"][0];
    assert_eq!((&flow["name"], &flow["state"]), (&json!("flow"), &json!("waiting")));
    assert_eq!((&flow["session_seconds"], &flow["expected"]), (&json!(null), &json!(1)));
    assert_eq!(
        status["channels"][1],
        json!({
            "channel": "price", "cut": {"map_field": 0, "symbols": 0}, "received": 5, "recovered": 4, "stored": 3, "duplicate": 2, "filtered": 0,
            "quarantined": 1, "pending": 2, "drifted": 0, "silent": false, "rate_per_second": null, "rates": [],
            "dropped": {"crash": 0, "rejected": 1, "shutdown": 0, "spool_corrupt": 0, "spool_full": 0},
            "last_event_age_seconds": null, "conserved": true, "late": 0, "cut": {"map_field": 0, "symbols": 0},
        })
    );
    let writer = &status["writers"][0];
    assert_eq!((&writer["state"], &writer["events_per_transaction"]), (&json!("writing"), &json!(2.5)));
    assert_eq!(writer["stored_last_minute"], 108);
    assert_eq!(
        (&writer["latency_p50_seconds"], &writer["latency_p99_seconds"]),
        (&json!(0.004), &json!(0.05))
    );
    let spool = json!({
        "events": 7, "bytes": 8000, "limit_bytes": 0, "oldest_seconds": null, "appended": 108, "appended_last_minute": 108, "append_p50_seconds": 0.001,
        "append_p99_seconds": 0.0075, "drain_seconds": null, "full_seconds": null, "error": null
    });
    assert_eq!(writer["spool"], spool);
    assert_eq!(status["rejected"]["too_deep"], 0);
    assert_eq!(status["lease"], json!({"state": "held", "owner": null, "last_error": null}));
}

#[test]
fn latencies_are_of_the_last_minute_and_the_oldest_event_is_wherever_it_waits() {
    let observations = in_order();
    let side = start(&observations);
    let writer = |n: usize| get(&side, "/api/status").json()["writers"][n].clone();
    let first = writer(0);
    assert_eq!((&first["stored_last_minute"], &first["latency_p99_seconds"]), (&json!(0), &json!(null)));
    assert_eq!(first["oldest_waiting_seconds"], json!(null));
    observations.writers[0].memory_oldest.set(unix_micros() - 50_000_000);
    observations.writers[0].spool_oldest.set(unix_micros() - 10_000_000);
    observations.writers[1].spool_oldest.set(unix_micros() - 90_000_000);
    assert!(writer(0)["oldest_waiting_seconds"].as_f64().unwrap() >= 50.0);
    assert!(writer(1)["oldest_waiting_seconds"].as_f64().unwrap() >= 90.0);
    observations.writers[1].latency.observe(Duration::from_secs(31), 1);
    let second = writer(1);
    assert_eq!((&second["stored_last_minute"], &second["latency_p99_seconds"]), (&json!(1), &json!(60.0)));
}

#[test]
fn a_channel_is_not_conserved_once_its_books_did_not_balance() {
    let observations = in_order();
    let side = start(&observations);
    let conserved = || get(&side, "/api/status").json()["channels"][0]["conserved"].clone();
    assert_eq!(conserved(), true);
    observations.channels[0].violations.add(1);
    assert_eq!(conserved(), false);
}

#[test]
fn status_says_in_a_word_how_it_is() {
    let observations = in_order();
    let side = start(&observations);
    let state = || get(&side, "/api/status").json()["state"].clone();
    assert_eq!(state(), "ready");
    observations.lease.state.set(LeaseState::Standby);
    assert_eq!(state(), "standby");
    observations.stopping.store(true, Relaxed);
    assert_eq!(state(), "stopping");
    stall(&observations);
    assert_eq!(state(), "stalled");
}

#[test]
fn totals_are_the_sums_of_the_channels() {
    let observations = in_order();
    for (n, channel) in (1..).zip(&observations.channels) {
        channel.received.add(100 * n);
        channel.recovered.add(10);
        channel.stored.add(50);
        channel.duplicate.add(1);
        channel.filtered.add(2);
        channel.quarantined.add(3);
        channel.dropped(DropReason::Crash).add(4);
        channel.dropped(DropReason::SpoolFull).add(5);
    }
    let side = start(&observations);
    let status = get(&side, "/api/status").json();
    assert_eq!(
        status["totals"],
        json!({
            "received": 300, "recovered": 20, "stored": 100, "duplicate": 2, "filtered": 4, "quarantined": 6,
            "dropped": 18, "pending": 190,
        })
    );
    assert_eq!(status["conserved"], true);
    observations.channels[1].violations.add(1);
    assert_eq!(get(&side, "/api/status").json()["conserved"], false, "one channel is enough");
}

#[test]
fn redis_is_shown_as_it_says_itself() {
    let observations = in_order();
    let side = start(&observations);
    let redis = || get(&side, "/api/status").json()["redis"].clone();
    assert_eq!(
        redis(),
        json!({
            "up": true, "version": null, "used_bytes": null, "max_bytes": null, "max_policy": null,
            "forecast_bytes": null,
            "master": {
                "state": "single", "address": null, "fault": null, "agreeing": 0, "sentinels": 0, "failovers": 0,
                "masters": 0, "cluster_replicas": 0, "slots": 0,
            },
        })
    );
    *lock(&observations.redis.facts) = RedisFacts {
        version: Some("7.0.15".to_owned()),
        used_bytes: Some(1),
        max_bytes: Some(2),
        max_policy: Some("noeviction".to_owned()),
    };
    observations.redis.forecast_bytes.set(3).unwrap();
    let master = &observations.redis.master;
    master.state.set(MasterState::Unnamed);
    *lock(&master.fault) = Some("1 of 3 Sentinels".to_owned());
    master.sentinels.set(3);
    master.failovers.set(2);
    observations.writers[0].redis_up.store(false, Relaxed);
    assert_eq!(
        redis(),
        json!({
            "up": false, "version": "7.0.15", "used_bytes": 1, "max_bytes": 2, "max_policy": "noeviction",
            "forecast_bytes": 3,
            "master": {
                "state": "unnamed", "address": null, "fault": "1 of 3 Sentinels", "agreeing": 0, "sentinels": 3,
                "failovers": 2, "masters": 0, "cluster_replicas": 0, "slots": 0,
            },
        })
    );
}

#[test]
fn the_market_has_a_state_that_ends() {
    let side = start(&in_order());
    let status = get(&side, "/api/status").json();
    let market = &status["market"];
    assert!(["open", "closed", "holiday"].contains(&market["state"].as_str().unwrap()), "{market}");
    assert!(market["trading"].is_boolean(), "{market}");
    assert!(market["trading_changes"].as_str().unwrap() > status["now"].as_str().unwrap(), "{market}");
    assert!(market["until"].as_str().unwrap() > status["now"].as_str().unwrap(), "{market}");
}

#[test]
fn gaps_are_counted_by_reason() {
    let observations = in_order();
    observations.gaps.recorded(GapReason::Crash).add(2);
    let side = start(&observations);
    let by_reason = &get(&side, "/api/status").json()["gaps"]["total_by_reason"];
    assert_eq!((&by_reason["crash"], &by_reason["disconnect"]), (&json!(2), &json!(0)));
    assert_eq!(by_reason.as_object().unwrap().len(), GapReason::ALL.len());
}

#[test]
fn rates_are_known_after_the_first_step() {
    let observations = in_order();
    observations.writers[0].spool_events.set(1_000);
    let growing = &observations.writers[1];
    growing.spool_limit.set(11_000);
    let side = start(&observations);
    let status = get(&side, "/api/status").json();
    assert_eq!(status["history_step_seconds"], 5);
    assert_eq!(status["writers"][0]["rate_per_second"], json!(null));
    observations.channels[0].received.add(50);
    observations.writers[0].events.add(100);
    observations.writers[0].spool_events.set(500);
    growing.spool_events.set(10);
    growing.spool_bytes.set(1_000);

    let began = Instant::now();
    let status = loop {
        let status = get(&side, "/api/status").json();
        if status["channels"][0]["rates"] != json!([]) {
            break status;
        }
        assert!(!has_passed(began, Duration::from_secs(5) + PATIENCE), "no rate");
        std::thread::park_timeout(Duration::from_millis(20));
    };
    let near = |value: &Value, expected: f64| (value.as_f64().unwrap() / expected - 1.0).abs() < 0.05;
    let channel = &status["channels"][0];
    let rate = channel["rate_per_second"].as_f64().unwrap();
    // a step is as long as it takes
    let step = 50.0 / rate;
    assert!(step > 4.0 && step < stretched(Duration::from_secs(6)).as_secs_f64(), "{channel}");
    assert_eq!(channel["rates"], json!([channel["rate_per_second"]]));
    assert_eq!(status["channels"][1]["rates"], json!([0.0]));
    let writer = &status["writers"][0];
    assert!(near(&writer["rate_per_second"], 100.0 / step), "{writer}");
    assert!(near(&writer["spool"]["drain_seconds"], step), "{writer}");
    assert_eq!(writer["spool"]["full_seconds"], json!(null));
    let growing = &status["writers"][1]["spool"];
    assert_eq!(growing["drain_seconds"], json!(null));
    // 10 events of 100 bytes in a step leave room for 100 more
    assert!(near(&growing["full_seconds"], 10.0 * step), "{growing}");
}
