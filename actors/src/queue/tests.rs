//! The queue compared with a list: whatever happens to the writers, the disk and the process, every event is lent
//! until acknowledged, once and in order, with rising IDs.

use std::collections::{BTreeMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::poll;
use proptest::prelude::*;
use slog::{Discard, Logger, o};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use uw_websocket_core::event::{ChannelIndex, EntryId, Event, Route};
use uw_websocket_core::fixtures::{destination, event, keys, read_at, route};
use uw_websocket_core::ids::Numbering;
use uw_websocket_core::spool::{Limits, Spool, Unrecordable};

use super::backlog::{Backlog, Lent};
use super::disk::DiskPosition;
use super::disk_thread::{self, DiskParts};
use super::inbox::Inbox;
use super::shared::WRITTEN_AT_END;
use super::*;
use crate::fault::FaultPlan;
use crate::fixtures::{SIZE, observations, queue, spool_settings};
use crate::observation::{DropReason, Observations, Outcome, Place};
use crate::settings::WhenFull;
use crate::sync::lock;
use crate::thread_deaths::ThreadDeaths;

/// Time limit of operations that should take milliseconds.
const HANGS: Duration = Duration::from_secs(60);
/// Time in which the disk may have answered, or not.
const SOME_POLLS: u8 = 20;
const STREAMS: [&str; 2] = ["price:SPY", "price:QQQ"];

#[derive(Clone, Debug)]
enum Op {
    /// Events for a stream arrive in the inbox.
    Send(usize, u8),
    /// A writer appends, and dies after a number of polls.
    Append(Option<u8>),
    /// A writer peeks, possibly assigns new IDs, and dies before it acknowledges.
    Commit {
        dies: bool,
    },
    /// Another client writes a higher ID to a stream.
    Pass(usize),
    Break,
    Mend,
    Restart,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => (0..STREAMS.len(), 1_u8..6).prop_map(|(stream, count)| Op::Send(stream, count)),
        4 => prop::option::of(0_u8..4).prop_map(Op::Append),
        5 => any::<bool>().prop_map(|dies| Op::Commit { dies }),
        1 => (0..STREAMS.len()).prop_map(Op::Pass),
        1 => Just(Op::Break),
        1 => Just(Op::Mend),
        1 => Just(Op::Restart),
    ];
    prop::collection::vec(op, 1..60)
}

struct World {
    folder: TempDir,
    observations: Arc<Observations>,
    queue: Queue,
    inbox: Arc<Inbox>,
    routes: [Arc<Route>; 2],
    /// Payloads in order of sending, and the number acknowledged.
    sent: Vec<String>,
    stored: usize,
    /// The last ID of each stream in the simulated Redis.
    redis: BTreeMap<String, EntryId>,
    is_broken: bool,
}

/// Polls a future a number of times, or to its end.
async fn live_for<F: Future>(polls: Option<u8>, future: F) -> Option<F::Output> {
    let Some(polls) = polls else {
        return Some(timeout(HANGS, future).await.expect("it hangs"));
    };
    let mut future = pin!(future);
    for _ in 0..polls {
        if let Poll::Ready(done) = poll!(future.as_mut()) {
            return Some(done);
        }
        // the disk's thread may answer or not
        tokio::task::yield_now().await;
    }
    None
}

