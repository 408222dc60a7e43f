use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use awc::ws::{CloseCode, Frame};
use futures_util::stream::{self, StreamExt as _};
use serde_json::Value;

use super::client::{connect, run, start, wait_until};
use crate::{Rate, RecordedFrame, RecordedPace, Recording, SimulatorOptions, Spread, Waves, event_number};

#[test]
fn every_event_arrives_once_and_in_order_at_full_speed() {
    run(async {
        let options = SimulatorOptions {
            rate: Rate::Max,
            events: Some(20_000),
            start_after_joins: 4,
            ..SimulatorOptions::default()
        };
        let simulator = start(options);
        let mut client = connect(&simulator).await;
        let topics = ["option_trades:SPY", "option_trades:QQQ", "gex_strike:SPY", "flow-alerts"];
        for topic in topics {
            client.join(topic).await;
        }
        for _ in topics {
            assert!(client.text().await.contains("response"));
        }
        let mut by_topic = BTreeMap::<String, u64>::new();
        for expected in 1..=20_000 {
            let (topic, payload) = client.event().await;
            assert_eq!(event_number(&topic, payload.as_bytes()), Some(expected));
            *by_topic.entry(topic).or_default() += 1;
        }
        assert_eq!(by_topic.keys().collect::<Vec<_>>(), ["flow-alerts", topics[2], topics[1], topics[0]]);
        assert!(simulator.is_finished());
        assert!(client.is_only_ponged().await, "the socket stays open");
        let sent = simulator.sent();
        assert_eq!(sent["option_trades"], by_topic[topics[0]] + by_topic[topics[1]]);
        assert_eq!(sent.values().sum::<u64>(), 20_000);
    });
}

#[test]
fn a_seed_decides_everything_but_the_times() {
    run(async {
        let first = events_of_seed(7).await;
        assert_eq!(first, events_of_seed(7).await);
        assert_ne!(first, events_of_seed(8).await);
    });
}

/// Topics and sizes of some events.
async fn events_of_seed(seed: u64) -> Vec<(String, Value)> {
    let options =
        SimulatorOptions { rate: Rate::Max, seed, start_after_joins: 2, ..SimulatorOptions::default() };
    let simulator = start(options);
    let mut client = connect(&simulator).await;
    for topic in ["option_trades:SPY", "option_trades:QQQ"] {
        client.join(topic).await;
    }
    for _ in 0..2 {
        assert!(client.text().await.contains("response"));
    }
    let mut events = Vec::new();
    for _ in 0..20 {
        let (topic, payload) = client.event().await;
        events.push((topic, serde_json::from_str::<Value>(&payload).unwrap()["size"].clone()));
    }
    events
}

#[test]
fn connections_that_do_not_read_hold_nobody_up() {
    run(async {
        let events = Some(50_000);
        let simulator = start(SimulatorOptions { rate: Rate::Max, events, ..SimulatorOptions::default() });
        simulator.pause();
        let (mut idle, mut busy) = (connect(&simulator).await, connect(&simulator).await);
        idle.joined("option_trades:SPY").await;
        busy.joined("option_trades:QQQ").await;
        simulator.resume();
        let mut newest = 0;
        for _ in 0..30_000 {
            let (_, payload) = busy.event().await;
            let number = event_number("option_trades", payload.as_bytes()).unwrap();
            assert!(number > newest);
            newest = number;
        }
        assert_eq!(simulator.counts().dropped, 0);
    });
}

#[test]
fn a_rate_is_kept() {
    run(async {
        let simulator =
            start(SimulatorOptions { rate: Rate::PerSecond(2000), ..SimulatorOptions::default() });
        let mut client = connect(&simulator).await;
        // before the first event can be made: a client that is late must not take the events for quick
        let started = Instant::now();
        client.joined("option_trades:SPY").await;
        for _ in 0..1000 {
            client.event().await;
        }
        let elapsed = started.elapsed();
        assert!(elapsed >= Duration::from_millis(500), "{elapsed:?}");
        simulator.set_rate(Rate::PerSecond(0));
    });
}

#[test]
fn only_the_chosen_channels_have_events_and_they_are_even_if_wished() {
    run(async {
        let options = SimulatorOptions {
            rate: Rate::Max,
            spread: Spread::Even,
            channels_only: vec!["price".to_owned()],
            start_after_joins: 3,
            ..SimulatorOptions::default()
        };
        let simulator = start(options);
        let mut client = connect(&simulator).await;
        for topic in ["news", "price:SPY", "price:QQQ"] {
            client.join(topic).await;
        }
        for _ in 0..3 {
            client.text().await;
        }
        let mut topics = Vec::new();
        for _ in 0..4 {
            topics.push(client.event().await.0);
        }
        assert_eq!(topics, ["price:SPY", "price:QQQ", "price:SPY", "price:QQQ"]);
    });
}

#[test]
fn a_wave_brings_all_its_rows_within_a_second() {
    /// A busy machine holds up some waves; that it holds up each of so many shows that it is not the machine.
    const TRIES: usize = 20;
    run(async {
        let mut took = Vec::new();
        while took.last().is_none_or(|took| *took >= Duration::from_secs(1)) {
            assert!(took.len() < TRIES, "{took:?}");
            took.push(time_of_a_wave().await);
        }
    });
}

