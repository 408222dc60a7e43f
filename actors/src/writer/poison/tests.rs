use std::panic::{AssertUnwindSafe, catch_unwind};

use slog::{Discard, o};
use tempfile::TempDir;

use super::*;
use crate::fixtures::{lent, observations};
use crate::ledger::gap::GapReason;
use crate::writer::streams::Streams;
use uw_websocket_core::fixtures::{RECEIVED_US, destination, event, route};

/// The state that outlives a writer.
struct World {
    folder: TempDir,
    suspects: Arc<Mutex<Suspects>>,
    quarantine: Arc<Mutex<Quarantine>>,
    observations: Arc<Observations>,
    queue: Arc<str>,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        World {
            quarantine: Arc::new(Mutex::new(Quarantine::new(folder.path()))),
            folder,
            suspects: Arc::default(),
            observations: observations(&["price"], 1),
            queue: "shard-0-of-1".into(),
        }
    }

    fn life(&self) -> Poison {
        let (suspects, quarantine) = (Arc::clone(&self.suspects), Arc::clone(&self.quarantine));
        Poison::new(suspects, quarantine, Arc::clone(&self.observations))
    }

    /// A writer that dies during or right after the handling of these events.
    fn die(&self, (from, to): (Position, Position), while_handling: bool) {
        let poison = self.life();
        let died = catch_unwind(AssertUnwindSafe(|| {
            let handling = poison.handling(&self.queue, (from, to));
            if !while_handling {
                drop(handling);
            }
            panic!("a death that the test wants");
        }));
        assert!(died.is_err());
    }

    fn is_suspicious(&self, first: Position) -> bool {
        self.life().is_suspicious(&self.queue, &three(first))
    }
}

/// Three events for two streams each, from a position on.
fn three(first: Position) -> Lent {
    let both = route(0, vec![destination("price:SPY", 0), destination("price", 0)]);
    let events = ["{}", "no json", "3"].map(|payload| event(&both, payload, 0));
    lent(
        first,
        events.into_iter().zip(1..).map(|(mut event, ms)| {
            event.ids = [EntryId { ms, seq: 0 }, EntryId { ms, seq: 1 }].into_iter().collect();
            event
        }),
    )
}

fn entry(lent: &Lent, at: usize, destination: usize) -> Entry {
    let plan = Streams::default().plan(&lent.batch, |_, _| true);
    *plan.entries.iter().find(|entry| (entry.at, entry.destination) == (at, destination)).unwrap()
}

fn log() -> Logger {
    Logger::root(Discard, o!())
}

#[test]
fn after_a_death_the_events_that_were_handled_are_suspects() {
    let world = World::new();
    assert!(!world.is_suspicious(10));
    world.die((10, 23), true);
    assert!(world.is_suspicious(10) && world.is_suspicious(20) && world.is_suspicious(22));
    assert!(!world.is_suspicious(7) && !world.is_suspicious(23));
    assert!(!world.life().is_suspicious(&"another".into(), &three(10)));
    assert!(!world.life().is_deadly(&world.queue, 10));
}

#[test]
fn a_death_over_something_else_makes_no_suspects() {
    let world = World::new();
    drop(world.life().handling(&world.queue, (10, 13)));
    world.die((10, 13), false);
    assert!(!world.is_suspicious(10));
}

#[test]
fn of_suspects_handled_one_by_one_the_one_of_the_second_death_is_deadly() {
    let world = World::new();
    world.die((10, 13), true);
    world.life().acquit(&world.queue, 10);
    world.die((11, 12), true);
    let deadly = [10, 11, 12].map(|at| world.life().is_deadly(&world.queue, at));
    assert_eq!(deadly, [false, true, false]);
    assert!(world.is_suspicious(10));
}

#[test]
fn suspects_that_were_acquitted_or_have_ended_are_suspects_no_more() {
    let world = World::new();
    world.die((10, 23), true);
    (10..13).for_each(|at| world.life().acquit(&world.queue, at));
    assert!(!world.is_suspicious(10) && world.is_suspicious(20));
    world.life().forget(&world.queue, &three(20));
    assert!(!world.is_suspicious(20));
    world.die((20, 23), true);
    assert!(!world.life().is_deadly(&world.queue, 20), "the first death is forgotten");
}

#[test]
fn suspects_are_remembered_within_a_bound() {
    let world = World::new();
    world.die((0, 2 * MAX_SUSPECTS as u64), true);
    assert_eq!(lock(&world.suspects).0.len(), MAX_SUSPECTS);
}

#[tokio::test]
async fn an_event_that_cannot_be_written_is_put_away_once_with_its_first_reason() {
    let world = World::new();
    let (lent, mut poison) = (three(10), world.life());
    poison.give_up(&lent, &entry(&lent, 1, 1), "WRONGTYPE first");
    poison.give_up(&lent, &entry(&lent, 1, 0), "second");
    poison.give_up(&lent, &entry(&lent, 0, 0), "another");
    let given_up =
        [(10, 0), (10, 1), (11, 0), (11, 1)].map(|(at, destination)| poison.has_given_up(at, destination));
    assert_eq!(given_up, [true, false, true, true]);
    let (put_away, losses) = poison.put_away(&lent, &log()).await;
    assert_eq!(
        [0, 1, 2].map(|at| put_away.outcome_of(at)),
        [Outcome::Quarantined, Outcome::Quarantined, Outcome::Stored]
    );
    assert_eq!([0, 1, 2].map(|at| put_away.is_stored(at)), [false, false, true]);
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
    assert_eq!(losses.len(), 1);
    assert_eq!((losses[0].reason, losses[0].events), (GapReason::Rejected, Some(2)));
    assert_eq!((losses[0].from_us, losses[0].to_us), (RECEIVED_US, RECEIVED_US));
    assert!(poison.put_away(&lent, &log()).await.1.is_empty(), "it is done once");
}

#[tokio::test]
async fn what_is_given_up_of_a_later_batch_waits_for_it() {
    let world = World::new();
    let (lent, later, mut poison) = (three(10), three(13), world.life());
    poison.give_up(&later, &entry(&later, 2, 0), "later");
    let (put_away, losses) = poison.put_away(&lent, &log()).await;
    assert!(losses.is_empty() && put_away.is_stored(2));
    let (put_away, _) = poison.put_away(&later, &log()).await;
    assert_eq!(put_away.outcome_of(2), Outcome::Quarantined);
}

#[tokio::test]
async fn an_event_that_cannot_even_be_put_away_is_dropped() {
    let world = World::new();
    std::fs::create_dir(world.folder.path().join(quarantine::FILE)).unwrap();
    let (lent, mut poison) = (three(10), world.life());
    poison.give_up(&lent, &entry(&lent, 2, 0), "no room");
    let (put_away, _) = poison.put_away(&lent, &log()).await;
    assert_eq!(put_away.outcome_of(2), Outcome::Dropped(DropReason::Rejected));
}
