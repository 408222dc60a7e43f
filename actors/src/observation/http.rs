//! What can be seen of the clients of the HTTP side.

use super::Count;
use crate::labelled;

labelled! {
    /// Why the HTTP side refused a client.
    HttpRefusal {
        /// The connection waited for its client longest, and gave way to a new one.
        Evicted = "evicted",
        /// Every connection was being served: the new one was closed.
        Full = "full",
        /// The system had no file descriptor for a new connection.
        Accept = "accept",
        /// The `Host` header had a name that is not allowed.
        Host = "host",
        /// The head of the request was too long, or not there in time.
        Head = "head",
        /// The client took nothing of its answer for too long.
        Stalled = "stalled",
        /// The answers under way took all the room that there is for them.
        Answers = "answers",
    }
}

/// The clients of the HTTP side.
#[derive(Debug)]
pub struct HttpObservation {
    refused: Vec<Count>,
}

impl HttpObservation {
    /// Refusals for this reason.
    #[must_use]
    pub fn refused(&self, reason: HttpRefusal) -> &Count {
        &self.refused[reason as usize]
    }
}

impl Default for HttpObservation {
    fn default() -> HttpObservation {
        HttpObservation { refused: HttpRefusal::ALL.iter().map(|_| Count::default()).collect() }
    }
}
