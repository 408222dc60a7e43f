//! `/metrics`, fed with observations.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use uw_websocket::http::metrics::{FAMILIES, MetricKind};
use uw_websocket_actors::observation::{ConnectionState, DropReason, RestResult};
use uw_websocket_actors::sync::lock;
use uw_websocket_core::feed::envelope::Rejection;
use uw_websocket_core::request_budget::RequestLimits;
use uw_websocket_core::rest_endpoint::RestEndpoint;

use super::{get, in_order, start};

#[test]
fn metrics_show_the_observations() {
    let observations = in_order();
    let price = &observations.channels[1];
    price.received.add(10);
    price.recovered.add(9);
    price.stored.add(6);
    price.duplicate.add(4);
    price.filtered.add(1);
    price.quarantined.add(3);
    price.violations.add(2);
    price.dropped(DropReason::Crash).add(1);
    price.dropped(DropReason::SpoolFull).add(1);
    price.last_event_at.set(1_700_000_000_250_000);
    observations.rejected(Rejection::NotJson).add(3);
    observations.connections[0].attempts.add(4);
    observations.connections[0].state.set(ConnectionState::Joining);
    observations.count_restart("trades");
    observations.writers[0].latency.observe(Duration::from_micros(400), 5);
    observations.writers[1].latency.observe(Duration::from_secs(2), 1);
    observations.writers[1].latency.observe(Duration::from_secs(500), 1);
    observations.writers[1].append_latency.observe(Duration::from_micros(200), 7);
    observations.writers[1].append_latency.observe(Duration::from_micros(4_500), 2);
    observations.writers[1].mailbox_wait_us.add(1_500_000);
    observations.writers[1].batches_in.add(9);
    observations.writers[1].batches_out.add(7);
    observations.writers[1].spool_events.set(12);
    observations.writers[1].spool_bytes.set(9_000);
    observations.writers[1].spool_oldest.set(1);
    *lock(&observations.writers[1].spool_fault) = Some("No space left on device".to_owned());
    observations.log_records_dropped.store(8, Relaxed);

    let side = start(&observations);
    let answer = get(&side, "/metrics");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        "# HELP uw_ws_events_received_total Events read from the feed",
        "# TYPE uw_ws_events_received_total counter",
        "uw_ws_events_received_total{channel=\"price\"} 10",
        "uw_ws_events_received_total{channel=\"flow-alerts\"} 0",
        "uw_ws_events_stored_total{channel=\"price\"} 6",
        "uw_ws_events_recovered_total{channel=\"price\"} 9",
        "uw_ws_events_duplicate_total{channel=\"price\"} 4",
        "uw_ws_events_filtered_total{channel=\"price\"} 1",
        "uw_ws_events_quarantined_total{channel=\"price\"} 3",
        "uw_ws_events_dropped_total{channel=\"price\",reason=\"crash\"} 1",
        "uw_ws_events_dropped_total{channel=\"price\",reason=\"spool_full\"} 1",
        "uw_ws_events_dropped_total{channel=\"price\",reason=\"spool_corrupt\"} 0",
        "uw_ws_events_dropped_total{channel=\"price\",reason=\"shutdown\"} 0",
        "uw_ws_events_pending{channel=\"price\"} 3",
        "uw_ws_conservation_violations_total{channel=\"price\"} 2",
        "uw_ws_last_event_timestamp_seconds{channel=\"price\"} 1700000000.25",
        "uw_ws_frames_rejected_total{kind=\"not_json\"} 3",
        "uw_ws_connection_attempts_total{connection=\"flow\"} 4",
        "uw_ws_connection_state{connection=\"flow\",state=\"joining\"} 1",
        "uw_ws_connection_state{connection=\"flow\",state=\"live\"} 0",
        "uw_ws_connection_joins{connection=\"prices\"} 2",
        "uw_ws_connection_joins_expected{connection=\"prices\"} 2",
        "uw_ws_actor_restarts_total{actor=\"trades\"} 1",
        "# TYPE uw_ws_store_latency_seconds histogram",
        "uw_ws_store_latency_seconds_bucket{le=\"0.0005\"} 5",
        "uw_ws_store_latency_seconds_bucket{le=\"1.0\"} 5",
        "uw_ws_store_latency_seconds_bucket{le=\"5.0\"} 6",
        "uw_ws_store_latency_seconds_bucket{le=\"120.0\"} 6",
        "uw_ws_store_latency_seconds_bucket{le=\"+Inf\"} 7",
        "uw_ws_store_latency_seconds_count 7",
        "uw_ws_store_latency_seconds_sum 502.002",
        "# TYPE uw_ws_append_latency_seconds histogram",
        "uw_ws_append_latency_seconds_count{shard=\"0\"} 0",
        "uw_ws_append_latency_seconds_bucket{le=\"0.00025\",shard=\"1\"} 7",
        "uw_ws_append_latency_seconds_bucket{le=\"0.004\",shard=\"1\"} 7",
        "uw_ws_append_latency_seconds_bucket{le=\"0.005\",shard=\"1\"} 9",
        "uw_ws_append_latency_seconds_count{shard=\"1\"} 9",
        "uw_ws_append_latency_seconds_sum{shard=\"1\"} 0.0104",
        "uw_ws_mailbox_wait_seconds_total{shard=\"1\"} 1.5",
        "uw_ws_mailbox_batches{shard=\"1\"} 2",
        "uw_ws_writer_state{shard=\"0\",state=\"idle\"} 1",
        "uw_ws_spool_events{shard=\"0\"} 0",
        "uw_ws_spool_events{shard=\"1\"} 12",
        "uw_ws_spool_bytes{shard=\"1\"} 9000",
        "uw_ws_spool_oldest_seconds{shard=\"0\"} 0.0",
        "uw_ws_spool_up{shard=\"0\"} 1",
        "uw_ws_spool_up{shard=\"1\"} 0",
        "uw_ws_redis_up 1",
        "uw_ws_ready 0",
        "uw_ws_log_records_dropped_total 8",
        "uw_ws_build_info{version=\"1.2.3\"} 1",
    ] {
        answer.assert_line(line);
    }
}

