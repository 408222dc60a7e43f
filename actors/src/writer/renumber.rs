//! New IDs for entries whose own cannot be written any more, because the stream has gone past them: somebody else wrote
//! to it, or the clock of an earlier process was ahead.
//!
//! The whole backlog of the stream gets new ones, in its order, on the disk before anything is sent: after a kill -9 the
//! records say under which ID to look for each.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::disk::Reassignment;
use super::drain::{Drain, Left};
use super::ids::next_id;
use super::poison::{Fates, key_of};
use super::store::EntryStatus;
use super::transaction::{Entry, event_at, outlet_of};
use crate::event::{EntryId, Event, Outlet};
use crate::events;
use crate::messages::EventBatch;

/// Entries by the stream that they go to, in the order of arrival.
type ByStream<'b> = HashMap<&'b str, (&'b Arc<Outlet>, Vec<Entry>), RandomState>;

impl Drain {
    /// Of the entries that are `behind` their streams, those that an earlier life wrote are done. For the others, and for
    /// what follows them in their streams, new IDs are given; returns all that is to be written, in order.
    pub(super) async fn place_behind(
        &mut self,
        batches: &[EventBatch],
        planned: Vec<Entry>,
        behind: Vec<Entry>,
        fates: &mut Fates,
    ) -> Result<Vec<Entry>, Left> {
        let (doubtful, fresh): (Vec<Entry>, Vec<Entry>) =
            behind.into_iter().partition(|entry| self.is_doubtful(batches, entry));
        let statuses = self.statuses(batches, &doubtful).await?;
        let (stored, open): (Vec<_>, Vec<_>) =
            doubtful.into_iter().zip(statuses).partition(|(_, status)| *status == EntryStatus::Stored);
        let stored: Vec<Entry> = stored.into_iter().map(|(entry, _)| entry).collect();
        for entry in &stored {
            if let Some((_, outlet)) = outlet_of(batches, entry) {
                self.state.streams.slot(outlet).wrote(entry.id, true);
            }
        }
        let open: Vec<Entry> = open.into_iter().map(|(entry, _)| entry).chain(fresh).collect();
        let late = by_stream(batches, &open);
        let (affected, mut entries): (Vec<Entry>, Vec<Entry>) = planned.into_iter().partition(|entry| {
            outlet_of(batches, entry).is_some_and(|(_, outlet)| late.contains_key(&*outlet.stream))
        });
        let mut renumbered = [open.as_slice(), affected.as_slice()].concat();
        renumbered.sort_unstable_by_key(|entry| (entry.at, entry.outlet));
        entries.extend(self.renumber(batches, &renumbered, &stored, fates).await);
        entries.sort_unstable_by_key(|entry| (entry.at, entry.outlet));
        Ok(entries)
    }

    /// New IDs for entries that Redis refused for theirs, while it took the others of the transaction: those join what was
    /// `taken` before.
    pub(super) async fn renumber_passed(
        &mut self,
        batches: &[EventBatch],
        passed: Vec<Entry>,
        taken: &mut Vec<Entry>,
        fates: &mut Fates,
    ) -> Result<Vec<Entry>, Left> {
        if passed.is_empty() {
            return Ok(passed);
        }
        let outlets: Vec<&Outlet> =
            by_stream(batches, &passed).into_values().map(|(outlet, _)| &**outlet).collect();
        self.learn(&outlets).await?;
        let is_passed =
            |entry: &Entry| passed.iter().any(|one| (one.at, one.outlet) == (entry.at, entry.outlet));
        taken.extend(self.state.transaction.entries().iter().filter(|entry| !is_passed(entry)).copied());
        Ok(self.renumber(batches, &passed, taken, fates).await)
    }

    /// Whether an earlier life may have written the entry.
    fn is_doubtful(&self, batches: &[EventBatch], entry: &Entry) -> bool {
        let seq = seq_of(batches, entry);
        let on_disk = batches.get(entry.at.batch).and_then(EventBatch::on_disk);
        on_disk.zip(seq).is_some_and(|(on_disk, seq)| {
            self.state.doubtful.iter().any(|(disk, below)| *disk == on_disk.disk && seq < *below)
        })
    }

    /// Gives `entries` new IDs, and everything behind them in their streams; `done` are those of the same batches that
    /// Redis has.
    async fn renumber(
        &mut self,
        batches: &[EventBatch],
        entries: &[Entry],
        done: &[Entry],
        fates: &mut Fates,
    ) -> Vec<Entry> {
        let mut numbered = Vec::with_capacity(entries.len());
        for (outlet, entries) in by_stream(batches, entries).into_values() {
            let above = self.state.streams.slot(outlet).last;
            if self.state.passed_ids.is_due(Instant::now()) {
                events::id_passed(&self.log, &outlet.stream, above);
            }
            let mut last = above;
            for entry in &entries {
                let Some(event) = event_at(batches, entry.at) else { continue };
                match risen(last, entry.id, event) {
                    Some(id) => {
                        last = id;
                        numbered.push(Entry { id, ..*entry });
                    }
                    None => fates.quarantine(batches, entry, &format!("no entry id is left above {last}")),
                }
            }
            self.renumber_backlog(batches, outlet, &entries, done, (above, last)).await;
        }
        numbered.sort_unstable_by_key(|entry| (entry.at, entry.outlet));
        numbered
    }

    /// Gives the same IDs to the records of the entries, and higher ones to the rest of the stream's backlog.
    async fn renumber_backlog(
        &mut self,
        batches: &[EventBatch],
        outlet: &Arc<Outlet>,
        entries: &[Entry],
        done: &[Entry],
        (above, mut last): (EntryId, EntryId),
    ) {
        let Some(first) = entries.first() else { return };
        let batch = batches.get(first.at.batch);
        let disk = batch.and_then(EventBatch::on_disk).map(|on_disk| on_disk.disk.clone());
        if let Some(disk) = disk.or_else(|| self.disk.clone()) {
            let of_stream = |entry: &&Entry| {
                outlet_of(batches, entry).is_some_and(|(_, other)| other.stream == outlet.stream)
            };
            let skip: HashSet<u64> =
                done.iter().filter(of_stream).filter_map(|entry| seq_of(batches, entry)).collect();
            let channel = event_at(batches, first.at).map(|event| event.route.channel);
            let channel = channel.map(|index| self.observations.channel(index).channel.name().to_owned());
            let from = seq_of(batches, first);
            let asked = Reassignment {
                channel: channel.unwrap_or_default(),
                symbol: outlet.symbol.as_ref().map(ToString::to_string),
                from: from.unwrap_or_default(),
                skip,
                above: if from.is_some() { above } else { last },
            };
            match self.beat.during(disk.reassign(asked)).await {
                Ok(reassigned) => last = last.max(reassigned.last),
                // the rest is found to be behind when it is its turn; a kill -9 now may write these a second time
                Err(error) => events::spool_not_renumbered(&self.log, &outlet.stream, &error),
            }
        }
        self.backlog.forget_copies();
        self.backlog.change(|event| {
            let of_stream = |other: &Arc<Outlet>| other.stream == outlet.stream;
            if let Some(position) = event.route.outlets.iter().position(of_stream)
                && let Some(id) = risen(last, event.ids.get(position), event)
            {
                last = id;
                event.ids.set(position, id);
            }
        });
        self.numbering.borrow_mut().raise(&outlet.stream, last);
    }
}

/// The entry's own ID if it is above the last one, else the next one. The disk queue has the same rule.
fn risen(last: EntryId, own: EntryId, event: &Event) -> Option<EntryId> {
    if own > last { Some(own) } else { next_id(last, event.received_us / 1000).ok() }
}

/// The number of the entry's record, if it is on the disk.
fn seq_of(batches: &[EventBatch], entry: &Entry) -> Option<u64> {
    key_of(batches, entry.at).map(|(_, seq)| seq)
}

fn by_stream<'b>(batches: &'b [EventBatch], entries: &[Entry]) -> ByStream<'b> {
    let mut streams = ByStream::default();
    for entry in entries {
        if let Some((_, outlet)) = outlet_of(batches, entry) {
            streams.entry(&*outlet.stream).or_insert_with(|| (outlet, Vec::new())).1.push(*entry);
        }
    }
    streams
}
