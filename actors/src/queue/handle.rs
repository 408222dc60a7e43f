//! The handle of a queue.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use slog::{Logger, error};
use tokio::time::timeout;
use uw_websocket_core::duplicates::Duplicates;
use uw_websocket_core::event::{ChannelIndex, Destination, EntryId, Event};
use uw_websocket_core::ids::Numbering;
use uw_websocket_core::settings::KeySettings;
use uw_websocket_core::spool::Unrecordable;
use uw_websocket_core::tables::{MAX_STREAMS, share};

use super::backlog::{Backlog, Left, Lent, Position};
use super::batch::TransactionSize;
use super::books::Books;
use super::disk::{Disk, DiskError, DiskPosition};
use super::inbox::Inbox;
use super::kept::{DiskReader, Kept};
use super::losses;
use super::persistence::{APPEND_BYTES, Persistence, RETRY_EVERY, Step};
use super::record_decoder::RecordDecoder;
use super::shared::{Next, Shared, State, Supply, Transit};
use super::stored::{Stored, StoredStreams};
use crate::ledger::gap::Gap;
use crate::observation::{DropReason, Observations, Outcome, Place, Table};
use crate::settings::SpoolSettings;
use crate::sync::lock;

/// A queue; cheap to clone. Its methods may be called from any thread, but only one writer at a time may append,
/// and only one may peek and acknowledge.
#[derive(Clone, Debug)]
pub struct Queue(pub(super) Arc<Shared>);

/// Parts of a queue.
pub struct QueueParts {
    /// Its disk; `None` for a queue in memory only.
    pub disk: Option<Disk>,
    /// Position of its disk; records below the acknowledged number are stored.
    pub standing: Option<DiskPosition>,
    /// The highest ID of each stream among stored records still on disk.
    pub kept: std::collections::HashMap<Arc<str>, EntryId>,
    /// Whether it was left by an earlier process; such a queue accepts no more events.
    pub is_old: bool,
    /// Settings of the disk queue.
    pub settings: SpoolSettings,
    /// Maximum size of a lent batch.
    pub size: TransactionSize,
    /// Stream names.
    pub keys: KeySettings,
    /// Index of the shard that displays it.
    pub shard: usize,
    /// Lower bound of all IDs that it assigns.
    pub highest: EntryId,
    /// State and counters, also read by HTTP and the status page.
    pub observations: Arc<Observations>,
    /// Logger with the queue's name.
    pub log: Logger,
}

impl Queue {
    /// Creates a queue with a disk or in memory only.
    #[must_use]
    pub fn new(parts: QueueParts) -> Queue {
        let prefix = parts.keys.stream_prefix();
        let key = |name: &Arc<str>| format!("{prefix}{name}").into();
        let max_streams = share(MAX_STREAMS, parts.observations.writers.len());
        // those of removed records, and those of stored ones on disk
        let mut stored = StoredStreams::new(2 * max_streams);
        let next_record = parts.standing.as_ref().map_or(0, |standing| standing.next);
        for (name, id) in parts.standing.iter().flat_map(|standing| &standing.removed) {
            stored.note(&key(name), *id, false, next_record);
        }
        // of all streams, whichever shard they belong to now: a writer of one of them must detect what Redis has
        // lost
        for (name, id) in &parts.kept {
            stored.note(&key(name), *id, true, next_record);
        }
        let records = parts.standing.map_or(0..0, |standing| standing.acknowledged..standing.next);
        let (disk, shard, observations) = (parts.disk, parts.shard, parts.observations);
        let state = State {
            persistence: Persistence::new(disk.clone(), parts.settings.when_full, records.end),
            backlog: Backlog::of_records(parts.size, records),
            supply: if parts.is_old { Supply::Old } else { Supply::Live },
            duplicates: Duplicates::new(
                fastrand::u64(..),
                observations.channels.iter().map(|channel| &channel.channel),
            ),
            numbering: Numbering::above(parts.highest).bounded(max_streams),
            stored,
            unrecordable: VecDeque::new(),
        };
        let decoder = RecordDecoder::new(parts.keys, shard, parts.size, Arc::clone(&observations));
        Queue(Arc::new(Shared {
            name: disk.as_ref().map_or_else(|| format!("memory-{shard}").into(), |disk| disk.folder().into()),
            changed: disk.as_ref().map_or_else(Arc::default, Disk::answered),
            reader: disk.map(|disk| Arc::new(DiskReader::new(disk, decoder))),
            prefix,
            books: Books::new(observations, shard),
            log: parts.log,
            state: Mutex::new(state),
            turn: tokio::sync::Mutex::new(()),
        }))
    }

    /// Returns the name, unique within the process.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// Returns its disk; `None` for a queue in memory only.
    #[must_use]
    pub fn disk(&self) -> Option<&Disk> {
        self.0.disk()
    }