#[test]
fn metrics_have_the_names_of_the_contract() {
    let contract = [
        ("uw_ws_events_received_total", &["channel"][..]),
        ("uw_ws_events_stored_total", &["channel"]),
        ("uw_ws_events_duplicate_total", &["channel"]),
        ("uw_ws_events_filtered_total", &["channel"]),
        ("uw_ws_events_quarantined_total", &["channel"]),
        ("uw_ws_events_recovered_total", &["channel"]),
        ("uw_ws_events_dropped_total", &["channel", "reason"]),
        ("uw_ws_events_pending", &["channel"]),
        ("uw_ws_spool_events", &["shard"]),
        ("uw_ws_spool_bytes", &["shard"]),
        ("uw_ws_frames_rejected_total", &["kind"]),
        ("uw_ws_connection_attempts_total", &["connection"]),
        ("uw_ws_connection_state", &["connection"]),
        ("uw_ws_actor_restarts_total", &["actor"]),
        ("uw_ws_store_latency_seconds", &[]),
        ("uw_ws_append_latency_seconds", &["shard"]),
        ("uw_ws_mailbox_wait_seconds_total", &["shard"]),
        ("uw_ws_redis_up", &[]),
    ];
    for (name, labels) in contract {
        let family = FAMILIES.iter().find(|f| f.name == name).unwrap_or_else(|| panic!("no {name}"));
        assert!(family.labels.starts_with(labels), "{name} has the labels {:?}", family.labels);
    }
}

#[test]
fn every_series_belongs_to_a_described_family() {
    let observations = in_order();
    observations.count_restart("flow");
    observations.channels[0].last_event_at.set_now();
    observations.archive.is_on.set(true);
    observations.rest.endpoint(RestEndpoint::News).of(RestResult::Answered).add(1);
    observations.rest.limiter(RequestLimits { per_minute: 1, rest_per_minute: 1, fills_per_day: 1 });
    let side = start(&observations);
    let answer = get(&side, "/metrics");
    for family in FAMILIES.iter() {
        let (name, kind) = (family.name, family.kind.name());
        answer.assert_line(&format!("# TYPE {name} {kind}"));
        assert!(name.starts_with("uw_ws_"), "{name}");
        assert_eq!(name.ends_with("_total"), family.kind == MetricKind::Counter, "{name}");
        let mut series = answer.body.lines().filter_map(|line| line.strip_prefix(name));
        let labels = |rest: &str| family.labels.iter().all(|label| rest.contains(&format!("{label}=\"")));
        let end: &[char] = if family.kind == MetricKind::Histogram { &['_'] } else { &['{', ' '] };
        let own = |rest: &str| rest.starts_with(end) && labels(rest);
        assert!(series.any(own), "{name} has no series with its labels in\n{}", answer.body);
    }
    let described = |line: &str| FAMILIES.iter().any(|family| line.starts_with(family.name));
    let stray = answer.body.lines().find(|line| !line.starts_with("# ") && !described(line));
    assert_eq!(stray, None);
}
