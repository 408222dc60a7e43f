use actix_http::ws::Item;
use awc::error::WsClientError;
use awc::ws::{Frame, Message};
use serde_json::json;

use super::client::{connect, connect_to, quiet, run, start, start_with, wait_until};
use crate::{Misbehaviour, MisbehaviourKind, OddFrame, Rate, SimulatorOptions, event_number};

fn busy() -> SimulatorOptions {
    SimulatorOptions { rate: Rate::PerSecond(5000), ..SimulatorOptions::default() }
}

#[test]
fn the_first_handshakes_are_refused_with_the_status() {
    run(async {
        let simulator = start_with("refuse=429,7@2", quiet());
        let url = format!("{}?token=x", simulator.url());
        for _ in 0..2 {
            let Err(WsClientError::InvalidResponseStatus(status)) = connect_to(&url).await else {
                panic!("accepted")
            };
            assert_eq!(status.as_u16(), 429);
        }
        assert!(connect_to(&url).await.is_ok());
        simulator.misbehave([Misbehaviour::new(MisbehaviourKind::Refuse { status: 503, retry_after: None })]);
        assert!(connect_to(&url).await.is_err());
        simulator.behave();
        assert!(connect_to(&url).await.is_ok());
        assert_eq!((simulator.handshakes(), simulator.counts().refused), (5, 3));
    });
}

#[test]
fn a_missing_scope_is_refused_with_the_vendors_text() {
    use std::io::{Read as _, Write as _};
    let simulator = start_with("refuse=401", quiet());
    let mut stream = std::net::TcpStream::connect(simulator.addr()).unwrap();
    write!(stream, "GET /socket?token=x HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"));
    assert!(answer.ends_with(
        "\r\n\r\nYour token does not have the websocket scope. To connect to the websocket you need to upgrade your api \
         subscription. Contact support@unusualwhales.com for more information"
    ));
}

#[test]
fn a_brief_session_is_closed_cleanly() {
    run(async {
        let simulator = start_with("brief=20", quiet());
        let mut client = connect(&simulator).await;
        client.joined("news").await;
        assert!(matches!(client.frame().await, Some(Frame::Close(_))));
    });
}

#[test]
fn a_silent_session_only_answers_pings() {
    run(async {
        let simulator = start_with("silent", busy());
        let mut client = connect(&simulator).await;
        client.join("option_trades:SPY").await;
        assert!(client.is_only_ponged().await);
    });
}

#[test]
fn pings_may_stay_unanswered() {
    run(async {
        let simulator = start_with("no-pong", quiet());
        let mut client = connect(&simulator).await;
        client.send(Message::Ping("x".into())).await;
        client.joined("news").await;
    });
}

