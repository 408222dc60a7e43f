//! The supervisor's state of a child.

use actix::{Recipient, SpawnHandle};
use tokio::time::Instant;

use super::child::{ChildSpec, Heartbeats, Stop};
use super::timing::Timing;
use crate::backoff::Backoff;

#[derive(Debug)]
pub(super) struct Child {
    pub(super) spec: ChildSpec,
    pub(super) generation: u64,
    pub(super) backoff: Backoff,
    pub(super) state: ChildState,
}

#[derive(Debug)]
pub(super) enum ChildState {
    Running { since: Instant, beats: Heartbeats, stop: Recipient<Stop>, silent_rounds: u32 },
    Waiting { restart: SpawnHandle },
    Ended,
}

impl Child {
    pub(super) fn new(spec: ChildSpec, timing: Timing) -> Child {
        let backoff = Backoff::new(timing.backoff_first, timing.backoff_max);
        Child { spec, generation: 0, backoff, state: ChildState::Ended }
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.state, ChildState::Running { .. })
    }

    /// Returns the consecutive rounds without a heartbeat; 0 for a child that is not running.
    pub(super) fn silent_rounds(&self) -> u32 {
        match self.state {
            ChildState::Running { silent_rounds, .. } => silent_rounds,
            ChildState::Waiting { .. } | ChildState::Ended => 0,
        }
    }

    /// Counts this round; returns the consecutive rounds without a heartbeat, 0 for a child that is not running.
    pub(super) fn count_silence(&mut self) -> u32 {
        let ChildState::Running { beats, silent_rounds, .. } = &mut self.state else { return 0 };
        *silent_rounds = if beats.take() { 0 } else { silent_rounds.saturating_add(1) };
        *silent_rounds
    }

    /// Sends a request if the child runs, regardless of the mailbox's capacity: a child that lags must receive it
    /// too.
    pub(super) fn tell(&self, command: Stop) {
        if let ChildState::Running { stop, .. } = &self.state {
            #[allow(
                clippy::disallowed_methods,
                reason = "two commands per life at most, and none may be lost"
            )]
            stop.do_send(command);
        }
    }
}
