//! Sessions that end and handshakes that fail: the service comes back, in order, and says what happened.

use std::io::Write as _;
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::support::feed::Refusal;
use crate::support::oracle::assert_streams_equal;
use crate::support::sample::payloads;
use crate::support::service::TOKEN;
use crate::support::{Feed, RedisServer, SOON, Service, Setup, stretched, wait_for, wait_until};

const TARGETS: [&str; 2] = ["SPY", "QQQ"];
const TOPICS: [&str; 2] = ["price:SPY", "option_trades:QQQ"];

const UNAUTHORIZED: Refusal = Refusal {
    status: "401 Unauthorized",
    headers: "Content-Type: text/plain\r\n",
    body: "Your token does not have the websocket scope.",
};
const FORBIDDEN: Refusal = Refusal { status: "403 Forbidden", headers: "", body: "revoked" };
const UNAVAILABLE: Refusal = Refusal { status: "503 Service Unavailable", headers: "", body: "maintenance" };
const SLOW_DOWN: Refusal =
    Refusal { status: "429 Too Many Requests", headers: "Retry-After: 2\r\n", body: "slow down" };

/// One socket only, so that handshakes can be told apart.
fn single(feed: &Feed, redis: &RedisServer) -> Setup {
    Setup::new(feed, redis).set("CHANNELS", "price")
}

fn send(feed: &Feed, round: u64) {
    feed.send_all("price:SPY", &payloads("price", "SPY", round * 100, 100));
    feed.send_all("option_trades:QQQ", &payloads("option_trades", "QQQ", round * 100, 100));
}

fn wait_for_handshakes(feed: &Feed, at_least: usize) {
    let count = || feed.handshakes().len();
    wait_until("the handshakes are made", SOON, || count() >= at_least, || count().to_string());
}

#[test]
fn sessions_that_the_feed_closes_are_made_again() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    for round in 0..3 {
        feed.wait_for_joins(&TOPICS);
        send(&feed, round);
        feed.close_all(1012, "deploy");
    }
    let record = service.wait_for_log("the disconnect", |r| r.mentions("disconnect") && r.mentions("deploy"));
    assert!(matches!(record.level, "info" | "warning"), "{record:?}");
    service.wait_until_ready();
    send(&feed, 3);
    assert_streams_equal(&feed, &redis, &TARGETS);
    let metrics = service.metrics();
    assert!(metrics.sum("uw_ws_connection_attempts_total", &[("connection", "prices")]) >= 4);
    assert!(service.connection("prices")["disconnects"].as_u64() >= Some(3));
    service.finish();
}

#[test]
fn sessions_that_are_cut_are_made_again_and_nothing_that_was_read_is_lost() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    for round in 0..5 {
        feed.wait_for_joins(&TOPICS);
        send(&feed, round);
        feed.cut_all();
    }
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.wait_until_ready();
    service.finish();
}

#[test]
fn a_half_open_connection_is_found_by_the_missing_pong() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = single(&feed, &redis).set("WEBSOCKET_PING_SECONDS", "300ms").start_ready();
    feed.mute_open();
    wait_for_handshakes(&feed, 2);
    service.wait_for_log("the missing pong", |record| record.mentions("pong"));
    service.wait_until_ready();
    feed.wait_for_joins(&["price:SPY"]);
    feed.send_all("price:SPY", &payloads("price", "SPY", 0, 10));
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.finish();
}

#[test]
fn pongs_keep_a_silent_connection() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = single(&feed, &redis).set("WEBSOCKET_PING_SECONDS", "50ms").start_ready();
    wait_until("many pings are answered", SOON, || feed.pings() >= 20, || feed.pings().to_string());
    assert_eq!(feed.handshakes().len(), 1);
    service.finish();
}

#[test]
fn a_token_that_every_connection_is_refused_with_ends_the_process_with_77() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    feed.refuse_all(Some(UNAUTHORIZED));
    let mut service = Setup::new(&feed, &redis).set("LOG_LEVEL", "trace").start();
    assert_eq!(service.wait_for_exit(SOON), Some(77));
    let said = service.records().into_iter().find(|record| record.mentions("websocket scope")).unwrap();
    assert_eq!(said.level, "error");
    service.assert_no_secret();
}

