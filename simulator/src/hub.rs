//! The state of a running simulator. It stays on the simulator's thread; handles reach it by calls that run there.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::counts::SimulatorCounts;
use crate::feed::{Feed, OUTBOX_LIMIT, envelope};
use crate::handshake::{HandshakeRequest, Refusal};
use crate::misbehaviour::{Alteration, Misbehaviour, MisbehaviourKind};
use crate::options::{Rate, SimulatorOptions};
use crate::rest::desk::{RestDesk, RestRequest};
use crate::session::{Room, Session};

/// A misbehaviour with the number of handshakes before it was set.
#[derive(Debug)]
struct Order {
    misbehaviour: Misbehaviour,
    handshakes_before: u64,
}

impl Order {
    /// Whether it applies to the connection of the `handshake`-th handshake.
    fn is_for(&self, handshake: u64) -> bool {
        self.misbehaviour.window.holds(handshake.checked_sub(self.handshakes_before).filter(|n| *n > 0))
    }
}

/// How a session ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Farewell {
    /// Code of the close frame.
    pub(super) code: u16,
    /// Time for a client to read what is unwritten and to close its side.
    pub(super) session: Duration,
    /// Time for all clients when the simulator ends.
    pub(super) all: Duration,
}

impl Farewell {
    /// The server goes away (RFC 6455 §7.4.1) and does not wait long.
    pub(super) const GOING_AWAY: Farewell =
        Farewell { code: 1001, session: Duration::from_secs(1), all: Duration::from_millis(500) };
    /// Everything was sent; a slow client may have megabytes left to read.
    pub(super) const FINISHED: Farewell =
        Farewell { code: 1000, session: Duration::from_secs(60), all: Duration::from_secs(60) };
}

/// The state of a running simulator.
#[derive(Debug)]
pub(super) struct Hub {
    pub(super) options: SimulatorOptions,
    pub(super) feed: RefCell<Feed>,
    /// The REST API, if there is one.
    pub(super) rest: Option<RestDesk>,
    sessions: RefCell<Vec<Rc<Session>>>,
    orders: RefCell<Vec<Order>>,
    /// Totals of refused handshakes and closed sessions.
    past: RefCell<SimulatorCounts>,
    ignored_joins: Cell<u64>,
    last_request: RefCell<Option<HandshakeRequest>>,
    pub(super) rate: Cell<Rate>,
    pub(super) is_paused: Cell<bool>,
    /// Whether a recording has ended.
    pub(super) is_played: Cell<bool>,
    /// Why it ended early, if it did.
    pub(super) failure: RefCell<Option<String>>,
    /// Unix milliseconds of the latest recorded frame with a known time.
    pub(super) played_ms: Cell<Option<u64>>,
    /// Recorded frames whose topic no client had joined.
    unheard: Cell<u64>,
    /// How sessions end with the simulator.
    pub(super) farewell: Cell<Farewell>,
    /// Whether joins changed since the feed's schedule was built.
    is_stale: Cell<bool>,
    /// Signals a change of joins, rate or pause.
    pub(super) changed: Notify,
    /// Signals that a session has room again.
    pub(super) room: Notify,
    /// Signals that a session was closed.
    pub(super) left: Notify,
}

impl Hub {
    pub(super) fn new(options: SimulatorOptions) -> Hub {
        let hub = Hub {
            feed: RefCell::new(Feed::new(&options)),
            rest: options.rest.clone().map(RestDesk::new),
            sessions: RefCell::default(),
            orders: RefCell::default(),
            past: RefCell::default(),
            ignored_joins: Cell::new(0),
            last_request: RefCell::default(),
            rate: Cell::new(options.rate),
            is_paused: Cell::new(false),
            is_played: Cell::new(false),
            failure: RefCell::default(),
            played_ms: Cell::new(None),
            unheard: Cell::new(0),
            farewell: Cell::new(Farewell::GOING_AWAY),
            is_stale: Cell::new(false),
            changed: Notify::new(),
            room: Notify::new(),
            left: Notify::new(),
            options,
        };
        hub.set_misbehaviours(hub.options.misbehaviours.clone());
        hub.apply_rest_faults();
        hub
    }

    /// Replaces all misbehaviours; windows count from here.
    pub(super) fn set_misbehaviours(&self, misbehaviours: Vec<Misbehaviour>) {
        self.orders.borrow_mut().clear();
        self.ignored_joins.set(0);
        self.add_misbehaviours(misbehaviours);
    }

