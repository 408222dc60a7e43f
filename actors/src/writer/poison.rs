//! Poison events: they are quarantined in a file, and the others continue.
//!
//! An event is poison if Redis permanently rejects it or cannot parse it, or if its handling has killed the writer
//! twice. To find the latter, a death during handling makes suspects of all events handled together. Suspects are
//! then handled one by one, so that a second death identifies the cause.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use slog::{Logger, error};
use uw_websocket_core::event::{ChannelIndex, Destination, EntryId, Event};
use uw_websocket_core::quarantine::{self, Quarantine, QuarantineError};

use super::streams::Entry;
use crate::error_chain::ErrorChain;
use crate::ledger::gap::Gap;
use crate::log_throttle::LogThrottle;
use crate::observation::{DropReason, Observations, Outcome};
use crate::queue::backlog::{Lent, Position};
use crate::queue::losses;
use crate::sync::lock;
use crate::wall_clock::unix_micros;

/// Maximum number of suspects: more than the largest transaction has.
const MAX_SUSPECTS: usize = 16_384;
/// Number of deaths that make an event poison.
const DEADLY: u8 = 2;

/// An event by queue and position.
type Key = (Arc<str>, Position);

/// Events during whose handling a writer died, with the number of deaths. Outlives the writers.
#[derive(Debug, Default)]
pub struct Suspects(HashMap<Key, u8, RandomState>);

/// Marks events as being handled by code that does not await. If it panics, they become suspects.
#[derive(Debug)]
pub struct Handling<'p> {
    suspects: &'p Mutex<Suspects>,
    queue: Arc<str>,
    from: Position,
    to: Position,
}

impl Drop for Handling<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut suspects = lock(self.suspects);
            let room = MAX_SUSPECTS.saturating_sub(suspects.0.len());
            for position in (self.from..self.to).take(room) {
                *suspects.0.entry((Arc::clone(&self.queue), position)).or_insert(0) += 1;
            }
        }
    }
}

/// A poison event.
#[derive(Debug)]
struct Poisoned {
    reason: String,
    channel: ChannelIndex,
    stream: Arc<str>,
    id: EntryId,
    received_us: u64,
    payload: Bytes,
}

/// The poison events of one writer's life.
#[derive(Debug)]
pub struct Poison {
    suspects: Arc<Mutex<Suspects>>,
    quarantine: Arc<Mutex<Quarantine>>,
    observations: Arc<Observations>,
    /// Events of the lent batch that will not be stored, with the reason.
    poisoned: HashMap<Position, Poisoned, RandomState>,
    /// Their entries, which are not tried again.
    given_up: HashSet<(Position, usize), RandomState>,
    refusals: LogThrottle,
}

impl Poison {
    /// Creates an empty state for a new writer.
    #[must_use]
    pub fn new(
        suspects: Arc<Mutex<Suspects>>,
        quarantine: Arc<Mutex<Quarantine>>,
        observations: Arc<Observations>,
    ) -> Poison {
        Poison {
            suspects,
            quarantine,
            observations,
            poisoned: HashMap::default(),
            given_up: HashSet::default(),
            refusals: LogThrottle::default(),
        }
    }

