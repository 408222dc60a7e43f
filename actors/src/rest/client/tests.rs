use std::cell::RefCell;
use std::io::Write as _;
use std::rc::Rc;

use flate2::Compression;
use flate2::write::GzEncoder;
use slog::{Discard, o};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use uw_websocket_core::request_budget::RequestLimits;

use super::*;
use crate::connection::handshakes::Handshakes;
use crate::connection::transport::FeedConnector;
use crate::settings::FeedSettings;

const TOKEN: &str = "hid/den-token";
const PATH: &str = "/api/option-trades";

/// What the server does with a request.
enum Act {
    /// Answers, and keeps the connection.
    Answer(Vec<u8>),
    /// Answers, and closes the connection.
    Last(Vec<u8>),
    /// Answers, and then nothing happens until every timer has fired.
    Stall(Vec<u8>),
}

/// An answer with its length.
fn answer(head: &str, body: &[u8]) -> Act {
    let mut answer = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    Act::Answer(answer)
}

/// A server that does this, one act a request; the heads that it has got.
async fn server(acts: Vec<Act>) -> (u16, Rc<RefCell<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heads = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&heads);
    let mut acts = acts.into_iter();
    actix_rt::spawn(async move {
        let mut open = Vec::new();
        'accept: while let Ok((mut socket, _)) = listener.accept().await {
            loop {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match socket.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => continue 'accept,
                    }
                }
                seen.borrow_mut().push(String::from_utf8(head).unwrap());
                match acts.next() {
                    Some(Act::Answer(bytes)) => socket.write_all(&bytes).await.unwrap(),
                    Some(Act::Last(bytes)) => {
                        socket.write_all(&bytes).await.unwrap();
                        continue 'accept;
                    }
                    Some(Act::Stall(bytes)) => {
                        socket.write_all(&bytes).await.unwrap();
                        open.push(socket);
                        tokio::time::pause();
                        continue 'accept;
                    }
                    None => continue 'accept,
                }
            }
        }
    });
    (port, heads)
}

fn client(port: u16) -> (RestClient, Arc<RestObservation>) {
    let settings = RestSettings {
        url: format!("http://127.0.0.1:{port}").parse().unwrap(),
        token: Secret::new(TOKEN.to_owned()),
        proxy: None,
        extra_root_pem: None,
        limits: RequestLimits { per_minute: 100, rest_per_minute: 100, fills_per_day: 1_000 },
        backfill: true,
        audit: true,
        fill_requests_per_gap: 2_000,
    };
    let observation = Arc::<RestObservation>::default();
    let log = Logger::root(Discard, o!());
    (RestClient::new(&settings, Arc::clone(&observation), log).unwrap(), observation)
}

fn query(path: &str) -> RestQuery {
    RestQuery { path: path.to_owned(), pairs: Vec::new() }
}

/// What one request comes to with a server that does this.
fn get(act: Act) -> Result<RestAnswer, RestError> {
    actix_rt::System::new().block_on(async {
        let (port, _) = server(vec![act]).await;
        client(port).0.get(Purpose::Fill, &query(PATH)).await
    })
}

#[track_caller]
fn fails_with(act: Act, expected: &str) {
    let error = get(act).unwrap_err();
    assert!(error.to_string().contains(expected), "{error} instead of {expected}");
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("den-token"), "{shown}");
}