    /// Adds misbehaviours; their windows count from here.
    pub(super) fn add_misbehaviours(&self, misbehaviours: Vec<Misbehaviour>) {
        let handshakes_before = self.past.borrow().handshakes;
        let order = |misbehaviour| Order { misbehaviour, handshakes_before };
        self.orders.borrow_mut().extend(misbehaviours.into_iter().map(order));
        let alteration = |order: &Order| match order.misbehaviour.kind {
            MisbehaviourKind::Alter(alteration, every) => Some((alteration, every)),
            _ => None,
        };
        let alterations: Vec<(Alteration, u64)> =
            self.orders.borrow().iter().filter_map(alteration).collect();
        self.feed.borrow_mut().alter(alterations);
        for session in self.sessions.borrow().iter() {
            session.misbehave(self.kinds_for(session.number));
        }
        self.changed.notify_one();
    }

    fn kinds_for(&self, handshake: u64) -> Vec<MisbehaviourKind> {
        let orders = self.orders.borrow();
        orders
            .iter()
            .filter(|order| order.is_for(handshake))
            .map(|order| order.misbehaviour.kind.clone())
            .collect()
    }

    /// Accepts a request as a session, or refuses it.
    pub(super) fn admit(&self, request: &HandshakeRequest) -> Result<Session, Refusal> {
        let mut past = self.past.borrow_mut();
        past.handshakes += 1;
        self.last_request.replace(Some(request.clone()));
        let number = past.handshakes;
        let kinds = self.kinds_for(number);
        let decision = self.refusal(request, &kinds);
        past.refused += u64::from(decision.is_some());
        self.record_handshake(request, decision.as_ref().map_or(101, |refusal| refusal.status));
        match decision {
            Some(refusal) => Err(refusal),
            None => Ok(Session::new(number, request.path() != "/socket", kinds)),
        }
    }

    fn refusal(&self, request: &HandshakeRequest, kinds: &[MisbehaviourKind]) -> Option<Refusal> {
        let ordered = kinds.iter().find_map(|kind| match kind {
            MisbehaviourKind::Refuse { status, retry_after } => Some(Refusal::new(*status, *retry_after)),
            _ => None,
        });
        if ordered.is_some() {
            return ordered;
        }
        // the vendor's documentation lives under /api, and its route upgrades too
        if !matches!(request.path(), "/socket" | "/api/socket") {
            return Some(Refusal::new(404, None));
        }
        if self.options.origin.as_ref().is_some_and(|expected| !request.is_from(expected)) {
            return Some(Refusal::bad_origin());
        }
        let token = request.token().unwrap_or_default();
        if !self.accepts(&token) {
            return Some(Refusal::bad_token());
        }
        let is_within_limits = self.rest.as_ref().is_none_or(|rest| rest.admits_handshake(&token));
        (!is_within_limits).then(|| Refusal::new(429, None))
    }

    /// Whether a token is a good one.
    pub(super) fn accepts(&self, token: &str) -> bool {
        !token.is_empty() && self.options.token.as_ref().is_none_or(|expected| token == expected.reveal())
    }

    /// Adds a handshake to the log of the REST API.
    fn record_handshake(&self, request: &HandshakeRequest, status: u16) {
        let Some(rest) = &self.rest else { return };
        let handshake = RestRequest {
            at_ms: rest.now_ms(),
            endpoint: "socket".to_owned(),
            target: request.path().to_owned(),
            agent: request.header("user-agent").map(str::to_owned),
            status,
            rows: 0,
        };
        rest.record(handshake, true);
    }

    /// Tells the feed what the faults of the REST API do to events.
    pub(super) fn apply_rest_faults(&self) {
        if let Some(rest) = &self.rest {
            self.feed.borrow_mut().set_oddities(rest.oddities());
        }
    }

    pub(super) fn enter(&self, session: &Rc<Session>) {
        self.sessions.borrow_mut().push(Rc::clone(session));
    }

    pub(super) fn leave(&self, session: &Rc<Session>) {
        // with REST the topics of a session outlive it, those of its latest joins too
        self.arrange();
        self.sessions.borrow_mut().retain(|open| !Rc::ptr_eq(open, session));
        self.past.borrow_mut().add(session.counts());
        self.rearrange();
        self.room.notify_one();
        self.left.notify_waiters();
    }

    /// Has the feed rebuild its schedule before its next event.
    pub(super) fn rearrange(&self) {
        self.is_stale.set(true);
        self.changed.notify_one();
    }

