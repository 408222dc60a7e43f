//! One step of a job: a request, a batch of rows, or its end.

use bytes::Bytes;
use slog::{info, warn};
use uw_websocket_core::backfill::answer::Unfit;
use uw_websocket_core::backfill::deadline::is_over;
use uw_websocket_core::backfill::job::{BatchWriting, Ended, FillJob, Flaw};
use uw_websocket_core::backfill::outcome::{FillReason, FillStatus};
use uw_websocket_core::backfill::walk::{FillBatch, FillStep, Walk};
use uw_websocket_core::channel::fill::FillSource;
use uw_websocket_core::event::{Channel, EntryId};
use uw_websocket_core::rest_query::RestQuery;
use uw_websocket_core::time::iso_utc;

use super::edges;
use super::fetch::FetchFault;
use super::records::RowsOutcome;
use super::state::{Active, After, Work};
use crate::wall_clock::unix_micros;
use crate::writer::store::fault::StoreFault;

/// Time after which an answer without rows is requested again, in microseconds.
const DOUBT_US: u64 = 60_000_000;
/// The first and the longest pause after a failure, in microseconds; it doubles from one to the next.
const FIRST_PAUSE_US: u64 = 2_000_000;
const LONGEST_PAUSE_US: u64 = 300_000_000;
/// Time after which an endpoint that the plan does not include is tried again, in microseconds.
const NOT_ENTITLED_US: u64 = 24 * 3_600 * 1_000_000;
/// Interval between looks at a job that waits for the writers, in microseconds.
const WAIT_US: u64 = 1_000_000;

impl Work {
    /// Takes a job one step further.
    pub(super) async fn turn(&mut self, job: &mut FillJob, now_us: u64) -> Result<After, StoreFault> {
        if job.ended.is_some() {
            return self.post(job).await;
        }
        let Some(source) = job.source() else {
            return self
                .end(job, FillStatus::Impossible, Flaw::new(FillReason::NoEndpoint, ""), now_us)
                .await;
        };
        if let Some(flaw) = self.hopeless(source, job, now_us) {
            return self.end_early(job, flaw, now_us).await;
        }
        let is_active = self.active.as_ref().is_some_and(|active| active.name == job.field());
        if !is_active && !self.activate(source, job, now_us).await? {
            return Ok(After::Stays);
        }
        let Some(active) = &mut self.active else { return Ok(After::Stays) };
        match active.walk.step(job) {
            FillStep::Ask(query) => self.ask(source, job, query).await,
            FillStep::Write(batch) => self.write(source, job, &batch).await,
            FillStep::Done if active.walk.is_doubtful(job, active.has_events) => {
                self.doubt(job, now_us).await
            }
            FillStep::Done => {
                let (status, flaw) = active.walk.outcome(job);
                self.end_as(job, status, flaw, now_us).await
            }
        }
    }

    /// Returns why going on with a job makes no sense.
    fn hopeless(&self, source: &FillSource, job: &FillJob, now_us: u64) -> Option<Flaw> {
        if job.writing.is_some() {
            // what was sent is looked up first
            return None;
        }
        if self.requests.get(&job.gap).is_some_and(|requests| *requests >= self.max_requests) {
            return Some(Flaw::new(
                FillReason::Budget,
                format!("{} requests for the gap", self.max_requests),
            ));
        }
        if self.not_entitled.get(source.path).is_some_and(|until| now_us < *until) {
            return Some(Flaw::new(FillReason::NotEntitled, ""));
        }
        let active = self.active.as_ref().filter(|active| active.name == job.field());
        let error = active.map_or("", |active| active.last_error.as_str());
        is_over(source, job, now_us).then(|| Flaw::new(FillReason::Expired, error))
    }

    /// Begins or continues the walk of a job, once everything received around its gap is stored; returns whether it did.
    async fn activate(
        &mut self,
        source: &'static FillSource,
        job: &mut FillJob,
        now_us: u64,
    ) -> Result<bool, StoreFault> {
        if let Some(writing) = &job.writing {
            let stream = self.records.backfill(&job.topic);
            if self.records.has_rows(&stream, writing).await? {
                self.count_rows(job, writing.rows);
                job.settle_writing();
            } else {
                job.forget_writing();
            }
            self.save(job).await?;
        }
        let complete_us = edges::complete_us(source, job);
        if now_us < complete_us || self.stored_us < complete_us {
            job.next_us = now_us.max(complete_us).max(now_us + WAIT_US);
            return Ok(false);
        }
        let around = edges::around(&mut self.records, source, job, self.keys.streams).await?;
        if around.are_trimmed {
            job.mar(Flaw::new(FillReason::EdgesTrimmed, ""));
        }
        let walk = Walk::new(source, job, around.known, around.are_trimmed);
        let (name, last_error) = (job.field(), String::new());
        self.active = Some(Active { name, walk, has_events: around.has_events, last_error });
        Ok(true)
    }

