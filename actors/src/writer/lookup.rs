//! What is asked of Redis besides writing: where streams stand, and what became of entries.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashSet;

use super::drain::{Drain, Left};
use super::poison::Fates;
use super::store::fault::{Refusal, StoreFault};
use super::store::{EntryStatus, Refused};
use super::transaction::{Entry, outlet_of};
use crate::event::Outlet;
use crate::events;
use crate::messages::EventBatch;

impl Drain {
    /// Learns the last IDs of streams that are seen for the first time.
    pub(super) async fn look_up_streams(&mut self, batches: &[EventBatch]) -> Result<(), Left> {
        let mut unknown: Vec<&Outlet> = Vec::new();
        let mut seen = HashSet::<&str, RandomState>::default();
        for outlet in batches.iter().flat_map(EventBatch::events).flat_map(|event| &event.route.outlets) {
            if !self.state.streams.knows(outlet) && seen.insert(&outlet.stream) {
                unknown.push(outlet);
            }
        }
        self.learn(&unknown).await
    }

    pub(super) async fn learn(&mut self, outlets: &[&Outlet]) -> Result<(), Left> {
        while !outlets.is_empty() {
            self.beat.beat();
            match self.try_learn(outlets).await {
                Ok(()) => break,
                Err(fault) => self.retry_later(&fault).await?,
            }
        }
        Ok(())
    }

    pub(super) async fn try_learn(&mut self, outlets: &[&Outlet]) -> Result<(), StoreFault> {
        let streams: Vec<&str> = outlets.iter().map(|outlet| &*outlet.stream).collect();
        let last_ids = self.store.last_ids(&streams).await?;
        for (outlet, last) in outlets.iter().zip(last_ids) {
            self.state.streams.learn(outlet, last);
        }
        Ok(())
    }

    /// Looks up what became of an unanswered transaction and leaves in it only what is still to be written.
    pub(super) async fn was_written(&mut self, batches: &[EventBatch]) -> Result<bool, Left> {
        self.observed().unknown_outcomes.add(1);
        if !self.keys.streams {
            // it wrote nothing
            return Ok(false);
        }
        self.make_ready().await?;
        let last: Vec<Entry> = self.state.transaction.last_entries().collect();
        let statuses = self.statuses(batches, &last).await?;
        // an entry that was passed by is written all the same: Redis refuses it by itself, and it is looked up then
        let mut open = HashSet::<Arc<str>, RandomState>::default();
        for (entry, status) in last.iter().zip(statuses) {
            let Some((_, outlet)) = outlet_of(batches, entry) else { continue };
            if status == EntryStatus::Stored {
                let is_kept = batches.get(entry.at.batch).is_some_and(|batch| batch.on_disk().is_some());
                self.state.streams.slot(outlet).wrote(entry.id, is_kept);
                self.state.written.insert(Arc::clone(&outlet.stream), entry.id);
            } else {
                open.insert(Arc::clone(&outlet.stream));
            }
        }
        self.state.transaction.retain(|entry| {
            outlet_of(batches, entry).is_some_and(|(_, outlet)| open.contains(&*outlet.stream))
        });
        events::outcome_looked_up(&self.log, open.is_empty());
        Ok(open.is_empty())
    }

    /// Of refused entries those that must get a new ID. The others are stored already, or nobody can write them.
    pub(super) async fn passed_by(
        &mut self,
        batches: &[EventBatch],
        refused: Vec<(Entry, Refused)>,
        fates: &mut Fates,
    ) -> Result<Vec<Entry>, Left> {
        let mut passed = Vec::new();
        for (entry, refused) in refused {
            match refused.refusal {
                Refusal::IdTooSmall => passed.push(entry),
                _ => fates.quarantine(batches, &entry, &refused.text),
            }
        }
        if passed.is_empty() || !self.state.is_in_doubt {
            return Ok(passed);
        }
        let statuses = self.statuses(batches, &passed).await?;
        let open = passed.iter().zip(statuses).filter(|(_, status)| *status != EntryStatus::Stored);
        Ok(open.map(|(entry, _)| *entry).collect())
    }

    pub(super) async fn statuses(
        &mut self,
        batches: &[EventBatch],
        entries: &[Entry],
    ) -> Result<Vec<EntryStatus>, Left> {
        let questions: Vec<_> = entries
            .iter()
            .filter_map(|entry| {
                let (event, outlet) = outlet_of(batches, entry)?;
                Some((&*outlet.stream, entry.id, &event.payload[..]))
            })
            .collect();
        loop {
            self.beat.beat();
            match self.store.entry_statuses(&questions).await {
                Ok(statuses) => return Ok(statuses),
                Err(fault) => self.retry_later(&fault).await?,
            }
        }
    }
}