fn gzipped(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_request_has_the_token_in_its_header_and_an_answer_its_bytes_and_usage() {
    actix_rt::System::new().block_on(async {
        let body = "{ \"data\": [ 1.0, \"é\" ] }\n".as_bytes();
        let head = "200 OK\r\nx-uw-daily-req-count: 7\r\nx-uw-token-req-limit: 15000";
        let (port, heads) = server(vec![answer(head, body)]).await;
        let (client, observation) = client(port);
        let mut query = query(PATH);
        query.set("ticker_symbol", "SPY,BRK.B");
        query.set("newer_than", "1 &");
        let answer = client.get(Purpose::Fill, &query).await.unwrap();
        assert_eq!((&answer.body[..], answer.status), (body, 200));
        assert_eq!((answer.usage.day_count, answer.usage.day_limit), (Some(7), Some(15_000)));
        let head = heads.borrow()[0].to_lowercase();
        assert!(
            head.starts_with(
                "get /api/option-trades?ticker_symbol=spy%2cbrk.b&newer_than=1+%26 http/1.1\r\n"
            )
        );
        for line in
            ["authorization: bearer hid/den-token", "uw-client-api-id: 100001", "accept-encoding: gzip"]
        {
            assert!(head.contains(&format!("\r\n{line}\r\n")), "{head}");
        }
        assert!(head.contains("\r\nuser-agent: uw-websocket/"), "{head}");
        let counts = observation.endpoint(RestEndpoint::OptionTrades);
        assert_eq!((counts.of(RestResult::Answered).get(), counts.requests()), (1, 1));
        assert_eq!(observation.remaining(Purpose::Fill), Some(99));
    });
}

#[test]
fn a_packed_answer_is_unpacked() {
    let head = "200 OK\r\ncontent-encoding: gzip";
    assert_eq!(get(answer(head, &gzipped("{\"data\":[]}"))).unwrap().body, "{\"data\":[]}");
}

#[test]
fn a_redirect_is_not_followed() {
    actix_rt::System::new().block_on(async {
        let (elsewhere, visits) = server(vec![answer("200 OK", b"{}")]).await;
        let location = format!("302 Found\r\nlocation: http://127.0.0.1:{elsewhere}/?t=hid%2Fden-token");
        let (port, _) = server(vec![answer(&location, b"")]).await;
        let error = client(port).0.get(Purpose::Fill, &query(PATH)).await.unwrap_err();
        assert_eq!(error.fault(), RestFault::Retryable);
        assert!(
            error.to_string().contains(&format!("a redirect to http://127.0.0.1:{elsewhere}/?t=***")),
            "{error}"
        );
        assert!(visits.borrow().is_empty());
    });
}

#[test]
fn a_cut_answer_is_an_error() {
    let cut = |text: &str| Act::Last(format!("HTTP/1.1 200 OK\r\n{text}").into_bytes());
    fails_with(cut("content-length: 9\r\n\r\n{}"), "the answer is cut: 2 of 9 bytes");
    fails_with(cut("transfer-encoding: chunked\r\n\r\n7\r\n{\"data\"\r\n"), "the answer is not JSON: EOF");
    fails_with(cut("transfer-encoding: chunked\r\n\r\n9\r\n{\"da"), "the answer is not JSON: EOF");
    fails_with(cut("\r\n{\"data\":"), "the answer is not JSON: EOF");
    let packed = gzipped("{\"data\":[]}");
    let head = "200 OK\r\ncontent-encoding: gzip";
    fails_with(answer(head, &packed[..packed.len() - 1]), "the answer is cut: gzip");
}

#[test]
fn an_overlong_answer_is_refused_announced_chunked_or_packed() {
    let long = " ".repeat(MAX_BODY + 1);
    fails_with(answer("200 OK", long.as_bytes()), "more than 8388608 bytes");
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n",
        long.len()
    );
    fails_with(Act::Last(chunked.into_bytes()), "more than 8388608 bytes");
    fails_with(answer("200 OK\r\ncontent-encoding: gzip", &gzipped(&long)), "more than 8388608 bytes");
}

#[test]
fn only_whole_json_in_utf8_is_an_answer() {
    fails_with(answer("200 OK", b"<html>"), "the answer is not JSON");
    fails_with(answer("200 OK", b"{\"a\":\"\xff\"}"), "the answer is not JSON: invalid utf-8");
    fails_with(answer("200 OK", b"{} {}"), "trailing characters");
    fails_with(answer("200 OK", b""), "the answer is not JSON");
    assert_eq!(get(answer("200 OK", b"null")).unwrap().body, "null");
}

#[test]
fn no_answer_and_no_end_of_an_answer_are_waited_for_so_long() {
    fails_with(Act::Stall(Vec::new()), "no answer within 10s");
    fails_with(Act::Stall(b"HTTP/1.1 200 OK\r\ncontent".to_vec()), "no answer within 10s");
    fails_with(
        Act::Stall(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_vec()),
        "no complete answer within 60s",
    );
    fails_with(
        Act::Stall(b"HTTP/1.1 404 X\r\ncontent-length: 9\r\n\r\n{".to_vec()),
        "status 404 for our request: Not Found",
    );
}

