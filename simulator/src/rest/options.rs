//! Options of the REST API, and the limits of a token.

use std::time::Duration;

use super::faults::RestFault;

/// Maximum size of the history in bytes of payloads: some 160 000 option trades, eleven minutes at 240 per second.
const HISTORY_BYTES: usize = 128 << 20;

/// What is done with a `limit` above the documented maximum of an endpoint; what the vendor does is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AboveLimit {
    /// The maximum is used.
    Clamp,
    /// The request is refused with 422.
    Refuse,
    /// As many rows are served as asked for.
    Serve,
}

/// Options of the REST API. With it, a topic that was joined once keeps having events, whether or not a socket gets
/// them.
#[derive(Clone, Debug)]
pub struct RestOptions {
    /// Size of the history in bytes of payloads; beyond it the oldest events are forgotten and counted.
    pub history_bytes: usize,
    /// Limits of a token.
    pub limits: RestLimits,
    /// The treatment of a `limit` above the maximum.
    pub above_limit: AboveLimit,
    /// Whether a row of exactly `newer_than` is part of the answer.
    pub newer_than_is_inclusive: bool,
    /// Time from a request to its answer.
    pub latency: Duration,
    /// Misbehaviours from startup on.
    pub faults: Vec<RestFault>,
}

impl Default for RestOptions {
    fn default() -> RestOptions {
        RestOptions {
            history_bytes: HISTORY_BYTES,
            limits: RestLimits::default(),
            above_limit: AboveLimit::Clamp,
            newer_than_is_inclusive: true,
            latency: Duration::ZERO,
            faults: Vec::new(),
        }
    }
}

/// Which limit a request is above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// Requests per minute.
    Minute,
    /// Requests in flight.
    InFlight,
    /// Requests per day.
    Day,
}

/// Limits of a token over all its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestLimits {
    /// Requests per `minute`.
    pub per_minute: u32,
    /// Requests until 20:00 New York time.
    pub per_day: u32,
    /// Requests that are answered at the same time.
    pub in_flight: u32,
    /// Handshakes of sockets per `minute`. They do not count as requests.
    pub handshakes_per_minute: Option<u32>,
    /// Length of a minute: a minute but in tests.
    pub minute: Duration,
}

impl Default for RestLimits {
    /// The lowest limits that were seen.
    fn default() -> RestLimits {
        RestLimits {
            per_minute: 120,
            per_day: 15_000,
            in_flight: 3,
            handshakes_per_minute: None,
            minute: Duration::from_secs(60),
        }
    }
}
