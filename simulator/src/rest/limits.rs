//! The limits of a token.

use std::time::Duration;

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
