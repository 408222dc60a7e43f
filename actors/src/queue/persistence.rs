//! Persists accepted events, and bypasses a failing disk.
//!
//! At most one request to the disk is in flight. It is stored here, so that any caller can process its answer: the
//! requester may have died.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slog::{Logger, error, info};
use uw_websocket_core::event::{Destination, EntryId};
use uw_websocket_core::ids::Numbering;
use uw_websocket_core::spool::{Dropped, Reassigned, Records, SpoolError};

use super::backlog::{Backlog, Position, Span};
use super::batch::EventBatch;
use super::books::Books;
use super::disk::{Answer, Appended, Collect, Disk, DiskError, DiskPosition, Reassignment};
use crate::error_chain::ErrorChain;
use crate::log_throttle::LogThrottle;
use crate::observation::DropReason;
use crate::settings::WhenFull;
use crate::sync::lock;

/// Maximum bytes per append: some milliseconds of work for the disk's thread, so that no request waits long behind
/// it.
pub(super) const APPEND_BYTES: usize = 2 * 1024 * 1024;
/// Maximum bytes of copies of records, per shard: five usual transactions of 512 trades. There are fewer while
/// Redis keeps up; further records are read from the page cache.
const COPIED_BYTES: usize = 2 * 1024 * 1024;
/// Maximum bytes ready in memory only, per shard: two transactions of the largest weight.
const READY_BYTES: usize = 8 * 1024 * 1024;
/// The same limit over all shards together.
const READY_BYTES_OF_ALL: usize = 32 * 1024 * 1024;
/// Interval at which a failed disk is retried, and a full one checked.
pub(super) const RETRY_EVERY: Duration = Duration::from_millis(200);

/// The progress of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Everything may be lent.
    Done,
    /// A request to the disk is in flight.
    Asked,
    /// Waiting for room.
    Room,
}

/// The context of a persistence step.
pub(super) struct Work<'q> {
    /// Content of the queue.
    pub backlog: &'q mut Backlog,
    /// Assigns IDs.
    pub numbering: &'q mut Numbering,
    /// Whether to wait for room; false while the shard is closing.
    pub may_wait: bool,
    /// Counters and losses.
    pub books: &'q Books,
    /// Logger of the queue.
    pub log: &'q Logger,
}

/// The state of a queue's disk.
#[derive(Debug)]
pub(super) struct Persistence {
    disk: Option<Disk>,
    when_full: WhenFull,
    /// Number of the next record.
    next_record: u64,
    question: Option<Question>,
    fault: Option<DiskFault>,
    /// Time since which the disk queue is full and room is awaited.
    full_since: Option<Instant>,
    failures: LogThrottle,
    overflows: LogThrottle,
}

/// A request that changes the disk.
#[derive(Debug)]
enum Question {
    Append {
        spans: Vec<Span>,
        answer: Answer<Appended>,
    },
    MakeRoom {
        answer: Answer<Result<Option<Dropped>, SpoolError>>,
    },
    /// After a failure: whatever could not be synced may exist nevertheless.
    DiskPosition {
        answer: Answer<DiskPosition>,
    },
    Reassign {
        stream: Arc<str>,
        skip: HashSet<Position>,
        above: EntryId,
        answer: Answer<Result<Reassigned, SpoolError>>,
    },
}

/// The disk does not accept appends.
#[derive(Debug)]
struct DiskFault {
    since: Instant,
    /// Time of the next attempt.
    retry_at: Instant,
    /// Whether its position is known since the failure.
    is_known: bool,
}

/// Nothing in a full disk queue may be dropped.
#[derive(Debug, thiserror::Error)]
#[error("the disk queue is full of what is being written")]
struct NoRoom;

impl Persistence {
    /// Creates the persistence of a queue with a disk or in memory only.
    #[must_use]
    pub(super) fn new(disk: Option<Disk>, when_full: WhenFull, next_record: u64) -> Persistence {
        Persistence {
            disk,
            when_full,
            next_record,
            question: None,
            fault: None,
            full_since: None,
            failures: LogThrottle::default(),
            overflows: LogThrottle::default(),
        }
    }

    /// Returns the number of the next record.
    #[must_use]
    pub(super) fn next_record(&self) -> u64 {
        self.next_record
    }

    /// Whether an answer is pending.
    #[must_use]
    pub(super) fn is_asked(&self) -> bool {
        self.question.is_some()
    }

    /// Whether the records are changing: copies are stale, or the next records are being dropped.
    #[must_use]
    pub(super) fn is_changing(&self) -> bool {
        matches!(self.question, Some(Question::Reassign { .. } | Question::MakeRoom { .. }))
    }

    /// Records that something has left the disk queue, so there may be room.
    pub(super) fn has_room(&mut self) {
        self.full_since = None;
    }

