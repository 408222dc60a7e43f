//! A single attempt to write the lent batch.

use std::sync::Arc;
use std::time::Instant;

use uw_websocket_core::event::EntryId;

use super::poison::Poison;
use super::reconciler::Reconciler;
use super::scope::WriterScope;
use super::session::Reconciled;
use super::store::cluster::queries::Missed;
use super::store::fault::{Refusal, StoreFault};
use super::streams::{Entry, SlotIndex};
use super::transaction::Transaction;
use crate::log_throttle::LogThrottle;
use crate::queue::backlog::{Lent, Position};

/// State between attempts.
#[derive(Debug, Default)]
pub struct Work {
    /// The commands; their buffer is reused.
    pub transaction: Transaction,
    /// How often the batch at a position has got new IDs.
    pub renumbered: (Position, u32),
    /// The position of a batch that is stored except for the streams of nodes that are away.
    pub held: Option<Position>,
    /// The position up to which the batches after it are stored in the same way.
    pub ahead: Position,
    /// Events before this position are written one by one: Redis closed the connection over one of them.
    pub singly_below: Position,
    /// The last entry of the lent batch that Redis stored, by stream.
    pub taken: Vec<(SlotIndex, EntryId)>,
    /// Time of the last check of Redis without events to write.
    pub looked_at: Option<Instant>,
    /// The address of Redis that was logged last.
    pub peer: String,
    /// Limits log messages of a disk that cannot be read.
    pub disk_faults: LogThrottle,
}

impl Work {
    /// Returns how often the lent batch has got new IDs.
    #[must_use]
    pub fn renumberings_of(&self, lent: &Lent) -> u32 {
        if self.renumbered.0 == lent.first { self.renumbered.1 } else { 0 }
    }

    /// Forgets what was written past a held batch: it is looked at again.
    pub fn forget_ahead(&mut self) {
        (self.held, self.ahead) = (None, 0);
    }

    /// Counts a reassignment of IDs.
    pub fn count_renumbering(&mut self, lent: &Lent) {
        self.renumbered = (lent.first, self.renumberings_of(lent) + 1);
    }
}

/// Parts of an attempt.
pub struct Attempt<'w> {
    /// Name of the lending queue.
    pub queue: &'w Arc<str>,
    /// The lent batch.
    pub lent: &'w Lent,
    /// Events that cannot be written.
    pub poison: &'w mut Poison,
    /// The known state of Redis.
    pub reconciler: &'w mut Reconciler,
    /// State between attempts.
    pub work: &'w mut Work,
    /// Shared parts of the writer's loops.
    pub scope: &'w WriterScope,
}

impl Attempt<'_> {
    /// Returns an attempt to write another lent batch of the same queue.
    pub fn at<'a>(&'a mut self, lent: &'a Lent) -> Attempt<'a> {
        Attempt {
            queue: self.queue,
            lent,
            poison: self.poison,
            reconciler: self.reconciler,
            work: self.work,
            scope: self.scope,
        }
    }

    /// Writes entries in one transaction, or event by event if one of them may be poison. Returns whether every
    /// outcome is known; if not, they have to be placed again.
    pub async fn write(&mut self, session: &mut Reconciled, entries: &[Entry]) -> Result<bool, StoreFault> {
        let (queue, lent) = (self.queue, self.lent);
        if !self.poison.is_suspicious(queue, lent) && lent.first >= self.work.singly_below {
            let written = self.write_group(session, entries).await;
            if is_unreadable(&written) {
                self.work.singly_below = lent.end();
            }
            return written;
        }
        let mut all_known = true;
        for event in entries.chunk_by(|one, next| one.at == next.at) {
            let Some(first) = event.first() else { continue };
            let at = lent.first + first.at as u64;
            if self.poison.is_deadly(queue, at) {
                self.poison.give_up(lent, first, "its handling has crashed the writer twice");
                continue;
            }
            let written = self.write_group(session, event).await;
            if let Err(StoreFault::Refused { refusal: Refusal::Unreadable, text }) = &written {
                self.poison.give_up(lent, first, text);
            }
            if written? {
                self.poison.acquit(queue, at);
            } else {
                all_known = false;
            }
        }
        Ok(all_known)
    }

    /// Writes entries in one transaction; returns whether every outcome is known.
    async fn write_group(&mut self, session: &mut Reconciled, entries: &[Entry]) -> Result<bool, StoreFault> {
        if entries.is_empty() && self.reconciler.writes_streams() {
            return Ok(true);
        }
        if !self.reconciler.announces(self.lent, entries).await {
            return Err(StoreFault::Unreachable("the ledger does not take what is late".to_owned()));
        }
        if !self.scope.gate.may_write() {
            // this may have outlasted the confirmation of the lease
            return Ok(false);
        }
        {
            let _handling = self.poison.handling(self.queue, span_of(self.lent, entries));
            self.scope
                .faults
                .strike_on(entries.iter().map(|entry| &entry.of(&self.lent.batch).0.payload[..]));
            self.work.transaction.encode(&self.lent.batch, entries, &mut self.reconciler.streams);
        }
        self.reconciler.sends(self.lent);
        let transaction = &self.work.transaction;
        let answer = session.connection().write(transaction.commands(), transaction.units()).await;
        let is_unknown = match &answer {
            Ok(missed) => missed.iter().any(|missed| missed.fault.is_unanswered()),
            Err(fault) => fault.is_unanswered(),
        };
        if is_unknown {
            self.scope.observed().unknown_outcomes.add(1);
        }
        let missed = answer?;
        self.scope.observed().transactions.add(1);
        self.note_answers(entries, &missed)
    }

    /// Records what Redis stored; returns whether every outcome is known.
    ///
    /// # Errors
    /// Redis refused an entry for a reason that is not the entry's, such as rights that were revoked before `EXEC`, or has
    /// not answered: it is written later.
    fn note_answers(&mut self, entries: &[Entry], missed: &[Missed]) -> Result<bool, StoreFault> {
        let streams = &mut self.reconciler.streams;
        if missed.is_empty() {
            for entry in self.work.transaction.last_ids().iter().map(|at| &entries[*at]) {
                streams.wrote(entry.stream, entry.id);
                self.work.taken.push((entry.stream, entry.id));
            }
            return Ok(true);
        }
        let mut transient = None;
        let mut all_missed = missed.iter().peekable();
        let mut all_known = true;
        for (command, entry) in entries.iter().enumerate() {
            let Some(missed) = all_missed.next_if(|missed| missed.command == command) else {
                streams.wrote(entry.stream, entry.id);
                self.work.taken.push((entry.stream, entry.id));
                continue;
            };
            match &missed.fault {
                StoreFault::Refused { refusal: Refusal::IdTooSmall, .. } => {
                    streams.forget_last(entry.stream);
                    all_known = false;
                }
                fault if missed.is_about_the_entry() => {
                    self.poison.give_up(self.lent, entry, fault.words());
                }
                fault => {
                    streams.forget_last(entry.stream);
                    transient.get_or_insert(fault);
                }
            }
        }
        transient.map_or(Ok(all_known), |fault| Err(fault.clone()))
    }
}

fn is_unreadable<T>(written: &Result<T, StoreFault>) -> bool {
    matches!(written, Err(StoreFault::Refused { refusal: Refusal::Unreadable, .. }))
}

/// Returns the range of positions from the first to the last of these entries.
fn span_of(lent: &Lent, entries: &[Entry]) -> (Position, Position) {
    match (entries.first(), entries.last()) {
        (Some(first), Some(last)) => (lent.first + first.at as u64, lent.first + last.at as u64 + 1),
        _ => (lent.first, lent.first),
    }
}
