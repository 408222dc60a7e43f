//! Observations of the lease.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use uw_websocket_core::labelled;

use super::cells::{StateCell, unlocked};

labelled! {
    /// The role of this instance among those with the same prefix.
    LeaseState {
        /// Presumably the owner, but without a recent confirmation by Redis: reads and does not write.
        Unconfirmed = "unconfirmed",
        /// The owner.
        Held = "held",
        /// Another instance is the owner; this one stands by.
        Standby = "standby",
    }
}

/// The lease from the view of this instance.
#[derive(Debug, Default, Serialize)]
pub struct LeaseObservation {
    /// The role of this instance.
    pub state: StateCell<LeaseState>,
    /// The owner that this instance stands by for.
    #[serde(serialize_with = "unlocked")]
    pub owner: Mutex<Option<String>>,
    /// Why Redis has not answered the last claim.
    #[serde(serialize_with = "unlocked")]
    pub last_error: Mutex<Option<String>>,
    /// Whether Redis answered the last claim.
    #[serde(skip)]
    pub redis_up: AtomicBool,
}
