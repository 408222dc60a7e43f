//! What can be seen of the lease.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use uw_websocket_core::labelled;

use super::cells::{StateCell, unlocked};

labelled! {
    /// What this instance is, beside others with the same prefix.
    LeaseState {
        /// The owner, as far as it knows, but Redis has not confirmed it lately: it reads and does not write.
        Unconfirmed = "unconfirmed",
        /// The owner.
        Held = "held",
        /// Another instance is the owner; this one waits.
        Standby = "standby",
    }
}

/// The lease, as this instance sees it.
#[derive(Debug, Default, Serialize)]
pub struct LeaseObservation {
    /// What this instance is.
    pub state: StateCell<LeaseState>,
    /// The owner that it stands by for.
    #[serde(serialize_with = "unlocked")]
    pub owner: Mutex<Option<String>>,
    /// Whether Redis answered the last claim.
    #[serde(skip)]
    pub redis_up: AtomicBool,
}
