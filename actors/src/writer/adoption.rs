//! Disk queues that an earlier process with another number of shards, or without a disk queue, left behind.
//!
//! Each is written by one of today's writers, generation by generation, and no writer writes anything newer before all of
//! them are empty: a stream may have been at home in any of them and may be at home with any writer now.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::disk::Disk;
use crate::observation::lock;

/// An old disk queue.
#[derive(Clone, Debug)]
pub struct OldDisk {
    /// What is in it came before what is in one of a later generation.
    pub generation: u64,
    /// The queue.
    pub disk: Disk,
}

/// The old disk queues of all writers. Outlives the writers.
#[derive(Clone, Debug, Default)]
pub struct Adopted(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// All of them, the oldest generation first.
    disks: Vec<OldDisk>,
    /// Generation and folder of those that are not empty yet.
    left: Mutex<BTreeSet<(u64, String)>>,
}

impl Adopted {
    /// These, in the order of their generations, are left.
    #[must_use]
    pub fn new(disks: Vec<OldDisk>) -> Adopted {
        let left = disks.iter().map(|old| (old.generation, old.disk.folder().to_owned())).collect();
        Adopted(Arc::new(Shared { disks, left: Mutex::new(left) }))
    }

    /// All of them, the oldest generation first.
    #[must_use]
    pub fn disks(&self) -> &[OldDisk] {
        &self.0.disks
    }
}

/// The old disk queues that one writer writes.
#[derive(Debug)]
pub struct Adoption {
    disks: Vec<OldDisk>,
    adopted: Adopted,
}

impl Adoption {
    /// These of all that are left, the oldest generation first.
    #[must_use]
    pub fn new(disks: Vec<OldDisk>, adopted: Adopted) -> Adoption {
        Adoption { disks, adopted }
    }

    /// All of this writer.
    #[must_use]
    pub fn disks(&self) -> &[OldDisk] {
        &self.disks
    }

    /// Those of all writers, the oldest generation first.
    #[must_use]
    pub fn all(&self) -> &[OldDisk] {
        self.adopted.disks()
    }

    /// Whether all that is older is empty, those of the other writers too.
    #[must_use]
    pub fn is_turn_of(&self, generation: u64) -> bool {
        lock(&self.adopted.0.left).first().is_none_or(|(oldest, _)| *oldest >= generation)
    }

    /// This one is empty.
    pub fn finish(&self, old: &OldDisk) {
        lock(&self.adopted.0.left).remove(&(old.generation, old.disk.folder().to_owned()));
    }

    /// Whether all are empty.
    #[must_use]
    pub fn is_over(&self) -> bool {
        lock(&self.adopted.0.left).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old(generation: u64, folder: &str) -> OldDisk {
        OldDisk { generation, disk: Disk::nowhere(folder) }
    }

    #[test]
    fn a_generation_waits_for_all_queues_of_the_ones_before_it() {
        let [first, second, third] =
            [old(0, "shard-0-of-2"), old(0, "shard-1-of-2"), old(1, "shard-0-of-1-1")];
        let adopted = Adopted::new(vec![first.clone(), second.clone(), third.clone()]);
        let one = Adoption::new(vec![first.clone(), third.clone()], adopted.clone());
        let other = Adoption::new(vec![second.clone()], adopted.clone());
        assert_eq!((adopted.disks().len(), one.disks().len()), (3, 2));
        assert!(one.is_turn_of(0) && other.is_turn_of(0) && !one.is_turn_of(1));
        one.finish(&first);
        assert!(!one.is_turn_of(1), "the other writer has one yet");
        other.finish(&second);
        assert!(one.is_turn_of(1) && !one.is_over() && !other.is_over());
        one.finish(&third);
        assert!(one.is_over() && other.is_over() && one.is_turn_of(2));
    }

    #[test]
    fn the_next_life_of_a_writer_has_its_queues_again_and_nobody_waits_for_them_twice() {
        let disk = old(3, "shard-0-of-1-3");
        let adopted = Adopted::new(vec![disk.clone()]);
        drop(Adoption::new(vec![disk.clone()], adopted.clone()));
        let adoption = Adoption::new(vec![disk.clone()], adopted.clone());
        assert!(!adoption.is_over());
        adoption.finish(&disk);
        let adoption = Adoption::new(vec![disk.clone()], adopted);
        assert!(adoption.is_over() && adoption.is_turn_of(3));
        assert_eq!(adoption.disks()[0].disk, disk.disk);
    }

    #[test]
    fn nothing_that_was_left_behind_is_over_at_once() {
        assert!(Adoption::new(Vec::new(), Adopted::default()).is_over());
    }
}
