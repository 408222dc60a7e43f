//! The HTTP side over real sockets, fed with observations made by hand.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use slog::{Discard, Logger, o};
use uw_websocket::http::metrics::{FAMILIES, Kind};
use uw_websocket::http::{HttpSide, PATHS};
use uw_websocket_actors::event::Channel;
use uw_websocket_actors::observation::{
    ConnectionState, DropReason, Observations, Rejection, WriterState, lock, unix_micros,
};

/// For any single answer; far above what one takes, below the server's own timeouts.
const PATIENCE: Duration = Duration::from_secs(4);

/// Rewrites the table of metrics in the documentation instead of checking it.
const UPDATE_DOCS: &str = "UPDATE_DOCS";

struct Answer {
    status: u16,
    headers: ureq::http::HeaderMap,
    body: String,
}

impl Answer {
    #[track_caller]
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name}")).to_str().unwrap()
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    #[track_caller]
    fn assert_line(&self, line: &str) {
        assert!(self.body.lines().any(|l| l == line), "no line `{line}` in\n{}", self.body);
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .build()
        .new_agent()
}

fn request(side: &HttpSide, method: &str, path: &str, body: &str) -> Answer {
    let uri = format!("http://{}{path}", side.local_addr());
    let request = ureq::http::Request::builder().method(method).uri(uri);
    let answer = if body.is_empty() {
        agent().run(request.body(()).unwrap())
    } else {
        let request = request.body(body.to_owned()).unwrap();
        agent().run(agent().configure_request(request).allow_non_standard_methods(true).build())
    };
    let (head, mut body) = answer.unwrap().into_parts();
    Answer { status: head.status.as_u16(), headers: head.headers, body: body.read_to_string().unwrap() }
}

fn get(side: &HttpSide, path: &str) -> Answer {
    request(side, "GET", path, "")
}

/// A service of two connections and two shards with everything in order.
fn in_order() -> Arc<Observations> {
    let plan = [
        ("flow".to_owned(), vec!["flow-alerts".to_owned()]),
        ("prices".to_owned(), vec!["price:SPY".to_owned(), "price:QQQ".to_owned()]),
    ];
    let channels = [Channel::FlowAlerts, Channel::Price];
    let observations = Observations::new("host-1".to_owned(), "1.2.3", &channels, &plan, 2);
    for connection in &observations.connections {
        connection.state.set(ConnectionState::Live);
        lock(&connection.joins).iter_mut().for_each(|join| join.acknowledged = true);
    }
    for writer in &observations.writers {
        writer.redis_up.store(true, Relaxed);
    }
    observations.supervisor_round_at.set_now();
    Arc::new(observations)
}

fn start(observations: &Arc<Observations>) -> HttpSide {
    let free_port = SocketAddr::from(([127, 0, 0, 1], 0));
    HttpSide::start(free_port, observations.clone(), Logger::root(Discard, o!())).unwrap()
}

#[test]
fn health_is_ok_until_the_supervisor_stalls() {
    let observations = in_order();
    let side = start(&observations);
    let answer = get(&side, "/healthz");
    assert_eq!((answer.status, &*answer.body), (200, "ok"));

    observations.supervisor_round_at.set(unix_micros() - 60_000_000);
    let answer = get(&side, "/healthz");
    assert_eq!(answer.status, 503);
    assert!(answer.body.starts_with("the supervisor has made no round for 6"), "{}", answer.body);
}

#[test]
fn readiness_lists_what_is_missing() {
    let observations = in_order();
    let side = start(&observations);
    let answer = get(&side, "/readyz");
    assert_eq!((answer.status, answer.json()), (200, json!([])));

    lock(&observations.connections[1].joins)[0].acknowledged = false;
    observations.writers[1].redis_up.store(false, Relaxed);
    *lock(&observations.writers[1].last_error) = Some("OOM \"full\"".to_owned());
    let answer = get(&side, "/readyz");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(
        answer.json(),
        json!([
            {"kind": "join", "subject": "price:SPY", "detail": "not acknowledged on connection prices"},
            {"kind": "redis", "subject": "shard 1", "detail": "Redis takes no writes: OOM \"full\""},
        ])
    );
}

