//! Two instances with one Redis, of which either dies, hangs beyond its lease or is ended at any moment, again and again, with
//! events on its disk that are not in Redis yet. All that was on a disk is stored once; what is stored behind newer events is
//! marked as late in the ledger.
//!
//! A fault strikes when what was sent has been read and is on the owner's disk: what dies with the buffers of the kernel is
//! another promise.

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use jiff::Timestamp;
use rustix::process::Signal;

use super::ledger;
use crate::support::oracle::{entries, expected};
use crate::support::sample::payloads;
use crate::support::{Feed, RedisServer, SOON, Service, Setup, wait_for};

const TARGETS: [&str; 2] = ["SPY", "QQQ"];
/// Of all shards; the last one has two streams.
const TOPICS: [(&str, &str); 4] =
    [("price", "SPY"), ("option_trades", "QQQ"), ("gex_strike", "SPY"), ("flow-alerts", "SPY")];
/// Longer than the lease lives, with the handshakes of the successor.
const TAKEOVER: Duration = Duration::from_secs(45);

/// What happens to the instances.
#[derive(Clone, Copy, Debug)]
enum Fault {
    KillOwner,
    KillStandby,
    KillBoth,
    /// The owner stops until the other one has taken over, and goes on.
    PauseOwner,
    /// The owner gets SIGTERM, and may have no time to write what it has.
    EndOwner,
}

const FAULTS: [Fault; 5] =
    [Fault::KillOwner, Fault::KillStandby, Fault::KillBoth, Fault::PauseOwner, Fault::EndOwner];

/// What is in the streams, each event once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    pub(super) entries: usize,
    /// Behind newer ones, and in a `late` interval of the ledger.
    pub(super) late: usize,
}

/// Both instances, each with a folder of its own; `None` while one does not run.
struct Pair<'r> {
    feed: &'r Feed,
    redis: &'r RedisServer,
    rng: Rng,
    setups: [Setup; 2],
    services: [Option<Service>; 2],
    /// The number of the next event of each topic.
    next: [u64; TOPICS.len()],
    /// When each payload was sent: not before, and not after, in Unix microseconds.
    sent: HashMap<String, (i64, i64)>,
}

impl<'r> Pair<'r> {
    fn start(feed: &'r Feed, redis: &'r RedisServer, seed: u64) -> Pair<'r> {
        let setup = || {
            Setup::new(feed, redis)
                .set("REDIS_STREAM_MAXLEN", "0")
                .set("STREAM_RETENTION", "off")
                .set("SHUTDOWN_TIMEOUT_SECONDS", "1")
        };
        let setups = [setup(), setup()];
        let mut pair = Pair {
            feed,
            redis,
            rng: Rng::with_seed(seed),
            setups,
            services: [None, None],
            next: [0; TOPICS.len()],
            sent: HashMap::new(),
        };
        pair.start_one(0);
        pair.wait_for_owner();
        pair.start_one(1);
        pair
    }

    fn start_one(&mut self, instance: usize) {
        self.services[instance] = Some(self.setups[instance].clone().start());
    }

    fn service(&self, instance: usize) -> &Service {
        self.services[instance].as_ref().expect("it runs")
    }

    /// The instance that reads the feed and writes.
    #[track_caller]
    fn wait_for_owner(&self) -> usize {
        wait_for("an instance is the owner", TAKEOVER, || {
            let mut seen = Vec::new();
            for (instance, service) in self.services.iter().enumerate() {
                match service.as_ref().map(Service::ready) {
                    Some(Ok(())) => return Ok(instance),
                    other => seen.push(other),
                }
            }
            Err(format!("{seen:?}"))
        })
    }

    /// Waits until an instance that was started does not own anything.
    #[track_caller]
    fn wait_until_it_stands_by(&self, instance: usize) {
        self.service(instance).wait_for_log("it stands by", |record| record.msg == "standing by");
    }

    /// Sends some events of each topic, and waits until the owner has them on disk.
    #[track_caller]
    fn send(&mut self, owner: usize) {
        let service = self.services[owner].as_ref().expect("it runs");
        let on_disk = || service.metrics().sum("uw_ws_append_latency_seconds_count", &[]);
        let (before, began, mut all) = (on_disk(), now_us(), Vec::new());
        for (at, (channel, symbol)) in TOPICS.iter().enumerate() {
            let count = self.rng.u64(1..=40);
            let burst = payloads(channel, symbol, self.next[at], count);
            let topic =
                if *channel == "flow-alerts" { (*channel).to_owned() } else { format!("{channel}:{symbol}") };
            self.feed.send_all(&topic, &burst);
            self.next[at] += count;
            all.extend(burst);
        }
        wait_for("the events are on disk", SOON, || {
            let more = on_disk() - before;
            if more >= all.len() as u64 { Ok(()) } else { Err(format!("{more} of {}", all.len())) }
        });
        let ended = now_us();
        self.sent.extend(all.into_iter().map(|payload| (payload, (began, ended))));
    }

    fn kill(&mut self, instance: usize) {
        if let Some(mut service) = self.services[instance].take() {
            service.kill9();
        }
    }

    /// Lets nobody wait for the lease of who cannot renew it, most of the time.
    fn forget_owner(&mut self, always: bool) {
        if always || self.rng.u32(0..4) > 0 {
            self.redis.command::<u64>(&["DEL", "uw:ws:owner"]);
        }
    }

    /// Strikes, and brings everything back; `is_quick` waits for no lease.
    fn strike(&mut self, fault: Fault, is_quick: bool) {
        let owner = self.wait_for_owner();
        let other = 1 - owner;
        let is_refused = self.rng.bool();
        if is_refused {
            // what comes now stays on the disk of the owner
            self.redis.command::<()>(&["ACL", "SETUSER", "default", "-xadd"]);
        }
        self.send(owner);
        // in the middle of a transaction, or after it
        thread::park_timeout(Duration::from_micros(self.rng.u64(0..20_000)));
        match fault {
            Fault::KillOwner => self.kill(owner),
            Fault::KillStandby => self.kill(other),
            Fault::KillBoth => {
                self.kill(owner);
                self.kill(other);
            }
            Fault::PauseOwner => self.service(owner).signal(Signal::STOP),
            Fault::EndOwner => {
                let mut service = self.services[owner].take().unwrap();
                assert_eq!(service.terminate(), Some(0));
            }
        }
        self.redis.command::<()>(&["ACL", "SETUSER", "default", "+xadd"]);
        if !matches!(fault, Fault::KillStandby | Fault::EndOwner) {
            self.forget_owner(is_quick);
        }
        let paused = matches!(fault, Fault::PauseOwner).then(|| self.services[owner].take()).flatten();
        if matches!(fault, Fault::KillBoth) {
            let first = self.rng.usize(0..2);
            self.start_one(first);
        }
        let successor = self.wait_for_owner();
        self.send(successor);
        if let Some(paused) = paused {
            paused.signal(Signal::CONT);
            paused.wait_until_not_ready();
            self.services[owner] = Some(paused);
        }
        for instance in 0..2 {
            if self.services[instance].is_none() {
                self.start_one(instance);
                self.wait_until_it_stands_by(instance);
            }
        }
    }

    /// Compares every stream with what was sent; an error while events are missing, or are late and not marked.
    fn look(&self) -> Result<Found, String> {
        let expected = expected(&self.feed.sent(), "uw", &TARGETS);
        let length = |key: &String| self.redis.command::<usize>(&["XLEN", key]);
        let (all, stored) =
            (expected.values().map(Vec::len).sum(), expected.keys().map(length).sum::<usize>());
        if stored < all {
            return Err(format!("{stored} of {all} are stored"));
        }
        let (gaps, mut late, mut unmarked) = (ledger::gaps(self.redis), 0, Vec::new());
        for (key, payloads) in &expected {
            let topic = key.strip_prefix("uw:ws:").unwrap();
            for position in late_in(&stored_positions(self.redis, key, payloads)) {
                let (began, ended) = self.sent[&payloads[position]];
                late += 1;
                if !gaps.iter().any(|gap| gap.is_late(topic, began, ended)) {
                    unmarked.push((key, position, began));
                }
            }
        }
        if unmarked.is_empty() {
            Ok(Found { entries: all, late })
        } else {
            Err(format!("of {late} late events {} are not marked: {unmarked:?}", unmarked.len()))
        }
    }

    /// Waits until everything is stored, and what is late is marked.
    #[track_caller]
    fn wait_until_stored(&self) {
        wait_for("everything is stored, and marked if it is late", TAKEOVER, || self.look());
    }

    /// Waits until everything is stored, ends both, and compares once more.
    #[track_caller]
    fn judge(mut self) -> Found {
        self.wait_until_stored();
        for service in std::mem::take(&mut self.services).into_iter().flatten() {
            service.finish();
        }
        self.look().unwrap()
    }
}

