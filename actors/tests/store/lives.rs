//! What is not stored when a process ends comes back in its next life, once and in order.

use uw_websocket_actors::fault::FaultPlan;
use uw_websocket_actors::ledger::gap::GapReason;
use uw_websocket_actors::observation::DropReason;
use uw_websocket_actors::settings::{SpoolMode, WhenFull};

use crate::world::{Life, STREAM, until, world};

/// More than a shard has ready in memory.
const BEYOND_MEMORY: u32 = 300;
const LARGE: usize = 60_000;

#[test]
fn what_was_on_disk_comes_back_in_the_next_life() {
    world(SpoolMode::Always, async |world| {
        world.redis.borrow_mut().end();
        let life = Life::start(&world);
        for _ in 0..30 {
            life.send(&world, &world.payloads(10));
        }
        life.spooled().await;
        assert_eq!(life.kill().await.channels[0].dropped_in_all(), 0);

        world.redis.borrow_mut().begin();
        let life = Life::start(&world);
        assert_eq!(life.channel().recovered.get(), 300);
        life.store(&world, 5).await;
        world.assert_all_stored();
        life.kill().await;

        let life = Life::start(&world);
        assert_eq!(life.channel().recovered.get(), 0);
        life.store(&world, 1).await;
        world.assert_all_stored();
        life.stop().await;
    });
}

#[test]
fn more_than_memory_holds_is_read_from_the_disk_in_order() {
    world(SpoolMode::Always, async |world| {
        world.redis().hang();
        let life = Life::start(&world);
        for _ in 0..BEYOND_MEMORY {
            life.send(&world, &world.large_payloads(1, LARGE));
        }
        life.spooled().await;
        assert!(life.shard(0).queue.ready_bytes() <= 8 * 1024 * 1024);
        world.redis().resume();
        life.settled().await;
        world.assert_all_stored();
        life.stop().await;
    });
}

#[test]
fn what_was_stored_before_a_kill_is_looked_up_and_not_written_twice() {
    world(SpoolMode::Always, async |world| {
        Life::start(&world).stop().await;
        let cursor = world.cursor(0);
        let life = Life::start(&world);
        life.store(&world, 20).await;
        let entries = world.redis().entries(STREAM);
        life.kill().await;

        world.set_cursor(0, &cursor);
        let life = Life::start(&world);
        assert_eq!(life.channel().recovered.get(), 20);
        life.settled().await;
        assert_eq!(world.redis().entries(STREAM), entries);
        life.store(&world, 3).await;
        world.assert_all_stored();
        life.stop().await;
    });
}

#[test]
fn what_a_hung_redis_took_after_the_kill_is_not_written_twice() {
    world(SpoolMode::Always, async |world| {
        let life = Life::start(&world);
        life.store(&world, 1).await;
        world.redis().hang();
        for _ in 0..5 {
            life.send(&world, &world.payloads(2));
        }
        until(|| life.is_writing()).await;
        life.spooled().await;
        life.kill().await;
        world.redis().resume();
        let life = Life::start(&world);
        life.settled().await;
        world.assert_all_stored();
        life.stop().await;
    });
}

#[test]
fn a_crashed_writer_goes_on_with_what_is_on_disk() {
    world(SpoolMode::Always, async |mut world| {
        world.faults = FaultPlan::parse("writer:panic:after=1:times=2").unwrap();
        let mut life = Life::start(&world);
        life.send(&world, &world.payloads(5));
        life.settled().await;
        life.send(&world, &world.payloads(5));
        assert!(life.restart_crashed(&world, 0).await.is_panic());
        life.settled().await;
        life.send(&world, &world.payloads(5));
        life.settled().await;
        life.send(&world, &world.payloads(5));
        assert!(life.restart_crashed(&world, 0).await.is_panic());
        life.store(&world, 5).await;
        world.assert_all_stored();
        life.stop().await;
    });
}

#[test]
fn a_crashed_writer_still_knows_the_duplicates_of_what_is_on_disk() {
    world(SpoolMode::Always, async |mut world| {
        world.faults = FaultPlan::parse("writer:panic:after=1").unwrap();
        let mut life = Life::start(&world);
        // as after a long life
        life.channel().recover(0, (1 << 32) + 1_000_000);
        life.store(&world, 1).await;
        life.store(&world, 1).await;
        assert!(life.restart_crashed(&world, 0).await.is_panic());
        life.send(&world, &["1", "0", "2"]);
        life.settled().await;
        assert_eq!(life.channel().duplicate.get(), 2);
        assert_eq!(world.stored_in(STREAM), [0, 1, 2]);
        life.stop().await;
    });
}

#[test]
fn without_a_disk_the_oldest_are_dropped_and_counted() {
    world(SpoolMode::Off, async |world| {
        world.redis.borrow_mut().end();
        let life = Life::start(&world);
        for _ in 0..BEYOND_MEMORY {
            life.send(&world, &world.large_payloads(1, LARGE));
        }
        let dropped = || life.channel().dropped(DropReason::SpoolFull).get();
        until(|| dropped() > 0).await;
        assert!(life.gaps(GapReason::SpoolFull) > 0);
        world.redis.borrow_mut().begin();
        life.settled().await;
        let stored = world.stored_in(STREAM);
        assert_eq!(stored.len() as u64 + dropped(), u64::from(BEYOND_MEMORY));
        assert!(stored.is_sorted(), "{stored:?}");
        assert_eq!(stored.last(), Some(&(BEYOND_MEMORY - 1)));
        life.stop().await;
    });
}

#[test]
fn without_a_disk_the_newest_may_wait_instead() {
    world(SpoolMode::Off, async |mut world| {
        world.spool.when_full = WhenFull::Block;
        world.redis.borrow_mut().end();
        let life = Life::start(&world);
        let lane = life.shard(0).inbox.lane(0);
        // more than the inbox and the memory behind it hold
        let most = 2 * BEYOND_MEMORY;
        while world.sent() < most && lane.has_room() {
            life.send(&world, &world.large_payloads(1, LARGE));
            tokio::task::yield_now().await;
        }
        let held = || {
            let observed = &life.observations.writers[0];
            observed.bytes_in.get() - observed.bytes_out.get()
        };
        until(|| !lane.has_room()).await;
        assert!(world.sent() < most, "reading stops");
        assert!((15 << 20..=17 << 20).contains(&held()), "{}", held());
        assert!(life.shard(0).queue.ready_bytes() <= 8 << 20);

        world.redis.borrow_mut().begin();
        while world.sent() < most {
            lane.room().await;
            life.send(&world, &world.large_payloads(1, LARGE));
        }
        drop(lane);
        life.settled().await;
        world.assert_all_stored();
        assert_eq!(life.stop().await.channels[0].dropped_in_all(), 0);
    });
}
