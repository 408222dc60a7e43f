//! The gap ledger against a real `redis-server`: it may die at any step, and each gap is there once.
#![cfg(test)]

mod yardstick;

use std::future::poll_fn;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use deadpool_redis::redis;
use slog::{Discard, Logger, o};
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::task::spawn_blocking;
use uw_websocket_actors::lease::gate::LeaseGate;
use uw_websocket_actors::ledger::checkpoint_store::CheckpointError;
use uw_websocket_actors::ledger::gap::{Gap, GapReason};
use uw_websocket_actors::ledger::left_queue::LateTally;
use uw_websocket_actors::ledger::losses::FOLLOWS_WITHIN;
use uw_websocket_actors::ledger::publisher::{GapPublisher, gap_of};
use uw_websocket_actors::ledger::recorder::GapRecorder;
use uw_websocket_actors::ledger::tracker::Watch;
use uw_websocket_actors::ledger::{self, Places};
use uw_websocket_actors::observation::{Distrust, Observations};
use uw_websocket_actors::settings::RedisSettings;
use uw_websocket_actors::wall_clock::unix_micros;
use uw_websocket_actors::writer::store::address::Address;
use uw_websocket_core::event::{Channel, EntryId, Family, Topic};
use uw_websocket_core::fixtures::{event, route};
use uw_websocket_core::plan::ConnectionPlan;

use crate::yardstick::{has_passed, stretched};

const SOON: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(5);
/// More polls than a turn takes.
const MANY: usize = 500;

/// A server on its Unix socket, ended with the value.
struct RedisServer {
    folder: TempDir,
    child: Child,
}