    // --- append -----------------------------------------------------------------------------------------------------

    /// Accepts delivered batches, which the queue owns from here on; returns whether there were any.
    pub fn accept(&self, inbox: &Inbox) -> bool {
        let state = &mut *lock(&self.0.state);
        let mut transit = Transit { batches: inbox.take(APPEND_BYTES).into(), books: &self.0.books };
        let is_news = !transit.batches.is_empty();
        while let Some(batch) = transit.batches.front_mut() {
            self.0.leave_out_duplicates(state, batch);
            batch.events_mut().iter_mut().for_each(|event| state.numbering.number(event));
            self.0.note_forgotten(state);
            self.0.leave_out_unrecordable(state, batch);
            // nothing awaits or panics between removal and push
            if let Some(batch) = transit.batches.pop_front().filter(|batch| !batch.is_empty()) {
                state.backlog.push(batch);
            }
        }
        self.0.show_oldest(state);
        is_news
    }

    /// Waits until all accepted events may be lent: they are on disk, or in memory if the disk fails. Cancel safe:
    /// the next caller continues.
    pub async fn keep(&self) {
        loop {
            let turn = self.0.turn().await;
            self.0.answered().await;
            let changed = self.0.changed.notified();
            let (step, is_news) = self.0.step();
            if is_news {
                self.0.changed.notify_waiters();
            }
            match step {
                Step::Done => return,
                Step::Asked => self.0.answered().await,
                Step::Room => {
                    drop(turn);
                    // the timeout bounds the wait only
                    drop(timeout(RETRY_EVERY, changed).await);
                }
            }
        }
    }

