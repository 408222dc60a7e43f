//! Disk queues that an earlier process with another number of shards, or without a disk queue, left behind.
//!
//! Each is written by one of today's writers, and no writer writes anything newer before all of them are empty: a stream
//! may have been at home in any of them and may be at home with any writer now.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::disk::Disk;
use crate::observation::lock;

/// The old disk queues of all writers that are not empty yet. Outlives the writers.
#[derive(Clone, Debug, Default)]
pub struct Adopted(Arc<Mutex<BTreeSet<String>>>);

impl Adopted {
    /// These are left.
    #[must_use]
    pub fn new<'d>(disks: impl IntoIterator<Item = &'d Disk>) -> Adopted {
        Adopted(Arc::new(Mutex::new(disks.into_iter().map(|disk| disk.folder().to_owned()).collect())))
    }
}

/// The old disk queues that one writer writes.
#[derive(Debug)]
pub struct Adoption {
    disks: Vec<Disk>,
    begun: usize,
    left: Adopted,
}

impl Adoption {
    /// These of all that are left.
    #[must_use]
    pub fn new(disks: Vec<Disk>, left: Adopted) -> Adoption {
        Adoption { disks, begun: 0, left }
    }

    /// The next one to write.
    pub fn next(&mut self) -> Option<Disk> {
        let next = self.disks.get(self.begun).cloned();
        self.begun += 1;
        next
    }

    /// This one is empty.
    pub fn finish(&self, disk: &Disk) {
        lock(&self.left.0).remove(disk.folder());
    }

    /// Whether all are empty, those of the other writers too.
    #[must_use]
    pub fn is_over(&self) -> bool {
        lock(&self.left.0).is_empty()
    }

    /// All of this writer, for what is kept in them.
    #[must_use]
    pub fn disks(&self) -> &[Disk] {
        &self.disks
    }
}
