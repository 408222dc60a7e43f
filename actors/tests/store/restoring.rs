//! What Redis has forgotten after having said yes is written again.

use std::time::Duration;

use uw_websocket_actors::ledger::gap::GapReason;
use uw_websocket_actors::settings::SpoolMode;

use crate::adoption::{folders, leave_behind};
use crate::world::{Life, STREAM, World, until, world};

/// Keeps stored records so briefly that a test can wait for their removal.
fn keep_briefly(world: &mut World) {
    world.spool.keep = Duration::from_millis(10);
}

async fn removed(life: &Life) {
    let bytes = || life.observations.writers[0].spool_bytes.get();
    until(|| bytes() > 0).await;
    until(|| bytes() == 0).await;
}

#[test]
fn a_redis_that_came_back_empty_gets_everything_again_under_the_same_ids() {
    world(SpoolMode::Always, async |world| {
        let life = Life::start(&world);
        life.store(&world, 50).await;
        life.send_to(&world, 0, "QQQ", &["q"]);
        life.settled().await;
        let entries = world.redis().entries(STREAM);
        world.redis.borrow_mut().end();
        world.redis.borrow_mut().begin();
        life.store(&world, 1).await;
        world.assert_all_stored();
        assert_eq!(world.redis().entries(STREAM)[..50], entries);
        assert_eq!(world.redis().payloads("uw:ws:gex_strike:QQQ"), ["q"]);
        assert_eq!(life.gaps(GapReason::RedisLost), 0);
        life.stop().await;
    });
}

#[test]
fn a_redis_that_lost_the_newest_entries_gets_these_again() {
    world(SpoolMode::Always, async |world| {
        let life = Life::start(&world);
        life.store(&world, 20).await;
        let entries = world.redis().entries(STREAM);
        world.redis().command(&["DEL", STREAM]);
        for (id, payload) in &entries[..12] {
            world.redis().command(&["XADD", STREAM, id, "payload", payload]);
        }
        world.redis().command(&["CLIENT", "KILL", "TYPE", "normal"]);
        life.store(&world, 1).await;
        world.assert_all_stored();
        assert_eq!(world.redis().entries(STREAM)[..20], entries);
        assert_eq!(life.gaps(GapReason::RedisLost), 0);
        life.stop().await;
    });
}

#[test]
fn a_redis_that_forgot_while_no_service_ran_is_healed_by_the_next_life() {
    world(SpoolMode::Always, async |world| {
        let life = Life::start(&world);
        life.store(&world, 10).await;
        let entries = world.redis().entries(STREAM);
        life.stop().await;
        world.redis.borrow_mut().end();
        world.redis.borrow_mut().begin();
        let life = Life::start(&world);
        until(|| world.redis().entries(STREAM) == entries).await;
        life.stop().await;
    });
}

#[test]
fn what_redis_forgot_of_a_stream_is_written_before_what_other_shards_left_of_it() {
    world(SpoolMode::Always, async |mut world| {
        let symbols = ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L"];
        let life = Life::start(&world);
        for symbol in symbols {
            life.send_to(&world, 0, symbol, &["1"]);
        }
        life.settled().await;
        world.redis.borrow_mut().end();
        for symbol in symbols {
            life.send_to(&world, 0, symbol, &["2"]);
        }
        life.spooled().await;
        life.kill().await;
        // most are at home elsewhere now
        world.writers.shards = 4;
        world.redis.borrow_mut().begin();
        let life = Life::start(&world);
        life.settled().await;
        for symbol in symbols {
            assert_eq!(world.redis().payloads(&format!("uw:ws:gex_strike:{symbol}")), ["1", "2"], "{symbol}");
        }
        assert_eq!(life.gaps(GapReason::RedisLost), 0);
        life.stop().await;
    });
}

