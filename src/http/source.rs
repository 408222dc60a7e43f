//! Where every status comes from: the observations, and what they were a while ago.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use uw_websocket_actors::observation::{Observations, lock, unix_micros};

use super::history::{Counts, History};
use super::snapshot::Snapshot;
use super::status::Status;

/// Makes the status.
#[derive(Debug)]
pub(super) struct Source {
    observations: Arc<Observations>,
    history: Mutex<History>,
}

impl Source {
    /// The rates begin at `now`.
    pub(super) fn new(observations: Arc<Observations>, now: Instant) -> Source {
        let history = Mutex::new(History::new(Counts::read(&observations, now)));
        Source { observations, history }
    }

    /// Reads what the rates are made of; to be called about once a second.
    pub(super) fn note(&self, now: Instant) {
        lock(&self.history).note(Counts::read(&self.observations, now));
    }

    /// The present status as JSON, on one line.
    pub(super) fn json(&self) -> serde_json::Result<Vec<u8>> {
        let history = lock(&self.history);
        serde_json::to_vec(&Status::of(&Snapshot::take(&self.observations, unix_micros()), &history))
    }
}
