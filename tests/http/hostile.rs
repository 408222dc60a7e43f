//! Clients that mean no good, or are broken: whatever they do, the others get their answers.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_recv_buffer_size;
use serde_json::json;
use uw_websocket::http::HttpSide;
use uw_websocket_actors::observation::{HttpRefusal, Observations};
use uw_websocket_actors::sync::lock;
use uw_websocket_core::event::{Channel, Symbol, Topic};

use super::{PATIENCE, get, in_order, request_at, start, start_on};
use crate::yardstick::{has_passed, stretched};

/// Until a client that gets nowhere is cut: the server's own patience is 5 s.
const CUT: Duration = Duration::from_secs(9);

fn connect(side: &HttpSide) -> TcpStream {
    let client = TcpStream::connect(side.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(stretched(PATIENCE))).unwrap();
    client.set_write_timeout(Some(stretched(PATIENCE))).unwrap();
    client
}

/// Sends `request` and reads until the server closes; a cut counts as the end.
fn exchange(side: &HttpSide, request: &[u8]) -> String {
    let mut client = connect(side);
    // a server that has heard enough reads no further
    drop(client.write_all(request));
    read_to_the_end(&mut client)
}

#[track_caller]
fn read_to_the_end(client: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    match client.read_to_end(&mut answer) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("the server does not end it"),
        _ => String::from_utf8_lossy(&answer).into_owned(),
    }
}

#[test]
fn two_hundred_slow_heads_hold_up_nobody_and_are_cut() {
    let side = start(&in_order());
    let mut slow: Vec<_> = (0..200).map(|_| connect(&side)).collect();
    for client in &mut slow {
        client.write_all(b"GET /metrics HTTP/1.1\r\nho").unwrap();
    }
    assert_eq!(get(&side, "/healthz").status, 200);
    let begin = Instant::now();
    for client in &mut slow {
        client.set_read_timeout(Some(stretched(CUT))).unwrap();
        read_to_the_end(client);
    }
    assert!(!has_passed(begin, CUT), "{:?}", begin.elapsed());
}

