//! A Redis, a folder, and the lives of a process over both: all of a writer but its actor.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use actix::{Actor, Context, Handler};
use bytes::Bytes;
use slog::{Discard, Logger, o};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinHandle, spawn_local};
use tokio::time::{sleep, timeout};
use uw_websocket_actors::fault::FaultPlan;
use uw_websocket_actors::lease::gate::LeaseGate;
use uw_websocket_actors::ledger::gap::GapReason;
use uw_websocket_actors::ledger::tracker::GapTracker;
use uw_websocket_actors::messages::Delivery;
use uw_websocket_actors::observation::{ChannelObservation, Observations, WriterState};
use uw_websocket_actors::queue::disk::{Disk, DiskError};
use uw_websocket_actors::queue::folders::{OpenFolders, StartParts, Started};
use uw_websocket_actors::queue::shard::Shard;
use uw_websocket_actors::settings::{Fsync, SpoolMode, SpoolSettings, WhenFull, WriterSettings};
use uw_websocket_actors::supervisor::Heartbeats;
use uw_websocket_actors::sync::lock;
use uw_websocket_actors::thread_deaths::ThreadDeaths;
use uw_websocket_actors::wall_clock::unix_micros;
use uw_websocket_actors::writer::WriterParts;
use uw_websocket_core::event::{Channel, ChannelIndex, EntryIds, Event, MapCell, ReadAt, Route};
use uw_websocket_core::routing::destination;
use uw_websocket_core::settings::{KeySettings, Retention, Targets};

use crate::redis::{RedisServer, SOON};
use crate::yardstick::{has_passed, stretched};

/// What the tests write to when the symbol does not matter.
pub(crate) const STREAM: &str = "uw:ws:gex_strike:SPY";

/// What outlives a process.
pub(crate) struct World {
    pub(crate) redis: RefCell<RedisServer>,
    folder: TempDir,
    pub(crate) spool: SpoolSettings,
    pub(crate) keys: KeySettings,
    pub(crate) writers: WriterSettings,
    pub(crate) faults: FaultPlan,
    /// The payload of the next event: no two are alike.
    next: Cell<u32>,
}

/// Runs a test of lives in a world of this mode.
pub(crate) fn world(mode: SpoolMode, test: impl AsyncFnOnce(World)) {
    actix_rt::System::new().block_on(test(World::new(mode)));
}

impl World {
    fn new(mode: SpoolMode) -> World {
        let folder = tempfile::Builder::new().prefix("uw-world-").tempdir().unwrap();
        World {
            redis: RefCell::new(RedisServer::start()),
            spool: SpoolSettings {
                dir: folder.path().join("spool"),
                mode,
                keep: Duration::from_secs(600),
                max_bytes: 1 << 30,
                when_full: WhenFull::DropOldest,
                fsync: Fsync::Never,
            },
            folder,
            keys: KeySettings {
                prefix: "uw".into(),
                snapshots: true,
                snapshot_interval: Duration::ZERO,
                targets: Targets::Symbols(Vec::new()),
                streams: true,
                maxlen: Some(0),
                maxlen_by_channel: Vec::new(),
            },
            writers: WriterSettings { shards: 1, mailbox_capacity: 64, batch_max_events: 512 },
            faults: FaultPlan::default(),
            next: Cell::new(0),
        }
    }

    pub(crate) fn redis(&self) -> std::cell::Ref<'_, RedisServer> {
        self.redis.borrow()
    }

    /// Numbers as payloads, each once in the whole test.
    pub(crate) fn payloads(&self, count: u32) -> Vec<String> {
        self.large_payloads(count, 0)
    }

    /// The same, with blanks up to this size.
    pub(crate) fn large_payloads(&self, count: u32, size: usize) -> Vec<String> {
        let first = self.next.replace(self.next.get() + count);
        (first..first + count).map(|number| format!("{number:<size$}")).collect()
    }

    /// How many payloads there have been.
    pub(crate) fn sent(&self) -> u32 {
        self.next.get()
    }

    /// The numbers in a stream, in its order.
    pub(crate) fn stored_in(&self, stream: &str) -> Vec<u32> {
        self.redis().payloads(stream).iter().filter_map(|payload| payload.trim_end().parse().ok()).collect()
    }

    /// That the stream has all numbers up to now, in order.
    #[track_caller]
    pub(crate) fn assert_all_stored(&self) {
        let stored = self.stored_in(STREAM);
        assert!(stored.iter().copied().eq(0..self.next.get()), "{stored:?} of {}", self.next.get());
    }

    /// What the disk queue of a shard says to be stored.
    pub(crate) fn cursor(&self, shard: usize) -> Vec<u8> {
        std::fs::read(self.shard_folder(shard).join("cursor")).unwrap()
    }

    /// Makes the disk queue of a shard say so again, as if the process had been killed before it could say more.
    pub(crate) fn set_cursor(&self, shard: usize, cursor: &[u8]) {
        std::fs::write(self.shard_folder(shard).join("cursor"), cursor).unwrap();
    }

    /// The folder of a shard's disk queue.
    pub(crate) fn shard_folder(&self, shard: usize) -> PathBuf {
        self.spool.dir.join(format!("shard-{shard}-of-{}", self.writers.shards))
    }

    /// Somewhere beside the disk queue.
    pub(crate) fn aside(&self) -> PathBuf {
        self.folder.path().join("aside")
    }
}

