//! `/api/status`.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde_json::json;
use uw_websocket_actors::observation::{
    ConnectionState, DropReason, LeaseState, WriterState, lock, unix_micros,
};

use super::{get, in_order, stall, start};

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
    writer.spool_events.set(7);
    writer.spool_bytes.set(8_000);

    let side = start(&observations);
    let status = get(&side, "/api/status").json();
    assert_eq!((&status["instance"], &status["version"]), (&json!("host-1"), &json!("1.2.3")));
    assert!(status["started_at"].as_str().unwrap().ends_with("+00:00"), "{}", status["started_at"]);
    assert!(status["uptime_seconds"].as_f64().unwrap() >= 90.0);
    assert_eq!((&status["state"], &status["ready"]), (&json!("not_ready"), &json!(false)));
    let reason =
        json!({"kind": "connection", "subject": "flow", "detail": "waiting, after: closed by the feed"});
    assert_eq!(status["reasons"], json!([reason]));
    let flow = &status["connections"][0];
    assert_eq!((&flow["name"], &flow["state"]), (&json!("flow"), &json!("waiting")));
    assert_eq!((&flow["session_seconds"], &flow["expected"]), (&json!(null), &json!(1)));
    assert_eq!(
        status["channels"][1],
        json!({
            "channel": "price", "received": 5, "recovered": 4, "stored": 3, "duplicate": 2, "filtered": 0,
            "quarantined": 1, "pending": 2, "drifted": 0, "silent": false,
            "dropped": {"crash": 0, "rejected": 1, "shutdown": 0, "spool_corrupt": 0, "spool_full": 0},
            "last_event_age_seconds": null, "conserved": true,
        })
    );
    let writer = &status["writers"][0];
    assert_eq!((&writer["state"], &writer["events_per_transaction"]), (&json!("writing"), &json!(2.5)));
    assert_eq!(
        (&writer["latency_p50_seconds"], &writer["latency_p99_seconds"]),
        (&json!(0.005), &json!(0.05))
    );
    let spool = json!({"events": 7, "bytes": 8000, "oldest_seconds": null, "error": null});
    assert_eq!(writer["spool"], spool);
    assert_eq!(status["rejected"]["too_deep"], 0);
    assert_eq!(status["lease"], json!({"state": "held", "owner": null}));
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
