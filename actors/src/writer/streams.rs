//! The writer's knowledge of its streams: the last ID assigned in Redis, and partly encoded commands.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use uw_websocket_core::event::{Destination, EntryId, Event};
use uw_websocket_core::slots::slot_of;
use uw_websocket_core::tables::MAX_STREAMS;

use super::store::cluster::connection::ReachableSlots;
use super::store::resp::Commands;
use crate::queue::batch::EventBatch;

/// A stream of this writer.
#[derive(Debug)]
pub struct StreamSlot {
    /// The highest ID assigned in Redis; `None` if it has to be queried.
    last: Option<EntryId>,
    /// Number of the current plan and its highest ID.
    planned: (u64, EntryId),
    /// Index of the stream's last entry in the transaction being encoded.
    pub last_entry: usize,
    /// The slot of the stream in a cluster.
    pub cluster_slot: u16,
    /// The stream's full key.
    pub key: Arc<str>,
    /// `XADD <key>`, encoded.
    pub xadd: Box<[u8]>,
    /// `XADD <key> MAXLEN ~ <cap>`, encoded; the same as `xadd` without a cap.
    pub xadd_capped: Box<[u8]>,
}

/// Index of a stream, valid until streams are [forgotten](Streams::bound).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotIndex(usize);

/// The streams of a writer.
#[derive(Debug)]
pub struct Streams {
    index: HashMap<Arc<str>, SlotIndex, RandomState>,
    slots: Vec<StreamSlot>,
    plans: u64,
    max: usize,
    /// Which of them can be written to now.
    reach: ReachableSlots,
}

impl Default for Streams {
    fn default() -> Streams {
        Streams {
            index: HashMap::default(),
            slots: Vec::new(),
            plans: 0,
            max: MAX_STREAMS,
            reach: ReachableSlots::All,
        }
    }
}

/// An entry to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Index of the event in the batch.
    pub at: usize,
    /// Index of the destination in the event's route.
    pub destination: usize,
    /// The destination's stream.
    pub stream: SlotIndex,
    /// The ID.
    pub id: EntryId,
}

impl Entry {
    /// Returns event and destination; `batch` must be the one that the entry was made from.
    ///
    /// # Panics
    /// If it is another batch, which would mismatch all replies of Redis and their entries.
    #[must_use]
    pub fn of<'b>(&self, batch: &'b EventBatch) -> (&'b Event, &'b Arc<Destination>) {
        let event = &batch.events()[self.at];
        (event, &event.route.destinations[self.destination])
    }
}

/// The plan of a batch.
#[derive(Debug, Default)]
pub struct Plan {
    /// Entries that can be written, in order.
    pub entries: Vec<Entry>,
    /// Entries that cannot: their IDs are not above the last ones of their streams.
    pub behind: Vec<Entry>,
    /// Whether entries were left out because the node of their stream is away.
    pub is_partial: bool,
}

impl Streams {
    /// Bounds the number of streams.
    #[must_use]
    pub fn bounded(self, max: usize) -> Streams {
        Streams { max, ..self }
    }

    /// Clears the streams if there are too many: their last IDs are queried again. Returns the number cleared. Call
    /// only between batches.
    pub fn bound(&mut self) -> u64 {
        if self.slots.len() <= self.max {
            return 0;
        }
        let forgotten = self.slots.len() as u64;
        (self.index, self.slots) = (HashMap::default(), Vec::new());
        forgotten
    }

    /// States which slots can be written to now.
    pub fn set_reach(&mut self, reach: ReachableSlots) {
        self.reach = reach;
    }

    /// Whether the stream of a key can be written to now.
    #[must_use]
    pub fn reaches(&self, key: &str) -> bool {
        self.reach == ReachableSlots::All || self.reach.has(slot_of(key.as_bytes()))
    }

    /// Forgets all last IDs: another Redis may respond, or the same one with less or more than before.
    pub fn forget_lasts(&mut self) {
        for slot in &mut self.slots {
            slot.last = None;
        }
    }

    /// Forgets a stream's last ID: another client has written to it.
    pub fn forget_last(&mut self, stream: SlotIndex) {
        self.slots[stream.0].last = None;
    }

    /// Sets a stream's last ID.
    pub fn learn(&mut self, stream: SlotIndex, last: EntryId) {
        self.slots[stream.0].last = Some(last);
    }

