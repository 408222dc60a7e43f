//! A walk through the interval of a job: what to ask and what to write, step by step.

use std::collections::VecDeque;

use bytes::Bytes;

use super::answer::{FetchedRow, Unfit};
use super::chunk::{Chunk, MAX_PAGES, Progress};
use super::job::{FillJob, Flaw};
use super::known::KnownRows;
use super::outcome::{FillReason, FillStatus};
use crate::calendar::{midnight, session_date};
use crate::channel::fill::{Ask, Fidelity, FillSource, RowIdentity};
use crate::rest_query::RestQuery;

/// Rows of a batch: Redis serves no other client while it writes them, a millisecond.
pub const BATCH_ROWS: usize = 250;
/// Answers of a chunk after which the next one is twice as long: the fewer chunks, the fewer answers that are not full.
const SMALL_CHUNK: u32 = MAX_PAGES / 4;
/// Bytes of a batch.
const BATCH_BYTES: usize = 512 * 1024;

/// The walk of one job. It has nothing that the job and Redis could not give again.
#[derive(Debug)]
pub struct Walk {
    source: &'static FillSource,
    symbol: Option<String>,
    /// The first and the last time of rows that are written.
    from_us: u64,
    to_us: u64,
    known: KnownRows,
    chunk: Option<Chunk>,
    /// The rows of the last chunk that are not written yet, and whether they are known.
    queue: VecDeque<(FetchedRow, bool)>,
    /// The cursor when all of them are written.
    after_us: u64,
}

/// The next step.
#[derive(Debug)]
pub enum FillStep {
    /// Send the request, and pass its answer to [`Walk::answered`].
    Ask(RestQuery),
    /// Write the rows, then call [`Walk::written`].
    Write(FillBatch),
    /// Nothing: the interval is done.
    Done,
}

/// Rows to be written together.
#[derive(Debug)]
pub struct FillBatch {
    /// The rows, oldest first.
    pub rows: Vec<FetchedRow>,
    /// Known rows between them.
    pub known: u64,
    /// The cursor of the job once they are written: no row at this time or later is among them.
    pub cursor_us: u64,
    /// Rows of the queue that it covers.
    taken: usize,
}

impl Walk {
    /// Begins where the job stands. `known` has what the live stream and earlier fills have; with trimmed edges only rows
    /// inside of the gap are written.
    #[must_use]
    pub fn new(
        source: &'static FillSource,
        job: &FillJob,
        known: KnownRows,
        are_edges_trimmed: bool,
    ) -> Walk {
        let margin_us = if are_edges_trimmed { 0 } else { source.margin_ms * 1000 };
        let (mut from_us, to_us) =
            (job.from_us.saturating_sub(margin_us), job.to_us.saturating_add(margin_us));
        if matches!(source.ask, Ask::Day) {
            from_us -= from_us % source.unit_us;
        }
        let symbol = job.parts().and_then(|topic| topic.symbol).map(|symbol| symbol.to_string());
        Walk { source, symbol, from_us, to_us, known, chunk: None, queue: VecDeque::new(), after_us: 0 }
    }

    /// Returns the interval asked for, in Unix microseconds.
    #[must_use]
    pub fn interval(&self) -> (u64, u64) {
        (self.from_us, self.to_us)
    }

    /// Returns the next step. Rows that are all known need no write: the job moves on by itself.
    pub fn step(&mut self, job: &mut FillJob) -> FillStep {
        job.cursor_us = job.cursor_us.max(self.from_us);
        while !self.queue.is_empty() {
            let batch = self.batch();
            if !batch.rows.is_empty() {
                return FillStep::Write(batch);
            }
            job.known = job.known.saturating_add(batch.known);
            self.written(job, &batch);
        }
        if self.chunk.is_none() {
            if self.source.ask == Ask::Day {
                self.skip_days_without_session(job);
            }
            if job.cursor_us > self.to_us {
                return FillStep::Done;
            }
            self.chunk = Some(Chunk::new(job.cursor_us, self.end_of_chunk(job)));
        }
        match &self.chunk {
            Some(chunk) => FillStep::Ask(chunk.query(self.source, self.symbol.as_deref())),
            None => FillStep::Done,
        }
    }

    /// Takes the answer to the last request.
    pub fn answered(&mut self, job: &mut FillJob, body: &Bytes) -> Result<(), Unfit> {
        let Some(chunk) = &mut self.chunk else { return Ok(()) };
        match chunk.take(self.source, self.symbol.as_deref(), body)? {
            Progress::More => {}
            Progress::TooLarge => self.halve(job),
            Progress::Whole => self.end_chunk(job),
        }
        Ok(())
    }

    /// Asks for half of the present interval: its rows are too many.
    pub fn halve(&mut self, job: &mut FillJob) {
        if let Some(chunk) = self.chunk.take() {
            job.span_us = ((chunk.to_us - chunk.from_us) / 2).max(self.source.unit_us);
        }
    }

