//! The HTTP server over real sockets, fed with observations made by hand.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy.toml allows them in tests, not in the functions that tests share"
)]

mod documentation;
mod events;
mod hostile;
mod metrics;
mod page;
mod status;
#[path = "../../actors/tests/yardstick/mod.rs"]
mod yardstick;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use slog::{Discard, Logger, o};
use uw_websocket::http::readiness::ReasonCode;
use uw_websocket::http::{HttpSide, PATHS};
use uw_websocket::settings::HttpSettings;
use uw_websocket_actors::observation::{ConnectionState, LeaseState, Observations};
use uw_websocket_actors::sync::lock;
use uw_websocket_core::event::{Channel, Symbol, Topic};

use crate::yardstick::{has_passed, stretched};

/// For any single answer, on a machine that does nothing else; far above what one takes, below the server's own timeouts.
const PATIENCE: Duration = Duration::from_secs(4);

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
        .timeout_global(Some(stretched(PATIENCE)))
        .build()
        .new_agent()
}

fn request(side: &HttpSide, method: &str, path: &str, body: &str) -> Answer {
    request_at(side.local_addr().unwrap(), method, path, body)
}

fn request_at(address: SocketAddr, method: &str, path: &str, body: &str) -> Answer {
    let uri = format!("http://{address}{path}");
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
    let flow = [Topic { channel: Channel::parse("flow-alerts").unwrap(), symbol: None }];
    let prices = ["SPY", "QQQ"].map(|symbol| Topic {
        channel: Channel::parse("price").unwrap(),
        symbol: Some(Symbol::parse(symbol).unwrap()),
    });
    let plan = [("flow", &flow[..]), ("prices", &prices[..])];
    let channels = [Channel::parse("flow-alerts").unwrap(), Channel::parse("price").unwrap()];
    let observations = Observations::new("host-1".to_owned(), "1.2.3", &channels, &plan, 2, Arc::default());
    for connection in &observations.connections {
        connection.state.set(ConnectionState::Live);
        lock(&connection.joins).iter_mut().for_each(|join| join.acknowledged = true);
    }
    for writer in &observations.writers {
        writer.redis_up.store(true, Relaxed);
    }
    observations.lease.state.set(LeaseState::Held);
    Arc::new(observations)
}

/// Lets the supervisor's last round be a minute ago.
fn stall(observations: &Observations) {
    *lock(&observations.supervisor_round_at) = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
}

fn start(observations: &Arc<Observations>) -> HttpSide {
    start_on([127, 0, 0, 1], observations)
}

fn start_on(address: [u8; 4], observations: &Arc<Observations>) -> HttpSide {
    let free_port = Some(SocketAddr::from((address, 0)));
    let settings = HttpSettings {
        addr: free_port,
        probe_addr: free_port,
        allowed_hosts: vec!["status.example".to_owned()],
    };
    HttpSide::start(&settings, observations, &Logger::root(Discard, o!())).unwrap()
}

#[test]
fn health_is_ok_until_the_supervisor_stalls() {
    let observations = in_order();
    let side = start(&observations);
    let answer = get(&side, "/healthz");
    assert_eq!((answer.status, &*answer.body), (200, "ok"));

    stall(&observations);
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
            {
                "code": "join", "subject": "price:SPY", "detail": "not acknowledged on connection prices",
                "advice": ReasonCode::Join.advice(),
            },
            {
                "code": "redis", "subject": "shard 1", "detail": "Redis takes no writes: OOM \"full\"",
                "advice": ReasonCode::Redis.advice(),
            },
        ])
    );
}

#[test]
fn every_path_answers_head_without_a_body_and_refuses_other_methods() {
    let side = start(&in_order());
    for (path, _) in PATHS {
        let answer = request(&side, "HEAD", path, "");
        assert_eq!((answer.status, &*answer.body), (200, ""), "{path}");
        let is_file = path == "/";
        assert_eq!(answer.header("cache-control"), if is_file { "no-cache" } else { "no-store" }, "{path}");
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
    let mut client = TcpStream::connect(side.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(stretched(PATIENCE))).unwrap();
    client
        .write_all(b"POST /metrics HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap(); // to the end: the connection is closed
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[test]
fn an_address_that_is_taken_is_named_at_once() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let (addr, probe_addr) = (Some(addr), Some(addr));
    for (settings, purpose) in [
        (HttpSettings { addr, ..HttpSettings::default() }, "HTTP"),
        (HttpSettings { probe_addr, ..HttpSettings::default() }, "probes"),
    ] {
        let err = HttpSide::start(&settings, &in_order(), &Logger::root(Discard, o!())).unwrap_err();
        assert_eq!(err.to_string(), format!("cannot listen on {} for {purpose}", addr.unwrap()));
        assert!(std::error::Error::source(&err).unwrap().to_string().contains("in use"));
    }
}

#[test]
fn stop_waits_for_no_client() {
    let side = start(&in_order());
    let mut slow = TcpStream::connect(side.local_addr().unwrap()).unwrap();
    slow.set_read_timeout(Some(stretched(PATIENCE))).unwrap();
    // more answers than the system's buffers hold, of which it reads nothing before the stop
    slow.write_all("GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(5_000).as_bytes()).ok();
    slow.peek(&mut [0]).unwrap();
    let begin = Instant::now();
    side.stop();
    assert!(!has_passed(begin, Duration::from_millis(500)), "{:?}", begin.elapsed());
}

#[test]
fn stop_ends_idle_connections_and_frees_the_port() {
    let side = start(&in_order());
    let addr = side.local_addr().unwrap();
    let mut idle = TcpStream::connect(addr).unwrap();
    idle.set_read_timeout(Some(stretched(PATIENCE))).unwrap();
    idle.write_all(b"HEAD /hea").unwrap();
    assert_eq!(get(&side, "/healthz").status, 200); // which came later: the idle one is accepted

    let begin = Instant::now();
    side.stop();
    assert!(!has_passed(begin, PATIENCE), "{:?}", begin.elapsed());
    // 0 is a close, an error a reset: either way it has ended
    assert_eq!(idle.read(&mut [0; 1024]).unwrap_or_default(), 0);
    assert_eq!(TcpStream::connect(addr).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}