    /// Advances accepted events to where they may be lent from; `collect` builds the records of an append when the
    /// disk gets to it. Returns also whether anything became ready.
    pub(super) fn step(&mut self, work: &mut Work<'_>, collect: impl FnOnce() -> Collect) -> (Step, bool) {
        let now = Instant::now();
        if work.backlog.is_safe() {
            return (Step::Done, false);
        }
        if self.question.is_some() {
            return (Step::Asked, false);
        }
        let Some(disk) = &self.disk else { return self.bypass(work) };
        // whether the disk queue was full a moment ago, and nothing has left it since
        let is_full = |since: Instant| now.duration_since(since) < RETRY_EVERY;
        if work.may_wait && self.full_since.is_some_and(is_full) {
            return (Step::Room, false);
        }
        self.question = Some(match &self.fault {
            Some(fault) if now < fault.retry_at => return self.bypass(work),
            Some(fault) if !fault.is_known => Question::DiskPosition { answer: disk.ask_position() },
            Some(_) | None => Question::Append { spans: Vec::new(), answer: disk.append(collect()) },
        });
        (Step::Asked, false)
    }

    /// Selects, on the disk's thread, the records of an append, oldest first.
    pub(super) fn collect(&mut self, backlog: &Backlog, records: &mut Records) -> Vec<Arc<EventBatch>> {
        records.clear(self.next_record);
        let (unspooled, batches) =
            backlog.unspooled(APPEND_BYTES).map(|(span, batch)| (span, Arc::clone(batch))).unzip();
        if let Some(Question::Append { spans, .. }) = &mut self.question {
            *spans = unspooled;
        }
        batches
    }

    /// Requests new IDs on disk; without a disk assigns them immediately.
    pub(super) fn reassign(
        &mut self,
        work: &mut Work<'_>,
        (channel, destination): (&str, &Destination),
        skip: HashSet<Position>,
        above: EntryId,
    ) {
        let Some(disk) = &self.disk else {
            let last = work.backlog.renumber(&destination.stream, &skip, above);
            return work.numbering.raise(&destination.stream, last);
        };
        let answer = disk.reassign(Reassignment {
            channel: channel.to_owned(),
            symbol: destination.symbol.as_ref().map(ToString::to_string),
            skip: work.backlog.records_of(&skip),
            above,
        });
        self.question =
            Some(Question::Reassign { stream: Arc::clone(&destination.stream), skip, above, answer });
    }

    /// Applies the pending answer if it has arrived; returns whether it has.
    pub(super) fn hear(&mut self, work: &mut Work<'_>) -> bool {
        let Some(mut question) = self.question.take() else { return false };
        let is_heard = match &mut question {
            Question::Append { spans, answer } => {
                answer.take().map(|appended| self.appended(work, spans, appended.flatten()))
            }
            Question::MakeRoom { answer } => {
                answer.take().map(|dropped| self.made_room(work, dropped.and_then(|dropped| Ok(dropped?))))
            }
            Question::DiskPosition { answer } => answer.take().map(|standing| self.stands(work, standing)),
            Question::Reassign { stream, skip, above, answer } => answer.take().map(|reassigned| {
                let reassigned = reassigned.and_then(|reassigned| Ok(reassigned?));
                self.reassigned(work, stream, skip, (*above, reassigned));
            }),
        };
        if is_heard.is_none() {
            self.question = Some(question);
        }
        is_heard.is_some()
    }

    /// Requests room, without an answer during the test.
    #[cfg(test)]
    pub(super) fn make_room_for_ever(&mut self) {
        self.question = Some(Question::MakeRoom { answer: Answer::never() });
    }

    /// Ends [`Persistence::make_room_for_ever`].
    #[cfg(test)]
    pub(super) fn forget_question(&mut self) {
        self.question = None;
    }

    fn stands(&mut self, work: &Work<'_>, standing: Result<DiskPosition, DiskError>) {
        match standing {
            Ok(standing) => {
                self.next_record = standing.next;
                if let Some(fault) = &mut self.fault {
                    fault.is_known = true;
                }
            }
            Err(error) => self.failed(work, &error),
        }
    }

    fn appended(&mut self, work: &mut Work<'_>, spans: &[Span], appended: Result<(), DiskError>) {
        match appended {
            Ok(()) => {
                let first = self.next_record;
                self.next_record += spans.iter().map(|span| span.len).sum::<u64>();
                let books = work.books;
                let left = work.backlog.appended(spans, first, share_of(COPIED_BYTES, books), |batch| {
                    let latency = &books.observed().append_latency;
                    latency.observe(batch.read_at().instant.elapsed(), batch.len() as u64);
                    for event in batch.events() {
                        books.channel(event.route.channel).spool(1);
                    }
                });
                if let (Some(below), Some(disk)) = (left, &self.disk) {
                    // it was stored from memory meanwhile
                    disk.acknowledge(below, []);
                }
                self.works(work);
            }
            Err(DiskError::Spool(SpoolError::Full { needed, .. })) if self.make_room(work, needed) => {}
            Err(error) => self.failed(work, &error),
        }
    }