impl RedisServer {
    fn start() -> RedisServer {
        let folder = tempfile::Builder::new().prefix("uw-ledger-").tempdir().unwrap();
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket", "redis.sock", "--dir"])
            .arg(folder.path())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let server = RedisServer { folder, child };
        let started = Instant::now();
        while UnixStream::connect(server.socket()).is_err() {
            assert!(!has_passed(started, SOON), "redis-server does not answer");
            std::thread::park_timeout(Duration::from_millis(5));
        }
        server
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    fn address(&self) -> Address {
        Address::new(&RedisSettings::of(format!("unix://{}", self.socket().display()))).unwrap()
    }

    /// Runs a command of the test's own.
    fn command(&self, words: &[&str]) {
        self.query::<redis::Value>(words);
    }

    /// What a command answers with.
    fn text(&self, words: &[&str]) -> String {
        self.query(words)
    }

    fn query<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let client = redis::Client::open(format!("unix://{}", self.socket().display())).unwrap();
        let (name, arguments) = words.split_first().unwrap();
        redis::cmd(name).arg(arguments).query(&mut client.get_connection().unwrap()).unwrap()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A process as far as the ledger is concerned: one connection that joins `news`.
struct Process {
    recorder: GapRecorder,
    observations: Arc<Observations>,
}

impl Process {
    async fn start(address: Address, prefix: &str, folder: Option<&Path>) -> Process {
        let topics = vec![Topic { channel: Channel::parse("news").unwrap(), symbol: None }];
        let plans = [("news", &topics[..])];
        let observations = Observations::new(
            "test".into(),
            "0",
            &[Channel::parse("news").unwrap()],
            &plans,
            1,
            Arc::default(),
        );
        let observations = Arc::new(observations);
        let places = Places {
            folder: folder.map(Path::to_owned),
            address,
            prefix: prefix.to_owned(),
            peers: Vec::new(),
        };
        let plans = [ConnectionPlan { name: "news".into(), topics }];
        let log = Logger::root(Discard, o!());
        let recorder = ledger::open(places, (&plans, &[]), LeaseGate::unguarded(), &observations, log).await;
        Process { recorder, observations }
    }

    async fn tick(&mut self) {
        self.recorder.tick(unix_micros()).await;
    }

    /// A turn at a time at which no loss that was noted goes on.
    async fn later_turn(&mut self) {
        self.recorder.tick(unix_micros() + FOLLOWS_WITHIN).await;
    }

    async fn close(&mut self, patience: Duration) {
        self.recorder.close(unix_micros(), patience).await;
    }

    /// A session that is joined.
    fn join(&self) -> Watch {
        let watch = self.recorder.tracker.watch(0);
        watch.opened();
        watch.joined("news");
        self.observations.connections[0].last_frame_at.set_now();
        watch
    }
}

/// Lets a future go on for `polls` and drops it then; whether it has ended.
async fn polled(future: impl Future<Output = ()>, polls: usize) -> bool {
    let mut future = std::pin::pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending if left == 0 => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

async fn stream(address: &Address, prefix: &str) -> Vec<Gap> {
    let page = GapPublisher::new(address.clone(), prefix).read_after(EntryId::default(), 1000).await.unwrap();
    page.entries.iter().map(|entry| gap_of(entry).expect("an entry of ours")).collect()
}

/// Whatever becomes of the turn after an outage has ended, the outage is on record once.
async fn die_during_a_turn(address: &Address, prefix: &str, folder: Option<&Path>, polls: usize) -> bool {
    let mut first = Process::start(address.clone(), prefix, folder).await;
    let watch = first.join();
    first.tick().await;
    let lost_at = first.observations.connections[0].last_frame_at.get().unwrap();
    watch.lost(GapReason::Disconnect, "");
    first.tick().await;
    watch.opened();
    watch.joined("news");
    let has_ended = polled(first.tick(), polls).await;
    drop((first, watch));
    // a write that has begun ends, unlike in a real death: on the one thread for it this comes after it
    tokio::task::spawn_blocking(|| ()).await.unwrap();

    let mut second = Process::start(address.clone(), prefix, folder).await;
    let watch = second.join();
    second.tick().await;
    second.tick().await;
    second.close(stretched(PATIENCE)).await;
    drop(watch);
    let gaps = stream(address, prefix).await;
    let of_outage: Vec<&Gap> = gaps.iter().filter(|gap| gap.from_us == lost_at).collect();
    assert_eq!(of_outage.len(), 1, "dead after {polls} polls: {gaps:#?}");
    assert!(gaps.iter().is_sorted_by(|a, b| a.to_us <= b.from_us), "{gaps:#?}");
    has_ended
}

/// Whatever becomes of a turn in which a loss goes on, and of the one in which it ends, its events are on record once.
async fn die_during_a_loss(address: &Address, prefix: &str, folder: Option<&Path>, polls: usize) -> bool {
    let mut first = Process::start(address.clone(), prefix, folder).await;
    let loss = |from, to| {
        Gap::new(Family::News, vec!["news".into()], (from, to), GapReason::SpoolFull).with_events(1)
    };
    let now = unix_micros();
    first.recorder.tracker.note_at(loss(2, 3), now);
    first.recorder.tick(now).await;
    first.recorder.tracker.note_at(loss(1, 2), now);
    first.recorder.tick(now).await;
    let has_ended = polled(first.later_turn(), polls).await;
    drop(first);
    tokio::task::spawn_blocking(|| ()).await.unwrap();

    let mut second = Process::start(address.clone(), prefix, folder).await;
    second.tick().await;
    second.close(PATIENCE).await;
    let gaps = stream(address, prefix).await;
    let losses: Vec<&Gap> = gaps.iter().filter(|gap| gap.reason == GapReason::SpoolFull).collect();
    assert_eq!(losses, [&loss(1, 3).with_events(2)], "dead after {polls} polls");
    has_ended
}

/// Once late events may be written, the ledger has them whoever follows: here a process on another disk.
async fn die_during_an_announcement(
    address: &Address,
    prefix: &str,
    folder: Option<&Path>,
    polls: usize,
) -> bool {
    let mut first = Process::start(address.clone(), prefix, folder).await;
    let mut late = LateTally::default();
    late.add(&event(&route(0, Vec::new()), "{}", 0));
    let announcement = first.recorder.tracker.announce(&late, "");
    let has_ended = polled(first.tick(), polls).await;
    let may_be_written = first.recorder.tracker.is_kept(announcement, Duration::ZERO).await;
    assert!(may_be_written || !has_ended);
    drop(first);
    spawn_blocking(|| ()).await.unwrap();

    let mut second = Process::start(address.clone(), prefix, None).await;
    second.tick().await;
    second.close(PATIENCE).await;
    let gaps = stream(address, prefix).await;
    let found = gaps.iter().filter(|gap| gap.reason == GapReason::Late && gap.events == Some(1)).count();
    assert!(found == 1 || (found == 0 && !may_be_written), "dead after {polls} polls: {gaps:#?}");
    has_ended
}

#[test]
fn late_events_whose_ledger_dies_at_any_step_are_not_written_or_recorded() {
    die_at_every_step(die_during_an_announcement);
}

#[test]
fn a_ledger_that_dies_at_any_step_has_every_gap_once() {
    die_at_every_step(die_during_a_turn);
}

#[test]
fn a_ledger_that_dies_at_any_step_has_every_loss_once() {
    die_at_every_step(die_during_a_loss);
}

fn die_at_every_step(dies: impl AsyncFn(&Address, &str, Option<&Path>, usize) -> bool) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().max_blocking_threads(1).build().unwrap().block_on(die_after_any_poll(dies));
}

async fn die_after_any_poll(dies: impl AsyncFn(&Address, &str, Option<&Path>, usize) -> bool) {
    let redis = RedisServer::start();
    let address = redis.address();
    for with_folder in [true, false] {
        let mut polls = 0;
        loop {
            let folder = tempfile::tempdir().unwrap();
            let prefix = format!("{with_folder}-{polls}");
            let folder = Some(folder.path()).filter(|_| with_folder);
            if dies(&address, &prefix, folder, polls).await {
                break;
            }
            polls += 1;
            assert!(polls < MANY, "the turn does not end");
        }
        assert!(polls > 3, "the turn was cut {polls} times only");
    }
}

#[tokio::test]
async fn an_entry_whose_answer_was_lost_is_found_and_not_written_again() {
    let (redis, folder) = (RedisServer::start(), tempfile::tempdir().unwrap());
    let address = redis.address();
    let mut first = Process::start(address.clone(), "uw", Some(folder.path())).await;
    first.recorder.tracker.note(gap(5));
    // ids are on record, the entry is written, and nobody hears of it
    first.later_turn().await;
    let state = folder.path().join("state.json");
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&state).unwrap()).unwrap();
    assert_eq!(kept["waiting"].as_array().map(Vec::len), Some(1), "it leaves the state after Redis has it");
    redis.command(&["DEL", "uw:ws:ledger"]);
    drop(first);
    let mut second = Process::start(address.clone(), "uw", Some(folder.path())).await;
    assert_eq!(second.recorder.waiting.len(), 1);
    second.tick().await;
    assert_eq!((second.recorder.waiting.len(), stream(&address, "uw").await.len()), (0, 1));
}

