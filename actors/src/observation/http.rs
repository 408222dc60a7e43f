//! Counts of the HTTP server.

use uw_websocket_core::labelled;

use super::cells::{Count, CountsBy};
use super::metric::observed;

labelled! {
    /// Reasons for which the HTTP server refuses or cuts off a client.
    HttpRefusal {
        /// The connection had waited longest for its client when a new one needed its slot.
        Evicted = "evicted",
        /// Every slot was held by a connection being served: the new one was closed.
        Full = "full",
        /// The system had no file descriptor for a new connection.
        Accept = "accept",
        /// The `Host` header holds a name that is not allowed.
        Host = "host",
        /// The head of the request was too long or too late.
        Head = "head",
        /// The client did not read its answer for too long, or too slowly.
        Stalled = "stalled",
        /// The answers under way took all memory reserved for them.
        Answers = "answers",
    }
}

observed! {
    /// Counts of the HTTP server.
    #[derive(Debug, Default)]
    pub struct HttpObservation {
        /// HTTP connections and requests refused or cut off.
        refused: CountsBy<HttpRefusal> = "uw_ws_http_refused_total" by "reason",
    }
}

impl HttpObservation {
    /// Returns the count of refusals for `reason`.
    #[must_use]
    pub fn refused(&self, reason: HttpRefusal) -> &Count {
        self.refused.of(reason)
    }
}
