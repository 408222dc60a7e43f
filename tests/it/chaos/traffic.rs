//! The feed's side of a run: a thread a family of channels, and a journal of every frame that went out.
//!
//! An event is no more than its topic and number; its payload can be made again from them. A frame is in the journal
//! before it is written, so whatever the service has read is there.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use uw_websocket_actors::wall_clock::unix_micros;

use crate::support::Feed;
use crate::support::feed::Session;
use crate::support::feed::wire::{self, opcode};
use crate::support::sample::{news, payload};

/// What the service listens to.
pub(crate) const CHANNELS: &str = "flow-alerts,option_trades,price,gex,gex_strike,news";
/// Whose events have streams of their own.
pub(crate) const TARGETS: [&str; 3] = ["SPY", "QQQ", "IWM"];

/// Between two looks at what is due.
const TICK: Duration = Duration::from_millis(10);
/// Frames written at once at most, so that a cut finds some written and some not.
const FRAMES_AT_ONCE: u64 = 100;
/// How far back a session can be repeated.
const REPEATABLE: usize = 1_000;

/// One family of channels: it has a connection of its own.
struct Family {
    /// Topics and their events a second.
    topics: &'static [(&'static str, u64)],
    /// Events come once in this time.
    every: Duration,
}

/// The connections of the families, in their order, as the supervisor names them.
pub(crate) const CONNECTIONS: [&str; FAMILIES.len()] =
    ["connection-trades", "connection-gex", "connection-prices", "connection-flow", "connection-news"];

const FAMILIES: [Family; 5] = [
    Family {
        topics: &[("option_trades:SPY", 160), ("option_trades:QQQ", 100), ("option_trades:IWM", 100)],
        every: TICK,
    },
    // waves
    Family {
        topics: &[("gex_strike:SPY", 150), ("gex_strike:QQQ", 150), ("gex:SPY", 5)],
        every: Duration::from_secs(1),
    },
    Family { topics: &[("price:SPY", 10), ("price:QQQ", 10), ("price:IWM", 10)], every: TICK },
    Family { topics: &[("flow-alerts", 40)], every: TICK },
    Family { topics: &[("news", 10)], every: TICK },
];

/// The payload of an event.
pub(crate) fn payload_of(topic: &str, n: u64) -> String {
    const SYMBOLS: [&str; 4] = ["SPY", "QQQ", "IWM", "TSLA"];
    const TICKERS: [&[&str]; 4] = [&["SPY"], &["SPY", "QQQ"], &[], &["IWM", "TSLA", "QQQ"]];
    let turn = usize::try_from(n % 4).unwrap();
    match topic.split_once(':') {
        Some((channel, symbol)) => payload(channel, symbol, n),
        None if topic == "news" => news(TICKERS[turn], n),
        None => payload(topic, SYMBOLS[turn], n),
    }
}

/// One frame of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The session it went out on; sessions of a topic rise.
    pub(crate) session: usize,
    /// Its place among the frames of its family.
    pub(crate) place: u64,
    /// Which of the family's topics.
    pub(crate) topic: &'static str,
    pub(crate) n: u64,
    /// When, in Unix microseconds of a right clock.
    pub(crate) at_us: u64,
    /// Whether it went out before.
    pub(crate) is_repeated: bool,
}

/// Something for the senders to do between events.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    Burst(u64),
    Malformed,
    Oversized,
    /// Begin the next session with the last frames of this one.
    Repeat(usize),
    /// One event of each topic.
    Marker,
}

#[derive(Default)]
struct State {
    journal: Vec<Frame>,
    orders: VecDeque<Order>,
}

/// All senders.
pub(crate) struct Traffic {
    states: [Mutex<State>; FAMILIES.len()],
    is_over: AtomicBool,
    is_quiet: AtomicBool,
    percent: u64,
}

impl Traffic {
    /// Senders with this share of the usual rate.
    pub(crate) fn new(percent: u64) -> Traffic {
        Traffic {
            states: Default::default(),
            is_over: AtomicBool::new(false),
            is_quiet: AtomicBool::new(false),
            percent,
        }
    }

    /// Runs the senders until [`Self::end`].
    pub(crate) fn spawn<'s>(&'s self, scope: &'s std::thread::Scope<'s, '_>, feed: &'s Feed) {
        for (family, state) in FAMILIES.iter().zip(&self.states) {
            scope.spawn(move || Sender::new(self, family, state, feed).run());
        }
    }

    /// Gives all senders an order.
    pub(crate) fn order(&self, order: Order) {
        for state in &self.states {
            state.lock().unwrap().orders.push_back(order);
        }
    }

    /// From now on orders alone.
    pub(crate) fn be_quiet(&self) {
        self.is_quiet.store(true, SeqCst);
    }

    /// Ends the senders.
    pub(crate) fn end(&self) {
        self.is_over.store(true, SeqCst);
    }

    /// Every frame so far, by family, in order.
    pub(crate) fn journals(&self) -> Vec<Vec<Frame>> {
        self.states.iter().map(|state| state.lock().unwrap().journal.clone()).collect()
    }

    /// The last event of each topic.
    pub(crate) fn last_events(&self) -> Vec<(&'static str, Option<u64>)> {
        let last = |state: &Mutex<State>, topic: &str| {
            let state = state.lock().unwrap();
            state.journal.iter().rev().find(|frame| frame.topic == topic).map(|frame| frame.n)
        };
        FAMILIES
            .iter()
            .zip(&self.states)
            .flat_map(|(family, state)| {
                family.topics.iter().map(move |(topic, _)| (*topic, last(state, topic)))
            })
            .collect()
    }
}