#[tokio::test]
async fn a_loss_that_goes_on_at_the_end_is_written_before_it() {
    let (redis, folder) = (RedisServer::start(), tempfile::tempdir().unwrap());
    let address = redis.address();
    let mut process = Process::start(address.clone(), "uw", Some(folder.path())).await;
    let now = unix_micros();
    for _ in 0..3 {
        process.recorder.tracker.note_at(gap(1), now);
    }
    process.close(PATIENCE).await;
    assert_eq!(stream(&address, "uw").await, [gap(1).with_events(3)]);
}

#[tokio::test]
async fn a_backlog_is_written_in_order_a_part_at_a_time() {
    let (redis, folder) = (RedisServer::start(), tempfile::tempdir().unwrap());
    let address = redis.address();
    let mut process = Process::start(address.clone(), "uw", Some(folder.path())).await;
    let gaps: Vec<Gap> = (0..250).map(gap).collect();
    gaps.iter().cloned().for_each(|gap| process.recorder.tracker.note(gap));
    for written in [100, 200, 250] {
        process.later_turn().await;
        assert_eq!(stream(&address, "uw").await.len(), written);
    }
    assert_eq!(stream(&address, "uw").await, gaps);
    assert_eq!(process.observations.gaps.recorded(GapReason::Rejected).get(), 250);
    assert_eq!(process.observations.gaps.recent().len(), 20);
}

#[tokio::test]
async fn a_key_of_another_type_keeps_the_gaps_waiting() {
    let (redis, folder) = (RedisServer::start(), tempfile::tempdir().unwrap());
    let address = redis.address();
    redis.command(&["SET", "uw:ws:gaps", "foreign"]);
    let mut process = Process::start(address.clone(), "uw", Some(folder.path())).await;
    process.recorder.tracker.note(gap(1));
    process.later_turn().await;
    assert_eq!(process.observations.gaps.waiting(), 1);
    redis.command(&["DEL", "uw:ws:gaps"]);
    process.close(stretched(PATIENCE)).await;
    assert_eq!(stream(&address, "uw").await, [gap(1)]);
}

#[tokio::test]
async fn without_a_folder_the_state_is_in_redis() {
    let redis = RedisServer::start();
    let address = redis.address();
    let mut first = Process::start(address.clone(), "uw", None).await;
    let watch = first.join();
    first.tick().await;
    let alive_before = unix_micros();
    drop((first, watch));
    let mut second = Process::start(address.clone(), "uw", None).await;
    let watch = second.join();
    second.tick().await;
    let gaps = stream(&address, "uw").await;
    assert_eq!(gaps.len(), 1);
    assert!(gaps[0].reason == GapReason::Crash && gaps[0].from_us <= alive_before, "{gaps:?}");
    drop(watch);
}

