//! A stream that has gone past the IDs of a backlog: everything is stored once, in order, above what is there.

use uw_websocket_actors::observation::Place;
use uw_websocket_actors::settings::SpoolMode;
use uw_websocket_core::quarantine;

use crate::disks::{break_disk, is_faulty, mend_disk};
use crate::world::{Life, STREAM, World, until, world};

const OTHER: &str = "uw:ws:gex_strike:QQQ";

/// Somebody else writes an ID far in the future, and so many more of them a while later.
pub(crate) fn pass(world: &World, seq: u32) {
    world.redis().command(&["XADD", STREAM, &format!("99999999999999-{seq}"), "payload", "foreign"]);
}

#[test]
fn a_stream_that_somebody_else_began_anew_with_a_higher_id_loses_no_event() {
    for mode in [SpoolMode::Always, SpoolMode::Off] {
        world(mode, async |world| {
            let life = Life::start(&world);
            life.store(&world, 1).await;
            pass(&world, 7);
            life.store(&world, 2).await;
            pass(&world, 100);
            life.store(&world, 2).await;
            assert_eq!(world.redis().payloads(STREAM), ["0", "foreign", "1", "2", "foreign", "3", "4"]);
            life.stop().await;
        });
    }
}

#[test]
fn a_whole_backlog_on_disk_and_in_memory_gets_new_ids_that_the_next_life_knows() {
    world(SpoolMode::Always, async |world| {
        Life::start(&world).stop().await;
        let cursor = world.cursor(0);
        world.redis.borrow_mut().end();
        let life = Life::start(&world);
        for _ in 0..20 {
            life.send(&world, &world.payloads(100));
            life.send_to(&world, 0, "QQQ", &["q"]);
        }
        life.spooled().await;
        life.kill().await;

        let life = Life::start(&world);
        for _ in 0..20 {
            life.send(&world, &world.payloads(100));
        }
        life.spooled().await;
        world.redis.borrow_mut().begin();
        pass(&world, 7);
        life.send(&world, &world.payloads(100));
        life.settled().await;
        world.assert_all_stored();
        let (entries, others) = (world.redis().entries(STREAM), world.redis().entries(OTHER));
        assert!(others.iter().all(|(id, _)| !id.starts_with("99999999999999")), "{others:?}");
        life.kill().await;

        world.set_cursor(0, &cursor);
        let life = Life::start(&world);
        assert!(life.channel().recovered.get() >= 4100, "{}", life.channel().recovered.get());
        life.settled().await;
        assert_eq!(world.redis().entries(STREAM), entries);
        assert_eq!(world.redis().entries(OTHER), others);
        life.store(&world, 1).await;
        world.assert_all_stored();
        life.stop().await;
    });
}

#[test]
fn a_backlog_is_passed_again_and_again_while_it_is_written() {
    world(SpoolMode::Always, async |mut world| {
        world.writers.batch_max_events = 10;
        world.redis.borrow_mut().end();
        let life = Life::start(&world);
        for _ in 0..50 {
            life.send(&world, &world.payloads(10));
        }
        life.spooled().await;
        world.redis.borrow_mut().begin();
        for round in 1..10 {
            until(|| life.channel().stored.get() >= round * 50).await;
            pass(&world, 1000 * u32::try_from(round).unwrap());
        }
        life.settled().await;
        world.assert_all_stored();
        life.stop().await;
    });
}

#[test]
fn an_event_whose_streams_were_not_all_passed_is_stored_once_in_each() {
    for mode in [SpoolMode::Always, SpoolMode::Off] {
        world(mode, async |world| {
            let life = Life::start(&world);
            life.store(&world, 1).await;
            life.send_to(&world, 0, "QQQ", &["before"]);
            life.settled().await;
            pass(&world, 7);
            life.send_to_each(&world, (0, &["QQQ", "SPY"]), 1, &["1", "2"]);
            life.settled().await;
            assert_eq!(world.redis().payloads(STREAM), ["0", "foreign", "1", "2"]);
            assert_eq!(world.redis().payloads(OTHER), ["before", "1", "2"]);
            assert_eq!(life.stop().await.channels[0].quarantined.get(), 0);
        });
    }
}

#[test]
fn a_stream_that_has_no_higher_id_holds_nothing_up() {
    for mode in [SpoolMode::Always, SpoolMode::Off] {
        world(mode, async |world| {
            let highest = format!("{}-{}", u64::MAX, u64::MAX);
            world.redis().command(&["XADD", STREAM, &highest, "payload", "foreign"]);
            let life = Life::start(&world);
            life.send(&world, &["\"a\"", "\"b\""]);
            life.send_to(&world, 0, "QQQ", &["\"c\"", "\"d\""]);
            life.send(&world, &["\"e\""]);
            life.settled().await;
            assert_eq!(world.redis().payloads(STREAM), ["foreign"]);
            assert_eq!(world.redis().payloads(OTHER), ["\"c\"", "\"d\""]);
            assert_eq!((life.channel().quarantined.get(), life.channel().stored.get()), (3, 2));
            if mode == SpoolMode::Always {
                let events = quarantine::list(&world.spool.dir).unwrap().events;
                let payloads: Vec<&str> = events.iter().map(|event| event.payload.get()).collect();
                assert_eq!(payloads, ["\"a\"", "\"b\"", "\"e\""]);
            }
            life.stop().await;
        });
    }
}

/// The disk must get the new IDs, or the next life would not know what is stored.
#[test]
fn a_backlog_that_got_new_ids_in_memory_alone_takes_them_to_a_disk_that_works_again() {
    world(SpoolMode::Always, async |world| {
        Life::start(&world).stop().await;
        let cursor = world.cursor(0);
        let life = Life::start(&world);
        pass(&world, 7);
        // what is in the stream can be asked for, and nothing can be written
        world.redis().command(&["CONFIG", "SET", "maxmemory", "1"]);
        break_disk(&world);
        for _ in 0..10 {
            life.send(&world, &world.payloads(1));
        }
        until(|| is_faulty(&life) && life.observations.writers[0].retries.get() >= 2).await;
        assert_eq!(life.channel().held_in(Place::Disk), 0);
        mend_disk(&world);
        life.spooled().await;
        assert_eq!(life.channel().held_in(Place::Disk), 10);
        world.redis().command(&["CONFIG", "SET", "maxmemory", "0"]);
        life.settled().await;
        world.assert_all_stored();
        let entries = world.redis().entries(STREAM);
        assert!(entries.iter().all(|(id, _)| id.starts_with("99999999999999-")), "{entries:?}");
        life.kill().await;

        world.set_cursor(0, &cursor);
        let life = Life::start(&world);
        assert_eq!(life.channel().recovered.get(), 10);
        life.settled().await;
        assert_eq!(world.redis().entries(STREAM), entries);
        life.stop().await;
    });
}
