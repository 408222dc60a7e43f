//! What a writer remembers of its streams: the last ID, and commands in part.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::store::resp::Commands;
use crate::event::{EntryId, Outlet};

/// Streams that are remembered at most; beyond it all are forgotten and looked up again. Twice what routers remember.
const MAX_REMEMBERED: usize = 32_768;

/// A stream that this writer writes.
#[derive(Debug)]
pub struct StreamSlot {
    /// Whether Redis was asked.
    is_known: bool,
    /// The highest ID that Redis is known to have given out.
    pub last: EntryId,
    /// The highest ID that we have written.
    pub written: EntryId,
    /// The highest of those that we could not write again: they were never on disk.
    pub unkept: EntryId,
    /// The highest ID of the transaction being planned, and which one that is.
    planned: (u64, EntryId),
    /// Position of the stream's last entry in the transaction being encoded.
    pub last_entry: usize,
    /// `XADD <key>`, encoded.
    pub xadd: Box<[u8]>,
    /// `XADD <key> MAXLEN ~ <cap>`, encoded; the same as `xadd` without a cap.
    pub xadd_capped: Box<[u8]>,
}

/// All streams of a writer.
#[derive(Debug, Default)]
pub struct Streams {
    slots: HashMap<Arc<str>, StreamSlot, RandomState>,
}

impl Streams {
    /// Whether the stream's last ID is known.
    #[must_use]
    pub fn knows(&self, outlet: &Outlet) -> bool {
        self.slots.get(&outlet.stream).is_some_and(|slot| slot.is_known)
    }

    /// Forgets everything when there is too much; only between transactions.
    pub fn bound(&mut self) {
        if self.slots.len() > MAX_REMEMBERED {
            self.slots.clear();
        }
    }

    /// Learns a stream's last ID. One below that which is known changes nothing.
    pub fn learn(&mut self, outlet: &Outlet, last: EntryId) {
        let slot = self.slot(outlet);
        slot.is_known = true;
        slot.last = slot.last.max(last);
    }

    /// The streams that we have written to, and the highest ID of each.
    pub fn written(&self) -> impl Iterator<Item = (&Arc<str>, &StreamSlot)> {
        self.slots.iter().filter(|(_, slot)| slot.written > EntryId::default())
    }

    /// The highest ID that we wrote to a stream without having it on disk.
    #[must_use]
    pub fn unkept(&self, stream: &str) -> EntryId {
        self.slots.get(stream).map_or_else(EntryId::default, |slot| slot.unkept)
    }

    /// The stream of an outlet.
    pub fn slot(&mut self, outlet: &Outlet) -> &mut StreamSlot {
        self.slots.entry_ref(&*outlet.stream).or_insert_with(|| StreamSlot::new(outlet))
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
        let none = EntryId::default();
        StreamSlot {
            is_known: false,
            last: none,
            written: none,
            unkept: none,
            planned: (0, none),
            last_entry: 0,
            xadd,
            xadd_capped,
        }
    }

    /// Plans an entry for the transaction of this number; false if its ID is not above the last one.
    pub fn plan(&mut self, transaction: u64, id: EntryId) -> bool {
        let (number, planned) = self.planned;
        let last = if number == transaction { planned.max(self.last) } else { self.last };
        let rises = id > last;
        if rises {
            self.planned = (transaction, id);
        }
        rises
    }

    /// Redis has taken an entry of ours. One that is on no disk cannot be written again.
    pub fn wrote(&mut self, id: EntryId, is_kept: bool) {
        self.last = self.last.max(id);
        self.written = self.written.max(id);
        if !is_kept {
            self.unkept = self.unkept.max(id);
        }
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
