//! A feed that does what the test says and nothing else: it knows every byte that it sent and every join that it got.
//!
//! The simulator of the product makes lively traffic; here each frame is the test's own, so that what is in Redis can
//! be compared with what was sent.

mod session;
pub(crate) mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

pub(crate) use session::Session;
use wire::Request;

use super::sample::{news, payload};
use super::wait::{SOON, wait_for};

/// What the feed answers to a join.
#[derive(Clone, Debug)]
pub(crate) enum Ack {
    /// `status: "ok"`.
    Ok,
    /// Nothing at all.
    Silence,
    /// `status: "error"` with this reason.
    Error(&'static str),
    /// A top-level object that does not name the channel.
    Notice(&'static str),
}

/// A handshake that is not accepted.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// Code and phrase of the status line.
    pub(crate) status: &'static str,
    /// More header lines, each with its line end.
    pub(crate) headers: &'static str,
    /// The body.
    pub(crate) body: &'static str,
}

/// A handshake as it came.
#[derive(Clone, Debug)]
pub(crate) struct Handshake {
    /// When.
    pub(crate) at: Instant,
    /// What the client asked for.
    pub(crate) request: Request,
}

#[derive(Default)]
struct Shared {
    closing: AtomicBool,
    acks: Mutex<BTreeMap<String, Ack>>,
    refuse_next: Mutex<VecDeque<Refusal>>,
    refuse_all: Mutex<Option<Refusal>>,
    handshakes: Mutex<Vec<Handshake>>,
    sessions: Mutex<Vec<Arc<Session>>>,
    sent: Mutex<BTreeMap<String, Vec<String>>>,
}

/// The feed; ended with the value.
pub(crate) struct Feed {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Feed {
    /// A feed that accepts every connection and acknowledges every join.
    pub(crate) fn start() -> Feed {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let acceptor = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Feed { address, shared, acceptor: Some(acceptor) }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL without a token.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}/socket", self.address)
    }

    /// How joins of the topic are answered from now on.
    pub(crate) fn answer_joins(&self, topic: &str, ack: Ack) {
        self.shared.acks.lock().unwrap().insert(topic.to_owned(), ack);
    }

    /// Refuses the next handshake so; calls queue up.
    pub(crate) fn refuse_next(&self, refusal: Refusal) {
        self.shared.refuse_next.lock().unwrap().push_back(refusal);
    }

    /// Refuses every handshake so, or none.
    pub(crate) fn refuse_all(&self, refusal: Option<Refusal>) {
        *self.shared.refuse_all.lock().unwrap() = refusal;
    }

    /// Stops answering anything on the sessions that are open now: the other end of half-open connections.
    pub(crate) fn mute_open(&self) {
        for session in self.take_open() {
            session.mute();
        }
    }

    /// The handshakes so far, refused ones included.
    pub(crate) fn handshakes(&self) -> Vec<Handshake> {
        self.shared.handshakes.lock().unwrap().clone()
    }

    /// The joins of all sessions so far, in the order of arrival within each session.
    pub(crate) fn joins(&self) -> Vec<session::Join> {
        let sessions = self.shared.sessions.lock().unwrap().clone();
        sessions.iter().flat_map(|session| session.joins()).collect()
    }