    async fn ask(
        &mut self,
        source: &'static FillSource,
        job: &mut FillJob,
        query: RestQuery,
    ) -> Result<After, StoreFault> {
        self.book_request().await?;
        let fetched = (self.fetch)(query).await;
        let now_us = unix_micros();
        if !matches!(fetched, Err(FetchFault::NotNow(..))) {
            job.requests = job.requests.saturating_add(1);
            let requests = self.requests.entry(job.gap).or_default();
            *requests = requests.saturating_add(1);
        }
        let flaw = match fetched {
            Ok(body) => match self.answered(job, &body) {
                Ok(()) => return Ok(After::Stays),
                Err(unfit) => return self.fail(job, unfit.to_string(), now_us).await,
            },
            Err(FetchFault::Failed(text)) => return self.fail(job, text, now_us).await,
            Err(FetchFault::NotNow(pause, text)) => {
                self.pause(pause, &text, now_us);
                return Ok(After::Stays);
            }
            Err(FetchFault::TooLarge) => {
                if let Some(active) = &mut self.active {
                    active.walk.halve(job);
                }
                return self.fail(job, FetchFault::TooLarge.to_string(), now_us).await;
            }
            Err(FetchFault::NotEntitled(text)) => {
                self.not_entitled.insert(source.path, now_us + NOT_ENTITLED_US);
                Flaw::new(FillReason::NotEntitled, text)
            }
            Err(FetchFault::OutOfWindow(text)) => Flaw::new(FillReason::OutOfWindow, text),
            Err(FetchFault::PastSession(text)) => Flaw::new(FillReason::PastSession, text),
            Err(FetchFault::Refused(text)) => Flaw::new(FillReason::Refused, text),
        };
        self.end_early(job, flaw, now_us).await
    }

    fn answered(&mut self, job: &mut FillJob, body: &Bytes) -> Result<(), Unfit> {
        let Some(active) = &mut self.active else { return Ok(()) };
        active.walk.answered(job, body)?;
        (job.failures, job.failing_since_us) = (0, 0);
        Ok(())
    }

    /// Puts a job off after a failure of the endpoint.
    async fn fail(&mut self, job: &mut FillJob, text: String, now_us: u64) -> Result<After, StoreFault> {
        job.failures = job.failures.saturating_add(1);
        if job.failing_since_us == 0 {
            job.failing_since_us = now_us;
        }
        let doubled = FIRST_PAUSE_US << (job.failures - 1).min(16);
        let pause_us = doubled.min(LONGEST_PAUSE_US);
        // jobs that failed together must not come back together
        job.next_us = now_us + pause_us - fastrand::u64(0..=pause_us / 5);
        if job.failures == 1 || job.failures.is_power_of_two() {
            warn!(self.log, "fill fails, trying again"; "gap" => job.gap.to_string(), "topic" => &job.topic,
                "error" => &text, "failures" => job.failures, "next" => iso_utc(job.next_us));
        }
        if let Some(active) = &mut self.active {
            active.last_error = text;
        }
        self.save(job).await?;
        Ok(After::Stays)
    }

    /// Writes a batch: its IDs are saved first, and the cursor moves when Redis has the rows.
    async fn write(
        &mut self,
        source: &FillSource,
        job: &mut FillJob,
        batch: &FillBatch,
    ) -> Result<After, StoreFault> {
        self.archiving.catch_up(&mut self.records, &job.topic).await?;
        let stream = self.records.backfill(&job.topic);
        let now_us = unix_micros();
        job.forget_writing();
        let first = self.records.reserve(&stream, (job.unused, batch.rows.len() as u64), now_us).await?;
        let canceled = batch.rows.iter().filter(|row| row.is_canceled).count() as u64;
        let writing = BatchWriting {
            first,
            rows: batch.rows.len() as u64,
            canceled,
            known: batch.known,
            cursor_us: batch.cursor_us,
        };
        job.writing = Some(writing.clone());
        self.save(job).await?;
        let maxlen = self.keys.maxlen_of(&channel_of(job));
        // an unknown outcome is looked up when the job is taken up again
        let written =
            self.records.write((&stream, maxlen), (job, source.name()), &batch.rows, &writing).await;
        match written {
            Ok(RowsOutcome::Stored) => self.archiving.hand_over(&job.topic, &batch.rows, &writing),
            Ok(RowsOutcome::Passed) => {
                job.forget_writing();
                return Ok(After::Stays);
            }
            Ok(RowsOutcome::Refused(text)) => {
                job.writing = None;
                return self.end_early(job, Flaw::new(FillReason::Refused, text), now_us).await;
            }
            Err(fault) => {
                self.archiving.fall_behind(&job.topic);
                if fault.is_unanswered() {
                    self.active = None;
                }
                return Err(fault);
            }
        }
        self.count_rows(job, writing.rows);
        job.settle_writing();
        if let Some(active) = &mut self.active {
            active.walk.written(job, batch);
        }
        self.save(job).await?;
        Ok(After::Stays)
    }

