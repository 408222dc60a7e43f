use std::panic::{AssertUnwindSafe, catch_unwind};

use slog::{Discard, o};
use tempfile::TempDir;

use super::*;
use crate::messages::OnDisk;
use crate::samples::{RECEIVED_US, batch, event, observations, outlet, route};
use crate::writer::disk::Disk;

/// What outlives a writer.
struct World {
    folder: TempDir,
    crashes: Crashes,
    quarantine: Arc<Mutex<Quarantine>>,
    observations: Arc<Observations>,
    gaps: GapBook,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let observations = observations(&["price"], 1);
        World {
            quarantine: Arc::new(Mutex::new(Quarantine::new(folder.path()))),
            folder,
            crashes: Crashes::default(),
            gaps: GapBook::new(Vec::new(), Arc::clone(&observations)),
            observations,
        }
    }

    fn life(&self) -> Poison {
        Poison::new(self.crashes.clone(), Arc::clone(&self.quarantine), Arc::clone(&self.observations))
    }

    /// Three events, on the disk from `first` on.
    fn batch(&self, first: u64) -> EventBatch {
        let batch = self.in_memory();
        batch.spooled(OnDisk { disk: Disk::nowhere("shard-0-of-1"), first });
        batch
    }

    fn in_memory(&self) -> EventBatch {
        let both = route(0, vec![outlet("price:SPY", 0), outlet("price", 0)]);
        let mut batch =
            batch(&self.observations, ["{}", "no json", "3"].map(|payload| event(&both, payload, 0)));
        for (event, ms) in batch.events_mut().iter_mut().zip(1..) {
            event.ids = [EntryId { ms, seq: 0 }, EntryId { ms, seq: 1 }].into_iter().collect();
        }
        batch
    }

    /// A life that crashes over something.
    fn crash(&self, handle: impl FnOnce(&Poison)) {
        let poison = self.life();
        let crashed = catch_unwind(AssertUnwindSafe(move || {
            handle(&poison);
            let _dropped_by_the_unwinding = poison;
            panic!("a crash that the test wants");
        }));
        assert!(crashed.is_err());
    }
}

fn at(batch: usize, event: usize) -> EventAt {
    EventAt { batch, event }
}

fn entry(event: usize, outlet: usize) -> Entry {
    Entry { at: at(0, event), outlet, id: EntryId { ms: event as u64 + 1, seq: outlet as u64 } }
}

#[test]
fn after_a_crash_the_events_that_were_handled_are_suspects() {
    let world = World::new();
    let batches = [world.batch(10), world.batch(20)];
    assert!(!world.life().is_suspicious(&batches));
    world.crash(|poison| poison.begin(&batches, None));
    let poison = world.life();
    assert!(poison.is_suspicious(&batches) && poison.is_suspicious(&batches[1..]));
    assert!(!poison.is_suspicious(&[world.batch(13)]) && !poison.is_suspicious(&[world.batch(7)]));
    assert!(!poison.has_struck_twice(&batches, at(0, 0)));
}

#[test]
fn what_is_in_memory_alone_is_no_suspect() {
    let world = World::new();
    let batches = [world.in_memory()];
    world.crash(|poison| poison.begin(&batches, None));
    assert!(!world.life().is_suspicious(&batches));
}

#[test]
fn a_life_that_ends_without_a_panic_leaves_no_suspects() {
    let world = World::new();
    let batches = [world.batch(10)];
    let poison = world.life();
    poison.begin(&batches, None);
    drop(poison);
    assert!(!world.life().is_suspicious(&batches));
}

#[test]
fn a_crash_over_something_else_leaves_no_suspects() {
    let world = World::new();
    let batches = [world.batch(10)];
    world.crash(|poison| {
        poison.begin(&batches, None);
        poison.end();
    });
    assert!(!world.life().is_suspicious(&batches));
}