    /// Counts a join that a misbehaviour leaves unanswered, and returns whether it is one.
    pub(super) fn ignores_join(&self, session: &Session) -> bool {
        let limit = session.find(|kind| match kind {
            MisbehaviourKind::IgnoreJoins(joins) => Some(*joins),
            _ => None,
        });
        let is_ignored = limit.is_some_and(|joins| self.ignored_joins.get() < joins);
        self.ignored_joins.set(self.ignored_joins.get() + u64::from(is_ignored));
        is_ignored
    }

    /// Counts an acknowledged join.
    pub(super) fn count_join(&self) {
        self.past.borrow_mut().joins += 1;
        self.rearrange();
    }

    /// Number of acknowledged joins.
    pub(super) fn joins(&self) -> u64 {
        self.past.borrow().joins
    }

    /// Whether everything handed to sessions was written or is being written.
    pub(super) fn is_written(&self) -> bool {
        self.sessions.borrow().iter().all(|session| session.room(1) != Room::Full)
    }

    /// Whether events may be sent now; brings the feed's schedule up to date.
    pub(super) fn may_send(&self) -> bool {
        self.arrange();
        !self.is_paused.get()
            && self.past.borrow().joins >= self.options.start_after_joins
            && self.events_left() > 0
    }

    /// Brings the feed's schedule up to date.
    fn arrange(&self) {
        if self.is_stale.replace(false) {
            self.feed.borrow_mut().arrange(&self.sessions.borrow(), &self.options);
        }
    }

    /// Whether any session has joined a topic; with REST, events then continue without sessions.
    pub(super) fn has_joins(&self) -> bool {
        let goes_on = self.rest.is_some() && self.joins() > 0;
        goes_on || self.sessions.borrow().iter().any(|session| !session.topics().is_empty())
    }

    /// Number of events that may still be made.
    pub(super) fn events_left(&self) -> u64 {
        self.options.events.map_or(u64::MAX, |events| events.saturating_sub(self.feed.borrow().events()))
    }

    /// Sends an event to every session that joined its topic or the global form of its channel. Returns `false`, and sends
    /// nothing, if one of them has no room.
    pub(super) fn play(&self, topic: &str, payload: &[u8]) -> bool {
        let receivers = self.listeners(topic);
        if receivers.iter().any(|(session, _)| session.room(OUTBOX_LIMIT) == Room::Full) {
            return false;
        }
        if receivers.is_empty() {
            self.unheard.set(self.unheard.get() + 1);
        }
        self.feed.borrow_mut().count(topic, payload, !receivers.is_empty());
        for (session, joined) in receivers {
            match session.room(OUTBOX_LIMIT) {
                Room::Drops => session.drop_event(),
                Room::Yes | Room::Full => session.deliver(&envelope(joined), payload),
                Room::Gone => {}
            }
        }
        true
    }

    /// Sends an event regardless of room. Returns the number of receivers.
    pub(super) fn send(&self, topic: &str, payload: &[u8]) -> usize {
        let receivers = self.listeners(topic);
        self.feed.borrow_mut().count(topic, payload, !receivers.is_empty());
        for (session, joined) in &receivers {
            session.deliver(&envelope(joined), payload);
        }
        receivers.len()
    }

    /// Sessions that joined a topic, once for each form in which they joined it.
    fn listeners<'a>(&self, topic: &'a str) -> Vec<(Rc<Session>, &'a str)> {
        let global = topic.split_once(':').map(|(channel, _)| channel);
        let forms = [Some(topic), global];
        let sessions = self.sessions.borrow();
        let joined = sessions.iter().flat_map(|session| {
            forms
                .into_iter()
                .flatten()
                .filter(|form| session.has_joined(form))
                .map(|form| (Rc::clone(session), form))
        });
        joined.collect()
    }

    /// Applies `act` to every open session and returns their number.
    pub(super) fn each_session(&self, act: impl Fn(&Session)) -> usize {
        let sessions = self.sessions.borrow();
        sessions.iter().for_each(|session| act(session));
        sessions.len()
    }

    /// Topics of every open session.
    pub(super) fn topics(&self) -> Vec<Vec<String>> {
        self.sessions.borrow().iter().map(|session| session.topics()).collect()
    }

    pub(super) fn last_request(&self) -> Option<HandshakeRequest> {
        self.last_request.borrow().clone()
    }

    pub(super) fn counts(&self) -> SimulatorCounts {
        let mut counts = self.past.borrow().clone();
        for session in self.sessions.borrow().iter() {
            counts.add(session.counts());
        }
        let feed = self.feed.borrow();
        (counts.duplicates, counts.amendments) = feed.repeats();
        SimulatorCounts {
            events: feed.events(),
            by_channel: feed.by_channel(),
            unheard: self.unheard.get(),
            ..counts
        }
    }
}
