//! The state of the filler in memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use slog::Logger;
use tokio::time::Instant;
use uw_websocket_core::backfill::job::FillJob;
use uw_websocket_core::backfill::plan::Joined;
use uw_websocket_core::backfill::walk::Walk;
use uw_websocket_core::event::EntryId;
use uw_websocket_core::settings::KeySettings;

use super::archiving::Archiving;
use super::fetch::Fetch;
use super::records::FillRecords;
use crate::lease::gate::LeaseGate;
use crate::ledger::publisher::GapPublisher;
use crate::log_throttle::LogThrottle;
use crate::observation::Observations;
use crate::queue::progress::StorageProgress;

/// The state of the loop; Redis has everything that has to survive it.
pub(super) struct Work {
    pub gaps: GapPublisher,
    pub records: FillRecords,
    pub keys: KeySettings,
    pub joined: Joined,
    pub fetch: Fetch,
    pub gate: LeaseGate,
    pub stored: StorageProgress,
    /// The time up to which everything received is stored.
    pub stored_us: u64,
    pub jobs: BTreeMap<String, FillJob>,
    pub doubts: Doubts,
    /// The job that is walked, and its walk.
    pub active: Option<Active>,
    /// The last gap with jobs; `None` until the records are read.
    pub planned: Option<EntryId>,
    pub looked_at: Option<Instant>,
    /// No request before, in Unix microseconds.
    pub paused_until_us: u64,
    /// Endpoints that the plan does not include, and when they are tried again.
    pub not_entitled: HashMap<&'static str, u64>,
    /// The maximum number of requests for all fills of a gap.
    pub max_requests: u32,
    /// Requests per gap.
    pub requests: HashMap<EntryId, u32>,
    pub archiving: Archiving,
    pub observations: Arc<Observations>,
    pub log: Logger,
}

/// What has been met in Redis that is not ours, and what was said of it.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// Fields that are no jobs, as many as are read at most.
    pub unreadable: HashSet<String>,
    /// The hash of jobs is not read before.
    pub left_until: Option<std::time::Instant>,
    pub said: LogThrottle,
    pub said_future: LogThrottle,
    pub said_put_off: LogThrottle,
}

/// The job that is walked.
pub(super) struct Active {
    pub name: String,
    pub walk: Walk,
    /// Whether the live stream has events of the interval.
    pub has_events: bool,
    /// The last failure, for the end if none follows.
    pub last_error: String,
}

/// The state of a job after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Stays,
    Gone,
}