#[test]
fn metrics_show_the_observations() {
    let observations = in_order();
    let price = &observations.channels[1];
    price.received.add(10);
    price.stored.add(6);
    price.filtered.add(1);
    price.dropped(DropReason::Crash).add(2);
    price.last_event_at.set(1_700_000_000_250_000);
    observations.rejected(Rejection::NotJson).add(3);
    observations.connections[0].attempts.add(4);
    observations.connections[0].state.set(ConnectionState::Joining);
    observations.count_restart("trades");
    observations.writers[0].latency.observe(Duration::from_micros(400), 5);
    observations.writers[1].latency.observe(Duration::from_secs(2), 1);
    observations.writers[1].latency.observe(Duration::from_secs(500), 1);
    observations.writers[1].mailbox_wait_us.add(1_500_000);
    observations.writers[1].batches_in.add(9);
    observations.writers[1].batches_out.add(7);
    observations.log_records_dropped.add(8);

    let side = start(&observations);
    let answer = get(&side, "/metrics");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        "# HELP uw_ws_events_received_total Events read from the feed.",
        "# TYPE uw_ws_events_received_total counter",
        "uw_ws_events_received_total{channel=\"price\"} 10",
        "uw_ws_events_received_total{channel=\"flow-alerts\"} 0",
        "uw_ws_events_stored_total{channel=\"price\"} 6",
        "uw_ws_events_filtered_total{channel=\"price\"} 1",
        "uw_ws_events_dropped_total{channel=\"price\",reason=\"crash\"} 2",
        "uw_ws_events_dropped_total{channel=\"price\",reason=\"shutdown\"} 0",
        "uw_ws_events_pending{channel=\"price\"} 1",
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
        "uw_ws_mailbox_wait_seconds_total{shard=\"1\"} 1.5",
        "uw_ws_mailbox_batches{shard=\"1\"} 2",
        "uw_ws_writer_state{shard=\"0\",state=\"idle\"} 1",
        "uw_ws_redis_up 1",
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
        ("uw_ws_events_filtered_total", &["channel"]),
        ("uw_ws_events_dropped_total", &["channel", "reason"]),
        ("uw_ws_events_pending", &["channel"]),
        ("uw_ws_frames_rejected_total", &["kind"]),
        ("uw_ws_connection_attempts_total", &["connection"]),
        ("uw_ws_connection_state", &["connection"]),
        ("uw_ws_actor_restarts_total", &["actor"]),
        ("uw_ws_store_latency_seconds", &[]),
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
    let side = start(&observations);
    let answer = get(&side, "/metrics");
    for family in FAMILIES {
        let (name, kind) = (family.name, family.kind.name());
        answer.assert_line(&format!("# TYPE {name} {kind}"));
        assert!(name.starts_with("uw_ws_"), "{name}");
        assert_eq!(name.ends_with("_total"), family.kind == Kind::Counter, "{name}");
        let mut series = answer.body.lines().filter_map(|line| line.strip_prefix(name));
        let labels = |rest: &str| family.labels.iter().all(|label| rest.contains(&format!("{label}=\"")));
        let own = |rest: &str| rest.starts_with(['{', ' ', '_']) && labels(rest);
        assert!(series.any(own), "{name} has no series with its labels in\n{}", answer.body);
    }
    let described = |line: &str| FAMILIES.iter().any(|family| line.starts_with(family.name));
    let stray = answer.body.lines().find(|line| !line.starts_with("# ") && !described(line));
    assert_eq!(stray, None);
}

#[test]
fn status_shows_the_observations() {
    let observations = in_order();
    observations.started_at.set(unix_micros() - 90_000_000);
    let price = &observations.channels[1];
    price.received.add(5);
    price.stored.add(3);
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
            "channel": "price", "received": 5, "stored": 3, "filtered": 0, "pending": 1, "drifted": 0,
            "dropped": {"crash": 0, "rejected": 1, "shutdown": 0},
            "last_event_age_seconds": null, "conserved": true,
        })
    );
    let writer = &status["writers"][0];
    assert_eq!((&writer["state"], &writer["events_per_transaction"]), (&json!("writing"), &json!(2.5)));
    assert_eq!(
        (&writer["latency_p50_seconds"], &writer["latency_p99_seconds"]),
        (&json!(0.005), &json!(0.05))
    );
    assert_eq!(status["rejected"]["too_deep"], 0);
}

