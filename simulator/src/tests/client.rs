//! A WebSocket client for tests.

use std::time::{Duration, Instant};

use actix_codec::Framed;
use awc::BoxedSocket;
use awc::error::WsClientError;
use awc::ws::{Codec, Frame, Message};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;

use crate::{Misbehaviour, Simulator, SimulatorHandle, SimulatorOptions};

/// Ends a test that hangs. It measures nothing: on a busy machine tens of thousands of events take a while.
const DEADLINE: Duration = Duration::from_secs(60);

pub(super) struct Client(pub(super) Framed<BoxedSocket, Codec>);

/// Runs a test on a runtime of its own.
pub(super) fn run<T>(test: impl Future<Output = T>) -> T {
    // another test may have installed it already
    drop(rustls::crypto::ring::default_provider().install_default());
    actix_rt::System::new().block_on(async { tokio::time::timeout(DEADLINE, test).await.expect("in time") })
}

/// A paused simulator's options: no event comes unasked.
pub(super) fn quiet() -> SimulatorOptions {
    SimulatorOptions { rate: crate::Rate::PerSecond(0), ..SimulatorOptions::default() }
}

pub(super) fn start(options: SimulatorOptions) -> SimulatorHandle {
    Simulator::start(options).unwrap()
}

pub(super) fn start_with(misbehaviour: &str, options: SimulatorOptions) -> SimulatorHandle {
    start(SimulatorOptions { misbehaviours: vec![misbehaviour.parse::<Misbehaviour>().unwrap()], ..options })
}

pub(super) async fn connect_to(url: &str) -> Result<Client, WsClientError> {
    let client = awc::Client::builder().max_http_version(awc::http::Version::HTTP_11).finish();
    client.ws(url).max_frame_size(2 << 20).connect().await.map(|(_, framed)| Client(framed))
}

pub(super) async fn connect(simulator: &SimulatorHandle) -> Client {
    connect_to(&format!("{}?token=secret", simulator.url())).await.unwrap()
}

impl Client {
    pub(super) async fn send(&mut self, message: Message) {
        self.0.send(message).await.unwrap();
    }

    pub(super) async fn join(&mut self, topic: &str) {
        self.send(Message::Text(format!(r#"{{"channel":"{topic}","msg_type":"join"}}"#).into())).await;
    }

    /// Joins, and skips what comes before the acknowledgement.
    pub(super) async fn joined(&mut self, topic: &str) {
        self.join(topic).await;
        let ack = format!(r#"["{topic}",{{"response":{{}},"status":"ok"}}]"#);
        while self.text().await != ack {}
    }

    /// The next frame; `None` at the end of the connection or for broken frames.
    pub(super) async fn frame(&mut self) -> Option<Frame> {
        self.0.next().await.and_then(Result::ok)
    }

    /// The next text.
    pub(super) async fn text(&mut self) -> String {
        match self.frame().await {
            Some(Frame::Text(text)) => String::from_utf8(text.to_vec()).unwrap(),
            other => panic!("expected a text, not {other:?}"),
        }
    }

    /// The topic and payload of the next text, as they were sent.
    pub(super) async fn event(&mut self) -> (String, String) {
        let text = self.text().await;
        let (topic, payload): (String, &serde_json::value::RawValue) = serde_json::from_str(&text).unwrap();
        (topic, payload.get().to_owned())
    }

    pub(super) async fn json(&mut self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    /// Whether an answer to a ping comes, and no text before it.
    pub(super) async fn is_only_ponged(&mut self) -> bool {
        self.send(Message::Ping("x".into())).await;
        matches!(self.frame().await, Some(Frame::Pong(_)))
    }
}

/// Waits for a condition that another thread brings about.
pub(super) async fn wait_until(condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < DEADLINE, "in time");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