#[test]
fn a_frozen_session_sends_its_events_and_nothing_more() {
    run(async {
        let simulator = start_with("freeze=5", busy());
        let mut client = connect(&simulator).await;
        client.joined("option_trades:SPY").await;
        for _ in 0..5 {
            client.event().await;
        }
        client.send(Message::Ping("x".into())).await;
        simulator.behave();
        let (mut events, mut pongs) = (0, 0);
        while events == 0 || pongs == 0 {
            match client.frame().await {
                Some(Frame::Text(_)) => events += 1,
                Some(Frame::Pong(_)) => pongs += 1,
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn joins_may_be_ignored_or_refused() {
    run(async {
        let simulator = start_with("ignore-joins=1", quiet());
        let reason = "no".to_owned();
        simulator.also_misbehave(Misbehaviour::new(MisbehaviourKind::RefuseTopic {
            topic: "gex:SPY".to_owned(),
            reason,
        }));
        let mut client = connect(&simulator).await;
        client.join("news").await;
        client.join("gex:SPY").await;
        assert_eq!(
            client.json().await,
            json!(["gex:SPY", {"response": {"reason": "no"}, "status": "error"}])
        );
        client.joined("news").await;
        assert_eq!(simulator.topics(), ["news"]);
    });
}

#[test]
fn a_session_is_closed_with_the_code_after_its_events() {
    run(async {
        let simulator = start_with("close=1008,3", busy());
        let mut client = connect(&simulator).await;
        client.joined("option_trades:SPY").await;
        for _ in 0..3 {
            client.event().await;
        }
        let Some(Frame::Close(Some(reason))) = client.frame().await else { panic!("expected a close") };
        assert_eq!(u16::from(reason.code), 1008);
    });
}

#[test]
fn a_cut_session_ends_within_a_frame() {
    run(async {
        let simulator = start_with("cut=3@1", busy());
        let mut client = connect(&simulator).await;
        client.joined("option_trades:SPY").await;
        for _ in 0..3 {
            client.event().await;
        }
        assert!(client.frame().await.is_none());
        wait_until(|| simulator.sessions() == 0).await;
        let mut client = connect(&simulator).await;
        client.joined("option_trades:SPY").await;
        for _ in 0..10 {
            client.event().await;
        }
        simulator.cut_all();
        wait_until(|| simulator.sessions() == 0).await;
    });
}

#[test]
fn an_announced_frame_is_never_finished() {
    use std::io::{Read as _, Write as _};
    let simulator = start_with("oversized=1073741824", quiet());
    let mut stream = std::net::TcpStream::connect(simulator.addr()).unwrap();
    write!(
        stream,
        "GET /socket?token=x HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(&[0x81, 127, 0, 0, 0, 0, 0x40, 0, 0, 0]) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.extend(byte);
    }
    assert_eq!(simulator.sessions(), 1);
}

#[test]
fn odd_frames_come_between_events_that_keep_their_numbers() {
    run(async {
        let simulator = start_with("not-json=2", busy());
        let mut client = connect(&simulator).await;
        client.joined("option_trades:SPY").await;
        let mut numbers = Vec::new();
        for _ in 0..6 {
            let text = client.text().await;
            let payload = text.split_once(',').unwrap().1.trim_end_matches(']');
            numbers.push(event_number("option_trades", payload.as_bytes()));
        }
        assert_eq!(numbers, [Some(1), Some(2), None, Some(3), Some(4), None]);
    });
}

#[test]
fn every_odd_frame_can_be_sent_at_once() {
    run(async {
        let simulator = start(quiet());
        for odd in OddFrame::ALL {
            let mut client = connect(&simulator).await;
            client.joined("news").await;
            wait_until(|| simulator.sessions() == 1).await;
            assert_eq!(simulator.send_odd(*odd), 1, "{odd:?}");
            match (odd, client.frame().await) {
                (OddFrame::ReservedBit, None) | (OddFrame::Binary, Some(Frame::Binary(_))) => {}
                (OddFrame::Huge, Some(Frame::Text(text))) => assert!(text.len() > 1 << 20),
                (OddFrame::InvalidUtf8, Some(Frame::Text(text))) => {
                    assert!(std::str::from_utf8(&text).is_err());
                }
                (OddFrame::ReservedBit | OddFrame::Binary, other) => panic!("{other:?}"),
                (_, Some(Frame::Text(text))) => assert!(std::str::from_utf8(&text).is_ok()),
                (_, other) => panic!("{odd:?}: {other:?}"),
            }
            drop(client);
            wait_until(|| simulator.sessions() == 0).await;
        }
    });
}

#[test]
fn duplicates_are_equal_and_amendments_are_not() {
    run(async {
        let simulator = start_with("duplicate=2", busy());
        let mut client = connect(&simulator).await;
        client.joined("option_trades:SPY").await;
        let (one, two, again) = (client.event().await, client.event().await, client.event().await);
        assert!(one != two && two == again);
        let simulator = start_with("amendment=1", busy());
        let mut client = connect(&simulator).await;
        client.joined("option_trades:SPY").await;
        let (first, amended) = (client.event().await.1, client.event().await.1);
        let number = |payload: &str| event_number("option_trades", payload.as_bytes());
        assert_ne!(first, amended);
        assert_eq!(number(&first), number(&amended));
    });
}

#[test]
fn fragments_make_the_event() {
    run(async {
        let simulator = start_with("fragments-with-pings=1", busy());
        let mut client = connect(&simulator).await;
        client.join("price:SPY").await;
        client.text().await;
        let mut message = Vec::new();
        loop {
            match client.frame().await.unwrap() {
                Frame::Continuation(Item::FirstText(part) | Item::Continue(part)) => message.extend(part),
                Frame::Continuation(Item::Last(part)) => break message.extend(part),
                Frame::Ping(_) => assert!(!message.is_empty()),
                other => panic!("{other:?}"),
            }
        }
        let (topic, payload): (String, serde_json::Value) = serde_json::from_slice(&message).unwrap();
        assert_eq!(topic, "price:SPY");
        assert!(payload["vol"].is_u64());
    });
}

#[test]
fn events_for_a_client_that_does_not_read_are_dropped_and_counted_on_request() {
    run(async {
        let options = SimulatorOptions { rate: Rate::Max, ..SimulatorOptions::default() };
        let simulator = start_with("drop-when-slow=65536", options);
        let mut client = connect(&simulator).await;
        client.joined("option_trades:SPY").await;
        wait_until(|| simulator.counts().dropped > 0).await;
        simulator.pause();
        let counts = simulator.counts();
        assert_eq!(counts.events, counts.frames + counts.dropped);
    });
}

#[test]
fn the_server_pings_and_counts_pongs() {
    run(async {
        let simulator = start_with("server-pings=5", quiet());
        let mut client = connect(&simulator).await;
        let Some(Frame::Ping(payload)) = client.frame().await else { panic!("expected a ping") };
        client.send(Message::Pong(payload)).await;
        wait_until(|| simulator.counts().pongs == 1).await;
    });
}