    /// Handles a full disk queue: makes room or starts to wait for it; false if no room can be made.
    fn make_room(&mut self, work: &mut Work<'_>, bytes: u64) -> bool {
        match (self.when_full, &self.disk) {
            (WhenFull::Block, _) => {
                self.full_since = work.may_wait.then(Instant::now);
                work.may_wait
            }
            (WhenFull::DropOldest, Some(disk)) => {
                work.backlog.forget_copies();
                // lent records may be stored already: they stay
                let answer = disk.drop_oldest(work.backlog.lent_records(), bytes);
                self.question = Some(Question::MakeRoom { answer });
                true
            }
            (WhenFull::DropOldest, None) => false,
        }
    }

    fn made_room(&mut self, work: &mut Work<'_>, dropped: Result<Option<Dropped>, DiskError>) {
        match dropped {
            Ok(Some(dropped)) => {
                work.backlog.drop_records(dropped.first_seq..dropped.last_seq + 1);
                let events = work.books.drop_oldest(dropped);
                self.note_overflow(work, events);
            }
            Ok(None) => self.failed(work, &NoRoom),
            Err(error) => self.failed(work, &error),
        }
    }

    /// Makes pending events ready in memory, within the bound; returns also whether anything became ready.
    fn bypass(&mut self, work: &mut Work<'_>) -> (Step, bool) {
        let share = share_of(READY_BYTES, work.books);
        let mut is_news = false;
        while let Some(bytes) = work.backlog.pending_bytes() {
            let is_over =
                |backlog: &Backlog| backlog.ready_bytes() > 0 && backlog.ready_bytes() + bytes > share;
            if is_over(work.backlog) {
                // records can be read from disk again
                work.backlog.forget_copies();
            }
            if is_over(work.backlog) {
                if self.when_full == WhenFull::DropOldest {
                    let dropped = work.backlog.drop_memory(bytes);
                    if !dropped.is_empty() {
                        let events = work.books.drop_batches(&dropped, DropReason::SpoolFull);
                        self.note_overflow(work, events);
                        continue;
                    }
                }
                if work.may_wait {
                    return (Step::Room, is_news);
                }
            }
            work.backlog.bridge();
            is_news = true;
        }
        (Step::Done, is_news)
    }

    fn reassigned(
        &mut self,
        work: &mut Work<'_>,
        stream: &Arc<str>,
        skip: &HashSet<Position>,
        (above, reassigned): (EntryId, Result<Reassigned, DiskError>),
    ) {
        let last = match reassigned {
            Ok(Reassigned { last, .. }) => {
                work.backlog.forget_all_copies();
                work.backlog.renumber(stream, skip, last)
            }
            Err(error) => {
                // the rest is detected when it is written; a kill -9 now may write these twice
                if self.failures.is_due(Instant::now()) {
                    error!(work.log, "disk queue not renumbered";
                        "stream" => stream, ErrorChain::new(&error));
                }
                work.backlog.renumber_copies(stream, skip, above)
            }
        };
        work.numbering.raise(stream, last);
    }

    fn note_overflow(&mut self, work: &Work<'_>, events: u64) {
        if self.overflows.is_due(Instant::now()) {
            error!(work.log, "disk queue full"; "dropped" => events);
        }
    }

    fn works(&mut self, work: &Work<'_>) {
        if let Some(fault) = self.fault.take() {
            *lock(&work.books.observed().spool_fault) = None;
            info!(work.log, "disk queue works again"; "after_s" => fault.since.elapsed().as_secs_f64());
        }
    }

    fn failed<E: std::error::Error + 'static>(&mut self, work: &Work<'_>, error: &E) {
        let now = Instant::now();
        let since = self.fault.as_ref().map_or(now, |fault| fault.since);
        self.fault = Some(DiskFault { since, retry_at: now + RETRY_EVERY, is_known: false });
        let error = ErrorChain::new(error).to_string();
        if self.failures.is_due(now) {
            error!(work.log, "disk queue fails";
                "error" => &error, "for_s" => now.duration_since(since).as_secs());
        }
        *lock(&work.books.observed().spool_fault) = Some(error);
    }
}

/// Returns a shard's share of a bound: `bytes`, reduced if there are many shards.
fn share_of(bytes: usize, books: &Books) -> usize {
    bytes.min(READY_BYTES_OF_ALL / books.observations.writers.len().max(1))
}