    /// Whether its whole content is on disk.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        lock(&self.0.state).backlog.is_safe()
    }

    /// Reopens the queue for a new writer.
    pub fn open(&self) {
        self.0.change_supply(Supply::Live);
    }

    /// Announces that the shard is closing: appends no longer wait for room.
    pub fn hurry(&self) {
        self.0.change_supply(Supply::Closing);
    }

    /// Announces that no more events will be accepted.
    pub fn close(&self) {
        self.0.change_supply(Supply::Closed);
    }

    /// Whether no more events will be accepted and everything is on disk, where it may stay.
    #[must_use]
    pub fn may_be_left(&self) -> bool {
        let state = lock(&self.0.state);
        state.supply == Supply::Closed && state.backlog.is_safe()
    }

    /// Drops the events that are in memory only, as at the end of a leadership term; returns their number.
    #[must_use]
    pub fn abandon(&self, reason: DropReason) -> u64 {
        let state = &mut *lock(&self.0.state);
        let unrecordable: Vec<Event> = state.unrecordable.drain(..).map(|(event, _)| event).collect();
        self.0.books.drop_events(&unrecordable, reason);
        let batches = state.backlog.take_memory();
        self.0.show_oldest(state);
        unrecordable.len() as u64 + self.0.books.drop_batches(&batches, reason)
    }

    /// Takes the losses to be recorded in the gap ledger.
    #[must_use]
    pub fn take_losses(&self) -> Vec<Gap> {
        let mut losses = self.0.books.take();
        if let Some(disk) = self.0.disk() {
            let mut damages = disk.take_damages();
            for damage in &mut damages {
                self.0.spare_copies(damage);
            }
            losses.extend(losses::settle(&damages, disk.folder(), &self.0.books.observations, &self.0.log));
        }
        losses
    }

    /// Adds losses found elsewhere.
    pub fn note_losses(&self, losses: Vec<Gap>) {
        self.0.books.note(losses);
    }

    /// Returns an event that does not fit into a record; the same one until it is [ended](Queue::end_unrecordable).
    #[must_use]
    pub fn unrecordable(&self) -> Option<(Event, Unrecordable)> {
        lock(&self.0.state).unrecordable.front().cloned()
    }

    /// Ends the event that does not fit into a record.
    pub fn end_unrecordable(&self, outcome: Outcome) {
        if let Some((event, _)) = lock(&self.0.state).unrecordable.pop_front() {
            self.0.books.channel(event.route.channel).end(Place::Memory, outcome, 1);
        }
    }

    // --- peek -------------------------------------------------------------------------------------------------------

    /// Waits for the next batch to write, and lends it; the same one until it is acknowledged. Cancel safe.
    pub async fn peek(&self) -> Result<Next, DiskError> {
        loop {
            // from here on changes are not missed
            let changed = self.0.changed.notified();
            let records = match self.0.lend() {
                Ok(Some(next)) => return Ok(next),
                Ok(None) => {
                    changed.await;
                    continue;
                }
                Err(records) => records,
            };
            let Some(reader) = &self.0.reader else { return Ok(Next::End) };
            let (batches, next) = reader.read(records.start, records.end).await?;
            self.0.note(Table::Routes, reader.take_forgotten());
            lock(&self.0.state).backlog.put_read(records.start, batches, next);
        }
    }

    /// Returns the memory of the batches ready to be lent, in bytes; bounded however large the backlog.
    #[must_use]
    pub fn ready_bytes(&self) -> usize {
        lock(&self.0.state).backlog.ready_bytes()
    }

    /// Whether the queue is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        lock(&self.0.state).backlog.is_empty()
    }

    /// Returns the position of the oldest event without an outcome; that of the next one accepted if there is none.
    #[must_use]
    pub fn begin(&self) -> Position {
        lock(&self.0.state).backlog.first()
    }

    /// Returns the position of the next event accepted, after all present ones.
    #[must_use]
    pub fn end(&self) -> Position {
        lock(&self.0.state).backlog.next()
    }

    /// Returns what Redis has stored from this queue, by stream.
    #[must_use]
    pub fn stored(&self) -> Vec<(Arc<str>, Stored)> {
        lock(&self.0.state).stored.all()
    }

    /// Returns the stored records still on disk, and the highest ID of each stream among removed ones.
    pub async fn kept(&self) -> Option<Kept> {
        let reader = self.0.reader.as_ref()?;
        let Ok(standing) = reader.disk().standing().await else {
            // an ended one keeps nothing
            lock(&self.0.state).stored.disk_is_gone();
            return None;
        };
        let state = &mut *lock(&self.0.state);
        for (name, id) in &standing.removed {
            let stream = format!("{}{name}", self.0.prefix).into();
            state.stored.note(&stream, *id, false, standing.next);
        }
        self.0.note_forgotten(state);
        let is_complete = !state.stored.is_incomplete_from(standing.kept_from);
        Some(Kept::new(Arc::clone(reader), &standing, is_complete))
    }

    /// Assigns IDs above `above` to the backlog of a stream, except the events in `skip`, which are stored. Lent
    /// events must be lent again. If the disk fails only the copies in memory are renumbered; the rest is detected
    /// when it is written.
    pub async fn reassign(
        &self,
        (index, destination): (ChannelIndex, &Destination),
        skip: HashSet<Position>,
        above: EntryId,
    ) {
        let _turn = self.0.turn().await;
        loop {
            self.0.answered().await;
            let state = &mut *lock(&self.0.state);
            if !state.persistence.is_asked() {
                let channel = self.0.books.channel(index).channel.name();
                self.0.persist(state, |persistence, work| {
                    persistence.reassign(work, (channel, destination), skip, above);
                });
                break;
            }
        }
        self.0.answered().await;
    }

    // --- ack --------------------------------------------------------------------------------------------------------

    /// Ends a lent batch: `outcome` returns the outcome of each event by its index, and `last_ids` has the last entry
    /// that Redis stored per stream.
    pub fn ack(&self, lent: &Lent, outcome: impl Fn(usize) -> Outcome, last_ids: Vec<(Arc<str>, EntryId)>) {
        self.ack_archiving(lent, &outcome, last_ids, |at| outcome(at) == Outcome::Stored);
    }

    /// Like [`Queue::ack`]; our archive takes only the events for which `is_ours` is true.
    pub fn ack_archiving(
        &self,
        lent: &Lent,
        outcome: impl Fn(usize) -> Outcome,
        last_ids: Vec<(Arc<str>, EntryId)>,
        is_ours: impl Fn(usize) -> bool,
    ) {
        let shared = &*self.0;
        let state = &mut *lock(&shared.state);
        let Some(Left { batch, record }) = state.backlog.acknowledge(lent.first) else {
            return error!(shared.log, "unknown acknowledgement"; "position" => lent.first);
        };
        shared.show_oldest(state);
        let place = if record.is_some() { Place::Disk } else { Place::Memory };
        for (at, event) in batch.events().iter().enumerate() {
            shared.books.channel(event.route.channel).end(place, outcome(at), 1);
        }
        let next_record = state.persistence.next_record();
        for (stream, id) in &last_ids {
            state.stored.note(stream, *id, record.is_some(), next_record);
        }
        shared.note_forgotten(state);
        if let Some(disk) = shared.disk() {
            let names = last_ids.into_iter().map(|(stream, id)| (shared.name_of(&stream), id));
            if disk.is_archived() {
                shared.note_unarchived(disk, record, &batch, is_ours);
            }
            match record {
                Some(record) => disk.acknowledge(record + batch.len() as u64, names),
                // never on disk, so a loss in Redis cannot be rewritten from there; that has to be known
                None => disk.note_unspooled(names),
            }
        }
        state.persistence.has_room();
        shared.changed.notify_waiters();
    }
}