    /// Whether nothing is lost if the walk ends here: the job has all that it knows.
    #[must_use]
    pub fn is_between_chunks(&self) -> bool {
        self.chunk.is_none() && self.queue.is_empty()
    }

    /// Notes that a batch is written: the cursor of the job moves.
    pub fn written(&mut self, job: &mut FillJob, batch: &FillBatch) {
        job.cursor_us = job.cursor_us.max(batch.cursor_us);
        for (row, _) in self.queue.drain(..batch.taken.min(self.queue.len())) {
            // the vendor may show it again at another time
            if matches!(self.source.identity, RowIdentity::Unique(_)) {
                self.known.add(row.fingerprint);
            }
        }
    }

    /// Whether nothing was found although the live stream has events of the interval: the vendor answers so to parameters
    /// that it does not know as well.
    #[must_use]
    pub fn is_doubtful(&self, job: &FillJob, has_live_events: bool) -> bool {
        job.rows + job.known == 0 && has_live_events && self.source.identity != RowIdentity::None
    }

    /// Returns how a job ends whose interval is done.
    #[must_use]
    pub fn outcome(&self, job: &FillJob) -> (FillStatus, Option<Flaw>) {
        let usual = match self.source.fidelity {
            Fidelity::Events => None,
            Fidelity::NoIdentity => Some(Flaw::new(FillReason::NoIdentity, "")),
            Fidelity::Coarser => Some(Flaw::new(FillReason::Resolution, "")),
        };
        match job.flaw.clone().or(usual) {
            None => (FillStatus::Complete, None),
            flaw => (FillStatus::Partial, flaw),
        }
    }

    fn end_chunk(&mut self, job: &mut FillJob) {
        let Some(chunk) = self.chunk.take() else { return };
        self.after_us = chunk.to_us;
        if chunk.pages <= SMALL_CHUNK {
            job.span_us = (chunk.to_us - chunk.from_us).saturating_mul(2);
        }
        let (rows, flaw) = chunk.end(self.source);
        if let Some(reason) = flaw {
            job.mar(Flaw::new(reason, ""));
        }
        let is_state = matches!(self.source.ask, Ask::State { .. });
        for row in rows {
            // rows before the cursor are written
            if is_state || (job.cursor_us..=self.to_us).contains(&row.at_us) {
                let is_known = self.known.take(self.source.identity, row.fingerprint);
                self.queue.push_back((row, is_known));
            }
        }
        if self.queue.is_empty() {
            job.cursor_us = job.cursor_us.max(self.after_us);
        }
    }

    /// Takes rows up to the bounds of a batch, and then those of the same time: a cursor cannot divide them.
    fn batch(&self) -> FillBatch {
        let is_divisible = matches!(self.source.ask, Ask::Window { .. });
        let mut batch = FillBatch { rows: Vec::new(), known: 0, cursor_us: self.after_us, taken: 0 };
        let (mut bytes, mut last_us) = (0, 0);
        for (row, is_known) in &self.queue {
            let is_full = batch.rows.len() >= BATCH_ROWS || bytes >= BATCH_BYTES;
            if is_divisible && is_full && row.at_us > last_us {
                batch.cursor_us = row.at_us;
                break;
            }
            last_us = row.at_us;
            batch.taken += 1;
            if *is_known {
                batch.known += 1;
            } else {
                bytes += row.bytes.len();
                batch.rows.push(row.clone());
            }
        }
        batch
    }

    /// The end of a chunk that begins at the cursor, as a multiple of the unit of time.
    fn end_of_chunk(&self, job: &FillJob) -> u64 {
        let end_us = self.to_us.saturating_add(1);
        let wanted = match self.source.ask {
            Ask::Window { .. } => {
                let span = if job.span_us > 0 { job.span_us } else { self.source.span_ms * 1000 };
                let begin_us = job.cursor_us - job.cursor_us % self.source.unit_us;
                begin_us.saturating_add(span).min(end_us)
            }
            Ask::Day => {
                let next = session_date(job.cursor_us / 1000).saturating_add(1);
                return midnight(next).map_or(end_us, |ms| (ms * 1000).min(end_us)).max(job.cursor_us + 1);
            }
            Ask::Pages { .. } | Ask::State { .. } => return end_us,
        };
        wanted.next_multiple_of(self.source.unit_us).max(job.cursor_us + 1)
    }

    fn skip_days_without_session(&self, job: &mut FillJob) {
        while job.cursor_us <= self.to_us
            && crate::calendar::session_hours(session_date(job.cursor_us / 1000)).is_none()
        {
            let next = midnight(session_date(job.cursor_us / 1000).saturating_add(1));
            job.cursor_us = next.map_or(u64::MAX, |ms| ms.saturating_mul(1000)).max(job.cursor_us + 1);
        }
    }
}