#[test]
fn what_is_no_answer_at_all_is_retryable() {
    for act in
        [Act::Last(Vec::new()), Act::Last(b"HTTP/1.1 200".to_vec()), Act::Last(b"SSH-2.0\r\n\r\n".to_vec())]
    {
        assert_eq!(get(act).unwrap_err().fault(), RestFault::Retryable);
    }
    fails_with(answer("500 X", b"oops"), "status 500: oops");
    fails_with(answer("503 X\r\ncontent-encoding: gzip", b"oops"), "status 503: Service Unavailable");
}

#[test]
fn a_refused_token_stops_rest_and_is_not_shown() {
    actix_rt::System::new().block_on(async {
        let body = "no hid/den-token and no hid%2Fden-token here";
        let (port, heads) = server(vec![answer("401 X", body.as_bytes())]).await;
        let (client, observation) = client(port);
        let error = client.get(Purpose::Fill, &query("/api/news/headlines")).await.unwrap_err();
        assert_eq!(error, RestError::Unauthorised("no *** and no *** here".to_owned()));
        let error = client.get(Purpose::Person, &query(PATH)).await.unwrap_err();
        let RestError::NotNow(NotNow { why: Pause::Unauthorised, .. }) = error else { panic!("{error}") };
        assert_eq!(heads.borrow().len(), 1);
        assert_eq!(observation.endpoint(RestEndpoint::News).of(RestResult::Unauthorised).get(), 1);
        assert_eq!(observation.endpoint(RestEndpoint::OptionTrades).requests(), 0, "nothing was sent");
    });
}

#[test]
fn each_429_says_what_is_waited_for() {
    let limited = |act| match get(act) {
        Err(RestError::Limited { next: Some(next), text }) => (next.why, next.retry_in.as_secs(), text),
        other => panic!("{other:?}"),
    };
    let (why, seconds, text) = limited(answer("429 X", b"3 concurrent requests hid/den-token"));
    assert_eq!((why, seconds, &*text), (Pause::Concurrency, 0, "3 concurrent requests ***"));
    let (why, seconds, _) = limited(answer("429 X\r\nretry-after: 7", b""));
    assert_eq!((why, seconds), (Pause::RetryAfter, 7));
    let (why, ..) = limited(answer("429 X\r\nx-uw-daily-req-count: 9\r\nx-uw-token-req-limit: 9", b""));
    assert_eq!(why, Pause::Day);
}

#[test]
fn five_failures_in_a_row_open_the_breaker() {
    actix_rt::System::new().block_on(async {
        let (port, _) = server((0..5).map(|_| answer("502 X", b"")).collect()).await;
        let (client, observation) = client(port);
        for _ in 0..5 {
            assert!(observation.remaining(Purpose::Fill) > Some(0));
            assert_eq!(
                client.get(Purpose::Fill, &query(PATH)).await.unwrap_err().fault(),
                RestFault::Retryable
            );
        }
        assert_eq!(observation.remaining(Purpose::Fill), Some(0));
        assert_eq!(observation.endpoint(RestEndpoint::OptionTrades).of(RestResult::Failed).get(), 5);
    });
}

#[test]
fn a_reply_is_returned_as_it_is_and_counts_like_an_answer() {
    actix_rt::System::new().block_on(async {
        let (port, _) =
            server(vec![answer("422 X\r\nx-some: a", b"{\"msg\":1}"), answer("401 X", b"")]).await;
        let (client, observation) = client(port);
        let reply = client.ask(Purpose::Person, &query(PATH)).await.unwrap();
        assert_eq!((reply.status.as_u16(), &reply.body[..]), (422, &b"{\"msg\":1}"[..]));
        assert_eq!(body::text(&reply.headers, "x-some"), Some("a"));
        assert_eq!(client.judged(reply).unwrap_err().fault(), RestFault::Defect);
        assert_eq!(observation.endpoint(RestEndpoint::OptionTrades).of(RestResult::Refused).get(), 1);
        client.ask(Purpose::Person, &query(PATH)).await.unwrap();
        assert_eq!(observation.remaining(Purpose::Person), Some(0));
    });
}