#[test]
fn status_says_in_a_word_how_it_is() {
    let observations = in_order();
    let side = start(&observations);
    let state = || get(&side, "/api/status").json()["state"].clone();
    assert_eq!(state(), "ready");
    observations.stopping.store(true, Relaxed);
    assert_eq!(state(), "stopping");
    observations.supervisor_round_at.set(1);
    assert_eq!(state(), "stalled");
}

#[test]
fn every_path_answers_head_without_a_body_and_refuses_other_methods() {
    let side = start(&in_order());
    for (path, _) in PATHS {
        let answer = request(&side, "HEAD", path, "");
        assert_eq!((answer.status, &*answer.body), (200, ""), "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        let answer = request(&side, "DELETE", path, "");
        assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD"), "{path}");
    }
}

#[test]
fn an_unknown_path_is_told_the_known_ones() {
    let side = start(&in_order());
    let answer = get(&side, "/health");
    assert_eq!((answer.status, answer.header("cache-control")), (404, "no-store"));
    for (path, _) in PATHS {
        assert!(answer.body.contains(path), "{}", answer.body);
    }
}

#[test]
fn a_request_body_is_refused_unread() {
    let side = start(&in_order());
    let mut client = TcpStream::connect(side.local_addr()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(b"POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap(); // to the end: the connection is closed
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[test]
fn a_slow_client_holds_up_nobody() {
    let side = start(&in_order());
    let mut slow: Vec<_> = (0..8).map(|_| TcpStream::connect(side.local_addr()).unwrap()).collect();
    for client in &mut slow {
        client.write_all(b"GET /metrics HTTP/1.1\r\nho").unwrap();
    }
    assert_eq!(get(&side, "/healthz").status, 200);
}

#[test]
fn an_address_that_is_taken_is_named_at_once() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let err = HttpSide::start(addr, in_order(), Logger::root(Discard, o!())).unwrap_err();
    assert_eq!(err.to_string(), format!("cannot listen on {addr} for HTTP"));
    assert!(std::error::Error::source(&err).unwrap().to_string().contains("in use"));
}

#[test]
fn stop_ends_idle_connections_and_frees_the_port() {
    let side = start(&in_order());
    let addr = side.local_addr();
    let mut idle = TcpStream::connect(addr).unwrap();
    idle.set_read_timeout(Some(PATIENCE)).unwrap();
    idle.write_all(b"HEAD /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert!(idle.read(&mut [0; 1024]).unwrap() > 0);

    let begin = Instant::now();
    side.stop();
    assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
    // 0 is a close, an error a reset: either way it has ended
    assert_eq!(idle.read(&mut [0; 1024]).unwrap_or_default(), 0);
    assert_eq!(TcpStream::connect(addr).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn the_documentation_has_the_table_of_metrics() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs-metrics.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let updated = with_table(&text, "metrics", &metrics_table());
    if std::env::var_os(UPDATE_DOCS).is_some() {
        std::fs::write(&path, updated).unwrap();
    } else {
        assert!(text == updated, "{} is out of date: run with {UPDATE_DOCS}=1", path.display());
    }
}

/// The text with what stands between `<!-- name -->` and `<!-- /name -->` replaced.
#[track_caller]
fn with_table(text: &str, name: &str, table: &str) -> String {
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = text.split_once(&open).expect("the opening marker");
    let (_, after) = rest.split_once(&close).expect("the closing marker");
    format!("{before}{open}{table}{close}{after}")
}

fn metrics_table() -> String {
    let head = "| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n".to_owned();
    FAMILIES.iter().fold(head, |table, family| {
        let labels = family.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let (name, kind, help) = (family.name, family.kind.name(), family.help);
        table + &format!("| `{name}` | {kind} | {labels} | {help} |\n")
    })
}