/// The state in Redis with every time in it of 2099, also in the ids.
async fn poison_state(redis: &RedisServer, address: &Address) {
    let mut process = Process::start(address.clone(), "uw", None).await;
    process.recorder.tracker.note(gap(7));
    let watch = process.join();
    // Redis does not take the gap, and has the state with the id
    redis.command(&["SET", "uw:ws:gaps", "foreign"]);
    process.later_turn().await;
    drop((process, watch));
    let state = redis.text(&["GET", "uw:ws:ledger"]);
    let mut state: serde_json::Value = serde_json::from_str(&state).unwrap();
    state["alive_at"] = "2099-01-01T00:00:00.000000+00:00".into();
    state["waiting"][0]["id"] = "4070908800000-0".into();
    redis.command(&["SET", "uw:ws:ledger", &state.to_string()]);
    redis.command(&["DEL", "uw:ws:gaps"]);
}

#[tokio::test]
async fn a_state_of_the_future_writes_gaps_of_now() {
    let redis = RedisServer::start();
    let address = redis.address();
    poison_state(&redis, &address).await;
    let before = unix_micros();
    let mut process = Process::start(address.clone(), "uw", None).await;
    assert!(process.observations.distrusted(Distrust::Future).get() > 0);
    let watch = process.join();
    process.tick().await;
    process.tick().await;
    let page = GapPublisher::new(address, "uw").read_after(EntryId::default(), 1000).await.unwrap();
    let now = unix_micros();
    assert_eq!(page.entries.len(), 2, "{page:?}");
    for entry in &page.entries {
        let (id, gap) = (entry.0, gap_of(entry).unwrap());
        assert!(id.ms <= now / 1000 && gap.to_us <= now, "{id} {gap:?}");
        assert!(gap == self::gap(7) || gap.from_us >= before, "{gap:?}");
    }
    drop(watch);
}

#[tokio::test]
async fn a_state_that_names_more_than_a_service_does_is_not_used() {
    let redis = RedisServer::start();
    let address = redis.address();
    let mut first = Process::start(address.clone(), "uw", None).await;
    first.tick().await;
    drop(first);
    let state = redis.text(&["GET", "uw:ws:ledger"]);
    let long = state.replace(r#""instance":"test""#, &format!(r#""instance":"{}""#, "x".repeat(1 << 20)));
    assert_ne!(long, state);
    redis.command(&["SET", "uw:ws:ledger", &long]);
    let places = Places { folder: None, address, prefix: "uw".into(), peers: Vec::new() };
    let read = ledger::look(places, unix_micros()).await;
    assert!(matches!(read, Err(CheckpointError::Unusable { .. })), "{read:?}");
}

#[tokio::test]
async fn a_state_on_disk_that_cannot_be_read_is_told_where_redis_has_none() {
    let (redis, folder) = (RedisServer::start(), tempfile::tempdir().unwrap());
    let address = redis.address();
    let places = |prefix: &str| {
        let folder = Some(folder.path().to_owned());
        Places { folder, address: address.clone(), prefix: prefix.to_owned(), peers: Vec::new() }
    };
    let mut process = Process::start(address.clone(), "uw", None).await;
    process.tick().await;
    std::fs::write(folder.path().join("state.json"), "{").unwrap();
    let missing = ledger::look(places("other"), unix_micros()).await;
    assert!(matches!(missing, Err(CheckpointError::Unusable { .. })), "{missing:?}");
    assert_eq!(ledger::look(places("uw"), unix_micros()).await.unwrap(), []);
}

#[test]
fn a_disk_that_hangs_holds_up_neither_redis_nor_the_end() {
    let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let (redis, folder) = (RedisServer::start(), tempfile::tempdir().unwrap());
        let address = redis.address();
        let mut process = Process::start(address.clone(), "uw", Some(folder.path())).await;
        // the only thread for work on the disk
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let hanging = spawn_blocking(move || ended.recv());
        process.recorder.tracker.note(gap(1));
        process.later_turn().await;
        assert_eq!(stream(&address, "uw").await, [gap(1)]);
        process.recorder.tracker.note(gap(2));
        process.close(stretched(Duration::from_millis(250))).await;
        assert_eq!(stream(&address, "uw").await, [gap(1), gap(2)]);
        drop(end);
        hanging.await.unwrap().unwrap_err();
    });
}

fn gap(n: u64) -> Gap {
    let n = n * 1_000_000;
    // one of a kind: it does not become one with others
    Gap::new(Family::News, vec![format!("news:{n}")], (n, n + 500_000), GapReason::Rejected).with_events(1)
}
