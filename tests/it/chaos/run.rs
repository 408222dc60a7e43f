//! One run from its beginning to its verdict.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::compare::compare;
use super::lives::Lives;
use super::plan::{Persistence, Plan};
use super::stage::Stage;
use super::summary::Summary;
use super::traffic::{CHANNELS, Order, TARGETS, Traffic, payload_of};
use super::watch::watch;
use super::{lanes, remains};
use crate::support::oracle::newest_payload;
use crate::support::proxy::Proxy;
use crate::support::{Feed, RedisServer, Service, Setup, wait_for};

/// The payload of entries that somebody else wrote.
pub(crate) const FOREIGN: &str = r#"{"foreign":true}"#;

/// How long the service may take to catch up when all is well again.
const CATCH_UP: Duration = Duration::from_secs(60);
/// A marker that is not stored by then was sent to a session that was already lost.
const MARK_AGAIN: Duration = Duration::from_secs(3);

/// The real things, but for the service.
struct World {
    redis: RedisServer,
    feed: Feed,
    redis_line: Proxy,
    feed_line: Proxy,
    folder: TempDir,
}

impl World {
    fn begin(plan: &Plan) -> World {
        let keeps = match plan.persistence {
            Persistence::Always => ["--appendonly", "yes", "--appendfsync", "always"],
            Persistence::EverySecond => ["--appendonly", "yes", "--appendfsync", "everysec"],
            Persistence::Nothing => ["--appendonly", "no", "--appendfsync", "no"],
        };
        // a rewrite of the log would be in the way of a snapshot that shall fail
        let quiet = ["--save", "", "--auto-aof-rewrite-percentage", "0"];
        let redis = RedisServer::start_with(&[&keeps[..], &quiet[..]].concat(), None);
        for foreign in &plan.foreign_before {
            lanes::write_foreign(&redis, *foreign);
        }
        let feed = Feed::start();
        let redis_line = Proxy::start(SocketAddr::from(([127, 0, 0, 1], redis.port())));
        let feed_line = Proxy::start(feed.address());
        let folder = tempfile::Builder::new().prefix("uw-chaos-").tempdir().unwrap();
        World { redis, feed, redis_line, feed_line, folder }
    }

    fn clock_file(&self) -> PathBuf {
        self.folder.path().join("clock")
    }

    fn setup(&self) -> Setup {
        Setup::new(&self.feed, &self.redis)
            .set("UNUSUAL_WHALES_WEBSOCKET_URL", &format!("ws://{}/socket", self.feed_line.address()))
            .set("REDIS_URL", &format!("redis://{}/0", self.redis_line.address()))
            .set("UW_WEBSOCKET_CLOCK_OFFSET_FILE", self.clock_file().to_str().unwrap())
            .set("CHANNELS", CHANNELS)
            .set("TARGET_SYMBOLS", &TARGETS.join(","))
            // nothing is trimmed, so everything can be compared
            .set("REDIS_STREAM_MAXLEN", "0")
            .set("WEBSOCKET_PING_SECONDS", "2s")
            .set("SHUTDOWN_TIMEOUT_SECONDS", "2")
            .set("RATE_LIMIT_REQUESTS_PER_MINUTE", "6000")
            // crashes that were asked for are no reason to give up
            .set("RESTART_INTENSITY", "1000")
    }
}

/// Ends the threads that run until they are told to, also when something fails.
struct EndsAll<'r>(&'r Traffic, &'r AtomicBool);

impl Drop for EndsAll<'_> {
    fn drop(&mut self) {
        self.0.end();
        self.1.store(true, SeqCst);
    }
}

/// Tells of a run that failed.
struct Story<'r>(&'r Plan, &'r Stage);

impl Drop for Story<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- to be had again by: make chaos SEED={} SECONDS={}",
                self.0.seed,
                self.0.length.as_secs()
            );
            eprintln!("{}--- what was done", self.0);
            for (at, act) in self.1.record().acts {
                eprintln!("{:8.3} {act}", at.as_secs_f64());
            }
            eprintln!("--- what failed\n{}", self.1.failures().join("\n"));
        }
    }
}

