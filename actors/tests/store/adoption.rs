//! Disk queues of another number of shards are written before anything new, and disappear.

use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::task::yield_now;
use uw_websocket_actors::settings::SpoolMode;
use uw_websocket_actors::supervisor::Heartbeat;

use crate::world::{Life, World, until, world};

pub(crate) const SPY: &str = "uw:ws:gex_strike:SPY";
pub(crate) const QQQ: &str = "uw:ws:gex_strike:QQQ";
/// A read takes 2048 records at most.
const MORE_THAN_TWO_READS: u32 = 5000;

/// The folders of shards that there are.
pub(crate) fn folders(world: &World) -> Vec<String> {
    let entries = std::fs::read_dir(&world.spool.dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("shard-")).collect();
    names.sort();
    names
}

/// A life of two shards that has written nothing.
pub(crate) async fn leave_behind(world: &mut World) {
    world.spool.keep = Duration::from_millis(10);
    world.writers.shards = 2;
    world.redis.borrow_mut().end();
    let life = Life::start(world);
    for number in 0..50 {
        life.send_to(world, 0, "SPY", &[format!("{number}")]);
        life.send_to(world, 1, "QQQ", &[format!("{}", 100 + number)]);
    }
    life.spooled().await;
    life.kill().await;
}

#[test]
fn what_other_shards_left_behind_is_written_before_anything_new() {
    world(SpoolMode::Always, async |mut world| {
        leave_behind(&mut world).await;
        world.writers.shards = 3;
        let life = Life::start(&world);
        assert_eq!(life.channel().recovered.get(), 100);
        for number in 50..60 {
            life.send_to(&world, 1, "SPY", &[format!("{number}")]);
            life.send_to(&world, 0, "QQQ", &[format!("{}", 100 + number)]);
        }
        until(|| (0..3).all(|shard| life.is_in_trouble(shard))).await;
        world.redis.borrow_mut().begin();
        life.settled().await;
        assert!(world.stored_in(SPY).into_iter().eq(0..60));
        assert!(world.stored_in(QQQ).into_iter().eq(100..160));
        until(|| folders(&world) == ["shard-0-of-3-1", "shard-1-of-3-1", "shard-2-of-3-1"]).await;
        life.stop().await;
    });
}

#[test]
fn without_a_disk_queue_what_was_left_behind_is_written_all_the_same() {
    world(SpoolMode::Always, async |mut world| {
        leave_behind(&mut world).await;
        world.writers.shards = 1;
        world.spool.mode = SpoolMode::Off;
        let life = Life::start(&world);
        life.send_to(&world, 0, "SPY", &["50"]);
        world.redis.borrow_mut().begin();
        life.settled().await;
        assert!(world.stored_in(SPY).into_iter().eq(0..51));
        assert!(world.stored_in(QQQ).into_iter().eq(100..150));
        until(|| folders(&world).is_empty()).await;
        life.stop().await;
    });
}

#[test]
fn what_was_left_behind_twice_is_written_in_its_order() {
    world(SpoolMode::Always, async |mut world| {
        leave_behind(&mut world).await;
        world.writers.shards = 1;
        let life = Life::start(&world);
        life.send_to(&world, 0, "SPY", &["50"]);
        life.spooled().await;
        life.stop().await;
        assert_eq!(folders(&world), ["shard-0-of-1-1", "shard-0-of-2", "shard-1-of-2"]);
        world.writers.shards = 2;
        world.redis.borrow_mut().begin();
        let life = Life::start(&world);
        life.settled().await;
        assert!(world.stored_in(QQQ).into_iter().eq(100..150));
        assert!(world.stored_in(SPY).into_iter().eq(0..51));
        until(|| folders(&world) == ["shard-0-of-2-2", "shard-1-of-2-2"]).await;
        life.stop().await;
    });
}

#[test]
fn what_was_left_behind_is_left_again_at_the_end_and_written_by_the_next_life() {
    world(SpoolMode::Always, async |mut world| {
        leave_behind(&mut world).await;
        world.writers.shards = 1;
        world.redis.borrow_mut().begin();
        let ended = Life::start(&world).stop().await;
        assert!(ended.channels[0].pending() > 0, "the end does not wait for a backlog that is on disk");
        let life = Life::start(&world);
        life.settled().await;
        assert!(world.stored_in(SPY).into_iter().eq(0..50));
        assert!(world.stored_in(QQQ).into_iter().eq(100..150));
        life.stop().await;
    });
}

#[test]
fn an_old_queue_that_ends_while_it_is_visited_is_no_failure() {
    world(SpoolMode::Always, async |mut world| {
        world.spool.keep = Duration::from_millis(10);
        world.redis.borrow_mut().end();
        let life = Life::start(&world);
        life.send(&world, &world.payloads(MORE_THAN_TWO_READS));
        life.spooled().await;
        life.kill().await;
        world.writers.shards = 2;
        let life = Life::start(&world);
        until(|| (0..2).all(|shard| life.shard(shard).has_learnt())).await;
        let (shard, beat, seen) = (life.shard(0).clone(), Heartbeat::default(), Cell::new(0));
        {
            let mut visit =
                pin!(shard.visit(&life.observations, &beat, true, |_, _| seen.set(seen.get() + 1)));
            while seen.get() == 0 {
                assert!(visit.as_mut().now_or_never().is_none());
                yield_now().await;
            }
            world.redis.borrow_mut().begin();
            until(|| folders(&world) == ["shard-0-of-2-1", "shard-1-of-2-1"]).await;
            visit.await.unwrap();
        }
        assert!((1..MORE_THAN_TWO_READS).contains(&seen.get()), "{}", seen.get());
        drop(shard);
        life.stop().await;
    });
}

#[test]
fn all_of_the_most_writers_may_ask_an_old_queue_at_once() {
    world(SpoolMode::Always, async |mut world| {
        leave_behind(&mut world).await;
        world.writers.shards = 1;
        let life = Life::start(&world);
        let old = life.old_disk();
        let standings = join_all((0..64).map(|_| old.standing())).await;
        assert!(standings.iter().all(Result::is_ok), "{standings:?}");
        drop(old);
        life.stop().await;
    });
}
