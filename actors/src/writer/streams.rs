//! What a writer knows of its streams: the last ID that Redis has given out, and commands in part.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use uw_websocket_core::event::{EntryId, Event, Outlet};

use super::store::resp::Commands;
use crate::queue::batch::EventBatch;

/// Streams that are remembered at most; beyond it all are forgotten and looked up again. Twice what routers remember.
const MAX_REMEMBERED: usize = 32_768;

/// A stream that this writer writes.
#[derive(Debug)]
pub struct StreamSlot {
    /// The highest ID that Redis has given out; `None` if it is to be asked.
    last: Option<EntryId>,
    /// The highest ID of the plan that is being made, and which one that is.
    planned: (u64, EntryId),
    /// Position of the stream's last entry in the transaction that is being encoded.
    pub last_entry: usize,
    /// The stream's key.
    pub key: Arc<str>,
    /// `XADD <key>`, encoded.
    pub xadd: Box<[u8]>,
    /// `XADD <key> MAXLEN ~ <cap>`, encoded; the same as `xadd` without a cap.
    pub xadd_capped: Box<[u8]>,
}

/// The place of a stream, as long as nothing is [forgotten](Streams::bound).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlotIndex(usize);

/// All streams of a writer.
#[derive(Debug, Default)]
pub struct Streams {
    index: HashMap<Arc<str>, SlotIndex, RandomState>,
    slots: Vec<StreamSlot>,
    plans: u64,
}

/// An entry to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Of which event of the batch.
    pub at: usize,
    /// Which of its outlets.
    pub outlet: usize,
    /// Which stream that is.
    pub stream: SlotIndex,
    /// Under which ID.
    pub id: EntryId,
}

impl Entry {
    /// The event and the outlet, in the batch that the entry was made of.
    ///
    /// # Panics
    /// If it was made of another one, which would shift all answers of Redis against their entries.
    #[must_use]
    pub fn of<'b>(&self, batch: &'b EventBatch) -> (&'b Event, &'b Arc<Outlet>) {
        let event = &batch.events()[self.at];
        (event, &event.route.outlets[self.outlet])
    }
}

/// What a batch comes to.
#[derive(Debug, Default)]
pub struct Plan {
    /// What can be written as it is, in order.
    pub entries: Vec<Entry>,
    /// What cannot: the IDs are not above the last ones of their streams.
    pub behind: Vec<Entry>,
}

impl Streams {
    /// Forgets everything when there is too much; only between batches.
    pub fn bound(&mut self) {
        if self.slots.len() > MAX_REMEMBERED {
            self.index.clear();
            self.slots.clear();
        }
    }

    /// Another Redis may answer, or the same one with less or more than it had: all streams are to be asked for again.
    pub fn forget_lasts(&mut self) {
        for slot in &mut self.slots {
            slot.last = None;
        }
    }

    /// Somebody else has written to the stream: it is to be asked for again.
    pub fn forget_last(&mut self, stream: SlotIndex) {
        self.slots[stream.0].last = None;
    }

    /// Learns a stream's last ID.
    pub fn learn(&mut self, stream: SlotIndex, last: EntryId) {
        self.slots[stream.0].last = Some(last);
    }

    /// The last ID of a stream that was asked for.
    #[must_use]
    pub fn last(&self, stream: SlotIndex) -> EntryId {
        self.slots[stream.0].last.unwrap_or_default()
    }

    /// Redis has taken an entry.
    pub fn wrote(&mut self, stream: SlotIndex, id: EntryId) {
        let last = &mut self.slots[stream.0].last;
        *last = (*last).max(Some(id));
    }

    /// The stream at a place.
    #[must_use]
    pub fn get(&self, stream: SlotIndex) -> &StreamSlot {
        &self.slots[stream.0]
    }

    /// The stream at a place, to note something of a transaction.
    pub fn get_mut(&mut self, stream: SlotIndex) -> &mut StreamSlot {
        &mut self.slots[stream.0]
    }

    /// The streams of a batch that are to be asked for, each once.
    #[must_use]
    pub fn unknown(&mut self, batch: &EventBatch) -> Vec<SlotIndex> {
        let mut unknown = Vec::new();
        let mut before: Option<&Arc<Outlet>> = None;
        for outlet in batch.events().iter().flat_map(|event| &event.route.outlets) {
            if before.is_some_and(|before| Arc::ptr_eq(before, outlet)) {
                continue;
            }
            before = Some(outlet);
            let at = self.place(outlet);
            if self.slots[at.0].last.is_none() && !unknown.contains(&at) {
                unknown.push(at);
            }
        }
        unknown
    }

    /// Plans the entries of a batch, all of whose streams are known, but for those that are not `wanted`.
    #[must_use]
    pub fn plan(&mut self, batch: &EventBatch, wanted: impl Fn(usize, usize) -> bool) -> Plan {
        self.plans += 1;
        let mut plan = Plan { entries: Vec::with_capacity(batch.len()), behind: Vec::new() };
        let mut before: Option<(&Arc<Outlet>, SlotIndex)> = None;
        for (at, event) in batch.events().iter().enumerate() {
            for (outlet_at, outlet) in event.route.outlets.iter().enumerate() {
                if !wanted(at, outlet_at) {
                    continue;
                }
                let stream = match before {
                    Some((before, place)) if Arc::ptr_eq(before, outlet) => place,
                    _ => self.place(outlet),
                };
                before = Some((outlet, stream));
                let entry = Entry { at, outlet: outlet_at, stream, id: event.ids.get(outlet_at) };
                let rises = self.slots[stream.0].plan(self.plans, entry.id);
                if rises { plan.entries.push(entry) } else { plan.behind.push(entry) }
            }
        }
        plan
    }

    /// The place of an outlet's stream.
    pub fn place(&mut self, outlet: &Outlet) -> SlotIndex {
        let slots = &mut self.slots;
        *self.index.entry_ref(&*outlet.stream).or_insert_with(|| {
            slots.push(StreamSlot::new(outlet));
            SlotIndex(slots.len() - 1)
        })
    }
}

impl StreamSlot {
    fn new(outlet: &Outlet) -> StreamSlot {
        let key = outlet.stream.as_bytes();
        let xadd = encoded(5, &[b"XADD", key]);
        let cap = outlet.maxlen.to_string();
        let xadd_capped = match outlet.maxlen {
            0 => xadd.clone(),
            _ => encoded(8, &[b"XADD", key, b"MAXLEN", b"~", cap.as_bytes()]),
        };
        StreamSlot {
            last: None,
            planned: (0, EntryId::default()),
            last_entry: 0,
            key: Arc::clone(&outlet.stream),
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

/// The beginning of a command of `args` arguments.
fn encoded(args: usize, first: &[&[u8]]) -> Box<[u8]> {
    let mut commands = Commands::default();
    commands.begin(args);
    for arg in first {
        commands.arg(arg);
    }
    commands.into_bytes().into()
}
