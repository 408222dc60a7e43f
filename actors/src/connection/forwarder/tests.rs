use std::pin::pin;
use std::sync::Mutex;

use actix::prelude::*;
use actix_rt::System;
use futures_util::FutureExt;
use proptest::prelude::*;
use tokio::task::yield_now;

use super::*;
use crate::event::Route;
use crate::observation::Fate;
use crate::samples::{event, observations, outlet, read_at, route};
use crate::writer::mailbox::Mailbox;

/// Events of a batch.
const MAX_EVENTS: usize = 3;
const SIZE: TransactionSize = TransactionSize { events: MAX_EVENTS, weight: 1000 };

/// A writer that keeps what reaches it.
struct Probe(Arc<Mutex<Vec<EventBatch>>>);

impl Actor for Probe {
    type Context = Context<Self>;
}

impl Handler<EventBatch> for Probe {
    type Result = ();

    fn handle(&mut self, batch: EventBatch, _: &mut Context<Self>) {
        self.0.lock().unwrap().push(batch);
    }
}

/// A forwarder to writers whose mailboxes have room for one batch each.
struct World {
    forwarder: Forwarder,
    mailboxes: Vec<Arc<Mailbox>>,
    kept: Vec<Arc<Mutex<Vec<EventBatch>>>>,
    routes: Vec<Arc<Route>>,
}

impl World {
    fn new(shards: usize) -> World {
        let observations = observations(&["price"], shards);
        let mailboxes: Vec<_> =
            (0..shards).map(|shard| Mailbox::new(shard, 1, Arc::clone(&observations))).collect();
        let senders = mailboxes.iter().map(Mailbox::sender).collect();
        World {
            forwarder: Forwarder::new(senders, SIZE, observations),
            mailboxes,
            kept: Vec::new(),
            routes: (0..shards)
                .map(|shard| route(shard, vec![outlet(&format!("price:{shard}"), 0)]))
                .collect(),
        }
    }

    /// The same, with writers.
    fn served(shards: usize) -> World {
        let mut world = World::new(shards);
        for mailbox in &world.mailboxes {
            let kept = Arc::new(Mutex::new(Vec::new()));
            mailbox.serve(Probe(Arc::clone(&kept)).start().recipient());
            world.kept.push(kept);
        }
        world
    }

    fn push(&mut self, shard: usize, payload: &str) {
        let event = event(&self.routes[shard], payload, 0);
        self.forwarder.push(event, read_at());
    }

    /// Waits for the batch that a writer was sent, and settles it: the payloads.
    async fn take(&self, shard: usize) -> Vec<String> {
        for _ in 0..1000 {
            let batch = self.kept[shard].lock().unwrap().pop();
            if let Some(batch) = batch {
                let payload = |event: &Event| String::from_utf8(event.payload.to_vec()).unwrap();
                let payloads = batch.events().iter().map(payload).collect();
                batch.settle(|_| Fate::Stored);
                return payloads;
            }
            yield_now().await;
        }
        panic!("nothing came to shard {shard}");
    }
}

fn run(test: impl Future<Output = ()>) {
    System::new().block_on(test);
}

#[test]
fn a_flush_sends_what_is_there_and_a_full_batch_goes_at_once() {
    run(async {
        let mut world = World::served(1);
        world.push(0, "1");
        assert!(!world.forwarder.is_empty());
        world.forwarder.flush();
        assert!(world.forwarder.is_empty());
        assert_eq!(world.take(0).await, ["1"]);
        for payload in ["2", "3", "4"] {
            world.push(0, payload);
        }
        assert!(world.forwarder.is_empty());
        assert_eq!(world.take(0).await, ["2", "3", "4"]);
    });
}

#[test]
fn each_shard_has_its_own_batch() {
    run(async {
        let mut world = World::served(2);
        for (shard, payload) in [(0, "a"), (1, "b"), (0, "c")] {
            world.push(shard, payload);
        }
        world.forwarder.flush();
        assert_eq!(world.take(0).await, ["a", "c"]);
        assert_eq!(world.take(1).await, ["b"]);
    });
}

