//! The loop of the filler: gaps become jobs, and the most urgent job that is due gets the next turn.

use std::collections::HashSet;
use std::time::Duration;

use slog::{info, warn};
use tokio::time::{Instant, sleep};
use uw_websocket_core::backfill::deadline::rank;
use uw_websocket_core::backfill::job::{Ended, FillJob};
use uw_websocket_core::backfill::outcome::FillStatus;
use uw_websocket_core::backfill::plan::{self, GapToFill};
use uw_websocket_core::event::EntryId;
use uw_websocket_core::time::iso_utc;

use super::doubts::keep_edges;
use super::edges;
use super::ended::EndedFill;
use super::records::MAX_JOBS;
use super::state::{After, Work};
use crate::ledger::gap::{Gap, GapReason};
use crate::ledger::publisher::{PostError, gap_of};
use crate::log_throttle::LogThrottle;
use crate::wall_clock::unix_micros;
use crate::writer::store::fault::StoreFault;

/// Interval between two looks for new gaps and for jobs that were asked for by hand.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Pause after Redis did not answer or refused.
const REDIS_PAUSE: Duration = Duration::from_secs(1);
/// Gaps planned per look.
const GAPS_AT_ONCE: usize = 50;
/// Jobs of the hash that are taken up at once: each may have a quarter of a megabyte.
const ADOPTED_AT_ONCE: usize = 16;
/// Age of the gaps that are filled when there is no record of an earlier filler, in milliseconds: a day.
const FIRST_LOOK_BACK_MS: u64 = 24 * 3_600 * 1_000;

impl Work {
    /// Runs for as long as this instance holds the lease, and then waits to be stopped.
    pub(super) async fn run(mut self) {
        let mut complaints = LogThrottle::default();
        loop {
            if self.gate.wait_until_held().await.is_err() {
                return std::future::pending().await;
            }
            match self.next().await {
                Ok(None) => {}
                Ok(Some(pause)) => sleep(pause).await,
                Err(fault) => {
                    if complaints.is_due(std::time::Instant::now()) {
                        warn!(self.log, "filler waits for redis"; "error" => %fault);
                    }
                    sleep(REDIS_PAUSE).await;
                }
            }
        }
    }

