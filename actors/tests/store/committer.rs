//! From events to entries and snapshots, one transaction in flight.

use uw_websocket_actors::observation::DropReason;
use uw_websocket_actors::settings::SpoolMode;

use crate::world::{Life, STREAM, until, world};

const MAP: &str = "uw:ws:map:gex_strike:SPY";

#[test]
fn a_transaction_that_met_a_cut_connection_is_written_once() {
    world(SpoolMode::Off, async |world| {
        let life = Life::start(&world);
        life.store(&world, 1).await;
        for _ in 0..5 {
            world.redis().command(&["CLIENT", "KILL", "TYPE", "normal"]);
            life.store(&world, 1).await;
        }
        world.assert_all_stored();
        assert!(life.observations.writers[0].unknown_outcomes.get() > 0);
        life.stop().await;
    });
}

#[test]
fn a_new_session_removes_the_cells_of_the_earlier_one_though_its_first_try_was_lost() {
    world(SpoolMode::Off, async |world| {
        let life = Life::start(&world);
        life.send_session(&world, (0, "SPY"), 1, &["old"]);
        life.settled().await;
        until(|| world.redis().command(&["HKEYS", MAP]) == "*1\r\n$3\r\nold\r\n").await;
        world.redis().command(&["CLIENT", "KILL", "TYPE", "normal"]);
        life.send_session(&world, (0, "SPY"), 2, &["new"]);
        life.settled().await;
        assert!(life.observations.writers[0].unknown_outcomes.get() > 0);
        until(|| world.redis().command(&["HKEYS", MAP]) == "*1\r\n$3\r\nnew\r\n").await;
        life.stop().await;
    });
}

#[test]
fn a_full_memory_is_waited_for() {
    world(SpoolMode::Off, async |world| {
        world.redis().command(&["CONFIG", "SET", "maxmemory", "1"]);
        let life = Life::start(&world);
        life.send(&world, &world.payloads(1));
        until(|| life.observations.writers[0].retries.get() >= 2).await;
        assert_eq!(world.redis().command(&["EXISTS", STREAM]), ":0\r\n");
        world.redis().command(&["CONFIG", "SET", "maxmemory", "0"]);
        life.settled().await;
        world.assert_all_stored();
        life.stop().await;
    });
}

#[test]
fn what_is_in_memory_alone_is_tried_until_the_end_is_forced() {
    world(SpoolMode::Off, async |world| {
        world.redis.borrow_mut().end();
        let life = Life::start(&world);
        life.send(&world, &world.payloads(1));
        until(|| life.observations.writers[0].retries.get() >= 1).await;
        life.send(&world, &world.payloads(1));
        life.close(0);
        until(|| life.observations.writers[0].retries.get() >= 4).await;
        world.redis.borrow_mut().begin();
        life.settled().await;
        world.assert_all_stored();
        assert_eq!(life.stop().await.channels[0].dropped(DropReason::Shutdown).get(), 0);
    });
}

#[test]
fn the_last_batch_in_memory_is_not_given_up_because_redis_is_away() {
    world(SpoolMode::Off, async |world| {
        world.redis.borrow_mut().end();
        let life = Life::start(&world);
        until(|| life.is_in_trouble(0)).await;
        // what came after the outage was noticed, and is still incoming at the end
        life.send(&world, &world.payloads(1));
        life.close(0);
        until(|| life.channel().pending() == 0 || life.observations.writers[0].retries.get() >= 2).await;
        world.redis.borrow_mut().begin();
        life.settled().await;
        world.assert_all_stored();
        life.stop().await;
    });
}