/// Does what the plan says, and judges.
#[track_caller]
pub(crate) fn run(plan: &Plan) {
    println!("{plan}");
    let stage = Stage::new(plan.length);
    let _story = Story(plan, &stage);
    let world = World::begin(plan);
    let (clock_file, setup) = (world.clock_file(), world.setup());
    let World { mut redis, feed, redis_line, feed_line, folder: _folder } = world;
    let traffic = Traffic::new(plan.traffic);
    let is_done = AtomicBool::new(false);
    let (past, seen) = std::thread::scope(|scope| {
        let ends_all = EndsAll(&traffic, &is_done);
        traffic.spawn(scope, &feed);
        let watching = scope.spawn(|| watch(&stage, || is_done.load(SeqCst)));
        let mut lives = Lives::begin(&stage, &feed, redis.unix_url(), setup, plan.first_life.clone());
        std::thread::scope(|lanes| {
            let stage = &stage;
            lanes.spawn(|| stage.play(|| lanes::redis(stage, &mut redis, plan)));
            lanes.spawn(|| {
                stage.play(|| lanes::line(stage, "redis line", &redis_line, &plan.redis_line, plan.seed));
            });
            lanes.spawn(|| {
                stage.play(|| lanes::line(stage, "feed line", &feed_line, &plan.feed_line, plan.seed));
            });
            lanes.spawn(|| stage.play(|| lanes::feed(stage, &feed, &traffic, &plan.feed)));
            lanes.spawn(|| stage.play(|| lanes::clock(stage, &clock_file, &plan.clock)));
            stage.play(|| lives.play(&plan.service));
        });
        fail_if_any(&stage.failures());
        catch_up(lives.service(), &redis, &traffic);
        fail_if_any(&stage.failures());
        let mut past = lives.end();
        past.forgotten_gaps = stage.record().forgotten_gaps;
        drop(ends_all);
        (past, watching.join().expect("the watch ends in order"))
    });
    let judged = compare(&plan.clock_offsets(), &redis, &traffic.journals(), &past, &seen);
    let totals = judged.unwrap_or_else(|error| {
        let folder = remains::keep(plan, &redis, &past, &traffic.journals());
        panic!("{error}\nwhat is left is in {}", folder.display())
    });
    fail_if_any(&[stage.failures(), past.problems.clone()].concat());
    let (lives, counts) = (past.outputs.len(), stage.record().counts);
    println!("{}", Summary { plan, totals, seen, lives, deaths: past.deaths, counts });
}

#[track_caller]
fn fail_if_any(failures: &[String]) {
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Lets the service catch up: a last event of each topic must arrive, and nothing may be pending.
#[track_caller]
pub(crate) fn catch_up(service: &Service, redis: &RedisServer, traffic: &Traffic) {
    wait_for("the service is ready again", CATCH_UP, || service.ready());
    traffic.be_quiet();
    let before: BTreeMap<_, _> = traffic.last_events().into_iter().collect();
    let mut marked_at: Option<Instant> = None;
    wait_for("the last event of each topic is stored", CATCH_UP, || {
        if marked_at.is_none_or(|at| at.elapsed() > MARK_AGAIN) {
            traffic.order(Order::Marker);
            marked_at = Some(Instant::now());
        }
        let is_missing = |(topic, last): &(&'static str, Option<u64>)| {
            let newest = newest_payload(redis, &format!("uw:ws:{topic}"));
            last.is_none()
                || *last <= before[topic]
                || last.is_some_and(|n| newest.is_none_or(|newest| newest != payload_of(topic, n).as_bytes()))
        };
        let missing: Vec<_> = traffic.last_events().into_iter().filter(is_missing).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?}")) }
    });
    service.wait_until_settled();
}
