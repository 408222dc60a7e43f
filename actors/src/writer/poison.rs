//! Events that nobody can write: they are put away in the quarantine file, and the others go on.
//!
//! Redis refuses one for a reason that will not go away, or cannot read it, or its handling has twice crashed the writer.
//! To find the last kind, a writer notes what it is handling where its next life can see it. After a crash these events
//! are handled one by one, so that a second crash names the one.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use slog::Logger;

use super::transaction::{Entry, EventAt, outlet_of};
use crate::error_chain::ErrorChain;
use crate::event::{Channel, ChannelIndex, EntryId};
use crate::events;
use crate::ledger::book::GapBook;
use crate::ledger::gap::{Gap, GapReason};
use crate::messages::EventBatch;
use crate::observation::{DropReason, Fate, Observations, lock, unix_micros};
use crate::quarantine::{self, Quarantine, QuarantineError};
use crate::sampled::Sampled;

/// Suspected events that are remembered: more than the largest transaction has.
const MAX_SUSPECTS: usize = 16_384;
/// The ledger gets what was rejected in this time as one entry: a key of the wrong type rejects every event of its stream.
const LEDGER_EVERY: Duration = Duration::from_secs(10);

/// A record, by its disk queue and number.
pub(super) type Key = (Arc<str>, u64);

/// What the lives of a writer know of crashes. Outlives them.
#[derive(Clone, Debug, Default)]
pub struct Crashes(Arc<Mutex<Suspects>>);

#[derive(Debug, Default)]
struct Suspects {
    /// Records being handled: queue, first and one behind the last.
    handled: Vec<(Arc<str>, u64, u64)>,
    /// How often the writer crashed over each.
    crashes: HashMap<Key, u8, RandomState>,
}

/// An event that nobody can write.
#[derive(Debug)]
struct Poisoned {
    reason: String,
    channel: ChannelIndex,
    stream: Arc<str>,
    id: EntryId,
    received_us: u64,
    payload: Bytes,
}

/// Events that will not be stored, and why.
#[derive(Debug, Default)]
pub struct Fates {
    reasons: HashMap<EventAt, Poisoned, RandomState>,
    fates: HashMap<EventAt, Fate, RandomState>,
}

impl Fates {
    /// The event of this entry cannot be written. Of several reasons the first one counts.
    pub fn quarantine(&mut self, batches: &[EventBatch], entry: &Entry, reason: &str) {
        let Some((event, outlet)) = outlet_of(batches, entry) else { return };
        self.reasons.entry(entry.at).or_insert_with(|| Poisoned {
            reason: reason.to_owned(),
            channel: event.route.channel,
            stream: Arc::clone(&outlet.stream),
            id: entry.id,
            received_us: event.received_us,
            payload: event.payload.clone(),
        });
    }

    /// What became of an event; `None` if it was stored.
    #[must_use]
    pub fn of(&self, batch: usize, event: usize) -> Option<Fate> {
        self.fates.get(&EventAt { batch, event }).copied()
    }
}

/// One life's view of what cannot be written.
#[derive(Debug)]
pub struct Poison {
    crashes: Crashes,
    quarantine: Arc<Mutex<Quarantine>>,
    observations: Arc<Observations>,
    refusals: Sampled,
    /// What was rejected and is not in the ledger yet: events, and their first and last receive time, by channel.
    rejected: HashMap<Channel, (u64, u64, u64), RandomState>,
    noted_at: Option<Instant>,
}

impl Poison {
    /// For a new life of a writer.
    #[must_use]
    pub fn new(
        crashes: Crashes,
        quarantine: Arc<Mutex<Quarantine>>,
        observations: Arc<Observations>,
    ) -> Poison {
        Poison {
            crashes,
            quarantine,
            observations,
            refusals: Sampled::default(),
            rejected: HashMap::default(),
            noted_at: None,
        }
    }

    /// Begins to handle one event, or all of the batches.
    pub fn begin(&self, batches: &[EventBatch], only: Option<EventAt>) {
        let mut suspects = lock(&self.crashes.0);
        suspects.handled.clear();
        match only {
            Some(at) => suspects.handled.extend(key_of(batches, at).map(|(disk, seq)| (disk, seq, seq + 1))),
            None => suspects
                .handled
                .extend(batches.iter().filter_map(EventBatch::range).map(|r| (r.disk.name(), r.from, r.to))),
        }
    }

    /// It is handled: what was a single event is no suspect any more.
    pub fn end(&self) {
        let mut suspects = lock(&self.crashes.0);
        let handled = std::mem::take(&mut suspects.handled);
        if !suspects.crashes.is_empty()
            && let [(disk, seq, next)] = &handled[..]
            && *next == seq + 1
        {
            suspects.crashes.remove(&(Arc::clone(disk), *seq));
        }
    }

    /// All of these have ended, in whatever way: none is a suspect any more.
    pub fn forget(&self, batches: &[EventBatch]) {
        let crashes = &mut lock(&self.crashes.0).crashes;
        if crashes.is_empty() {
            return;
        }
        for range in batches.iter().filter_map(EventBatch::range) {
            crashes.retain(|(disk, seq), _| {
                **disk != *range.disk.folder() || !(range.from..range.to).contains(seq)
            });
        }
    }