/// A life of a process: its writers at work.
pub(crate) struct Life {
    pub(crate) observations: Arc<Observations>,
    pub(crate) gaps: GapTracker,
    started: Started,
    writers: Vec<WriterLife>,
}

/// The part of a writer that is told of deliveries.
struct Shell(Arc<Notify>);

impl Actor for Shell {
    type Context = Context<Shell>;
}

impl Handler<Delivery> for Shell {
    type Result = ();

    fn handle(&mut self, _: Delivery, _: &mut Context<Shell>) {
        self.0.notify_one();
    }
}

/// A life of a writer.
struct WriterLife {
    deliveries: Arc<Notify>,
    work: JoinHandle<Result<(), DiskError>>,
}

impl Life {
    /// Starts a process and all its writers.
    pub(crate) fn start(world: &World) -> Life {
        let shards = world.writers.shards;
        let log = Logger::root(Discard, o!());
        let folders = OpenFolders::open(&world.spool, shards, "test", &log).unwrap();
        let channels = [Channel::parse("gex_strike").unwrap(), Channel::parse("price").unwrap()];
        let observations = Observations::new("test".into(), "0", &channels, &[], shards, Arc::default());
        let observations = Arc::new(observations);
        let started = folders.start(&StartParts {
            deaths: &ThreadDeaths::default(),
            faults: &FaultPlan::default(),
            is_archived: false,
            keys: &world.keys,
            writers: &world.writers,
            connections: 1,
            observations: &observations,
            log: &log,
        });
        let started = started.unwrap();
        let gaps = GapTracker::new(Vec::new(), Arc::clone(&observations)).begun_at(unix_micros());
        let mut life = Life { observations, gaps, started, writers: Vec::new() };
        life.writers = (0..shards).map(|shard| life.writer(world, shard)).collect();
        life
    }

    fn writer(&self, world: &World, shard: usize) -> WriterLife {
        let parts = WriterParts {
            shard: self.shard(shard).clone(),
            address: world.redis().address(),
            keys: world.keys.clone(),
            retention: Retention::Off,
            gaps: self.gaps.clone(),
            gate: LeaseGate::unguarded(),
            observations: Arc::clone(&self.observations),
            faults: world.faults.for_child("writer"),
            log: Logger::root(Discard, o!()),
        };
        let deliveries = Arc::new(Notify::new());
        let shell = Shell(Arc::clone(&deliveries)).start().recipient();
        self.shard(shard).open();
        let work = spawn_local(parts.work(shell, Arc::clone(&deliveries), Heartbeats::default()));
        WriterLife { deliveries, work }
    }

    pub(crate) fn shard(&self, shard: usize) -> &Shard {
        &self.started.shards[shard]
    }

    /// One of the queues that were left behind.
    pub(crate) fn old_disk(&self) -> Disk {
        self.shard(0).generations.queues()[0].queue.disk().unwrap().clone()
    }

    /// Whether the writer of a shard has found out that Redis is away.
    pub(crate) fn is_in_trouble(&self, shard: usize) -> bool {
        lock(&self.observations.writers[shard].last_error).is_some()
    }

    /// Whether the first writer waits for Redis with a transaction.
    pub(crate) fn is_writing(&self) -> bool {
        self.observations.writers[0].state.get() == WriterState::Writing
    }

    /// Nothing comes any more.
    pub(crate) fn close(&self, shard: usize) {
        self.shard(shard).inbox.close();
        self.shard(shard).queue.hurry();
        self.writers[shard].deliveries.notify_one();
    }

    pub(crate) fn channel(&self) -> &ChannelObservation {
        &self.observations.channels[0]
    }

    pub(crate) fn gaps(&self, reason: GapReason) -> usize {
        self.gaps.noted().iter().filter(|gap| gap.reason == reason).count()
    }