#[test]
fn a_token_that_is_revoked_later_leaves_the_service_up() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let mut service = Service::start(&feed, &redis);
    send(&feed, 0);
    feed.refuse_all(Some(FORBIDDEN));
    feed.cut_all();
    wait_for("every connection is refused", SOON, || {
        let refused = feed.handshakes().len();
        if refused >= 10 { Ok(()) } else { Err(format!("{refused} handshakes")) }
    });
    service.wait_for_log("the server's text", |record| record.level == "error" && record.mentions("revoked"));
    assert!(service.wait_until_not_ready().contains("403"));
    assert_eq!(service.get("/healthz").0, 200);
    assert!(service.is_running());
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.finish();
}

#[test]
fn one_refused_connection_among_accepted_ones_ends_nothing() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    feed.refuse_next(UNAUTHORIZED);
    let mut service = Setup::new(&feed, &redis).start();
    wait_until(
        "the others are open",
        SOON,
        || feed.open_sessions() == 4,
        || feed.open_sessions().to_string(),
    );
    service.wait_for_log("the refusal", |record| record.mentions("websocket scope"));
    service.wait_until_not_ready();
    assert!(service.is_running());
    service.finish();
}

#[test]
fn retry_after_is_honoured() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    feed.refuse_next(SLOW_DOWN);
    let service = single(&feed, &redis).start_ready();
    let at: Vec<_> = feed.handshakes().iter().map(|handshake| handshake.at).collect();
    assert_eq!(at.len(), 2);
    assert!(at[1] - at[0] >= Duration::from_secs(2), "{:?}", at[1] - at[0]);
    service.finish();
}

#[test]
fn one_connection_that_is_back_wakes_the_others() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    (0..4).for_each(|_| feed.refuse_next(UNAVAILABLE));
    let setup = Setup::new(&feed, &redis)
        .set("WEBSOCKET_RECONNECT_SECONDS", "1h")
        .set("WEBSOCKET_RECONNECT_MAX_SECONDS", "1h");
    let service = setup.start_ready();
    assert_eq!(feed.handshakes().len(), 9, "four were refused and came again");
    service.wait_for_log("the earlier attempt", |record| record.msg == "retry brought forward");
    service.finish();
}

#[test]
fn the_next_attempt_is_known_and_is_not_before_the_feed_wants_it() {
    const LATER: Refusal =
        Refusal { status: "503 Service Unavailable", headers: "Retry-After: 1800\r\n", body: "later" };
    let (feed, redis) = (Feed::start(), RedisServer::start());
    feed.refuse_next(LATER);
    let service = Setup::new(&feed, &redis).start();
    let waiting = wait_for("the others are open", SOON, || {
        let status = service.status();
        let connections = status["connections"].as_array().unwrap();
        let (open, waiting): (Vec<_>, Vec<_>) =
            connections.iter().partition(|connection| connection["state"] == "live");
        match &waiting[..] {
            [one] if one["state"] == "waiting" && open.len() == 4 => Ok((*one).clone()),
            _ => Err(format!("{connections:?}")),
        }
    });
    let next: jiff::Timestamp = waiting["next_attempt_at"].as_str().unwrap().parse().unwrap();
    let minutes = (next - jiff::Timestamp::now()).get_seconds() / 60;
    assert!((25..=30).contains(&minutes), "{next}");
    let open = service.status()["connections"][usize::from(waiting["name"] == "flow")].clone();
    assert_eq!(open["next_attempt_at"], serde_json::Value::Null);
}

#[test]
fn an_outage_is_waited_out() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    feed.refuse_all(Some(UNAVAILABLE));
    let service = single(&feed, &redis).start();
    wait_for_handshakes(&feed, 4);
    assert!(service.wait_until_not_ready().contains("503"));
    let attempts = service.metrics().sum("uw_ws_connection_attempts_total", &[("connection", "prices")]);
    assert!(attempts >= 4, "{attempts}");
    feed.refuse_all(None);
    service.wait_until_ready();
    let at: Vec<_> = feed.handshakes().iter().map(|handshake| handshake.at).collect();
    assert!(at[3] - at[2] > at[1] - at[0], "the delay grows: {at:?}");
    service.finish();
}

