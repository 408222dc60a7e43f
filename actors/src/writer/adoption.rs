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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_over_when_the_queues_of_all_writers_are_empty() {
        let [first, second, third] = ["shard-0-of-3", "shard-1-of-3", "shard-2-of-3"].map(Disk::nowhere);
        let left = Adopted::new([&first, &second, &third]);
        let mut one = Adoption::new(vec![first.clone(), third.clone()], left.clone());
        let mut other = Adoption::new(vec![second.clone()], left.clone());
        assert_eq!((one.next(), one.next(), one.next()), (Some(first.clone()), Some(third.clone()), None));
        one.finish(&first);
        one.finish(&third);
        assert_eq!(other.next(), Some(second.clone()));
        assert!(!one.is_over() && !other.is_over());
        other.finish(&second);
        assert!(one.is_over() && other.is_over());
        assert_eq!(one.disks(), [first, third]);
    }

    #[test]
    fn the_next_life_of_a_writer_looks_at_its_queues_again_and_is_not_waited_for_twice() {
        let disk = Disk::nowhere("shard-0-of-1");
        let left = Adopted::new([&disk]);
        let mut adoption = Adoption::new(vec![disk.clone()], left.clone());
        adoption.next();
        drop(adoption);
        let mut adoption = Adoption::new(vec![disk.clone()], left.clone());
        assert_eq!(adoption.next(), Some(disk.clone()));
        assert!(!adoption.is_over());
        adoption.finish(&disk);
        let mut adoption = Adoption::new(vec![disk.clone()], left);
        assert!(adoption.is_over());
        assert_eq!(adoption.next(), Some(disk));
    }

    #[test]
    fn nothing_that_was_left_behind_is_over_at_once() {
        assert!(Adoption::new(Vec::new(), Adopted::default()).is_over());
    }
}