#[test]
fn what_is_no_longer_kept_is_on_record_as_lost_once() {
    world(SpoolMode::Always, async |mut world| {
        keep_briefly(&mut world);
        let life = Life::start(&world);
        life.store(&world, 10).await;
        removed(&life).await;
        for _ in 0..2 {
            world.redis.borrow_mut().end();
            world.redis.borrow_mut().begin();
            until(|| life.gaps(GapReason::RedisLost) > 0).await;
        }
        assert_eq!(life.gaps(GapReason::RedisLost), 1);
        let gap = life.gaps.noted().pop().unwrap();
        assert_eq!(gap.channels, ["gex_strike:SPY"]);
        // an empty Redis does not say how far back its stream went, but the ledger does
        assert_eq!(gap.from_us / 1000, life.gaps.begun_us() / 1000);
        life.stop().await;
    });
}

#[test]
fn what_was_removed_in_an_earlier_life_is_on_record_as_lost() {
    world(SpoolMode::Always, async |mut world| {
        keep_briefly(&mut world);
        let life = Life::start(&world);
        life.store(&world, 10).await;
        removed(&life).await;
        life.stop().await;
        let life = Life::start(&world);
        life.store(&world, 1).await;
        assert_eq!(life.gaps(GapReason::RedisLost), 0);
        life.stop().await;
        world.redis.borrow_mut().end();
        world.redis.borrow_mut().begin();
        let life = Life::start(&world);
        until(|| life.gaps(GapReason::RedisLost) == 1).await;
        life.stop().await;
    });
}

#[test]
fn what_an_old_queue_kept_until_its_end_is_on_record_as_lost() {
    world(SpoolMode::Always, async |mut world| {
        leave_behind(&mut world).await;
        world.writers.shards = 1;
        world.redis.borrow_mut().begin();
        let life = Life::start(&world);
        life.settled().await;
        until(|| folders(&world) == ["shard-0-of-1-1"]).await;
        world.redis.borrow_mut().end();
        world.redis.borrow_mut().begin();
        until(|| life.gaps(GapReason::RedisLost) == 1).await;
        let gap = life.gaps.noted().pop().unwrap();
        assert_eq!(gap.channels, ["gex_strike:QQQ", "gex_strike:SPY"]);
        life.stop().await;
    });
}

#[test]
fn what_an_old_queue_kept_until_its_end_is_known_to_the_next_life() {
    world(SpoolMode::Always, async |mut world| {
        leave_behind(&mut world).await;
        world.writers.shards = 3;
        world.redis.borrow_mut().begin();
        let life = Life::start(&world);
        life.settled().await;
        until(|| folders(&world) == ["shard-0-of-3-1", "shard-1-of-3-1", "shard-2-of-3-1"]).await;
        life.stop().await;
        world.redis.borrow_mut().end();
        world.redis.borrow_mut().begin();
        let life = Life::start(&world);
        let lost = || {
            let gaps = life.gaps.noted().into_iter().filter(|gap| gap.reason == GapReason::RedisLost);
            let mut lost: Vec<String> = gaps.flat_map(|gap| gap.channels).collect();
            lost.sort();
            lost
        };
        until(|| lost() == ["gex_strike:QQQ", "gex_strike:SPY"]).await;
        life.stop().await;
    });
}

#[test]
fn what_was_never_on_disk_is_on_record_as_lost() {
    world(SpoolMode::Off, async |world| {
        let life = Life::start(&world);
        life.store(&world, 10).await;
        world.redis.borrow_mut().end();
        world.redis.borrow_mut().begin();
        until(|| life.gaps(GapReason::RedisLost) == 1).await;
        life.stop().await;
    });
}

#[test]
fn an_event_that_redis_cannot_read_does_not_hold_up_the_healing() {
    world(SpoolMode::Always, async |world| {
        world.redis().command(&["CONFIG", "SET", "proto-max-bulk-len", "1048576"]);
        let life = Life::start(&world);
        life.store(&world, 5).await;
        life.send(&world, &["x".repeat(2_000_000)]);
        life.settled().await;
        life.store(&world, 5).await;
        world.redis().command(&["DEL", STREAM]);
        world.redis().command(&["CLIENT", "KILL", "TYPE", "normal"]);
        life.store(&world, 1).await;
        world.assert_all_stored();
        assert_eq!(life.stop().await.channels[0].quarantined.get(), 1);
    });
}