#[test]
fn a_feed_that_is_away_at_start_is_waited_for() {
    let redis = RedisServer::start();
    let address = Feed::start().address();
    let nobody = format!("ws://{address}/socket");
    let feed = Feed::start();
    let service = single(&feed, &redis).set("UNUSUAL_WHALES_WEBSOCKET_URL", &nobody).start();
    service.wait_for_metric("uw_ws_connection_attempts_total", &[("connection", "prices")], 3);
    assert!(service.wait_until_not_ready().contains("prices"));
    service.finish();
}

#[test]
fn the_token_is_sent_encoded_and_with_a_user_agent() {
    for (query, separator) in [("", '?'), ("?region=us", '&')] {
        let (feed, redis) = (Feed::start(), RedisServer::start());
        let url = format!("{}{query}", feed.url());
        let service = single(&feed, &redis).set("UNUSUAL_WHALES_WEBSOCKET_URL", &url).start_ready();
        let request = feed.handshakes()[0].request.clone();
        let url = url::Url::parse(&format!("ws://feed{}", request.target)).unwrap();
        assert!(url.query_pairs().any(|(name, value)| name == "token" && value == TOKEN), "{request:?}");
        assert!(request.target.starts_with(&format!("/socket{query}{separator}token=")), "{request:?}");
        assert!(!request.header("user-agent").unwrap_or_default().is_empty());
        service.finish();
    }
}

#[test]
fn the_token_appears_in_nothing_that_the_service_shows() {
    const ECHO: Refusal = Refusal {
        status: "502 Bad Gateway",
        headers: "",
        body: "cannot reach wss://api/socket?token=a-token+that/nobody=may&see and token=a-token%2Bthat%2Fnobody%3Dmay%26see",
    };
    let (feed, redis) = (Feed::start(), RedisServer::with_password());
    feed.refuse_next(ECHO);
    let service = single(&feed, &redis).set("LOG_LEVEL", "trace").start_ready();
    feed.close_all(1008, "bad a-token+that/nobody=may&see");
    service.wait_for_log("the disconnect", |record| record.mentions("disconnect"));
    for path in ["/", "/api/status", "/metrics", "/readyz", "/healthz"] {
        let (_, body) = service.get(path);
        assert!(!body.contains("a-token"), "{path}: {body}");
        assert!(!body.contains(crate::support::redis::PASSWORD), "{path}: {body}");
    }
    service.wait_until_ready();
    service.finish();
}

#[test]
fn a_redirect_is_not_followed() {
    let (feed, elsewhere, redis) = (Feed::start(), Feed::start(), RedisServer::start());
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"] {
        let headers = format!("Location: ws://{}/socket\r\n", elsewhere.address());
        feed.refuse_next(Refusal { status, headers: Box::leak(headers.into_boxed_str()), body: "" });
    }
    let service = single(&feed, &redis).start_ready();
    assert!(feed.handshakes().len() >= 4);
    assert!(elsewhere.handshakes().is_empty(), "the token went elsewhere");
    service.finish();
}

/// Answers every handshake with `head` and then `flood` until the client leaves.
fn flood(head: &'static str, flood: &'static [u8]) -> (String, Receiver<u64>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("ws://{}/socket", listener.local_addr().unwrap());
    let (ended, ends) = channel();
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            drop(client.write_all(head.as_bytes()));
            let mut written = 0;
            while client.write_all(flood).is_ok() {
                written += flood.len() as u64;
            }
            if ended.send(written).is_err() {
                return;
            }
        }
    });
    (url, ends)
}

#[test]
fn a_handshake_that_is_answered_without_end_is_given_up_and_takes_no_memory() {
    const CHUNK: [u8; 16] = *b"x-more: yyyyyy\r\n";
    for head in
        ["HTTP/1.1 101 Switching Protocols\r\n", "HTTP/1.1 503 Away\r\nContent-Length: 99999999999\r\n\r\n"]
    {
        let (feed, redis) = (Feed::start(), RedisServer::start());
        let (url, ends) = flood(head, &CHUNK);
        let service = single(&feed, &redis).set("UNUSUAL_WHALES_WEBSOCKET_URL", &url).start();
        for _ in 0..2 {
            ends.recv_timeout(stretched(2 * SOON)).expect("the service leaves");
        }
        assert!(service.peak_resident_bytes() < 128 << 20, "{}", service.peak_resident_bytes());
        service.finish();
    }
}
