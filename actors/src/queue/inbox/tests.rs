use actix::prelude::*;
use actix_rt::System;
use futures_util::FutureExt;
use proptest::prelude::*;
use tokio::task::yield_now;

use super::*;
use crate::fixtures::observations;
use uw_websocket_core::fixtures::{destination, event, read_at, route};

/// Batches of at most three events.
const SIZE: TransactionSize = TransactionSize { events: 3, weight: 1 << 20 };

/// A writer that records the numbers of its deliveries.
struct Probe(Arc<Mutex<Vec<u64>>>);

impl Actor for Probe {
    type Context = Context<Self>;
}

impl Handler<Delivery> for Probe {
    type Result = ();

    fn handle(&mut self, delivery: Delivery, _: &mut Context<Self>) {
        lock(&self.0).push(delivery.number);
    }
}

struct World {
    inbox: Arc<Inbox>,
    observations: Arc<Observations>,
}

impl World {
    fn new(connections: usize, capacity: usize) -> World {
        let observations = observations(&["price"], 1);
        let inbox = Inbox::new(0, connections, capacity, SIZE, Arc::clone(&observations));
        World { inbox, observations }
    }

    fn push(&self, connection: usize, payload: &str) {
        let route = route(0, vec![destination("price:SPY", 0)]);
        self.inbox.lane(connection).push(event(&route, payload, 0), read_at());
    }

    /// Pushes events and flushes.
    fn send(&self, connection: usize, payloads: &[&str]) {
        for payload in payloads {
            self.push(connection, payload);
        }
        self.inbox.lane(connection).flush();
    }

    /// Returns the payloads of each available batch.
    fn take(&self) -> Vec<Vec<String>> {
        let text = |event: &Event| String::from_utf8(event.payload.to_vec()).unwrap();
        let batches = self.inbox.take(usize::MAX);
        batches.iter().map(|batch| batch.events().iter().map(text).collect()).collect()
    }

    fn depth(&self) -> (u64, u64) {
        let writer = &self.observations.writers[0];
        let bytes = writer.bytes_in.get() - writer.bytes_out.get();
        (writer.batches_in.get() - writer.batches_out.get(), bytes)
    }
}

#[test]
fn what_is_pushed_is_received_and_comes_out_in_its_order() {
    let world = World::new(1, 64);
    world.send(0, &["1", "2", "3", "4"]);
    world.send(0, &["5"]);
    assert_eq!(world.observations.channels[0].received.get(), 5);
    assert_eq!(world.take(), [vec!["1", "2", "3"], vec!["4", "5"]], "small batches are joined");
    assert_eq!((world.take(), world.depth()), (Vec::<Vec<String>>::new(), (0, 0)));
}

#[test]
fn a_batch_that_is_not_full_waits_for_the_flush() {
    let world = World::new(1, 64);
    world.push(0, "1");
    assert_eq!(world.depth().0, 0);
    world.inbox.lane(0).flush();
    assert_eq!(world.depth().0, 1);
    assert_eq!(world.take(), [["1"]]);
}

#[test]
fn without_room_lanes_hold_back_up_to_their_bound() {
    let world = World::new(1, 2);
    world.send(0, &["1", "2", "3", "4", "5", "6"]);
    assert_eq!(world.depth().0, 2);
    assert!(world.inbox.lane(0).has_room());
    world.send(0, &["7", "8"]);
    assert!(world.inbox.lane(0).has_room(), "what is held back is less than a batch");
    world.send(0, &["9"]);
    assert!(!world.inbox.lane(0).has_room());
    assert_eq!(world.take(), [["1", "2", "3"], ["4", "5", "6"]]);
    assert!(world.inbox.lane(0).has_room(), "it moved up");
    assert_eq!(world.take(), [["7", "8", "9"]]);
}

#[test]
fn the_bytes_have_a_bound_and_a_batch_above_it_fits_alone() {
    let world = World::new(1, 64);
    world.send(0, &[&"x".repeat(CAPACITY_BYTES + 1)]);
    world.send(0, &["next"]);
    assert_eq!(world.depth().0, 1, "the first one alone is above the bound");
    assert_eq!(world.take()[0][0].len(), CAPACITY_BYTES + 1);
    assert_eq!(world.take(), [["next"]]);
}