    /// Marks the events of a queue in a range of positions as being handled until this is dropped.
    #[must_use]
    pub fn handling(&self, queue: &Arc<str>, (from, to): (Position, Position)) -> Handling<'_> {
        Handling { suspects: &self.suspects, queue: Arc::clone(queue), from, to }
    }

    /// Whether a writer has died over any of these.
    #[must_use]
    pub fn is_suspicious(&self, queue: &Arc<str>, lent: &Lent) -> bool {
        let suspects = &lock(&self.suspects).0;
        let is_lent = |(of, at): &Key| of == queue && (lent.first..lent.end()).contains(at);
        !suspects.is_empty() && suspects.keys().any(is_lent)
    }

    /// Whether the event has killed so often that it must not be handled again.
    #[must_use]
    pub fn is_deadly(&self, queue: &Arc<str>, at: Position) -> bool {
        lock(&self.suspects).0.get(&(Arc::clone(queue), at)).is_some_and(|deaths| *deaths >= DEADLY)
    }

    /// Clears a suspect: it was handled without a death.
    pub fn acquit(&self, queue: &Arc<str>, at: Position) {
        lock(&self.suspects).0.remove(&(Arc::clone(queue), at));
    }

    /// Forgets the events of a batch that has ended.
    pub fn forget(&mut self, queue: &Arc<str>, lent: &Lent) {
        let is_lent = |at: Position| (lent.first..lent.end()).contains(&at);
        let suspects = &mut lock(&self.suspects).0;
        if !suspects.is_empty() {
            suspects.retain(|(of, at), _| of != queue || !is_lent(*at));
        }
        self.given_up.retain(|(at, _)| !is_lent(*at));
    }

    /// Marks the entry of an event as impossible to write. Of several reasons the first one counts.
    pub fn give_up(&mut self, lent: &Lent, entry: &Entry, reason: &str) {
        let (event, destination) = entry.of(&lent.batch);
        let at = lent.first + entry.at as u64;
        self.given_up.insert((at, entry.destination));
        self.poisoned.entry(at).or_insert_with(|| Poisoned::new(event, destination, entry.id, reason));
    }

    /// Returns whether an entry of a lent batch, by its event and destination, is still to be written.
    pub fn wanted(&self, lent: &Lent) -> impl Fn(usize, usize) -> bool {
        let first = lent.first;
        move |at, destination| !self.has_given_up(first + at as u64, destination)
    }

    /// Whether an entry must not be tried again.
    #[must_use]
    pub fn has_given_up(&self, at: Position, destination: usize) -> bool {
        !self.given_up.is_empty() && self.given_up.contains(&(at, destination))
    }

    /// Quarantines the poison events of a lent batch; returns their outcomes and the losses.
    pub async fn put_away(&mut self, lent: &Lent, log: &Logger) -> (PutAway, Vec<Gap>) {
        if self.poisoned.is_empty() {
            return (PutAway::default(), Vec::new());
        }
        let range = lent.first..lent.end();
        let mut poisoned: Vec<(Position, Poisoned)> =
            self.poisoned.extract_if(|at, _| range.contains(at)).collect();
        poisoned.sort_unstable_by_key(|(at, _)| *at);
        if let Some((_, first)) = poisoned.first()
            && self.refusals.is_due(Instant::now())
        {
            error!(log, "event rejected"; "stream" => &first.stream, "reason" => &first.reason);
        }
        let losses = self.losses(&poisoned);
        let fates = self.write(poisoned, log).await;
        let at = |(position, outcome): (Position, Outcome)| {
            usize::try_from(position - lent.first).ok().map(|at| (at, outcome))
        };
        (PutAway(fates.into_iter().filter_map(at).collect()), losses)
    }

    /// Quarantines one event that is in no queue.
    pub async fn put_event_away(&mut self, event: &Event, reason: &str, log: &Logger) -> (Outcome, Vec<Gap>) {
        let Some(destination) = event.route.destinations.first() else {
            return (Outcome::Dropped(DropReason::Rejected), Vec::new());
        };
        let poisoned = vec![(0, Poisoned::new(event, destination, event.ids.get(0), reason))];
        let losses = self.losses(&poisoned);
        let fates = self.write(poisoned, log).await;
        let outcome = fates.first().map_or(Outcome::Dropped(DropReason::Rejected), |(_, outcome)| *outcome);
        (outcome, losses)
    }

    /// Returns a gap per channel with the number of events and their time range.
    fn losses(&self, poisoned: &[(Position, Poisoned)]) -> Vec<Gap> {
        let mut channels: HashMap<ChannelIndex, (u64, u64, u64), RandomState> = HashMap::default();
        for (_, event) in poisoned {
            let at = event.received_us;
            let (events, from, to) = channels.entry(event.channel).or_insert((0, at, at));
            (*events, *from, *to) = (*events + 1, (*from).min(at), (*to).max(at));
        }
        let gap = |(channel, (events, from, to)): (ChannelIndex, (u64, u64, u64))| {
            let name = self.observations.channel(channel).channel.to_string();
            losses::of_channels([(name, events)], (from, to), DropReason::Rejected)
        };
        channels.into_iter().flat_map(gap).collect()
    }

    /// Writes to the quarantine file, which may be slow, on another thread.
    async fn write(&self, poisoned: Vec<(Position, Poisoned)>, log: &Logger) -> Vec<(Position, Outcome)> {
        let lost = Outcome::Dropped(DropReason::Rejected);
        let ats: Vec<Position> = poisoned.iter().map(|(at, _)| *at).collect();
        let (quarantine, observations) = (Arc::clone(&self.quarantine), Arc::clone(&self.observations));
        let written = tokio::task::spawn_blocking(move || {
            let mut quarantine = lock(&quarantine);
            let mut failure = None;
            let fates: Vec<(Position, Outcome)> = poisoned
                .iter()
                .map(|(at, event)| match put(&mut quarantine, event, &observations) {
                    Ok(()) => (*at, Outcome::Quarantined),
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
            error!(log, "quarantine fails"; "error" => &error);
        }
        fates
    }
}

/// Outcomes of poison events, by index in the batch.
#[derive(Debug, Default)]
pub struct PutAway(HashMap<usize, Outcome, RandomState>);

impl PutAway {
    /// Whether an event was stored.
    #[must_use]
    pub fn is_stored(&self, at: usize) -> bool {
        !self.0.contains_key(&at)
    }

    /// Returns the outcome of an event; stored unless it is poison.
    #[must_use]
    pub fn outcome_of(&self, at: usize) -> Outcome {
        self.0.get(&at).copied().unwrap_or(Outcome::Stored)
    }
}

impl Poisoned {
    fn new(event: &Event, destination: &Destination, id: EntryId, reason: &str) -> Poisoned {
        Poisoned {
            reason: reason.to_owned(),
            channel: event.route.channel,
            stream: Arc::clone(&destination.stream),
            id,
            received_us: event.received_us,
            payload: event.payload.clone(),
        }
    }
}

fn put(
    quarantine: &mut Quarantine,
    event: &Poisoned,
    observations: &Observations,
) -> Result<(), QuarantineError> {
    quarantine.put(&quarantine::QuarantinedEvent {
        at_us: unix_micros(),
        reason: &event.reason,
        channel: observations.channel(event.channel).channel.name(),
        entries: &[(&event.stream, event.id)],
        received_us: event.received_us,
        payload: &event.payload,
    })
}

#[cfg(test)]
mod tests;