#[test]
fn of_suspects_handled_one_by_one_the_one_of_the_second_crash_has_struck_twice() {
    let world = World::new();
    let batches = [world.batch(10)];
    world.crash(|poison| poison.begin(&batches, None));
    world.crash(|poison| {
        poison.begin(&batches, Some(at(0, 0)));
        poison.end();
        poison.begin(&batches, Some(at(0, 1)));
    });
    let poison = world.life();
    let struck = [0, 1, 2].map(|event| poison.has_struck_twice(&batches, at(0, event)));
    assert_eq!(struck, [false, true, false]);
    assert!(poison.is_suspicious(&batches));
}

#[test]
fn suspects_that_were_handled_or_have_ended_are_suspects_no_more() {
    let world = World::new();
    let batches = [world.batch(10), world.batch(20)];
    world.crash(|poison| poison.begin(&batches, None));
    let poison = world.life();
    for event in 0..3 {
        poison.begin(&batches, Some(at(0, event)));
        poison.end();
    }
    assert!(!poison.is_suspicious(&batches[..1]) && poison.is_suspicious(&batches));
    poison.forget(&batches);
    assert!(!poison.is_suspicious(&batches));
    world.crash(|poison| poison.begin(&batches, None));
    assert!(!world.life().has_struck_twice(&batches, at(0, 0)), "the first crash is forgotten");
}

#[test]
fn suspects_are_remembered_within_a_bound() {
    let world = World::new();
    for first in (0..=MAX_SUSPECTS as u64).step_by(3) {
        world.crash(|poison| poison.begin(&[world.batch(first)], None));
    }
    assert_eq!(lock(&world.crashes.0).crashes.len(), MAX_SUSPECTS);
}

#[tokio::test]
async fn an_event_that_cannot_be_written_is_put_away_once_with_its_first_reason() {
    let world = World::new();
    let batches = [world.batch(10)];
    let mut fates = Fates::default();
    assert_eq!(fates.of(0, 1), None);
    fates.quarantine(&batches, &entry(1, 1), "WRONGTYPE first");
    fates.quarantine(&batches, &entry(1, 0), "second");
    fates.quarantine(&batches, &entry(0, 0), "another");
    fates.quarantine(&batches, &entry(9, 0), "no such event");
    let log = Logger::root(Discard, o!());
    let fates = world.life().put_away(fates, &world.gaps, &log).await;
    let quarantined = Some(Fate::Quarantined);
    assert_eq!([0, 1, 2].map(|event| fates.of(0, event)), [quarantined, quarantined, None]);
    let events = quarantine::list(world.folder.path()).unwrap().events;
    let seen: Vec<_> = events
        .iter()
        .map(|event| (&*event.reason, event.payload.get(), &*event.streams[0].stream, &*event.streams[0].id))
        .collect();
    assert_eq!(
        seen,
        [
            ("another", "{}", "uw:ws:price:SPY", "1-0"),
            ("WRONGTYPE first", "\"no json\"", "uw:ws:price", "2-1")
        ]
    );
    let noted = world.gaps.noted();
    assert_eq!(noted.len(), 1);
    assert_eq!((noted[0].reason, noted[0].events), (GapReason::Rejected, Some(2)));
    assert_eq!((noted[0].from_us, noted[0].to_us), (RECEIVED_US, RECEIVED_US));
}

#[tokio::test]
async fn an_event_that_cannot_even_be_put_away_is_dropped() {
    let world = World::new();
    std::fs::create_dir(world.folder.path().join(quarantine::FILE)).unwrap();
    let batches = [world.batch(10)];
    let mut fates = Fates::default();
    fates.quarantine(&batches, &entry(2, 0), "no room");
    let fates = world.life().put_away(fates, &world.gaps, &Logger::root(Discard, o!())).await;
    assert_eq!(fates.of(0, 2), Some(Fate::Dropped(DropReason::Rejected)));
}

#[tokio::test]
async fn what_is_rejected_again_and_again_is_one_gap_in_a_while() {
    let world = World::new();
    let mut poison = world.life();
    let log = Logger::root(Discard, o!());
    for first in [10, 20, 30] {
        let mut fates = Fates::default();
        fates.quarantine(&[world.batch(first)], &entry(0, 0), "again");
        poison.put_away(fates, &world.gaps, &log).await;
    }
    assert_eq!(world.gaps.noted().len(), 1);
}