#[test]
fn lanes_are_served_in_turn() {
    let world = World::new(3, 1);
    world.send(0, &["a"; 9]);
    world.send(1, &["b", "b", "b"]);
    world.send(2, &["c", "c", "c"]);
    let order: Vec<String> = (0..5).flat_map(|_| world.take()).map(|batch| batch[0].clone()).collect();
    assert_eq!(order, ["a", "a", "b", "c", "a"], "the first to wait is the first, and then each in turn");
}

#[test]
fn what_a_dead_connection_filled_is_delivered_all_the_same() {
    let world = World::new(2, 1);
    world.send(0, &["1", "2", "3"]);
    let lane = world.inbox.lane(1);
    lane.push(event(&route(0, vec![destination("price:SPY", 0)]), "left", 0), read_at());
    drop(lane);
    assert_eq!(world.take(), [["1", "2", "3"]]);
    assert_eq!(world.take(), [["left"]]);
    world.inbox.close();
    assert!(world.inbox.is_exhausted());
}

#[test]
fn an_inbox_is_exhausted_when_it_is_closed_and_empty_until_it_is_opened() {
    let world = World::new(1, 1);
    world.send(0, &["1"]);
    assert!(!world.inbox.is_exhausted());
    world.inbox.close();
    assert!(!world.inbox.is_exhausted());
    world.take();
    assert!(world.inbox.is_exhausted());
    world.inbox.open();
    assert!(!world.inbox.is_exhausted());
}

#[test]
fn a_wait_for_room_ends_when_something_is_taken_and_is_counted() {
    let world = World::new(1, 1);
    world.send(0, &["1", "2", "3", "4", "5", "6"]);
    let lane = world.inbox.lane(0);
    {
        let mut room = std::pin::pin!(lane.room());
        assert!(room.as_mut().now_or_never().is_none());
        world.take();
        assert!(room.now_or_never().is_some());
    }
    assert!(lane.room().now_or_never().is_some());
    let waits = &world.observations.writers[0].mailbox_wait_us;
    let before = waits.get();
    world.send(0, &["7", "8", "9"]);
    while waits.get() == before {
        // independent of the clock's resolution
        world.send(0, &["a", "b", "c"]);
        world.take();
    }
}

#[test]
fn a_writer_is_told_of_deliveries_and_its_death_costs_nothing() {
    System::new().block_on(async {
        let world = World::new(1, 64);
        let mut served = std::pin::pin!(world.inbox.served());
        assert!(served.as_mut().now_or_never().is_none());
        let told = Arc::new(Mutex::new(Vec::new()));
        let writer = Probe(Arc::clone(&told)).start();
        world.inbox.serve(writer.clone().recipient());
        assert!(served.now_or_never().is_some());
        world.send(0, &["1"]);
        world.send(0, &["2"]);
        while lock(&told).len() < 2 {
            yield_now().await;
        }
        assert_eq!(*lock(&told), [1, 2]);
        drop(writer);
        world.inbox.serve(Probe(Arc::default()).start().recipient());
        world.send(0, &["3"]);
        assert_eq!(world.take(), [["1", "2", "3"]]);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// For any pushes and takes, each connection's events come out once and in order, and the bounds hold.
    #[test]
    fn every_event_comes_out_once_in_the_order_of_its_connection(
        steps in prop::collection::vec((0_usize..4, 1_usize..6), 1..60),
        capacity in 1_usize..4,
    ) {
        let world = World::new(3, capacity);
        let (mut sent, mut out) = (vec![Vec::new(); 3], vec![Vec::new(); 3]);
        let take = |out: &mut Vec<Vec<String>>| {
            for payload in world.take().into_iter().flatten() {
                out[payload[..1].parse::<usize>().unwrap()].push(payload);
            }
        };
        for (who, count) in steps {
            if who == 3 {
                take(&mut out);
                continue;
            }
            for _ in 0..count {
                let payload = format!("{who}:{}", sent[who].len());
                world.push(who, &payload);
                sent[who].push(payload);
            }
            world.inbox.lane(who).flush();
            prop_assert!(world.depth().0 <= capacity as u64);
        }
        while !lock(&world.inbox.held).delivered.is_empty() {
            take(&mut out);
        }
        prop_assert_eq!(out, sent);
        prop_assert_eq!(world.depth(), (0, 0));
    }
}