    /// Asks once more from the beginning: an answer without rows says the same as one to a parameter that the vendor does
    /// not know.
    async fn doubt(&mut self, job: &mut FillJob, now_us: u64) -> Result<After, StoreFault> {
        if job.was_doubted {
            let flaw = Flaw::new(FillReason::Empty, "the live stream has events of the interval");
            return self.end(job, FillStatus::Partial, flaw, now_us).await;
        }
        (job.was_doubted, job.cursor_us) = (true, 0);
        job.next_us = now_us + DOUBT_US;
        self.active = None;
        self.save(job).await?;
        Ok(After::Stays)
    }

    /// Ends a job before the end of its interval.
    async fn end_early(&mut self, job: &mut FillJob, flaw: Flaw, now_us: u64) -> Result<After, StoreFault> {
        let is_partial = job.rows + job.known > 0 || flaw.reason == FillReason::Budget;
        let status = if is_partial { FillStatus::Partial } else { FillStatus::Impossible };
        self.end(job, status, flaw, now_us).await
    }

    async fn end(
        &mut self,
        job: &mut FillJob,
        status: FillStatus,
        flaw: Flaw,
        now_us: u64,
    ) -> Result<After, StoreFault> {
        self.end_as(job, status, Some(flaw), now_us).await
    }

    async fn end_as(
        &mut self,
        job: &mut FillJob,
        status: FillStatus,
        flaw: Option<Flaw>,
        now_us: u64,
    ) -> Result<After, StoreFault> {
        job.ended = Some(Ended { id: EntryId::default(), status, flaw, at_us: now_us });
        job.next_us = 0;
        self.post(job).await
    }

    /// Writes the entry about the end, under an ID that is saved first; then the job goes.
    async fn post(&mut self, job: &mut FillJob) -> Result<After, StoreFault> {
        if !self.gate.may_write() {
            return Ok(After::Stays);
        }
        let (stream, now_us) = (self.records.fills().to_owned(), unix_micros());
        let id = job.ended.as_ref().map_or_else(EntryId::default, |ended| ended.id);
        if !self.records.can_be_ours(&stream, id, now_us).await? {
            let id = self.records.reserve(&stream, (EntryId::default(), 1), now_us).await?;
            if let Some(ended) = &mut job.ended {
                ended.id = id;
            }
            self.save(job).await?;
        }
        let active = self.active.take_if(|active| active.name == job.field());
        let interval = active.map_or((job.from_us, job.to_us), |active| active.walk.interval());
        if !self.records.post(job, interval).await? {
            if let Some(ended) = &mut job.ended {
                ended.id = EntryId::default();
            }
            return Ok(After::Stays);
        }
        self.records.remove(job).await?;
        self.report(job);
        Ok(After::Gone)
    }

    fn report(&self, job: &FillJob) {
        let Some(ended) = &job.ended else { return };
        self.observations.fills.ended(ended.status).add(1);
        if let Some(counts) = self.observations.channel_named(channel_of(job).name()) {
            counts.fills(ended.status).add(1);
        }
        let reason = ended.flaw.as_ref().map_or("", |flaw| flaw.reason.label());
        let detail = ended.flaw.as_ref().map_or("", |flaw| flaw.detail.as_str());
        info!(self.log, "fill ended"; "gap" => job.gap.to_string(), "topic" => &job.topic,
            "status" => ended.status.label(), "reason" => reason, "rows" => job.rows, "known" => job.known,
            "requests" => job.requests, "detail" => detail);
    }

    fn count_rows(&self, job: &FillJob, rows: u64) {
        if let Some(counts) = self.observations.channel_named(channel_of(job).name()) {
            counts.fill_rows.add(rows);
        }
    }

    /// Saves a job, if this instance may still write.
    async fn save(&mut self, job: &FillJob) -> Result<(), StoreFault> {
        if !self.gate.may_write() {
            return Err(StoreFault::Unreachable("the lease is not confirmed".into()));
        }
        self.records.save(std::slice::from_ref(job), None).await
    }
}

/// Returns the channel of a job; one of an unknown name has no endpoint and no counts.
fn channel_of(job: &FillJob) -> Channel {
    job.parts().map_or_else(|| Channel::Other("".into()), |topic| topic.channel)
}
