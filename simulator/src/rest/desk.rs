//! The state of the REST API besides the events: counts, faults and a log of requests.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::faults::{RestFault, RestKind};
use super::history::Oddities;
use super::limits::{Excess, RestLimits};
use super::meter::Meter;
use super::options::RestOptions;

/// Requests of the log; some hours at the limit of a minute.
const LOG: usize = 100_000;
/// Frozen bodies that are kept; further ones are not frozen.
const MAX_FROZEN: usize = 64;

/// A request, or a handshake of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestRequest {
    /// Time since the simulator started, in milliseconds.
    pub at_ms: u64,
    /// Name of the endpoint, `socket` for a handshake, or `unknown`.
    pub endpoint: String,
    /// Path and query; of a handshake the path only, since the query holds the token.
    pub target: String,
    /// `User-Agent`, if there is one.
    pub agent: Option<String>,
    /// Status of the answer.
    pub status: u16,
    /// Rows of the answer.
    pub rows: usize,
}

/// Totals of the REST API since startup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestCounts {
    /// Requests received, including refused ones; handshakes are not among them.
    pub requests: u64,
    /// `requests` by endpoint.
    pub by_endpoint: BTreeMap<String, u64>,
    /// `requests` by status.
    pub by_status: BTreeMap<u16, u64>,
    /// Rows served.
    pub rows: u64,
    /// The most requests and handshakes within any 60 seconds, over all tokens.
    pub busiest_minute: u64,
    /// The most requests in flight at any time, over all tokens.
    pub most_in_flight: u64,
    /// Events that the history forgot because it was full.
    pub forgotten: u64,
}

/// A fault with the number of requests that it was considered for.
#[derive(Debug)]
struct Order {
    fault: RestFault,
    seen: Cell<u64>,
}

/// State of the REST API.
#[derive(Debug)]
pub(crate) struct RestDesk {
    pub(crate) options: RestOptions,
    started: Instant,
    meter: RefCell<Meter>,
    orders: RefCell<Vec<Order>>,
    counts: RefCell<RestCounts>,
    in_flight: Cell<u64>,
    /// Times of the requests and handshakes of the last minute.
    lately: RefCell<VecDeque<Instant>>,
    log: RefCell<VecDeque<RestRequest>>,
    frozen: RefCell<HashMap<String, Value>>,
}

/// Length of the minute of `busiest_minute`, whatever the limits' minute is.
const MINUTE: Duration = Duration::from_secs(60);

impl RestDesk {
    pub(crate) fn new(options: RestOptions) -> RestDesk {
        let desk = RestDesk {
            started: Instant::now(),
            meter: RefCell::new(Meter::new(options.limits)),
            orders: RefCell::default(),
            counts: RefCell::default(),
            in_flight: Cell::new(0),
            lately: RefCell::default(),
            log: RefCell::default(),
            frozen: RefCell::default(),
            options,
        };
        desk.add_faults(desk.options.faults.clone());
        desk
    }

    /// Replaces all faults; their windows count from here.
    pub(crate) fn set_faults(&self, faults: Vec<RestFault>) {
        self.orders.borrow_mut().clear();
        self.frozen.borrow_mut().clear();
        self.add_faults(faults);
    }

    /// Adds faults; their windows count from here.
    pub(crate) fn add_faults(&self, faults: Vec<RestFault>) {
        let order = |fault| Order { fault, seen: Cell::new(0) };
        self.orders.borrow_mut().extend(faults.into_iter().map(order));
    }

    /// Returns what the faults do to events.
    pub(crate) fn oddities(&self) -> Oddities {
        let mut oddities = Oddities::default();
        for order in self.orders.borrow().iter() {
            match order.fault.kind {
                RestKind::Late { every, after } => {
                    oddities.late = Some((every, u64::try_from(after.as_micros()).unwrap_or(u64::MAX)));
                }
                RestKind::Canceled(every) => oddities.cancel = Some(every),
                RestKind::Crowd { rows, every } => oddities.crowd = Some((every, rows)),
                _ => {}
            }
        }
        oddities
    }