fn now_us() -> i64 {
    Timestamp::now().as_microsecond()
}

/// The place that each entry of a stream has among the payloads; each of them must be there once, under rising IDs.
#[track_caller]
fn stored_positions(redis: &RedisServer, key: &str, payloads: &[String]) -> Vec<usize> {
    let places: HashMap<&[u8], usize> =
        payloads.iter().enumerate().map(|(place, payload)| (payload.as_bytes(), place)).collect();
    let entries = entries(redis, key);
    assert!(entries.is_sorted_by(|a, b| a.id < b.id), "ids of {key} rise");
    let positions: Vec<usize> = entries.iter().map(|entry| places[entry.payload.as_slice()]).collect();
    let mut sorted = positions.clone();
    sorted.sort_unstable();
    assert!(
        sorted.iter().copied().eq(0..payloads.len()),
        "{key}: each of {} once: {sorted:?}",
        payloads.len()
    );
    positions
}

/// The positions behind a greater one.
fn late_in(positions: &[usize]) -> Vec<usize> {
    let mut newest = 0;
    let mut late = Vec::new();
    for position in positions {
        if *position < newest {
            late.push(*position);
        }
        newest = newest.max(*position);
    }
    late
}

/// Runs both instances through faults while `goes_on`, each kind once before one comes again; returns their number too. A
/// quick run waits for no lease of a dead instance, and for the end of each hand-over.
pub(super) fn run(seed: u64, is_quick: bool, goes_on: impl Fn(u64) -> bool) -> (u64, Found) {
    eprintln!("two instances: seed {seed}");
    let (feed, redis) = (Feed::start(), RedisServer::start_durable());
    let mut pair = Pair::start(&feed, &redis, seed);
    pair.wait_until_it_stands_by(1);
    let (mut faults, mut to_come) = (0, Vec::new());
    while goes_on(faults) {
        if to_come.is_empty() {
            to_come = FAULTS.to_vec();
            pair.rng.shuffle(&mut to_come);
        }
        let fault = to_come.pop().unwrap();
        eprintln!("fault {faults}: {fault:?} after {} events", pair.sent.len());
        pair.strike(fault, is_quick);
        if is_quick {
            pair.wait_until_stored();
        }
        faults += 1;
    }
    (faults, pair.judge())
}

#[test]
fn what_is_behind_a_newer_one_is_late() {
    assert_eq!(late_in(&[0, 1, 4, 2, 3, 5]), [2, 3]);
    assert!(late_in(&[0, 1, 2]).is_empty());
}
