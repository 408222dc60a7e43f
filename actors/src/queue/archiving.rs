//! What the archive may take from a disk queue, and what it has: the only thing that their two threads share.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use uw_websocket_core::spool::{Dropped, Ranges, Spool};

use crate::sync::lock;

/// The interface between the thread of a disk queue and that of the archive.
#[derive(Debug)]
pub struct Archiving {
    /// The folder of the queue.
    pub folder: PathBuf,
    /// Its generation: events of older ones precede those of this one.
    pub generation: u64,
    /// Distinguishes the folder from a later one of its name.
    pub identity: String,
    offer: Mutex<Offer>,
    untaken: Mutex<Vec<Dropped>>,
    archived: AtomicU64,
    taken: AtomicU64,
    is_over: AtomicBool,
}

/// What is there to be archived.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// Number of the first record on disk.
    pub kept_from: u64,
    /// All records below this number are stored, according to the cursor on disk.
    pub stored_below: u64,
    /// Number of the next record.
    pub end: u64,
    /// Numbers below that which are no entries in Redis.
    pub not_stored: Ranges,
}

impl Archiving {
    /// Creates the interface of an open queue. Until the archive has told what it has, everything is held.
    #[must_use]
    pub fn new(folder: PathBuf, generation: u64, identity: String) -> Archiving {
        let (archived, taken) = (AtomicU64::new(0), AtomicU64::new(0));
        let (offer, untaken, is_over) = (Mutex::default(), Mutex::default(), AtomicBool::default());
        Archiving { folder, generation, identity, offer, untaken, archived, taken, is_over }
    }

    // --- the thread of the disk queue ---------------------------------------------------------------------------------

    /// Publishes what is stored, up to the position in the cursor on disk, and holds what is not archived.
    pub fn publish(&self, spool: &mut Spool, stored_below: u64) {
        spool.hold(self.archived.load(Relaxed), self.taken.load(Relaxed));
        lock(&self.untaken).extend(spool.take_untaken());
        *lock(&self.offer) = Offer {
            kept_from: spool.kept_from(),
            stored_below,
            end: spool.next_seq(),
            not_stored: spool.not_stored(),
        };
    }

    /// Announces that the folder is removed.
    pub fn end(&self) {
        self.is_over.store(true, Relaxed);
    }

    // --- the thread of the archive ------------------------------------------------------------------------------------

    /// Returns what is there.
    #[must_use]
    pub fn offer(&self) -> Offer {
        lock(&self.offer).clone()
    }

    /// Whether the folder is removed, with everything in it archived.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over.load(Relaxed)
    }

    /// Takes what was removed before it was taken; its numbers are among those not stored.
    #[must_use]
    pub fn untaken(&self) -> Vec<Dropped> {
        std::mem::take(&mut *lock(&self.untaken))
    }

    /// Sets the number below which all records are taken; they are still held.
    pub fn set_taken(&self, taken: u64) {
        self.taken.store(taken, Relaxed);
    }

    /// Sets the number below which all records are archived, and may go.
    pub fn set_archived(&self, archived: u64) {
        self.archived.store(archived, Relaxed);
    }
}
