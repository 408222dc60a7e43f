//! The late events of the lent batch: those received before another instance was the owner.
//!
//! They are stored behind what that instance stored, each once, and the ledger tells their interval.

use std::collections::{BTreeMap, BTreeSet};

use uw_websocket_core::event::ChannelIndex;

use super::streams::Entry;
use crate::ledger::gap::{Gap, GapReason, family_of};
use crate::ledger::left_queue::Late;
use crate::observation::Observations;
use crate::queue::backlog::{Lent, Position};

/// What the ledger says of late events.
const DETAIL: &str = "received before another instance was the owner, stored behind what that one stored";

/// What has become of the late events of the lent batch, by their index.
#[derive(Debug, Default)]
pub struct LateEvents {
    first: Position,
    /// Events of which an entry was sent.
    sent: BTreeSet<usize>,
    /// Entries, by event and destination, that another instance has stored.
    doubles: BTreeSet<(usize, usize)>,
}

impl LateEvents {
    fn of(&mut self, lent: &Lent) -> &mut LateEvents {
        if self.first != lent.first {
            *self = LateEvents { first: lent.first, ..LateEvents::default() };
        }
        self
    }

    /// Notes the entries that another instance has stored.
    pub fn found(&mut self, lent: &Lent, doubles: BTreeSet<(usize, usize)>) {
        self.of(lent).doubles = doubles;
    }

    /// Notes the entries about to be sent.
    pub fn sends(&mut self, lent: &Lent, late: Late, entries: &[Entry]) {
        let is_late = |entry: &&Entry| entry.of(&lent.batch).0.received_us < late.before;
        self.of(lent).sent.extend(entries.iter().filter(is_late).map(|entry| entry.at));
    }

    /// Whether another instance has stored the event.
    #[must_use]
    pub fn is_double(&self, at: usize) -> bool {
        !self.sent.contains(&at) && self.doubles.range((at, 0)..=(at, usize::MAX)).next().is_some()
    }

    /// Counts the events now stored, and returns an entry of the ledger for each channel.
    pub fn told(
        &self,
        lent: &Lent,
        observations: &Observations,
        is_stored: impl Fn(usize) -> bool,
    ) -> Vec<Gap> {
        let mut channels: BTreeMap<ChannelIndex, (u64, u64, u64)> = BTreeMap::new();
        for at in self.sent.iter().copied().filter(|at| is_stored(*at)) {
            let Some(event) = lent.batch.events().get(at) else { continue };
            let received = event.received_us;
            let (events, from, to) = channels.entry(event.route.channel).or_insert((0, received, received));
            (*events, *from, *to) = (*events + 1, (*from).min(received), (*to).max(received));
        }
        let gap = |(index, (events, from, to))| {
            let channel = observations.channel(index);
            channel.late.add(events);
            let name = channel.channel.to_string();
            Gap::new(family_of(&name), vec![name], (from, to), GapReason::Late)
                .with_events(events)
                .with_detail(DETAIL)
        };
        channels.into_iter().map(gap).collect()
    }
}
