use awc::ws::Message;
use serde_json::json;
use uw_websocket_core::settings::Secret;

use super::client::{connect, connect_to, quiet, run, start};
use crate::{Rate, SimulatorOptions, event_number};

#[test]
fn joins_are_acknowledged_in_order() {
    run(async {
        let simulator = start(quiet());
        let mut client = connect(&simulator).await;
        for topic in ["option_trades:SPY", "news", "no_such_channel"] {
            client.join(topic).await;
        }
        for topic in ["option_trades:SPY", "news", "no_such_channel"] {
            assert_eq!(client.json().await, json!([topic, {"response": {}, "status": "ok"}]));
        }
        assert_eq!(simulator.topics(), ["option_trades:SPY", "news", "no_such_channel"]);
        assert_eq!(simulator.last_request().unwrap().path(), "/socket");
    });
}

#[test]
fn data_of_joined_topics_comes_between_acknowledgements() {
    run(async {
        let delay = std::time::Duration::from_millis(20);
        let rate = Rate::PerSecond(1000);
        let simulator = start(SimulatorOptions { rate, ack_delay: delay, ..SimulatorOptions::default() });
        let mut client = connect(&simulator).await;
        client.join("price:SPY").await;
        client.join("gex:SPY").await;
        assert!(client.text().await.starts_with(r#"["price:SPY",{"response""#));
        assert!(client.text().await.starts_with(r#"["price:SPY",{"ticker""#));
        while !client.text().await.starts_with(r#"["gex:SPY",{"response""#) {}
    });
}

#[test]
fn a_binary_join_is_ignored() {
    run(async {
        let simulator = start(quiet());
        let mut client = connect(&simulator).await;
        client.send(Message::Binary(r#"{"channel":"news","msg_type":"join"}"#.into())).await;
        assert!(client.is_only_ponged().await);
    });
}

#[test]
fn the_join_above_the_limit_gets_a_notice_and_the_others_go_on() {
    run(async {
        let simulator = start(quiet());
        let mut client = connect(&simulator).await;
        for number in 0..50 {
            client.joined(&format!("price:S{number}")).await;
        }
        client.join("price:S50").await;
        assert_eq!(client.json().await, json!({"error": "Channel subscription limit of 50 reached"}));
        assert_eq!(simulator.send_text("price:S7", r#"{"close":"1"}"#), 1);
        assert_eq!(client.event().await, ("price:S7".to_owned(), r#"{"close":"1"}"#.to_owned()));
    });
}

#[test]
fn a_left_topic_is_silent() {
    run(async {
        let simulator = start(quiet());
        let mut client = connect(&simulator).await;
        client.joined("news").await;
        client.send(Message::Text(r#"{"channel":"news","msg_type":"leave"}"#.into())).await;
        assert_eq!(client.json().await, json!(["news", {"response": {}, "status": "ok"}]));
        assert_eq!(simulator.send_text("news", "{}"), 0);
    });
}

#[test]
fn the_token_is_checked() {
    run(async {
        let token = Some(Secret::new("good one".to_owned()));
        let simulator = start(SimulatorOptions { token, ..quiet() });
        for query in ["", "?token=", "?token=bad"] {
            assert!(connect_to(&format!("{}{query}", simulator.url())).await.is_err(), "{query}");
        }
        assert!(connect_to(&format!("{}?token=good%20one", simulator.url())).await.is_ok());
        assert_eq!(simulator.counts().refused, 3);
        let any = start(quiet());
        assert!(connect_to(&any.url()).await.is_err());
        assert!(connect_to(&format!("{}?token=x", any.url())).await.is_ok());
    });
}

#[test]
fn the_origin_is_checked_before_the_token() {
    run(async {
        let origin = Some("https://example.com".to_owned());
        let simulator = start(SimulatorOptions { origin, ..quiet() });
        let connect = async |sent: Option<&str>, token: &str| {
            let client = awc::Client::builder().max_http_version(awc::http::Version::HTTP_11).finish();
            let request = client.ws(format!("{}?token={token}", simulator.url()));
            let request = if let Some(sent) = sent { request.origin(sent) } else { request };
            match request.connect().await {
                Ok(_) => 101,
                Err(awc::error::WsClientError::InvalidResponseStatus(status)) => status.as_u16(),
                Err(error) => panic!("{error}"),
            }
        };
        for (sent, token, status) in [
            (None, "x", 403),
            (Some("https://evil.example"), "x", 403),
            (Some("https://evil.example"), "", 403),
            (Some("https://example.com"), "", 401),
            (Some("https://example.com"), "x", 101),
        ] {
            assert_eq!(connect(sent, token).await, status, "{sent:?} {token}");
        }
        assert_eq!(simulator.counts().refused, 4);
    });
}

#[test]
fn the_documentation_path_is_upgraded_and_silent() {
    run(async {
        let simulator = start(SimulatorOptions { rate: Rate::Max, ..SimulatorOptions::default() });
        let mut client = connect_to(&format!("ws://{}/api/socket?token=x", simulator.addr())).await.unwrap();
        client.join("news").await;
        assert!(client.is_only_ponged().await);
        assert!(connect_to(&format!("ws://{}/other?token=x", simulator.addr())).await.is_err());
    });
}

#[test]
fn a_topic_and_the_global_form_get_each_event_once_each() {
    run(async {
        let simulator = start(SimulatorOptions { events: Some(3), ..SimulatorOptions::default() });
        simulator.pause();
        let mut client = connect(&simulator).await;
        client.joined("price:SPY").await;
        client.joined("price").await;
        simulator.resume();
        super::client::wait_until(|| simulator.is_finished()).await;
        let counts = simulator.counts();
        assert_eq!(counts.events, 3);
        assert!((3..=6).contains(&counts.frames));
        let (topic, payload) = client.event().await;
        assert!(topic.starts_with("price"));
        assert_eq!(event_number(&topic, payload.as_bytes()), Some(1));
    });
}

#[test]
fn stopping_closes_with_going_away_and_frees_the_address() {
    run(async {
        let simulator = start(quiet());
        let addr = simulator.addr();
        let mut client = connect(&simulator).await;
        let stopper = std::thread::spawn(move || simulator.stop());
        let Some(awc::ws::Frame::Close(Some(reason))) = client.frame().await else {
            panic!("expected a close")
        };
        assert_eq!(u16::from(reason.code), 1001);
        drop(client);
        stopper.join().unwrap();
        let again = start(SimulatorOptions { listen: addr, ..quiet() });
        connect(&again).await;
    });
}
