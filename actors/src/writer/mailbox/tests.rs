use std::pin::pin;
use std::sync::Mutex;

use actix::prelude::*;
use actix_rt::System;
use futures_util::FutureExt;
use tokio::task::yield_now;

use super::*;
use crate::observation::{DropReason, Fate};
use crate::samples::{batch, event, observations, outlet, route};

/// A writer that keeps the batches that reach it, or lets go of them.
#[derive(Default)]
struct Probe {
    kept: Arc<Mutex<Vec<EventBatch>>>,
}

impl Actor for Probe {
    type Context = Context<Self>;
}

impl Handler<EventBatch> for Probe {
    type Result = ();

    fn handle(&mut self, batch: EventBatch, _: &mut Context<Self>) {
        self.kept.lock().unwrap().push(batch);
    }
}

/// Ends the probe.
#[derive(Message)]
#[rtype(result = "()")]
struct End;

impl Handler<End> for Probe {
    type Result = ();

    fn handle(&mut self, _: End, context: &mut Context<Self>) {
        context.stop();
    }
}

/// A mailbox with room for `capacity` batches and nobody who serves it.
struct World {
    mailbox: Arc<Mailbox>,
    observations: Arc<Observations>,
}

impl World {
    fn new(capacity: usize) -> World {
        let observations = observations(&["price"], 1);
        World { mailbox: Mailbox::new(0, capacity, Arc::clone(&observations)), observations }
    }

    /// Starts a writer and serves the mailbox with it.
    fn serve(&self) -> (Addr<Probe>, Arc<Mutex<Vec<EventBatch>>>) {
        let probe = Probe::default();
        let kept = Arc::clone(&probe.kept);
        let address = probe.start();
        self.mailbox.serve(address.clone().recipient());
        (address, kept)
    }

    fn batch(&self, payload: &str) -> EventBatch {
        let route = route(0, vec![outlet("price:SPY", 0)]);
        batch(&self.observations, [event(&route, payload, 0)])
    }

    /// Batches in the mailbox or with its writer.
    fn depth(&self) -> u64 {
        let writer = &self.observations.writers[0];
        writer.batches_in.get() - writer.batches_out.get()
    }
}

fn run(test: impl Future<Output = ()>) {
    System::new().block_on(test);
}

/// Waits until so many batches have reached a writer.
async fn reach(kept: &Mutex<Vec<EventBatch>>, count: usize) {
    for _ in 0..1000 {
        if kept.lock().unwrap().len() >= count {
            return;
        }
        yield_now().await;
    }
    panic!("{} of {count} batches came", kept.lock().unwrap().len());
}

fn payloads(kept: &Mutex<Vec<EventBatch>>) -> Vec<String> {
    let kept = kept.lock().unwrap();
    let events = kept.iter().flat_map(EventBatch::events);
    events.map(|event| String::from_utf8(event.payload.to_vec()).unwrap()).collect()
}

#[test]
fn credits_bound_the_batches_of_all_senders_together() {
    run(async {
        let world = World::new(2);
        let (_address, kept) = world.serve();
        let (mut one, mut other) = (world.mailbox.sender(), world.mailbox.sender());
        one.try_send(world.batch("1")).unwrap();
        other.try_send(world.batch("2")).unwrap();
        let back = one.try_send(world.batch("3")).unwrap_err();
        assert_eq!(back.events().len(), 1);
        // they are with the writer now, and still count
        reach(&kept, 2).await;
        assert_eq!(other.try_send(back).unwrap_err().events().len(), 1);
        assert_eq!(world.depth(), 2);
    });
}

#[test]
fn credits_bound_the_bytes() {
    run(async {
        let world = World::new(64);
        let (_address, kept) = world.serve();
        let mut sender = world.mailbox.sender();
        let half = "x".repeat(CAPACITY_BYTES / 2 - size_of::<crate::event::Event>());
        sender.try_send(world.batch(&half)).unwrap();
        sender.try_send(world.batch(&half[UNIT..])).unwrap();
        assert!(sender.try_send(world.batch(&"x".repeat(UNIT + 1))).is_err());
        sender.try_send(world.batch("a unit is left")).unwrap();
        assert!(sender.try_send(world.batch("")).is_err());
        reach(&kept, 3).await;
        kept.lock().unwrap().clear();
        let writer = &world.observations.writers[0];
        assert_eq!(writer.bytes_in.get(), writer.bytes_out.get());
        sender.try_send(world.batch(&half)).unwrap();
    });
}

#[test]
fn an_absorbed_batch_gives_back_its_place_and_keeps_its_bytes() {
    run(async {
        let world = World::new(2);
        let (_address, kept) = world.serve();
        let mut sender = world.mailbox.sender();
        sender.try_send(world.batch("1")).unwrap();
        sender.try_send(world.batch("2")).unwrap();
        assert!(sender.try_send(world.batch("3")).is_err());
        reach(&kept, 2).await;
        let mut batches = std::mem::take(&mut *kept.lock().unwrap());
        let (second, bytes) = (batches.pop().unwrap(), batches[0].bytes() * 2);
        batches[0].absorb(second);
        let writer = &world.observations.writers[0];
        assert_eq!(writer.batches_in.get() - writer.batches_out.get(), 1);
        assert_eq!(writer.bytes_in.get() - writer.bytes_out.get(), bytes as u64);
        sender.try_send(world.batch("3")).unwrap();
    });
}

