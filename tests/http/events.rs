//! `/api/events`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use uw_websocket::http::HttpSide;
use uw_websocket_actors::observation::{HttpRefusal, Observations};
use uw_websocket_core::event::{Channel, Symbol, Topic};

use super::{PATIENCE, get, in_order, request, start};
use crate::yardstick::{has_passed, stretched};

/// Who may listen at a time.
const SUBSCRIBERS: usize = 16;
/// Until one that does not read is cut, once the buffers of the system are full.
const CUT: Duration = Duration::from_secs(25);

/// One that listens.
struct Listener {
    socket: BufReader<TcpStream>,
    /// Whether the head has been read, and chunks come.
    is_in_body: bool,
}

impl Listener {
    fn new(side: &HttpSide) -> Listener {
        let mut socket = TcpStream::connect(side.local_addr().unwrap()).unwrap();
        socket.set_read_timeout(Some(stretched(PATIENCE))).unwrap();
        socket.write_all(b"GET /api/events HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        Listener { socket: BufReader::new(socket), is_in_body: false }
    }

    #[track_caller]
    fn raw_line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.socket.read_line(&mut line).unwrap() > 0, "the stream ended");
        line
    }

    /// A line of the head or of the data, whatever chunks it comes in: a return stands around these alone.
    #[track_caller]
    fn next_line(&mut self) -> String {
        let mut line = self.raw_line();
        if !self.is_in_body {
            if line == "\r\n" {
                self.is_in_body = true;
                self.raw_line(); // the length of the first chunk
            }
            return line;
        }
        while line.ends_with("\r\n") {
            line.truncate(line.len() - 2);
            self.raw_line(); // the length of the next chunk
            line += &self.raw_line();
        }
        line
    }

    /// The next line that begins so.
    #[track_caller]
    fn line(&mut self, begin: &str) -> String {
        loop {
            let line = self.next_line();
            if let Some(rest) = line.strip_prefix(begin) {
                return rest.trim_end().to_owned();
            }
        }
    }

    #[track_caller]
    fn message(&mut self) -> Value {
        serde_json::from_str(&self.line("data: ")).unwrap()
    }
}

#[test]
fn the_status_comes_at_once_and_then_once_a_second() {
    let observations = in_order();
    let side = start(&observations);
    let mut listener = Listener::new(&side);
    for header in [
        "HTTP/1.1 200 ",
        "content-type: text/event-stream",
        "cache-control: no-store",
        "x-accel-buffering: no",
    ] {
        let mut other = Listener::new(&side); // headers come in any order
        other.line(header);
    }
    assert_eq!(listener.line("retry: "), "2000");
    assert_eq!(listener.message()["totals"]["received"], 0);
    observations.channels[0].received.add(5);
    listener.message(); // may have been on its way
    let messages = [listener.message(), listener.message(), listener.message()];
    // by the server's clock: a client may be late
    let at = |message: &Value| message["now"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let apart = Duration::try_from(at(&messages[2]).duration_since(at(&messages[0]))).unwrap();
    // each at the beginning of another second, and the first of them may be late
    assert!(apart > Duration::from_secs(1), "{apart:?}");
    assert!(apart < stretched(Duration::from_millis(3_900)), "{apart:?}");
    assert_eq!(messages[0]["totals"]["received"], 5);
    let names = |status: &Value| status.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&messages[2]), names(&get(&side, "/api/status").json()), "the same as /api/status");
    assert_ne!(messages[1]["now"], messages[2]["now"]);
}

#[test]
fn all_listeners_get_the_same_bytes() {
    let side = start(&in_order());
    let (mut one, mut two) = (Listener::new(&side), Listener::new(&side));
    let messages = |listener: &mut Listener| [(); 4].map(|()| listener.line("data: "));
    let (one, two) = (messages(&mut one), messages(&mut two));
    assert!(one[1..].iter().filter(|message| two.contains(message)).count() >= 2);
}

#[test]
fn one_listener_too_many_is_told_what_to_do_and_gets_a_place_when_one_is_free() {
    let side = start(&in_order());
    let mut listeners: Vec<_> = (0..SUBSCRIBERS).map(|_| Listener::new(&side)).collect();
    for listener in &mut listeners {
        listener.message();
    }
    let refusal = get(&side, "/api/events");
    assert_eq!(refusal.status, 503);
    assert!(refusal.body.contains("poll /api/status instead"), "{}", refusal.body);
    assert_eq!(get(&side, "/api/status").status, 200);

    listeners.pop();
    let begin = Instant::now();
    // a place is free when the server has noticed
    while !Listener::new(&side).line("HTTP/1.1 ").starts_with("200") {
        assert!(!has_passed(begin, PATIENCE), "no place became free");
    }
}

#[test]
fn head_tells_of_the_stream_and_takes_no_place() {
    let side = start(&in_order());
    for _ in 0..=SUBSCRIBERS {
        let answer = request(&side, "HEAD", "/api/events", "");
        assert_eq!((answer.status, answer.header("content-type")), (200, "text/event-stream"));
    }
    Listener::new(&side).message();
}

#[test]
fn streams_end_properly_when_the_side_stops() {
    let side = start(&in_order());
    let mut listeners: Vec<_> = (0..3).map(|_| Listener::new(&side)).collect();
    for listener in &mut listeners {
        listener.message();
    }
    let begin = Instant::now();
    side.stop();
    assert!(!has_passed(begin, Duration::from_millis(250)), "{:?}", begin.elapsed());
    for mut listener in listeners {
        let mut rest = String::new();
        listener.socket.read_to_string(&mut rest).unwrap();
        assert!(rest.ends_with("\r\n0\r\n\r\n"), "the end of the stream is not marked: {rest:?}");
    }
}

#[test]
fn a_listener_that_does_not_read_is_cut_and_the_others_go_on() {
    // the largest plan, whose status fills the buffers of the system within seconds
    let topics: Vec<_> = (0..10_000)
        .map(|n| Topic {
            channel: Channel::parse("price").unwrap(),
            symbol: Some(Symbol::parse(&format!("S{n}")).unwrap()),
        })
        .collect();
    let plan = [("prices", &topics[..])];
    let observations = Observations::new(
        "host-1".to_owned(),
        "1.2.3",
        &[Channel::parse("price").unwrap()],
        &plan,
        1,
        Arc::default(),
    );
    let observations = Arc::new(observations);
    let side = start(&observations);
    let idle: Vec<_> = (0..SUBSCRIBERS - 1).map(|_| Listener::new(&side)).collect();
    let mut reader = Listener::new(&side);
    let begin = Instant::now();
    // their places are free again when they have been cut
    while !Listener::new(&side).line("HTTP/1.1 ").starts_with("200") {
        reader.message();
        assert!(!has_passed(begin, CUT), "they are not cut");
    }
    reader.message();
    assert_eq!(observations.http.refused(HttpRefusal::Answers).get(), 0);
    drop(idle);
}