#[test]
fn a_second_request_is_a_second_connection() {
    let side = start(&in_order());
    // one whose head never ends would otherwise hold its place for ever
    let answer = exchange(&side, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\nGET /he");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}

#[test]
fn requests_behind_the_first_one_are_not_parsed() {
    let side = start(&in_order());
    for end in ["\r\n", "\n"] {
        let request = format!("GET /healthz HTTP/1.1{end}host: localhost{end}{end}");
        let answers = exchange(&side, request.repeat((16 << 10) / request.len()).as_bytes());
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
    }
}

#[test]
fn who_does_not_read_the_answers_is_cut() {
    let side = start(&in_order());
    let mut client = connect(&side);
    let begin = Instant::now();
    let requests = "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(5_000);
    drop(client.write_all(requests.as_bytes()));
    assert_eq!(get(&side, "/metrics").status, 200);
    client.set_read_timeout(Some(stretched(CUT))).unwrap();
    // not read, but watched: the cut shows as an error of the socket
    while client.take_error().unwrap().is_none() && client.write(b"x").is_ok() {
        assert!(!has_passed(begin, CUT), "it is not cut");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// A service with a large plan, whose status has more bytes than the buffers of a connection.
fn with_large_status(joins: usize) -> Arc<Observations> {
    let topics: Vec<_> = (0..joins)
        .map(|n| Topic {
            channel: Channel::parse("price").unwrap(),
            symbol: Some(Symbol::parse(&format!("S{n}")).unwrap()),
        })
        .collect();
    let plan = [("prices", &topics[..])];
    Arc::new(Observations::new(
        "host-1".to_owned(),
        "1.2.3",
        &[Channel::parse("price").unwrap()],
        &plan,
        1,
        Arc::default(),
    ))
}

/// Asks for the status and reads nothing of it.
fn ask_for_status(side: &HttpSide) -> TcpStream {
    let mut client = connect(side);
    set_socket_recv_buffer_size(&client, 4 << 10).unwrap();
    client.write_all(b"GET /api/status HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    client
}

/// Ends the readers, also of a test that fails.
struct Ends<'t>(&'t AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Reads a little of each answer now and then, until the end: a client that makes no progress is cut, which on a busy
/// machine may be before the next one has its answer.
fn sip(clients: &Mutex<Vec<TcpStream>>, end: &AtomicBool) {
    let mut sip = [0; 16 << 10];
    while !end.load(Ordering::Relaxed) {
        for mut client in lock(clients).iter() {
            // there may be nothing yet, or nothing more
            drop(client.read(&mut sip));
        }
        std::thread::park_timeout(Duration::from_millis(500));
    }
}

#[test]
fn answers_that_are_hardly_read_take_a_bounded_memory_together() {
    let observations = with_large_status(20_000);
    let side = start(&observations);
    let (clients, end) = (Mutex::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| sip(&clients, &end));
        let _ends = Ends(&end);
        // some fourteen reach the bound
        let is_refused = (0..30).any(|_| {
            let (mut client, mut status) = (ask_for_status(&side), [0; "HTTP/1.1 200".len()]);
            client.read_exact(&mut status).unwrap();
            client.set_nonblocking(true).unwrap();
            lock(&clients).push(client);
            status == *b"HTTP/1.1 503"
        });
        assert!(is_refused, "there is always room");
        let refusal = get(&side, "/api/status");
        assert_eq!((refusal.status, refusal.header("retry-after")), (503, "1"));
        assert!(observations.http.refused(HttpRefusal::Answers).get() > 0);
        assert_eq!((get(&side, "/").status, get(&side, "/page.js").status), (200, 200));
    });
    drop(clients);
    let begin = Instant::now();
    while get(&side, "/api/status").status != 200 {
        assert!(!has_passed(begin, PATIENCE), "the memory is not given back");
    }
}

#[test]
fn the_system_holds_a_small_part_of_an_answer_that_is_not_read() {
    let observations = with_large_status(10_000);
    let side = start(&observations);
    let mut client = ask_for_status(&side);
    let begin = Instant::now();
    while observations.http.refused(HttpRefusal::Stalled).get() == 0 {
        assert!(!has_passed(begin, CUT), "it is not cut");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    let held = read_to_the_end(&mut client).len();
    let whole = get(&side, "/api/status").body.len();
    assert!(whole > 500_000 && held < 300_000, "{held} of {whole} bytes");
}

#[test]
fn what_is_no_request_is_refused_and_closed() {
    let side = start(&in_order());
    let long = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(1_000_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(2_000));
    for request in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\r\n\r\n\0\0\0\0",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"*1\r\n$8\r\nFLUSHALL\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff1\r\n",
        long.as_bytes(),
        many.as_bytes(),
    ] {
        let answer = exchange(&side, request);
        let head = String::from_utf8_lossy(&request[..request.len().min(40)]);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{head:?}: {answer}");
    }
    assert_eq!(get(&side, "/healthz").status, 200);
}

#[test]
fn garbage_after_a_request_is_not_answered_for_ever() {
    let side = start(&in_order());
    let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let garbage = vec![b'\n'; 1_000_000];
    let answer = exchange(&side, &[&request[..], &garbage].concat());
    // a reset may overtake the answer
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(get(&side, "/healthz").status, 200);
}

#[test]
fn strange_methods_and_targets_are_answered_with_what_is_wrong() {
    let side = start(&in_order());
    for (line, status) in [
        ("POST /metrics", 405),
        ("OPTIONS /api/status", 405),
        ("TRACE /", 405),
        ("BREW /api/events", 405),
        ("GET /../../etc/passwd", 404),
        ("GET /%2e%2e/%00", 404),
        ("GET //metrics", 404),
    ] {
        let answer = exchange(&side, format!("{line} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {answer}");
        assert_eq!(answer.contains("allow: GET, HEAD"), status == 405, "{line}: {answer}");
    }
}

#[test]
fn a_page_of_another_site_is_told_nothing() {
    let side = start(&in_order());
    let ask = |path: &str, host: &str| {
        exchange(&side, format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes())
    };
    for path in ["/", "/healthz", "/api/status", "/nothing"] {
        let answer = ask(path, "rebound.example:9464");
        assert!(answer.starts_with("HTTP/1.1 421 "), "{path}: {answer}");
        assert!(answer.contains("content-security-policy: ") && answer.contains("HTTP_ALLOWED_HOSTS"));
    }
    assert!(ask("/healthz", "localhost:1").starts_with("HTTP/1.1 200 "));
    assert!(ask("/healthz", "[::1]").starts_with("HTTP/1.1 200 "));
    assert!(ask("/healthz", "localhost\r\nhost: rebound.example").starts_with("HTTP/1.1 4"));
    assert!(exchange(&side, b"GET /healthz HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 200 "));
}

#[test]
fn names_are_checked_on_every_address() {
    let observations = in_order();
    let side = start_on([0, 0, 0, 0], &observations);
    for address in [side.local_addr(), side.probe_addr()] {
        let ask = |host: &str| {
            let mut client = TcpStream::connect(("127.0.0.1", address.unwrap().port())).unwrap();
            client.set_read_timeout(Some(stretched(PATIENCE))).unwrap();
            client.write_all(format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).unwrap();
            read_to_the_end(&mut client)
        };
        for host in ["rebound.example:9464", "uw-websocket", "example"] {
            assert!(ask(host).starts_with("HTTP/1.1 421 "), "{host}");
        }
        for host in ["Status.Example:80", "localhost", "10.1.2.3:9464", "[fd00::1]:9464"] {
            assert!(ask(host).starts_with("HTTP/1.1 200 "), "{host}");
        }
    }
    assert_eq!(observations.http.refused(HttpRefusal::Host).get(), 6);
}

#[test]
fn probes_have_an_address_of_their_own_with_nothing_else() {
    let observations = in_order();
    let side = start(&observations);
    let get = |path: &str| request_at(side.probe_addr().unwrap(), "GET", path, "");
    assert_eq!((get("/healthz").status, &*get("/healthz").body), (200, "ok"));
    assert_eq!((get("/readyz").status, get("/readyz").json()), (200, json!([])));
    let unknown = get("/api/status");
    assert_eq!(unknown.status, 404);
    assert!(unknown.body.contains("/readyz") && !unknown.body.contains("/metrics"), "{}", unknown.body);
}

#[test]
fn the_oldest_idle_connection_gives_way_to_a_new_one() {
    let observations = in_order();
    let side = start(&observations);
    let mut oldest = connect(&side);
    let idle: Vec<_> = (0..600).map(|_| connect(&side)).collect();
    assert_eq!(get(&side, "/healthz").status, 200);
    // 0 is a close, an error a reset
    assert_eq!(oldest.read(&mut [0; 64]).unwrap_or_default(), 0);
    assert!(observations.http.refused(HttpRefusal::Evicted).get() > 300);
    assert_eq!(observations.http.refused(HttpRefusal::Full).get(), 0);
    drop(idle);
}

#[test]
fn a_silent_connection_is_closed() {
    let observations = in_order();
    let side = start(&observations);
    let mut silent = connect(&side);
    silent.set_read_timeout(Some(stretched(CUT))).unwrap();
    assert_eq!(read_to_the_end(&mut silent), "");
    assert_eq!(observations.http.refused(HttpRefusal::Head).get(), 1);
}