#[test]
fn a_batch_above_all_bounds_has_an_empty_mailbox_for_itself() {
    run(async {
        let world = World::new(64);
        let (_address, _kept) = world.serve();
        let mut sender = world.mailbox.sender();
        sender.try_send(world.batch(&"x".repeat(CAPACITY_BYTES * 2))).unwrap();
        assert!(sender.try_send(world.batch("1")).is_err());
    });
}

#[test]
fn a_credit_comes_back_when_its_batch_is_settled_or_let_go_of() {
    run(async {
        let world = World::new(1);
        let (_address, kept) = world.serve();
        let mut sender = world.mailbox.sender();
        for ends in [|batch: EventBatch| batch.settle(|_| Fate::Stored), drop] {
            sender.try_send(world.batch("1")).unwrap();
            reach(&kept, 1).await;
            assert!(sender.try_send(world.batch("2")).is_err());
            let sent = kept.lock().unwrap().pop().unwrap();
            ends(sent);
            assert_eq!(world.depth(), 0);
        }
        sender.try_send(world.batch("3")).unwrap();
    });
}

#[test]
fn without_a_writer_a_batch_comes_back_and_takes_no_room() {
    run(async {
        let world = World::new(1);
        let mut sender = world.mailbox.sender();
        let batch = sender.try_send(world.batch("1")).unwrap_err();
        assert_eq!(world.depth(), 0);
        let (_address, kept) = world.serve();
        sender.try_send(batch).unwrap();
        reach(&kept, 1).await;
    });
}

#[test]
fn a_waiting_sender_sends_as_soon_as_there_is_room() {
    run(async {
        let world = World::new(1);
        let (_address, kept) = world.serve();
        let mut sender = world.mailbox.sender();
        sender.try_send(world.batch("1")).unwrap();
        let mut waiting = VecDeque::from([world.batch("2")]);
        {
            let mut sent = pin!(sender.send_first(&mut waiting));
            assert!(sent.as_mut().now_or_never().is_none());
            reach(&kept, 1).await;
            assert!(sent.as_mut().now_or_never().is_none());
            drop(kept.lock().unwrap().pop());
            sent.await;
        }
        assert!(waiting.is_empty());
        reach(&kept, 1).await;
        assert_eq!(payloads(&kept), ["2"]);
    });
}

#[test]
fn a_cancelled_wait_keeps_the_batch_and_the_order_and_is_counted() {
    run(async {
        let world = World::new(1);
        let (_address, kept) = world.serve();
        let mut sender = world.mailbox.sender();
        sender.try_send(world.batch("1")).unwrap();
        let mut waiting = VecDeque::from([world.batch("2")]);
        let asked = Instant::now();
        {
            let mut sent = pin!(sender.send_first(&mut waiting));
            while asked.elapsed().as_micros() < 10 {
                assert!(sent.as_mut().now_or_never().is_none());
            }
        }
        assert_eq!(waiting.front().map(|batch| batch.events().len()), Some(1));
        assert!(world.observations.writers[0].mailbox_wait_us.get() > 0);
        reach(&kept, 1).await;
        kept.lock().unwrap().clear();
        sender.send_first(&mut waiting).await;
        reach(&kept, 1).await;
        assert_eq!(payloads(&kept), ["2"]);
        assert_eq!(world.observations.channels[0].dropped(DropReason::Crash).get(), 1);
    });
}

#[test]
fn room_goes_to_the_sender_who_asked_first() {
    run(async {
        let world = World::new(1);
        let (_address, kept) = world.serve();
        let (mut one, mut other) = (world.mailbox.sender(), world.mailbox.sender());
        one.try_send(world.batch("0")).unwrap();
        let (mut first, mut second) =
            (VecDeque::from([world.batch("first")]), VecDeque::from([world.batch("second")]));
        let (mut first, mut second) = (pin!(one.send_first(&mut first)), pin!(other.send_first(&mut second)));
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        reach(&kept, 1).await;
        kept.lock().unwrap().clear();
        assert!(second.as_mut().now_or_never().is_none(), "the room is for the first");
        assert!(first.as_mut().now_or_never().is_some());
        reach(&kept, 1).await;
        assert_eq!(payloads(&kept), ["first"]);
        kept.lock().unwrap().clear();
        assert!(second.as_mut().now_or_never().is_some());
    });
}

#[test]
fn the_next_writer_gets_the_batches_that_an_ended_one_did_not_take() {
    run(async {
        let world = World::new(4);
        let (address, kept) = world.serve();
        let mut sender = world.mailbox.sender();
        sender.try_send(world.batch("1")).unwrap();
        reach(&kept, 1).await;
        address.send(End).await.unwrap();
        while address.connected() {
            yield_now().await;
        }
        let batch = sender.try_send(world.batch("2")).unwrap_err();
        assert_eq!(world.depth(), 1);

        let mut waiting = VecDeque::from([batch]);
        let kept_by_next = {
            let mut sent = pin!(sender.send_first(&mut waiting));
            assert!(sent.as_mut().now_or_never().is_none());
            let (_next, kept_by_next) = world.serve();
            sent.await;
            kept_by_next
        };
        sender.try_send(world.batch("3")).unwrap();
        reach(&kept_by_next, 2).await;
        assert_eq!(payloads(&kept_by_next), ["2", "3"]);
        assert_eq!(payloads(&kept), ["1"]);
    });
}