    /// Sends a batch of events of SPY to the first shard.
    pub(crate) fn send(&self, world: &World, payloads: &[impl AsRef<str>]) {
        self.send_to(world, 0, "SPY", payloads);
    }

    /// Sends a batch of rows of one session, one for each payload.
    pub(crate) fn send_to(&self, world: &World, shard: usize, symbol: &str, payloads: &[impl AsRef<str>]) {
        self.send_session(world, (shard, symbol), 1, payloads);
    }

    pub(crate) fn send_session(
        &self,
        world: &World,
        (shard, symbol): (usize, &str),
        session: i32,
        payloads: &[impl AsRef<str>],
    ) {
        self.send_to_each(world, (shard, &[symbol]), session, payloads);
    }

    /// The same, each row into the streams of all these symbols.
    pub(crate) fn send_to_each(
        &self,
        world: &World,
        (shard, symbols): (usize, &[&str]),
        session: i32,
        payloads: &[impl AsRef<str>],
    ) {
        let destination = |symbol: &&str| {
            Arc::new(destination(&world.keys, &Channel::parse("gex_strike").unwrap(), Some(symbol)))
        };
        let destinations = symbols.iter().map(destination).collect();
        let route = Arc::new(Route { channel: ChannelIndex(0), shard, destinations });
        let received_us = unix_micros();
        let read_at = ReadAt { unix_us: received_us, instant: Instant::now() };
        let lane = self.shard(shard).inbox.lane(0);
        for payload in payloads {
            let field = payload.as_ref().chars().take(16).collect::<String>();
            let event = Event {
                route: Arc::clone(&route),
                payload: Bytes::copy_from_slice(payload.as_ref().as_bytes()),
                received_us,
                ordinal: 0,
                cell: Some(Box::new(MapCell { field: field.into(), session, at_ms: 0 })),
                ids: EntryIds::default(),
            };
            lane.push(event, read_at);
        }
        lane.flush();
    }

    /// Sends so many events one by one, and waits until all are stored or dropped.
    pub(crate) async fn store(&self, world: &World, count: u32) {
        world.payloads(count).iter().for_each(|payload| self.send(world, &[payload]));
        self.settled().await;
    }

    /// Waits until nothing is pending.
    pub(crate) async fn settled(&self) {
        until(|| self.channel().pending() == 0).await;
    }

    /// Waits until everything that came is on the disk.
    pub(crate) async fn spooled(&self) {
        let channel = self.channel();
        until(|| channel.held_in(uw_websocket_actors::observation::Place::Memory) == 0).await;
    }

    /// The writer crashed: waits for its end and starts it anew.
    pub(crate) async fn restart_crashed(&mut self, world: &World, shard: usize) -> JoinError {
        let crash =
            timeout(stretched(SOON), &mut self.writers[shard].work).await.expect("the writer crashes");
        self.writers[shard] = self.writer(world, shard);
        crash.unwrap_err()
    }

    /// Whether the writer of a shard has died.
    pub(crate) fn is_dead(&self, shard: usize) -> bool {
        self.writers[shard].work.is_finished()
    }

    /// Ends the writer of a shard at whatever it waits for, and starts it anew.
    pub(crate) async fn replace_writer(&mut self, world: &World, shard: usize) {
        self.writers[shard].work.abort();
        assert!(self.restart_crashed(world, shard).await.is_cancelled());
    }

    /// Ends the process as a kill does, as far as one can within a process.
    pub(crate) async fn kill(self) -> Arc<Observations> {
        for writer in &self.writers {
            writer.work.abort();
        }
        self.end().await
    }

    /// Ends the process as SIGTERM does.
    pub(crate) async fn stop(self) -> Arc<Observations> {
        self.observations.stopping.store(true, Relaxed);
        (0..self.writers.len()).for_each(|shard| self.close(shard));
        self.end().await
    }

    /// Waits until all writers and the threads of their disk queues have ended. The books must balance then.
    async fn end(self) -> Arc<Observations> {
        let Life { observations, gaps, started, writers } = self;
        for WriterLife { work, .. } in writers {
            match timeout(stretched(SOON), work).await.expect("the writer ends") {
                Ok(worked) => worked.unwrap(),
                Err(aborted) => assert!(aborted.is_cancelled(), "{aborted}"),
            }
        }
        drop((gaps, started));
        until(|| Arc::strong_count(&observations) == 1).await;
        assert_eq!(observations.audit(), []);
        observations
    }
}

/// Waits for a condition.
#[track_caller]
pub(crate) fn until(condition: impl Fn() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let began = Instant::now();
        while !condition() {
            assert!(!has_passed(began, SOON), "waited in vain at {caller}");
            sleep(Duration::from_millis(2)).await;
        }
    }
}
