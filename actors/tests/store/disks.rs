//! A disk queue that is full, and a disk that fails.

use std::fs;

use uw_websocket_actors::ledger::gap::GapReason;
use uw_websocket_actors::observation::{DropReason, Place};
use uw_websocket_actors::settings::{SpoolMode, WhenFull};
use uw_websocket_actors::sync::lock;

use crate::world::{Life, STREAM, World, until, world};

/// Bytes of a large event.
pub(crate) const LARGE: usize = 60_000;
/// Twice as much as the disk queue of these tests takes.
pub(crate) const TOO_MANY: u32 = 128;

pub(crate) fn small_disk(world: &mut World, when_full: WhenFull) {
    world.spool.max_bytes = 4 * 1024 * 1024;
    world.spool.when_full = when_full;
    // what is in flight is not dropped
    world.writers.batch_max_events = 4;
}

fn send_too_much(world: &World, life: &Life) {
    for _ in 0..TOO_MANY {
        life.send(world, &world.large_payloads(1, LARGE));
    }
}

#[test]
fn of_a_full_disk_queue_the_oldest_are_dropped_and_counted() {
    world(SpoolMode::Always, async |mut world| {
        small_disk(&mut world, WhenFull::DropOldest);
        world.redis.borrow_mut().end();
        let life = Life::start(&world);
        until(|| life.is_in_trouble(0)).await;
        send_too_much(&world, &life);
        life.spooled().await;
        let dropped = life.channel().dropped(DropReason::SpoolFull).get();
        assert!(dropped > 0);
        let noted = life.gaps.noted();
        let in_ledger = noted.iter().filter(|gap| gap.reason == GapReason::SpoolFull);
        assert_eq!(in_ledger.filter_map(|gap| gap.events).sum::<u64>(), dropped);
        world.redis.borrow_mut().begin();
        life.settled().await;
        let stored = world.stored_in(STREAM);
        assert_eq!(stored.len() as u64 + dropped, u64::from(TOO_MANY));
        assert!(stored.is_sorted(), "{stored:?}");
        assert_eq!(stored.last(), Some(&(TOO_MANY - 1)));
        life.stop().await;
    });
}

#[test]
fn for_room_in_a_full_disk_queue_the_newest_wait() {
    world(SpoolMode::Always, async |mut world| {
        small_disk(&mut world, WhenFull::Block);
        world.redis.borrow_mut().end();
        let life = Life::start(&world);
        send_too_much(&world, &life);
        until(|| life.observations.writers[0].spool_bytes.get() > 3 * 1024 * 1024 / 2).await;
        world.redis.borrow_mut().begin();
        life.settled().await;
        world.assert_all_stored();
        assert_eq!(life.stop().await.channels[0].dropped_in_all(), 0);
    });
}

/// Takes the disk away from a life that has not written to it yet.
pub(crate) fn break_disk(world: &World) {
    fs::rename(world.shard_folder(0), world.aside()).unwrap();
    fs::write(world.shard_folder(0), "").unwrap();
}

pub(crate) fn mend_disk(world: &World) {
    fs::remove_file(world.shard_folder(0)).unwrap();
    fs::rename(world.aside(), world.shard_folder(0)).unwrap();
}

pub(crate) fn is_faulty(life: &Life) -> bool {
    lock(&life.observations.writers[0].spool_fault).is_some()
}

#[test]
fn a_disk_that_fails_is_gone_round() {
    world(SpoolMode::Always, async |world| {
        let life = Life::start(&world);
        until(|| world.shard_folder(0).exists()).await;
        break_disk(&world);
        life.store(&world, 10).await;
        assert!(is_faulty(&life));
        mend_disk(&world);
        life.store(&world, 1).await;
        until(|| {
            life.send(&world, &world.payloads(1));
            !is_faulty(&life)
        })
        .await;
        life.settled().await;
        world.assert_all_stored();
        life.stop().await;
    });
}

#[test]
fn what_came_while_the_disk_failed_reaches_it_once_it_works_again() {
    world(SpoolMode::Always, async |world| {
        world.redis().hang();
        let life = Life::start(&world);
        break_disk(&world);
        life.send(&world, &world.payloads(2));
        until(|| life.is_writing()).await;
        for _ in 0..24 {
            life.send(&world, &world.large_payloads(1, LARGE));
        }
        until(|| is_faulty(&life)).await;
        assert_eq!(life.channel().held_in(Place::Disk), 0);
        mend_disk(&world);
        life.spooled().await;
        assert_eq!(life.channel().held_in(Place::Disk), 26);
        life.send(&world, &world.payloads(2));
        life.spooled().await;
        assert_eq!(life.kill().await.channels[0].dropped_in_all(), 0);
        world.redis().resume();
        let life = Life::start(&world);
        life.settled().await;
        world.assert_all_stored();
        life.stop().await;
    });
}