    /// Whether a crash came over one of these events.
    #[must_use]
    pub fn is_suspicious(&self, batches: &[EventBatch]) -> bool {
        let suspects = lock(&self.crashes.0);
        !suspects.crashes.is_empty()
            && batches.iter().filter_map(EventBatch::range).any(|range| {
                let name = range.disk.name();
                suspects
                    .crashes
                    .keys()
                    .any(|(disk, seq)| *disk == name && (range.from..range.to).contains(seq))
            })
    }

    /// Whether two crashes came over the event.
    #[must_use]
    pub fn has_struck_twice(&self, batches: &[EventBatch], at: EventAt) -> bool {
        let crashes = &lock(&self.crashes.0).crashes;
        key_of(batches, at).and_then(|key| crashes.get(&key)).is_some_and(|crashes| *crashes >= 2)
    }

    /// Puts the events away that cannot be written, and says of each what became of it.
    pub async fn put_away(&mut self, mut fates: Fates, gaps: &GapBook, log: &Logger) -> Fates {
        if !fates.reasons.is_empty() {
            let mut poisoned: Vec<(EventAt, Poisoned)> = fates.reasons.drain().collect();
            poisoned.sort_unstable_by_key(|(at, _)| *at);
            self.report(&poisoned, log);
            fates.fates = self.write(poisoned, log).await;
        }
        self.note_when_due(gaps);
        fates
    }

    fn report(&mut self, poisoned: &[(EventAt, Poisoned)], log: &Logger) {
        for (_, event) in poisoned {
            let channel = self.observations.channel(event.channel).channel.clone();
            let at = event.received_us;
            let (events, from, to) = self.rejected.entry(channel).or_insert((0, at, at));
            (*events, *from, *to) = (*events + 1, (*from).min(at), (*to).max(at));
        }
        if let Some((_, event)) = poisoned.first()
            && self.refusals.is_due(Instant::now())
        {
            events::event_rejected(log, &event.stream, &event.reason);
        }
    }

    /// Writes to the quarantine file, which may be slow, beside this thread.
    async fn write(
        &self,
        poisoned: Vec<(EventAt, Poisoned)>,
        log: &Logger,
    ) -> HashMap<EventAt, Fate, RandomState> {
        let lost = Fate::Dropped(DropReason::Rejected);
        let ats: Vec<EventAt> = poisoned.iter().map(|(at, _)| *at).collect();
        let (quarantine, observations) = (Arc::clone(&self.quarantine), Arc::clone(&self.observations));
        let written = tokio::task::spawn_blocking(move || {
            let mut quarantine = lock(&quarantine);
            let mut failure = None;
            let fates: HashMap<EventAt, Fate, RandomState> = poisoned
                .iter()
                .map(|(at, event)| match put(&mut quarantine, event, &observations) {
                    Ok(()) => (*at, Fate::Quarantined),
                    Err(error) => {
                        failure = Some(error);
                        (*at, lost)
                    }
                })
                .collect();
            (fates, failure)
        });
        let (fates, failure) = match written.await {
            Ok((fates, failure)) => (fates, failure.map(|error| ErrorChain::new(&error).to_string())),
            Err(error) => (ats.into_iter().map(|at| (at, lost)).collect(), Some(error.to_string())),
        };
        if let Some(error) = failure {
            events::quarantine_fails(log, &error);
        }
        fates
    }

    /// Enters in the ledger what was rejected, now and then; also to be called while nothing is written.
    pub fn note_when_due(&mut self, gaps: &GapBook) {
        let is_due = self.noted_at.is_none_or(|at| at.elapsed() >= LEDGER_EVERY);
        if !self.rejected.is_empty() && is_due {
            self.noted_at = Some(Instant::now());
            self.note(gaps);
        }
    }

    /// Enters in the ledger what was rejected, as before the end.
    pub fn note(&mut self, gaps: &GapBook) {
        for (channel, (events, from, to)) in self.rejected.drain() {
            let gap = Gap::new(channel.family(), vec![channel.to_string()], (from, to), GapReason::Rejected);
            gaps.note(gap.with_events(events));
        }
    }
}

impl Drop for Poison {
    fn drop(&mut self) {
        let mut suspects = lock(&self.crashes.0);
        let handled = std::mem::take(&mut suspects.handled);
        if !std::thread::panicking() {
            return;
        }
        for (disk, from, to) in handled {
            for seq in (from..to).take(MAX_SUSPECTS.saturating_sub(suspects.crashes.len())) {
                *suspects.crashes.entry((Arc::clone(&disk), seq)).or_insert(0) += 1;
            }
        }
    }
}

fn put(
    quarantine: &mut Quarantine,
    event: &Poisoned,
    observations: &Observations,
) -> Result<(), QuarantineError> {
    quarantine.put(&quarantine::Poison {
        at_us: unix_micros(),
        reason: &event.reason,
        channel: observations.channel(event.channel).channel.name(),
        entries: &[(&event.stream, event.id)],
        received_us: event.received_us,
        payload: &event.payload,
    })
}

/// The record of an event, if it is on the disk.
pub(super) fn key_of(batches: &[EventBatch], at: EventAt) -> Option<Key> {
    let on_disk = batches.get(at.batch)?.on_disk()?;
    Some((on_disk.disk.name(), on_disk.first + at.event as u64))
}

#[cfg(test)]
mod tests;
