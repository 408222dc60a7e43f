//! A time without sockets, during which the REST API stays available.

use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use uw_websocket_simulator::{Misbehaviour, MisbehaviourKind, SimulatorHandle};

/// When it begins and how long it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outage {
    pub(super) after: Duration,
    pub(super) lasts: Duration,
}

/// A text that is not an outage.
#[derive(Debug, Error)]
#[error("expected two numbers of seconds, such as 30,10")]
pub(super) struct InvalidOutage;

impl FromStr for Outage {
    type Err = InvalidOutage;

    fn from_str(text: &str) -> Result<Outage, InvalidOutage> {
        let seconds = |text: &str| text.parse().map(Duration::from_secs).map_err(|_| InvalidOutage);
        let (after, lasts) = text.split_once(',').ok_or(InvalidOutage)?;
        Ok(Outage { after: seconds(after)?, lasts: seconds(lasts)? })
    }
}

/// Cuts all connections and refuses new ones, besides what else is done wrong.
pub(super) fn begin(simulator: &SimulatorHandle) {
    simulator.also_misbehave(Misbehaviour::new(MisbehaviourKind::Refuse { status: 503, retry_after: None }));
    simulator.cut_all();
}