/// From the first to the last row of a wave.
async fn time_of_a_wave() -> Duration {
    let waves = Some(Waves { every: Duration::from_millis(100), rows: 4000 });
    let options = SimulatorOptions { waves, events: Some(4000), ..SimulatorOptions::default() };
    let simulator = start(SimulatorOptions { rate: Rate::PerSecond(0), ..options });
    let mut client = connect(&simulator).await;
    client.joined("gex_strike_expiry:SPY").await;
    client.event().await;
    let started = Instant::now();
    for _ in 1..4000 {
        client.event().await;
    }
    started.elapsed()
}

fn recording_of(frames: &'static [(&str, &str)]) -> Recording {
    let frame = |(topic, payload): &(&str, &str)| RecordedFrame {
        topic: (*topic).to_owned(),
        payload: (*payload).into(),
        received_ms: None,
    };
    let open = move || Ok(stream::iter(frames.iter().map(move |event| Ok(frame(event)))).boxed_local());
    Recording::new(open, RecordedPace::Original(1), false)
}

#[test]
fn a_recording_is_sent_as_it_was_to_whoever_joined() {
    run(async {
        let recording = recording_of(&[
            ("gex:SPY", r#"{"timestamp":1747419592000,"price":"593.180"}"#),
            ("gex:IWM", r#"{"timestamp":1747419592000,"price":"1"}"#),
            ("price:SPY", r#"{"time":1747419592100, "close":"2"}"#),
        ]);
        let options = SimulatorOptions {
            recording: Some(recording),
            start_after_joins: 2,
            ..SimulatorOptions::default()
        };
        let simulator = start(options);
        let mut client = connect(&simulator).await;
        // before the first frame is sent: a client that is late must not take the second for early
        let started = Instant::now();
        client.join("gex:SPY").await;
        client.join("price").await;
        client.text().await;
        client.text().await;
        let gex = client.event().await;
        assert_eq!(
            gex,
            ("gex:SPY".to_owned(), r#"{"timestamp":1747419592000,"price":"593.180"}"#.to_owned())
        );
        let price = client.event().await;
        assert_eq!(price, ("price".to_owned(), r#"{"time":1747419592100, "close":"2"}"#.to_owned()));
        assert!(started.elapsed() >= Duration::from_millis(100), "{:?}", started.elapsed());
        wait_until(|| simulator.is_finished()).await;
        assert_eq!(simulator.counts().events, 2);
    });
}

#[test]
fn a_recording_that_cannot_be_opened_is_an_error_at_the_start() {
    let open = || Err(io::Error::from(io::ErrorKind::NotFound));
    let recording = Recording::new(open, RecordedPace::Max, false);
    let options = SimulatorOptions { recording: Some(recording), ..SimulatorOptions::default() };
    assert!(crate::Simulator::start(options).is_err());
}

/// Frames of about a kilobyte, received at the same time.
fn kilobytes(count: u64) -> Recording {
    let frame = |n| RecordedFrame {
        topic: "price:SPY".to_owned(),
        payload: format!("{{\"n\":{n},\"pad\":\"{}\"}}", "x".repeat(1000)).into(),
        received_ms: Some(1),
    };
    let open = move || Ok(stream::iter((0..count).map(move |n| Ok(frame(n)))).boxed_local());
    Recording::new(open, RecordedPace::Max, false)
}

#[test]
fn a_recording_waits_for_slow_clients_and_closes_them_when_they_have_all() {
    /// More than the buffers of the kernel and of the simulator hold.
    const FRAMES: u64 = 20_000;
    run(async {
        let recording = Some(kilobytes(FRAMES));
        let simulator =
            start(SimulatorOptions { recording, start_after_joins: 1, ..SimulatorOptions::default() });
        let mut client = connect(&simulator).await;
        client.joined("price:SPY").await;
        // it is stuck when it does not get on any more: the client does not read
        let mut before = None;
        while before != Some(simulator.counts().events) || before == Some(0) {
            before = Some(simulator.counts().events);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(before < Some(FRAMES) && !simulator.is_finished(), "{before:?}");
        for n in 0..FRAMES {
            let (_, payload) = client.event().await;
            assert!(payload.starts_with(&format!("{{\"n\":{n},")), "{n}: {payload}");
        }
        wait_until(|| simulator.is_finished() && simulator.is_written()).await;
        let finishing = std::thread::spawn(move || simulator.finish());
        let frame = client.frame().await;
        assert!(
            matches!(&frame, Some(Frame::Close(Some(reason))) if reason.code == CloseCode::Normal),
            "{frame:?}"
        );
        drop(client);
        finishing.join().unwrap();
    });
}

#[test]
fn a_recording_begins_when_the_joins_have_come_to_rest() {
    run(async {
        let mut recording = kilobytes(2);
        // longer than a busy machine makes the second join wait
        recording.settle = Duration::from_secs(1);
        let recording = Some(recording);
        let simulator = start(SimulatorOptions { recording, ..SimulatorOptions::default() });
        let mut client = connect(&simulator).await;
        client.joined("news").await;
        client.joined("price:SPY").await;
        assert_eq!(client.event().await.0, "price:SPY");
        wait_until(|| simulator.is_finished()).await;
        assert_eq!((simulator.counts().events, simulator.counts().unheard), (2, 0));
    });
}

#[test]
fn a_recording_that_becomes_unreadable_says_so() {
    run(async {
        let open = || Ok(stream::iter([Err(std::io::Error::other("gone"))]).boxed_local());
        let recording = Some(Recording::new(open, RecordedPace::Max, false));
        let simulator = start(SimulatorOptions { recording, ..SimulatorOptions::default() });
        wait_until(|| simulator.is_finished()).await;
        assert_eq!(simulator.failure().as_deref(), Some("gone"));
    });
}