#[test]
fn the_request_goes_through_the_tunnel_of_a_proxy() {
    actix_rt::System::new().block_on(async {
        let (port, heads) =
            server(vec![Act::Answer(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()), answer("200 OK", b"{}")]).await;
        let (mut client, _) = client(port);
        let proxy = crate::connection::proxy::FeedProxy { host: "127.0.0.1".into(), port, credentials: None };
        let connector = awc::Connector::new().connector(FeedDialer::new(DIAL_TIMEOUT, Some(proxy)));
        client.client = awc::Client::builder().connector(connector).finish();
        client.base = "http://vendor.invalid".parse().unwrap();
        assert_eq!(client.get(Purpose::Fill, &query(PATH)).await.unwrap().body, "{}");
        let heads = heads.borrow();
        assert!(heads[0].starts_with("CONNECT vendor.invalid:80 ") && !heads[0].contains("den-token"));
        assert!(heads[1].starts_with("GET /api/option-trades HTTP/1.1\r\n"), "{}", heads[1]);
    });
}

/// A vendor that counts handshakes and REST requests alike, at some moment before its answer: the moments.
async fn counting_vendor() -> (u16, Rc<RefCell<Vec<(Instant, bool)>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let counted = Rc::new(RefCell::new(Vec::new()));
    let counts = Rc::clone(&counted);
    actix_rt::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let counts = Rc::clone(&counts);
            actix_rt::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(socket.read_u8().await.unwrap());
                }
                // it is under way, counted, and answered later
                let under_way = || Duration::from_millis(fastrand::u64(..4_000));
                tokio::time::sleep(under_way()).await;
                let is_rest = head.starts_with(b"GET /api/");
                counts.borrow_mut().push((Instant::now(), is_rest));
                tokio::time::sleep(under_way()).await;
                let status = if is_rest { "200 OK" } else { "503 Busy" };
                let answer =
                    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}");
                socket.write_all(answer.as_bytes()).await.unwrap();
            });
        }
    });
    (port, counted)
}

#[test]
fn handshakes_and_rest_requests_are_counted_within_the_limit_in_any_minute() {
    const PER_MINUTE: usize = 12;
    actix_rt::System::new().block_on(async {
        tokio::time::pause();
        // a paused clock steps to the next timer at each wait for the network: these keep the steps small
        actix_rt::spawn(async {
            loop {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let (port, counted) = counting_vendor().await;
        let (mut rest, _) = client(port);
        let limits = RequestLimits { per_minute: 12, rest_per_minute: 8, fills_per_day: 10_000 };
        rest.limiter = RequestLimiter::new(limits);
        let handshakes = Rc::new(Handshakes::new(Arc::clone(&rest.limiter)));
        let begin = Instant::now();
        let feed = FeedConnector::new(&feed_settings(port)).unwrap();
        // connections that the feed refuses again and again: pause and end in seconds
        let attempts = [(1, 200), (15, 600), (25, 600)].map(|(pause, end)| {
            let (handshakes, feed) = (Rc::clone(&handshakes), feed.clone());
            actix_rt::spawn(async move {
                while begin.elapsed() < Duration::from_secs(end) {
                    let turn = handshakes.reserve(Instant::now().into_std());
                    tokio::time::sleep_until(turn.start().into()).await;
                    assert!(feed.connect().await.is_err());
                    drop(turn);
                    tokio::time::sleep(Duration::from_secs(pause)).await;
                }
            })
        });
        while begin.elapsed() < Duration::from_secs(900) {
            rest.get(Purpose::Fill, &query(PATH)).await.unwrap();
        }
        for attempt in attempts {
            attempt.await.unwrap();
        }
        let mut counted = counted.borrow().clone();
        counted.sort();
        for minute in counted.windows(PER_MINUTE + 1) {
            let span = minute[PER_MINUTE].0 - minute[0].0;
            assert!(span >= Duration::from_secs(60), "{span:?}: {minute:?}");
        }
        let rest = counted.iter().filter(|(_, is_rest)| *is_rest).count();
        assert!(rest > 30 && counted.len() - rest > 50, "{rest} of {}", counted.len());
    });
}

fn feed_settings(port: u16) -> FeedSettings {
    FeedSettings {
        url: format!("ws://127.0.0.1:{port}/socket").parse().unwrap(),
        token: Secret::new(TOKEN.to_owned()),
        proxy: None,
        extra_root_pem: None,
        reconnect_first: Duration::from_secs(1),
        reconnect_max: Duration::from_secs(1),
        ping_interval: Duration::from_secs(1),
    }
}