    /// Returns the faults of a request and counts it for their windows.
    pub(super) fn kinds_for(&self, endpoint: &str) -> Vec<RestKind> {
        let orders = self.orders.borrow();
        let is_due = |order: &&Order| {
            let is_concerned = order.fault.endpoint.as_deref().is_none_or(|wanted| wanted == endpoint);
            order.seen.set(order.seen.get() + u64::from(is_concerned));
            is_concerned && order.fault.window.holds(Some(order.seen.get()))
        };
        orders.iter().filter(is_due).map(|order| order.fault.kind.clone()).collect()
    }

    pub(crate) fn set_limits(&self, limits: RestLimits) {
        self.meter.borrow_mut().set_limits(limits);
    }

    /// Counts a request that comes in and tells whether it is within the limits of its token.
    pub(super) fn begin(&self, token: &str, now_us: u64) -> Result<(), Excess> {
        self.meter.borrow_mut().begin(token, Instant::now(), now_us)
    }

    /// Ends a request that was within the limits.
    pub(super) fn finish(&self, token: &str) {
        self.meter.borrow_mut().finish(token, Instant::now());
    }

    /// Returns the usage headers of a token, with `excess` claimed.
    pub(super) fn usage(&self, token: &str, excess: Option<Excess>) -> Vec<(&'static str, String)> {
        let usage = self.meter.borrow_mut().usage(token, Instant::now());
        excess.map_or(usage, |excess| usage.exhausted(excess)).headers()
    }

    /// Counts a request as in flight.
    pub(super) fn enter(&self) {
        self.notice();
        self.in_flight.set(self.in_flight.get() + 1);
        let mut counts = self.counts.borrow_mut();
        counts.most_in_flight = counts.most_in_flight.max(self.in_flight.get());
    }

    /// Ends a request in flight.
    pub(super) fn leave(&self) {
        self.in_flight.set(self.in_flight.get() - 1);
    }

    /// Counts a request or a handshake among those of the last minute.
    fn notice(&self) {
        let now = Instant::now();
        let mut lately = self.lately.borrow_mut();
        lately.push_back(now);
        while lately.front().is_some_and(|oldest| now.duration_since(*oldest) >= MINUTE) {
            lately.pop_front();
        }
        let busy = u64::try_from(lately.len()).unwrap_or(u64::MAX);
        let mut counts = self.counts.borrow_mut();
        counts.busiest_minute = counts.busiest_minute.max(busy);
    }

    /// Counts a handshake; returns whether it is within its limit.
    pub(crate) fn admits_handshake(&self, token: &str) -> bool {
        self.notice();
        self.meter.borrow_mut().admits_handshake(token, Instant::now())
    }

    /// Time since the start in milliseconds.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Adds a request to the log, and unless it is a handshake to the counts.
    pub(crate) fn record(&self, request: RestRequest, is_handshake: bool) {
        if !is_handshake {
            let mut counts = self.counts.borrow_mut();
            counts.requests += 1;
            *counts.by_endpoint.entry(request.endpoint.clone()).or_default() += 1;
            *counts.by_status.entry(request.status).or_default() += 1;
            counts.rows += u64::try_from(request.rows).unwrap_or_default();
        }
        let mut log = self.log.borrow_mut();
        log.push_back(request);
        if log.len() > LOG {
            log.pop_front();
        }
    }

    pub(crate) fn counts(&self, forgotten: u64) -> RestCounts {
        RestCounts { forgotten, ..self.counts.borrow().clone() }
    }

    pub(crate) fn requests(&self) -> Vec<RestRequest> {
        self.log.borrow().iter().cloned().collect()
    }

    /// Returns the first body of this name that was given to it.
    pub(super) fn frozen(&self, name: &str, body: Value) -> Value {
        let mut frozen = self.frozen.borrow_mut();
        if let Some(first) = frozen.get(name) {
            return first.clone();
        }
        if frozen.len() < MAX_FROZEN {
            frozen.insert(name.to_owned(), body.clone());
        }
        body
    }
}