    /// Waits until an open session has joined each of the topics.
    #[track_caller]
    pub(crate) fn wait_for_joins(&self, topics: &[&str]) {
        wait_for("the topics are joined", SOON, || {
            let missing: Vec<_> = topics.iter().filter(|topic| self.session_of(topic).is_none()).collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("not joined: {missing:?}")) }
        });
    }

    /// Sends one event of the topic to the session that joined it, and remembers it as sent.
    #[track_caller]
    pub(crate) fn send(&self, topic: &str, payload: &str) {
        self.send_all(topic, &[payload.to_owned()]);
    }

    /// Sends `rounds` events of every topic of the seven channels, the topics taking turns; of the global ones also for
    /// symbols that are no targets, and for none.
    pub(crate) fn send_all_channels(&self, targets: &[&str], rounds: u64) {
        for n in 0..rounds {
            for symbol in targets {
                for channel in ["option_trades", "price", "gex", "gex_strike", "gex_strike_expiry"] {
                    self.send(&format!("{channel}:{symbol}"), &payload(channel, symbol, n));
                }
            }
            let ticker = ["SPY", "TSLA", "QQQ"][usize::try_from(n % 3).unwrap()];
            self.send("flow-alerts", &payload("flow-alerts", ticker, n));
            let tickers: [&[&str]; 4] = [&[], &["SPY"], &["QQQ", "TSLA", "SPY"], &["TSLA"]];
            self.send("news", &news(tickers[usize::try_from(n % 4).unwrap()], n));
        }
    }

    /// Sends events in as few segments as they take; waits while the other end does not read.
    #[track_caller]
    pub(crate) fn send_all(&self, topic: &str, payloads: &[String]) {
        assert!(self.try_send(topic, payloads), "{topic} is not joined");
    }

    /// The same, and false if no session has joined the topic.
    pub(crate) fn try_send(&self, topic: &str, payloads: &[String]) -> bool {
        let Some(session) = self.session_of(topic) else { return false };
        let frames = payloads.iter().flat_map(|payload| wire::event(topic, payload)).collect::<Vec<u8>>();
        session.write_then(&frames, || {
            let mut sent = self.shared.sent.lock().unwrap();
            sent.entry(topic.to_owned()).or_default().extend_from_slice(payloads);
        });
        true
    }

    /// Acknowledges a join that was answered with [`Ack::Silence`].
    #[track_caller]
    pub(crate) fn acknowledge(&self, topic: &str) {
        self.send_raw(topic, &wire::event(topic, wire::ACK));
    }

    /// Sends bytes as they are to the session that joined the topic; nothing is remembered.
    #[track_caller]
    pub(crate) fn send_raw(&self, topic: &str, bytes: &[u8]) {
        let session = self.session_of(topic).unwrap_or_else(|| panic!("{topic} is not joined"));
        session.write_then(bytes, || ());
    }

    /// Remembers an event as sent that went out in a form of the test's own.
    pub(crate) fn remember(&self, topic: &str, payload: &str) {
        self.shared.sent.lock().unwrap().entry(topic.to_owned()).or_default().push(payload.to_owned());
    }

    /// What was sent so far, by topic, in order.
    pub(crate) fn sent(&self) -> BTreeMap<String, Vec<String>> {
        self.shared.sent.lock().unwrap().clone()
    }

    /// The newest open session that has joined each of the topics.
    pub(crate) fn session_with(&self, topics: &[String]) -> Option<Arc<Session>> {
        let sessions = self.shared.sessions.lock().unwrap();
        let has_all = |session: &&Arc<Session>| {
            session.is_open() && topics.iter().all(|topic| session.has_joined(topic))
        };
        sessions.iter().rev().find(has_all).cloned()
    }

    /// How many sessions there have been.
    pub(crate) fn sessions(&self) -> usize {
        self.shared.sessions.lock().unwrap().len()
    }

    /// Open sessions.
    pub(crate) fn open_sessions(&self) -> usize {
        self.shared.sessions.lock().unwrap().iter().filter(|session| session.is_open()).count()
    }

    /// Closes every session with this code and waits until the other end has closed too.
    #[track_caller]
    pub(crate) fn close_all(&self, code: u16, reason: &str) {
        let open = self.take_open();
        for session in &open {
            session.close(code, reason);
        }
        wait_for("the sessions end", SOON, || {
            if open.iter().any(|session| session.is_open()) { Err("open".to_owned()) } else { Ok(()) }
        });
    }

    /// Pings answered so far.
    pub(crate) fn pings(&self) -> usize {
        self.shared.sessions.lock().unwrap().iter().map(|session| session.pings()).sum()
    }

    /// Pings the session that joined the topic, and waits until it has answered.
    #[track_caller]
    pub(crate) fn ping(&self, topic: &str) {
        let session = self.session_of(topic).unwrap_or_else(|| panic!("{topic} is not joined"));
        let before = session.pongs();
        session.write(&wire::frame(wire::opcode::PING, b""));
        wait_for("a pong", SOON, || if session.pongs() > before { Ok(()) } else { Err("none".to_owned()) });
    }

    /// Ends every session's TCP connection without a word.
    pub(crate) fn cut_all(&self) {
        for session in self.take_open() {
            session.cut();
        }
    }

    fn take_open(&self) -> Vec<Arc<Session>> {
        let sessions = self.shared.sessions.lock().unwrap();
        sessions.iter().filter(|session| session.is_open()).cloned().collect()
    }

    fn session_of(&self, topic: &str) -> Option<Arc<Session>> {
        let sessions = self.shared.sessions.lock().unwrap();
        sessions.iter().rev().find(|session| session.is_open() && session.has_joined(topic)).cloned()
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.shared.closing.store(true, SeqCst);
        self.cut_all();
        // the acceptor sees `closing` at its next connection
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            drop(acceptor.join());
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming().map_while(Result::ok) {
        if shared.closing.load(SeqCst) {
            return;
        }
        let shared = Arc::clone(shared);
        std::thread::spawn(move || serve(stream, &shared));
    }
}

/// One connection from its handshake to its end. A connection that breaks is the test's business, not an error here.
fn serve(mut stream: TcpStream, shared: &Shared) {
    let Some(request) = wire::read_request(&mut stream) else { return };
    shared.handshakes.lock().unwrap().push(Handshake { at: Instant::now(), request: request.clone() });
    let refusal = shared.refuse_next.lock().unwrap().pop_front();
    let refusal = refusal.or_else(|| shared.refuse_all.lock().unwrap().clone());
    if let Some(Refusal { status, headers, body }) = refusal {
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n");
        drop(stream.write_all(format!("{head}{body}").as_bytes()));
        return;
    }
    if stream.write_all(wire::switching_protocols(&request).as_bytes()).is_err() {
        return;
    }
    let session = {
        let mut sessions = shared.sessions.lock().unwrap();
        let session = Arc::new(Session::new(&stream, sessions.len()));
        sessions.push(Arc::clone(&session));
        session
    };
    session.read_to_end(stream, |topic| shared.acks.lock().unwrap().get(topic).cloned().unwrap_or(Ack::Ok));
}