    /// Does one thing; returns for how long there is nothing to do.
    async fn next(&mut self) -> Result<Option<Duration>, StoreFault> {
        if self.looked_at.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            self.look().await?;
            self.looked_at = Some(Instant::now());
        }
        let now_us = unix_micros();
        let Some(name) = self.choose(now_us) else { return Ok(Some(LOOK_EVERY)) };
        let Some(mut job) = self.jobs.remove(&name) else { return Ok(None) };
        let turned = self.turn(&mut job, now_us).await;
        let after = turned.or_else(|fault| self.put_off(&mut job, fault, now_us));
        match after {
            Ok(After::Gone) => {
                self.requests.retain(|gap, _| self.jobs.values().any(|job| job.gap == *gap));
                self.count_pending();
            }
            Ok(After::Stays) | Err(_) => drop(self.jobs.insert(name, job)),
        }
        after.map(|_| None)
    }

    /// Chooses the most urgent job that is due; one whose chunk is on the way goes first, since that would be lost.
    fn choose(&self, now_us: u64) -> Option<String> {
        // what was sent is looked up before anything else is written to the stream
        let sent: Vec<&FillJob> = self.jobs.values().filter(|job| job.writing.is_some()).collect();
        if let Some(job) = sent.iter().find(|job| job.next_us <= now_us) {
            return Some(job.field());
        }
        let is_due = |job: &FillJob| {
            job.next_us <= now_us
                && (now_us >= self.paused_until_us || job.ended.is_some())
                && sent.iter().all(|sent| sent.topic != job.topic)
        };
        let active = self.active.as_ref().filter(|active| !active.walk.is_between_chunks());
        let active = active.and_then(|active| self.jobs.get(&active.name)).filter(|job| is_due(job));
        if let Some(job) = active {
            return Some(job.field());
        }
        self.jobs.values().filter(|job| is_due(job)).min_by_key(|job| rank(job)).map(FillJob::field)
    }

    /// Reads what is new: gaps of the ledger, and jobs that were asked for by hand.
    async fn look(&mut self) -> Result<(), StoreFault> {
        self.stored_us = self.stored.look(unix_micros(), false);
        let planned = match self.planned {
            Some(planned) => planned,
            None => self.begin().await?,
        };
        self.adopt().await?;
        self.plan(planned).await?;
        self.archiving.catch_up_all(&mut self.records).await?;
        self.count_pending();
        Ok(())
    }

    /// Finds where an earlier filler has stopped.
    async fn begin(&mut self) -> Result<EntryId, StoreFault> {
        let now_us = unix_micros();
        let first_look = EntryId { ms: (now_us / 1000).saturating_sub(FIRST_LOOK_BACK_MS), seq: 0 };
        let planned = match self.records.planned().await? {
            Some(planned) if self.is_of_the_ledger(planned, now_us).await? => planned,
            _ => first_look,
        };
        self.restore_requests().await?;
        self.archiving.remember_topics(&mut self.records).await?;
        info!(self.log, "gaps are filled"; "after" => planned.to_string());
        self.planned = Some(planned);
        Ok(planned)
    }

    async fn adopt(&mut self) -> Result<(), StoreFault> {
        let Some(names) = self.names().await? else { return Ok(()) };
        let room = MAX_JOBS.saturating_sub(self.jobs.len());
        let is_new = |name: &String| !self.jobs.contains_key(name) && !self.doubts.unreadable.contains(name);
        let news: Vec<String> = names.into_iter().filter(is_new).take(room).collect();
        for names in news.chunks(ADOPTED_AT_ONCE) {
            for (name, job) in names.iter().zip(self.records.jobs(names).await?) {
                let Some(mut job) = job else {
                    self.note_unreadable(name);
                    continue;
                };
                self.confine(&mut job);
                info!(self.log, "fill taken up"; "gap" => job.gap.to_string(), "topic" => &job.topic);
                let requests = self.requests.entry(job.gap).or_default();
                *requests = requests.saturating_add(job.requests);
                self.archiving.expect_rows(&job);
                self.jobs.insert(name.clone(), job);
            }
        }
        Ok(())
    }

    /// Plans the gaps after the last one that is planned.
    async fn plan(&mut self, mut planned: EntryId) -> Result<(), StoreFault> {
        if self.jobs.len() >= MAX_JOBS || !self.gate.may_write() {
            return Ok(());
        }
        let page = self.gaps.read_after(planned, GAPS_AT_ONCE).await.map_err(|error| fault(&error))?;
        if page.entries.is_empty() && page.too_large.is_none() {
            return Ok(());
        }
        // the hash with the last planned gap may have been lost; an ended fill is younger than its gap
        let gaps: HashSet<EntryId> = page.entries.iter().map(|entry| entry.0).collect();
        let ended = self.records.ended_after(planned, |ended| gaps.contains(&ended.gap)).await?;
        let ended: HashSet<String> = ended.iter().map(EndedFill::name).collect();
        let mut jobs = Vec::new();
        let mut is_full = false;
        for entry in &page.entries {
            let gap = gap_of(entry).filter(|gap| is_missed(gap.reason)).map(|gap| self.of_the_past(gap));
            let of_gap = gap.into_iter().flat_map(|gap| self.jobs_of(entry.0, &gap));
            let mut of_gap: Vec<FillJob> = of_gap.collect();
            of_gap.retain(|job| !ended.contains(&job.field()) && !self.jobs.contains_key(&job.field()));
            // the first gap is planned whatever it has
            let planned_jobs = self.jobs.len() + jobs.len();
            is_full = planned_jobs > 0 && planned_jobs + of_gap.len() > MAX_JOBS;
            if is_full {
                break;
            }
            planned = entry.0;
            jobs.extend(of_gap);
        }
        planned = page.too_large.filter(|_| !is_full).unwrap_or(planned);
        let mut room = self.room_for_edges();
        for job in jobs.iter_mut().filter(|job| job.ended.is_none()) {
            if let Some(source) = job.source() {
                job.edges = edges::early(&mut self.records, source, job).await?;
                keep_edges(job, &mut room);
            }
        }
        self.records.save(&jobs, Some(planned)).await?;
        self.planned = Some(planned);
        for job in jobs {
            info!(self.log, "fill planned"; "gap" => job.gap.to_string(), "topic" => &job.topic,
                "from" => iso_utc(job.from_us), "to" => iso_utc(job.to_us));
            self.jobs.insert(job.field(), job);
        }
        Ok(())
    }

    fn jobs_of(&self, id: EntryId, gap: &Gap) -> Vec<FillJob> {
        let now_us = unix_micros();
        let gap = GapToFill { id, channels: &gap.channels, from_us: gap.from_us, to_us: gap.to_us };
        let planned = plan::jobs(&gap, &self.joined, now_us);
        let jobs = planned.into_iter().map(|(mut job, flaw)| {
            let status = FillStatus::Impossible;
            job.ended =
                flaw.map(|flaw| Ended { id: EntryId::default(), status, flaw: Some(flaw), at_us: now_us });
            job
        });
        jobs.collect()
    }

    fn count_pending(&self) {
        self.observations.fills.pending.set(self.jobs.len() as u64);
    }
}

/// Whether events of a gap were missed: for other reasons Redis has them.
#[must_use]
pub fn is_missed(reason: GapReason) -> bool {
    !matches!(reason, GapReason::Late | GapReason::ArchiveSkipped)
}

fn fault(error: &PostError) -> StoreFault {
    StoreFault::Unreachable(error.to_string())
}
