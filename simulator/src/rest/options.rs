//! Options of the REST API.

use std::time::Duration;

use super::faults::RestFault;
use super::limits::RestLimits;

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