struct Sender<'t> {
    traffic: &'t Traffic,
    family: &'t Family,
    state: &'t Mutex<State>,
    feed: &'t Feed,
    topics: Vec<String>,
    /// The newest session that anything was written to.
    session: Option<usize>,
    /// A session that takes no more frames, because what was written last is not a whole one.
    broken: Option<usize>,
    repeat: usize,
    next: u64,
    sent_at: Instant,
}

impl<'t> Sender<'t> {
    fn new(traffic: &'t Traffic, family: &'t Family, state: &'t Mutex<State>, feed: &'t Feed) -> Sender<'t> {
        let topics = family.topics.iter().map(|(topic, _)| (*topic).to_owned()).collect();
        Sender {
            traffic,
            family,
            state,
            feed,
            topics,
            session: None,
            broken: None,
            repeat: 0,
            next: 0,
            sent_at: Instant::now(),
        }
    }

    fn run(mut self) {
        while !self.traffic.is_over.load(SeqCst) {
            std::thread::park_timeout(TICK);
            let order = self.state.lock().unwrap().orders.pop_front();
            if let Some(order) = order {
                self.obey(order);
            } else if self.sent_at.elapsed() >= self.family.every {
                self.send_due();
            }
        }
    }

    fn send_due(&mut self) {
        let elapsed = self.sent_at.elapsed().min(self.family.every * 5);
        self.sent_at = Instant::now();
        if self.traffic.is_quiet.load(SeqCst) {
            return;
        }
        let micros = u64::try_from(elapsed.as_micros()).unwrap();
        let percent = self.traffic.percent;
        for (topic, rate) in self.family.topics {
            // a share of an event is an event so often
            let share = rate * percent * micros;
            let due = share / 100_000_000 + u64::from(fastrand::u64(0..100_000_000) < share % 100_000_000);
            self.send(topic, due);
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Burst(events) => self.send(self.family.topics[0].0, events),
            Order::Marker => self.family.topics.iter().for_each(|(topic, _)| self.send(topic, 1)),
            Order::Repeat(frames) => self.repeat = frames,
            Order::Malformed => self.write_raw(&malformed(self.family.topics[0].0).concat()),
            Order::Oversized => {
                self.write_raw(&wire::header(opcode::TEXT, true, 1 << 30));
                self.broken = self.session;
            }
        }
    }

    fn write_raw(&mut self, bytes: &[u8]) {
        if let Some(session) = self.session() {
            session.write(bytes);
        }
    }

    /// The session to write to; what is to be repeated goes first.
    fn session(&mut self) -> Option<Arc<Session>> {
        let session = self.feed.session_with(&self.topics)?;
        let number = session.number();
        // an older one may look open for a while after the service has left it
        if self.session.is_some_and(|newest| number < newest) || self.broken == Some(number) {
            return None;
        }
        if self.session.replace(number).is_some_and(|newest| newest < number) && self.repeat > 0 {
            let wanted = std::mem::take(&mut self.repeat).min(REPEATABLE);
            let again: Vec<_> = {
                let journal = &self.state.lock().unwrap().journal;
                let from = journal.len().saturating_sub(wanted);
                journal[from..].iter().map(|frame| (frame.topic, frame.n)).collect()
            };
            self.write(&session, &again, true);
        }
        Some(session)
    }

    fn send(&mut self, topic: &'static str, events: u64) {
        let mut left = events;
        while left > 0 {
            let Some(session) = self.session() else { return };
            let some = left.min(FRAMES_AT_ONCE);
            left -= some;
            let events: Vec<_> = (self.next..self.next + some).map(|n| (topic, n)).collect();
            self.next += some;
            self.write(&session, &events, false);
        }
    }

    fn write(&self, session: &Session, events: &[(&'static str, u64)], is_repeated: bool) {
        let bytes: Vec<u8> =
            events.iter().flat_map(|(topic, n)| wire::event(topic, &payload_of(topic, *n))).collect();
        let at_us = unix_micros();
        {
            let journal = &mut self.state.lock().unwrap().journal;
            for (topic, n) in events {
                let place = journal.len() as u64;
                journal.push(Frame { session: session.number(), place, topic, n: *n, at_us, is_repeated });
            }
        }
        session.write(&bytes);
    }
}

/// Frames that are no events, of each kind.
fn malformed(topic: &str) -> Vec<Vec<u8>> {
    let deep = format!(r#"["{topic}",{{"a":{}{}}}]"#, "[".repeat(500), "]".repeat(500));
    vec![
        wire::text("neither JSON nor an event"),
        wire::text(&format!(r#"["{topic}",{{"id":"cut off"#)),
        wire::text(r#"{"a":"notice"}"#),
        wire::text(r#"["nobody:knows",{"n":1}]"#),
        wire::text(&deep),
        wire::text(""),
        wire::frame(opcode::TEXT, b"[\"\xff\xfe\",{}]"),
        wire::frame(opcode::BINARY, b"[\"price:SPY\",{}]"),
        wire::frame(opcode::PING, b"anybody?"),
    ]
}