    /// Returns the last ID of a queried stream.
    #[must_use]
    pub fn last(&self, stream: SlotIndex) -> EntryId {
        self.slots[stream.0].last.unwrap_or_default()
    }

    /// Records a stored entry.
    pub fn wrote(&mut self, stream: SlotIndex, id: EntryId) {
        let last = &mut self.slots[stream.0].last;
        *last = (*last).max(Some(id));
    }

    /// Returns the stream at an index.
    #[must_use]
    pub fn get(&self, stream: SlotIndex) -> &StreamSlot {
        &self.slots[stream.0]
    }

    /// Returns the stream at an index, to record details of a transaction.
    pub fn get_mut(&mut self, stream: SlotIndex) -> &mut StreamSlot {
        &mut self.slots[stream.0]
    }

    /// Returns the distinct streams of a batch whose last IDs are unknown.
    #[must_use]
    pub fn unknown(&mut self, batch: &EventBatch) -> Vec<SlotIndex> {
        let mut unknown = Vec::new();
        let mut before: Option<&Arc<Destination>> = None;
        for destination in batch.events().iter().flat_map(|event| &event.route.destinations) {
            if before.is_some_and(|before| Arc::ptr_eq(before, destination)) {
                continue;
            }
            before = Some(destination);
            let at = self.place(destination);
            if self.slots[at.0].last.is_none() && self.reach.has(self.slots[at.0].cluster_slot) {
                unknown.push(at);
            }
        }
        // a batch may have thousands
        unknown.sort_unstable();
        unknown.dedup();
        unknown
    }

    /// Plans the `wanted` entries of a batch, all of whose streams are known.
    #[must_use]
    pub fn plan(&mut self, batch: &EventBatch, wanted: impl Fn(usize, usize) -> bool) -> Plan {
        self.plans += 1;
        let mut plan = Plan { entries: Vec::with_capacity(batch.len()), ..Plan::default() };
        let mut before: Option<(&Arc<Destination>, SlotIndex)> = None;
        for (at, event) in batch.events().iter().enumerate() {
            for (outlet_at, destination) in event.route.destinations.iter().enumerate() {
                if !wanted(at, outlet_at) {
                    continue;
                }
                let stream = match before {
                    Some((before, place)) if Arc::ptr_eq(before, destination) => place,
                    _ => self.place(destination),
                };
                before = Some((destination, stream));
                if !self.reach.has(self.slots[stream.0].cluster_slot) {
                    plan.is_partial = true;
                    continue;
                }
                let entry = Entry { at, destination: outlet_at, stream, id: event.ids.get(outlet_at) };
                let rises = self.slots[stream.0].plan(self.plans, entry.id);
                if rises { plan.entries.push(entry) } else { plan.behind.push(entry) }
            }
        }
        plan
    }

    /// Returns the index of an destination's stream, added if new.
    pub fn place(&mut self, destination: &Destination) -> SlotIndex {
        let slots = &mut self.slots;
        *self.index.entry_ref(&*destination.stream).or_insert_with(|| {
            slots.push(StreamSlot::new(destination));
            SlotIndex(slots.len() - 1)
        })
    }
}

impl StreamSlot {
    fn new(destination: &Destination) -> StreamSlot {
        let key = destination.stream.as_bytes();
        let xadd = encoded(5, &[b"XADD", key]);
        let cap = destination.maxlen.to_string();
        let xadd_capped = match destination.maxlen {
            0 => xadd.clone(),
            _ => encoded(8, &[b"XADD", key, b"MAXLEN", b"~", cap.as_bytes()]),
        };
        StreamSlot {
            last: None,
            planned: (0, EntryId::default()),
            last_entry: 0,
            cluster_slot: slot_of(key),
            key: Arc::clone(&destination.stream),
            xadd,
            xadd_capped,
        }
    }

    /// Plans an entry; false if its ID is not above the last one.
    fn plan(&mut self, number: u64, id: EntryId) -> bool {
        let (plan, planned) = self.planned;
        let last = self.last.unwrap_or_default();
        let last = if plan == number { planned.max(last) } else { last };
        let rises = id > last;
        if rises {
            self.planned = (number, id);
        }
        rises
    }
}

/// Encodes the beginning of a command with `args` arguments.
fn encoded(args: usize, first: &[&[u8]]) -> Box<[u8]> {
    let mut commands = Commands::default();
    commands.begin(args);
    for arg in first {
        commands.arg(arg);
    }
    commands.into_bytes().into()
}