fn open(folder: &TempDir, observations: &Arc<Observations>) -> (Queue, Arc<Inbox>) {
    // every append begins a segment, so that a missing folder is noticed at once
    let limits = Limits {
        segment_bytes: 1,
        segment_age: Duration::from_secs(60),
        max_bytes: 1 << 30,
        durable: false,
        max_streams: 1_000,
    };
    let (spool, recovery) = Spool::open(&folder.path().join("shard"), limits, Instant::now()).unwrap();
    assert!(recovery.damages.is_empty(), "{:?}", recovery.damages);
    let standing = DiskPosition::of(&spool);
    let disk = disk_thread::start(DiskParts {
        spool,
        folder: "shard".into(),
        retirement: None,
        archiving: None,
        replicated: Arc::default(),
        settings: spool_settings(),
        observations: Arc::clone(observations),
        shard: 0,
        deaths: ThreadDeaths::default(),
        faults: FaultPlan::default().for_child("spool"),
        log: Logger::root(Discard, o!()),
    });
    let queue = queue(Some((disk.unwrap(), standing)), observations, WhenFull::DropOldest);
    lock(&queue.0.state).numbering = Numbering::above(recovery.highest_id);
    (queue, Inbox::new(0, 1, 64, SIZE, Arc::clone(observations)))
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let observations = observations(&["price"], 1);
        let (queue, inbox) = open(&folder, &observations);
        World {
            folder,
            observations,
            queue,
            inbox,
            routes: STREAMS.map(|name| route(0, vec![destination(name, 0)])),
            sent: Vec::new(),
            stored: 0,
            redis: BTreeMap::new(),
            is_broken: false,
        }
    }

    async fn run(&mut self, op: &Op) {
        match op {
            Op::Send(stream, count) => self.send(*stream, *count),
            Op::Append(polls) => {
                self.queue.accept(&self.inbox);
                live_for(*polls, self.queue.keep()).await;
            }
            Op::Commit { dies } => self.commit(Some(SOME_POLLS), *dies).await,
            Op::Pass(stream) => {
                let last = self.redis.entry(format!("uw:ws:{}", STREAMS[*stream])).or_default();
                last.ms = last.ms.max(uw_websocket_core::fixtures::RECEIVED_US / 1000) + 5;
            }
            Op::Break if !self.is_broken => {
                self.is_broken = true;
                std::fs::rename(self.shard(), self.folder.path().join("aside")).unwrap();
                std::fs::write(self.shard(), "").unwrap();
            }
            Op::Mend => self.mend(),
            Op::Restart if !self.is_broken => self.restart().await,
            Op::Break | Op::Restart => {}
        }
    }

    fn shard(&self) -> std::path::PathBuf {
        self.folder.path().join("shard")
    }

    fn mend(&mut self) {
        if std::mem::take(&mut self.is_broken) {
            std::fs::remove_file(self.shard()).unwrap();
            std::fs::rename(self.folder.path().join("aside"), self.shard()).unwrap();
        }
    }

    fn send(&mut self, stream: usize, count: u8) {
        let lane = self.inbox.lane(0);
        for _ in 0..count {
            let payload = format!("{{\"n\":{}}}", self.sent.len());
            lane.push(event(&self.routes[stream], &payload, 0), read_at());
            self.sent.push(payload);
        }
        lane.flush();
    }

    /// Acts as a committer: the lent batch must come next, and events behind their stream get new IDs before they
    /// are written.
    async fn commit(&mut self, polls: Option<u8>, dies: bool) {
        let Some(Ok(Next::Write(lent))) = live_for(polls, self.queue.peek()).await else { return };
        let expected = &self.sent[self.stored..self.stored + lent.batch.len()];
        let found: Vec<&str> =
            lent.batch.events().iter().map(|event| std::str::from_utf8(&event.payload).unwrap()).collect();
        assert_eq!(found, expected);
        let behind = lent.batch.events().iter().find(|event| {
            let stream = &*event.route.destinations[0].stream;
            event.ids.get(0) <= self.redis.get(stream).copied().unwrap_or_default()
        });
        if let Some(event) = behind {
            let destination = &event.route.destinations[0];
            let above = self.redis[&*destination.stream];
            let polls = dies.then_some(1);
            let of_stream = (event.route.channel, &**destination);
            live_for(polls, self.queue.reassign(of_stream, HashSet::new(), above)).await;
            return;
        }
        if dies {
            return;
        }
        for event in lent.batch.events() {
            let last = self.redis.entry(event.route.destinations[0].stream.to_string()).or_default();
            assert!(event.ids.get(0) > *last, "IDs rise");
            *last = event.ids.get(0);
        }
        self.stored += lent.batch.len();
        self.queue.ack(&lent, |_| Outcome::Stored, Vec::new());
    }

    async fn append_all(&mut self) {
        while self.queue.accept(&self.inbox) {
            live_for(None, self.queue.keep()).await;
        }
        live_for(None, self.queue.keep()).await;
    }

    /// The process shuts down cleanly, and another one continues.
    async fn restart(&mut self) {
        self.safe().await;
        let (last, aside) = open_nowhere();
        drop(std::mem::replace(&mut self.queue, last));
        self.inbox = aside;
        while Arc::strong_count(&self.observations) > 1 {
            // its threads end
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(self.observations.audit(), []);
        self.observations = observations(&["price"], 1);
        self.observations.channels[0].recover((self.sent.len() - self.stored) as u64, 0);
        (self.queue, self.inbox) = open(&self.folder, &self.observations);
    }

    /// Waits until everything is on disk.
    async fn safe(&mut self) {
        self.append_all().await;
        let safe = async {
            while !self.queue.is_safe() {
                self.queue.keep().await;
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(HANGS, safe).await.expect("the disk works again");
    }
}

/// A placeholder for a queue.
fn open_nowhere() -> (Queue, Arc<Inbox>) {
    let observations = observations(&["price"], 1);
    (queue(None, &observations, WhenFull::Block), Inbox::new(0, 1, 1, SIZE, observations))
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_event_is_lent_until_it_is_acknowledged_once_and_in_order(ops in ops()) {
        run(async {
            let mut world = World::new();
            for op in &ops {
                world.run(op).await;
            }
            world.mend();
            world.safe().await;
            let all = async {
                while world.stored < world.sent.len() {
                    // a single future: cancelling and asking again would only delay the disk's answer
                    world.commit(None, false).await;
                    tokio::task::yield_now().await;
                }
            };
            timeout(HANGS, all).await.expect("all are stored");
            assert!(world.queue.is_empty());
            assert_eq!(world.observations.audit(), []);
            assert_eq!(world.observations.channels[0].pending(), 0);
            assert_eq!(world.observations.channels[0].dropped_in_all(), 0);
        });
    }
}

fn deliver(world: &World, symbol: usize, payload: &str) {
    let lane = world.inbox.lane(0);
    lane.push(event(&world.routes[symbol], payload, 0), read_at());
    lane.flush();
}

#[test]
fn equal_bytes_of_two_symbols_are_two_events_and_of_one_a_duplicate() {
    run(async {
        let mut world = World::new();
        for symbol in [0, 1, 0, 1] {
            deliver(&world, symbol, "{\"close\":\"1\"}");
        }
        world.append_all().await;
        let channel = &world.observations.channels[0];
        assert_eq!((channel.duplicate.get(), channel.held_in(Place::Disk)), (2, 2));
    });
}

#[test]
fn what_a_dead_writer_had_taken_over_is_not_its_own_duplicate() {
    run(async {
        let mut world = World::new();
        deliver(&world, 0, "{}");
        world.queue.accept(&world.inbox);
        live_for(Some(1), world.queue.keep()).await;
        world.append_all().await;
        assert_eq!(world.observations.channels[0].duplicate.get(), 0);
        assert_eq!(world.observations.channels[0].held_in(Place::Disk), 1);
    });
}

#[test]
fn what_no_record_can_hold_is_handed_out_and_holds_nothing_up() {
    run(async {
        let mut world = World::new();
        deliver(&world, 0, &"x".repeat(5 * 1024 * 1024));
        deliver(&world, 0, "{}");
        world.append_all().await;
        for _ in 0..2 {
            let (_, error) = world.queue.unrecordable().expect("it stays until it is ended");
            assert!(matches!(error, Unrecordable::Payload(_)));
        }
        world.queue.end_unrecordable(Outcome::Quarantined);
        assert!(world.queue.is_safe() && world.queue.unrecordable().is_none());
        assert_eq!(world.observations.channels[0].quarantined.get(), 1);
        assert_eq!(world.observations.audit(), []);
    });
}

#[test]
fn at_the_end_a_moment_on_disk_is_written_and_a_backlog_is_left() {
    run(async {
        let mut world = World::new();
        deliver(&world, 0, "{}");
        world.append_all().await;
        world.sent.push("{}".to_owned());
        world.restart().await;
        world.queue.close();
        let Ok(Next::Write(lent)) = world.queue.peek().await else { panic!("it is read") };
        assert_eq!(lent.batch.len(), 1);
        let backlog = |records| Backlog::of_records(SIZE, 0..records);
        for (records, is_left) in [(WRITTEN_AT_END, false), (WRITTEN_AT_END + 1, true)] {
            lock(&world.queue.0.state).backlog = backlog(records);
            let next = world.queue.0.lend();
            assert_eq!(matches!(next, Ok(Some(Next::End))), is_left, "{records} records");
        }
    });
}

#[test]
fn an_acknowledgement_of_what_was_not_lent_changes_nothing() {
    run(async {
        let mut world = World::new();
        deliver(&world, 0, "{}");
        world.append_all().await;
        let Ok(Next::Write(lent)) = world.queue.peek().await else { panic!() };
        let other = Lent { first: 17, ..lent.clone() };
        world.queue.ack(&other, |_| Outcome::Stored, Vec::new());
        assert!(!world.queue.is_empty());
        let oldest = || world.observations.writers[0].memory_oldest.get();
        assert!(oldest().is_some(), "a copy is in memory");
        world.queue.ack(&lent, |_| Outcome::Stored, Vec::new());
        assert_eq!(oldest(), None);
        world.queue.ack(&lent, |_| Outcome::Stored, Vec::new());
        assert_eq!(world.observations.channels[0].stored.get(), 1);
    });
}

#[test]
fn what_is_in_memory_alone_ends_with_the_process_on_record() {
    run(async {
        let observations = observations(&["price"], 1);
        let queue = queue(None, &observations, WhenFull::Block);
        let inbox = Inbox::new(0, 1, 64, SIZE, Arc::clone(&observations));
        let lane = inbox.lane(0);
        lane.push(event(&route(0, vec![destination("price:SPY", 0)]), "{}", 0), read_at());
        lane.flush();
        queue.accept(&inbox);
        let oldest = || observations.writers[0].memory_oldest.get();
        assert_eq!(oldest(), Some(uw_websocket_core::fixtures::RECEIVED_US));
        queue.keep().await;
        assert_eq!(queue.abandon(DropReason::Shutdown), 1);
        assert_eq!(oldest(), None);
        let losses = queue.take_losses();
        assert_eq!((losses.len(), losses[0].events), (1, Some(1)));
        assert_eq!(losses[0].reason, crate::ledger::gap::GapReason::Shutdown);
        assert_eq!((observations.audit(), queue.take_losses()), (Vec::new(), Vec::new()));
    });
}

#[test]
fn new_ids_for_several_streams_leave_alone_what_is_stored_in_each() {
    run(async {
        let mut world = World::new();
        for (number, symbol) in [0, 1, 0, 1].into_iter().enumerate() {
            deliver(&world, symbol, &format!("{{\"n\":{number}}}"));
        }
        world.append_all().await;
        let Ok(Next::Write(lent)) = world.queue.peek().await else { panic!() };
        assert_eq!(lent.batch.len(), 4);
        let above = EntryId { ms: uw_websocket_core::fixtures::RECEIVED_US / 1000 + 5, seq: 0 };
        for (stored, stream) in [0, 1].into_iter().zip(&world.routes) {
            let of_stream = (ChannelIndex(0), &*stream.destinations[0]);
            live_for(None, world.queue.reassign(of_stream, HashSet::from([stored]), above)).await;
        }
        let Ok(Next::Write(again)) = world.queue.peek().await else { panic!() };
        let is_above = |event: &Event| event.ids.get(0) > above;
        assert_eq!(again.batch.events().iter().map(is_above).collect::<Vec<_>>(), [false, false, true, true]);
    });
}

#[test]
fn what_a_dead_connection_had_not_delivered_is_taken_over_at_the_end() {
    run(async {
        let world = World::new();
        world.inbox.lane(0).push(event(&world.routes[0], "{}", 0), read_at());
        assert!(world.queue.accept(&world.inbox));
        assert!(!world.queue.accept(&world.inbox));
    });
}

#[test]
fn a_writer_that_stands_still_holds_up_nobody_who_brings_its_events_to_the_disk() {
    run(async {
        let mut world = World::new();
        deliver(&world, 0, "{}");
        let queue = world.queue.clone();
        let stands_still = queue.0.turn.lock().await;
        world.append_all().await;
        assert!(world.queue.is_safe());
        drop(stands_still);
    });
}

#[test]
fn what_the_disk_may_be_dropping_is_not_lent() {
    run(async {
        let mut world = World::new();
        deliver(&world, 0, "{}");
        world.append_all().await;
        lock(&world.queue.0.state).persistence.make_room_for_ever();
        assert!(poll!(pin!(world.queue.peek())).is_pending());
        lock(&world.queue.0.state).persistence.forget_question();
        assert!(matches!(world.queue.peek().await, Ok(Next::Write(_))));
    });
}

#[test]
fn what_no_record_can_hold_is_handed_out_until_it_has_ended() {
    run(async {
        let mut world = World::new();
        deliver(&world, 0, &"x".repeat(5 * 1024 * 1024));
        world.append_all().await;
        assert!(world.queue.unrecordable().is_some());
        assert!(world.queue.unrecordable().is_some(), "whoever had it may have died");
        world.queue.end_unrecordable(Outcome::Quarantined);
        assert!(world.queue.unrecordable().is_none());
        assert_eq!(world.observations.channels[0].quarantined.get(), 1);

        deliver(&world, 0, &"y".repeat(5 * 1024 * 1024));
        world.append_all().await;
        assert_eq!(world.queue.abandon(DropReason::Shutdown), 1);
        assert_eq!((world.observations.audit(), world.queue.take_losses().len()), (Vec::new(), 1));
        assert_eq!(world.observations.channels[0].pending(), 0);
    });
}

#[test]
fn what_cannot_be_read_of_an_old_queue_is_no_longer_there() {
    run(async {
        let mut world = World::new();
        deliver(&world, 0, "{}");
        world.append_all().await;
        let disk = world.queue.disk().unwrap().clone();
        let old = Queue::new(QueueParts {
            disk: Some(disk.clone()),
            standing: Some(disk.standing().await.unwrap()),
            kept: std::collections::HashMap::new(),
            is_old: true,
            settings: spool_settings(),
            size: SIZE,
            keys: keys(),
            shard: 0,
            highest: EntryId::default(),
            observations: Arc::clone(&world.observations),
            log: Logger::root(Discard, o!()),
        });
        for entry in std::fs::read_dir(world.shard()).unwrap() {
            let segment = entry.unwrap().path();
            let length = std::fs::read(&segment).unwrap().len();
            std::fs::write(&segment, vec![0; length]).unwrap();
        }
        assert!(matches!(live_for(None, old.peek()).await, Some(Ok(Next::End))));
        assert_eq!(old.take_losses().len(), 1);
        assert_eq!(disk.standing().await.unwrap().acknowledged, 1);
    });
}
