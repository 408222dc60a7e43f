//! What other clients have written under the filler's keys: it is left alone, counted and said, and the other jobs go on.

use std::time::{Duration, Instant};

use slog::warn;
use uw_websocket_core::backfill::job::{Edges, FillJob};
use uw_websocket_core::event::EntryId;
use uw_websocket_core::time::{MAX_AHEAD_US, hold_back};

use super::records::MAX_JOBS;
use super::state::{After, Work};
use crate::future_times;
use crate::ledger::gap::Gap;
use crate::observation::Distrust;
use crate::wall_clock::unix_micros;
use crate::writer::store::fault::StoreFault;

/// Maximum size of the edges of all jobs, in bytes: those of an outage of a thousand busy topics.
pub(super) const MAX_EDGES_OF_ALL: usize = 16 * 1024 * 1024;
/// Time after which a key is tried again that was refused for what it is or holds.
const LEFT_ALONE: Duration = Duration::from_secs(60);

impl Work {
    /// Returns the names of all jobs in Redis; `None` while the hash has more than jobs can have.
    pub(super) async fn names(&mut self) -> Result<Option<Vec<String>>, StoreFault> {
        if self.doubts.left_until.is_some_and(|until| Instant::now() < until) {
            return Ok(None);
        }
        match self.records.names_of_few().await {
            Ok(names) => {
                self.doubts.unreadable.retain(|name| names.contains(name));
                Ok(Some(names))
            }
            Err(StoreFault::TooLarge(text)) => {
                self.doubts.left_until = Some(Instant::now() + LEFT_ALONE);
                self.note_distrusted(Distrust::TooLarge, &text);
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }

    /// Notes a field that is no job. It is not read again.
    pub(super) fn note_unreadable(&mut self, name: &str) {
        if self.doubts.unreadable.len() < 2 * MAX_JOBS {
            self.doubts.unreadable.insert(name.to_owned());
        }
        self.note_distrusted(Distrust::Unreadable, name);
    }

    fn note_distrusted(&mut self, kind: Distrust, what: &str) {
        self.observations.distrusted(kind).add(1);
        if self.doubts.said.is_due(Instant::now()) {
            warn!(self.log, "fills under way left alone"; "reason" => kind.label(), "what" => what);
        }
    }

    /// Confines a job that was read to what one of ours can be.
    pub(super) fn confine(&mut self, job: &mut FillJob) {
        let held = job.confine(unix_micros());
        self.note_future(held, "ws:fill");
        let mut room = self.room_for_edges();
        keep_edges(job, &mut room);
    }

    /// Returns a gap whose times are not of the future.
    pub(super) fn of_the_past(&mut self, mut gap: Gap) -> Gap {
        let now_us = unix_micros();
        let held = [&mut gap.from_us, &mut gap.to_us].map(|at| u64::from(hold_back(at, now_us)));
        self.note_future(held.iter().sum(), "ws:gaps");
        gap
    }

    fn note_future(&mut self, times: u64, place: &str) {
        let said = &mut self.doubts.said_future;
        future_times::note(&self.observations, &self.log, (place, times), || said.is_due(Instant::now()));
    }

    /// Whether a gap can have been planned: beyond all of the ledger, it would keep those to come from being filled.
    pub(super) async fn is_of_the_ledger(
        &mut self,
        planned: EntryId,
        now_us: u64,
    ) -> Result<bool, StoreFault> {
        if planned.ms <= now_us.saturating_add(MAX_AHEAD_US) / 1000 {
            return Ok(true);
        }
        let last = self.gaps.last_id().await.map_err(|error| StoreFault::Unreachable(error.to_string()))?;
        self.note_future(u64::from(planned > last), "ws:fill");
        Ok(planned <= last)
    }

    /// Puts a job off whose keys are not what they should be, so that the others go on; returns other faults.
    pub(super) fn put_off(
        &mut self,
        job: &mut FillJob,
        fault: StoreFault,
        now_us: u64,
    ) -> Result<After, StoreFault> {
        let is_about_a_key = match &fault {
            StoreFault::Refused { refusal, .. } => refusal.is_about_the_entry(),
            StoreFault::TooLarge(_) => true,
            StoreFault::Unreachable(_) | StoreFault::Unanswered(_) => false,
        };
        if !is_about_a_key {
            return Err(fault);
        }
        job.next_us = now_us.saturating_add(u64::try_from(LEFT_ALONE.as_micros()).unwrap_or(u64::MAX));
        if job.failing_since_us == 0 {
            job.failing_since_us = now_us;
        }
        if self.doubts.said_put_off.is_due(Instant::now()) {
            warn!(self.log, "fill put off"; "gap" => job.gap.to_string(), "topic" => &job.topic, "error" => %fault);
        }
        Ok(After::Stays)
    }

    /// Returns how many bytes of edges there is room for.
    pub(super) fn room_for_edges(&self) -> usize {
        let taken = self.jobs.values().map(size_of_edges).sum();
        MAX_EDGES_OF_ALL.saturating_sub(taken)
    }
}

/// Keeps the edges of a job if there is room for them.
pub(super) fn keep_edges(job: &mut FillJob, room: &mut usize) {
    match room.checked_sub(size_of_edges(job)) {
        Some(left) => *room = left,
        None => job.forget_edges(),
    }
}

fn size_of_edges(job: &FillJob) -> usize {
    job.edges.as_ref().map_or(0, |edges: &Edges| edges.fingerprints.len())
}