#[test]
fn a_full_mailbox_leaves_events_in_the_lane_up_to_the_bound() {
    run(async {
        let mut world = World::served(2);
        world.push(0, "1");
        world.forwarder.flush();
        for payload in ["2", "3", "4"] {
            assert!(world.forwarder.has_room());
            world.push(0, payload);
            world.forwarder.flush();
        }
        assert!(!world.forwarder.has_room());
        assert_eq!(world.take(0).await, ["1"]);
        assert!(!world.forwarder.has_room(), "nothing was sent yet");
        world.forwarder.send_one().await;
        assert!(world.forwarder.has_room() && world.forwarder.is_empty());
        assert_eq!(world.take(0).await, ["2", "3", "4"]);
    });
}

#[test]
fn a_chunk_beyond_the_bound_still_makes_batches_of_a_transaction_each() {
    run(async {
        let mut world = World::served(1);
        world.push(0, "0");
        world.forwarder.flush();
        for payload in ["1", "2", "3", "4", "5", "6", "7"] {
            world.push(0, payload);
        }
        assert!(!world.forwarder.has_room());
        assert_eq!(world.take(0).await, ["0"]);
        for batch in [&["1", "2", "3"][..], &["4", "5", "6"], &["7"]] {
            world.forwarder.flush();
            assert_eq!(world.take(0).await, batch);
        }
    });
}

#[test]
fn a_lane_holds_a_bounded_number_of_bytes() {
    run(async {
        let mut world = World::new(1);
        world.push(0, &"x".repeat(LANE_MAX_BYTES - size_of::<Event>() - 1));
        assert!(world.forwarder.has_room());
        world.push(0, "x");
        assert!(!world.forwarder.has_room());
    });
}

#[test]
fn waiting_ends_with_the_first_lane_that_was_sent_and_leaves_the_others() {
    run(async {
        let mut world = World::served(2);
        for shard in [0, 1] {
            world.push(shard, "sent");
            world.forwarder.flush();
            world.push(shard, "waits");
        }
        assert!(pin!(world.forwarder.send_one()).now_or_never().is_none());
        assert_eq!(world.take(1).await, ["sent"]);
        world.forwarder.send_one().await;
        assert_eq!(world.take(1).await, ["waits"]);
        assert!(!world.forwarder.is_empty());
        assert!(pin!(world.forwarder.send_one()).now_or_never().is_none());
        assert_eq!(world.take(0).await, ["sent"]);
        world.forwarder.send_one().await;
        assert_eq!(world.take(0).await, ["waits"]);
    });
}

#[test]
fn without_anything_to_send_the_wait_does_not_end() {
    run(async {
        let mut world = World::served(1);
        assert!(pin!(world.forwarder.send_one()).now_or_never().is_none());
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any order of pushes (of which half go to each shard), flushes, cancelled waits, and ends of transactions.
    #[test]
    fn every_event_reaches_its_writer_once_and_in_order(steps in prop::collection::vec(0_usize..6, 0..60)) {
        run(async {
            let mut world = World::served(2);
            let (mut pushed, mut taken) = (vec![Vec::new(); 2], vec![Vec::new(); 2]);
            for (number, step) in steps.iter().enumerate() {
                match step {
                    shard @ (0 | 1) if world.forwarder.has_room() => {
                        pushed[*shard].push(number.to_string());
                        world.push(*shard, &number.to_string());
                    }
                    0..=2 => world.forwarder.flush(),
                    3 => drop(pin!(world.forwarder.send_one()).now_or_never()),
                    step => {
                        let shard = step - 4;
                        let depth = world.forwarder.observations.writers[shard].batches_in.get()
                            - world.forwarder.observations.writers[shard].batches_out.get();
                        assert!(depth <= 1);
                        if depth == 1 {
                            taken[shard].extend(world.take(shard).await);
                        }
                    }
                }
            }
            for shard in [0, 1] {
                while pushed[shard].len() > taken[shard].len() {
                    world.forwarder.flush();
                    taken[shard].extend(world.take(shard).await);
                }
            }
            assert_eq!(taken, pushed);
            assert_eq!(world.forwarder.observations.channels[0].pending(), 0);
        });
    }
}
