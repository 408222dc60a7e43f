//! Events that nobody can write are put away, and the others go on.

use uw_websocket_actors::fault::FaultPlan;
use uw_websocket_actors::ledger::gap::GapReason;
use uw_websocket_actors::settings::SpoolMode;
use uw_websocket_core::quarantine;

use crate::world::{Life, STREAM, world};

#[test]
fn events_for_a_key_of_another_type_are_quarantined_and_the_others_are_stored() {
    world(SpoolMode::Always, async |world| {
        world.redis().command(&["SET", "uw:ws:gex_strike:QQQ", "text"]);
        let life = Life::start(&world);
        life.send_to(&world, 0, "QQQ", &["{\"a\":1}", "no json"]);
        life.send(&world, &world.payloads(3));
        life.settled().await;
        world.assert_all_stored();
        assert_eq!((life.channel().quarantined.get(), life.channel().stored.get()), (2, 3));
        assert_eq!(life.gaps(GapReason::Rejected), 1);
        // the snapshots show what is in the streams
        assert_eq!(world.redis().command(&["EXISTS", "uw:ws:latest:gex_strike:QQQ"]), ":0\r\n");
        let events = quarantine::list(&world.spool.dir).unwrap().events;
        let payloads: Vec<&str> = events.iter().map(|event| event.payload.get()).collect();
        assert_eq!(payloads, ["{\"a\":1}", "\"no json\""]);
        for event in &events {
            assert!(event.reason.starts_with("WRONGTYPE"), "{}", event.reason);
            assert_eq!((&*event.channel, &*event.streams[0].stream), ("gex_strike", "uw:ws:gex_strike:QQQ"));
        }
        life.stop().await;
    });
}

#[test]
fn a_payload_that_redis_cannot_read_is_quarantined_and_the_others_are_stored() {
    world(SpoolMode::Always, async |world| {
        world.redis().command(&["CONFIG", "SET", "proto-max-bulk-len", "1048576"]);
        let life = Life::start(&world);
        let large = format!("\"{}\"", "x".repeat(2_000_000));
        let mut payloads = world.payloads(10);
        payloads.insert(4, large.clone());
        life.send(&world, &payloads);
        life.settled().await;
        world.assert_all_stored();
        let events = quarantine::list(&world.spool.dir).unwrap().events;
        assert_eq!(events.len(), 1);
        assert!(events[0].payload.get() == large, "the payload is whole");
        assert_eq!(life.stop().await.channels[0].quarantined.get(), 1);
    });
}

#[test]
fn an_event_that_crashes_its_writer_twice_is_quarantined_and_the_others_are_stored() {
    world(SpoolMode::Always, async |mut world| {
        world.faults = FaultPlan::parse("writer:panic:times=9:on=deadly").unwrap();
        let mut life = Life::start(&world);
        let mut payloads = world.payloads(10);
        payloads.insert(4, "\"deadly\"".to_owned());
        life.send(&world, &payloads);
        for _ in 0..2 {
            assert!(life.restart_crashed(&world, 0).await.is_panic());
        }
        life.settled().await;
        life.store(&world, 5).await;
        world.assert_all_stored();
        let events = quarantine::list(&world.spool.dir).unwrap().events;
        assert_eq!(events.iter().map(|event| event.payload.get()).collect::<Vec<_>>(), ["\"deadly\""]);
        assert_eq!(life.stop().await.channels[0].quarantined.get(), 1);
    });
}

#[test]
fn an_event_that_crashes_its_writer_after_it_was_stored_is_left_out_of_the_hashes() {
    world(SpoolMode::Always, async |mut world| {
        Life::start(&world).stop().await;
        let cursor = world.cursor(0);
        let life = Life::start(&world);
        life.send(&world, &["\"deadly\""]);
        life.settled().await;
        life.kill().await;

        world.set_cursor(0, &cursor);
        world.faults = FaultPlan::parse("writer:panic:times=9:on=deadly").unwrap();
        let mut life = Life::start(&world);
        for _ in 0..2 {
            assert!(life.restart_crashed(&world, 0).await.is_panic());
        }
        life.settled().await;
        life.store(&world, 5).await;
        world.assert_all_stored();
        let payloads = world.redis().payloads(STREAM);
        assert_eq!(payloads.iter().filter(|payload| *payload == "\"deadly\"").count(), 1);
        assert_eq!((life.channel().stored.get(), life.channel().quarantined.get()), (6, 0));
        life.stop().await;
    });
}

#[test]
fn events_in_quarantine_are_not_met_again_by_the_next_life() {
    world(SpoolMode::Always, async |world| {
        world.redis().command(&["SET", STREAM, "text"]);
        let life = Life::start(&world);
        life.store(&world, 3).await;
        life.stop().await;
        let life = Life::start(&world);
        assert_eq!(life.channel().recovered.get(), 0);
        life.store(&world, 1).await;
        assert_eq!(quarantine::list(&world.spool.dir).unwrap().events.len(), 4);
        assert_eq!(life.gaps(GapReason::RedisLost), 0);
        life.stop().await;
    });
}
