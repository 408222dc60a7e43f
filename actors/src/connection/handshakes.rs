//! The handshakes of all connections: each is one HTTP request charged to the token, and takes its turn within the limit of
//! the process; and the news of each success.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use crate::rest::limiter::{HandshakeTurn, RequestLimiter};

/// Assigns turns to handshakes, and announces which succeed.
#[derive(Debug)]
pub struct Handshakes {
    limiter: Arc<RequestLimiter>,
    /// The number of handshakes accepted.
    accepted: watch::Sender<u64>,
}

impl Handshakes {
    /// Creates the handshakes within this limit.
    #[must_use]
    pub fn new(limiter: Arc<RequestLimiter>) -> Handshakes {
        Handshakes { limiter, accepted: watch::Sender::new(0) }
    }

    /// Announces that the feed accepted a handshake.
    pub fn note_accepted(&self) {
        self.accepted.send_modify(|accepted| *accepted += 1);
    }

    /// Returns a receiver that changes with each handshake accepted from now on, of any connection.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<u64> {
        self.accepted.subscribe()
    }

    /// Reserves the earliest turn from `now` on within the limit: complete other waits before reserving.
    #[must_use]
    pub fn reserve(&self, now: Instant) -> HandshakeTurn {
        self.limiter.handshake(now)
    }
}
