//! One throughput run: a feed at full speed, one client, and what ends up in Redis.
//!
//! The clock runs from the receive time of the first event (the milliseconds in the lowest first entry id) to the
//! first poll that finds all events in the streams (`entries-added`, every 20 ms with one pipeline; both on the wall
//! clock of this machine). Processor time of the client and of Redis is taken as a difference: from the last poll that
//! found nothing to the moment when the hashes of the newest event are right as well. What polling costs Redis (less
//! than 2 % of a core) is the same for all clients.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::bench::Bench;
use crate::contender::{Contender, Feed, Pace};
use crate::failure::{Doing, Failure};
use crate::patience::{check_interrupted, rest, wait_for};
use crate::process::Running;
use crate::redis::{PrivateRedis, Stream};

const POLL_PAUSE: Duration = Duration::from_millis(20);
/// A client that stores nothing for so long will not store the rest.
const STALL_PATIENCE: Duration = Duration::from_secs(20);
/// The service rewrites a hash of the newest event every 250 ms at most.
const LATEST_PATIENCE: Duration = Duration::from_secs(5);
/// The cap of the streams, which every client gives to Redis.
const MAXLEN: u64 = 100_000;
/// How far an approximately trimmed stream may be below its cap or above: a node of the stream (100 entries by
/// default), and the batch that is added before the trim.
const MAXLEN_TOLERANCE: u64 = 100 + 512;

/// What a run measured.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Outcome {
    /// The client.
    pub(crate) contender: Contender,
    /// Events stored.
    pub(crate) events: u64,
    /// From the first event received to the last one visible.
    pub(crate) seconds: f64,
    /// Processor time of the client.
    pub(crate) cpu_seconds: f64,
    /// Processor time of Redis.
    pub(crate) redis_cpu_seconds: f64,
    /// Peak of the client's resident memory in bytes.
    pub(crate) peak_rss: u64,
}

impl Outcome {
    pub(crate) fn events_per_second(&self) -> f64 {
        self.events as f64 / self.seconds
    }

    pub(crate) fn cpu_seconds_per_million(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.events as f64
    }

    pub(crate) fn redis_cpu_seconds_per_million(&self) -> f64 {
        self.redis_cpu_seconds * 1e6 / self.events as f64
    }
}

/// Lets `contender` store the events of a feed at full speed, and checks the result.
pub(crate) fn measure(bench: &mut Bench, contender: Contender) -> Result<Outcome, Failure> {
    let events = bench.plan.events_of(contender);
    let folder = bench.run_folder()?;
    bench.redis_of(contender).reset()?;
    let feed = Feed::start(bench, Pace { events, rate: None, stamped: false }, folder.path())?;
    let mut client = contender.start(bench, feed.address, folder.path())?;
    let topics = bench.topics.clone();
    let redis = bench.redis_of(contender);
    let start = await_first(redis, &topics, &mut client)?;
    let end_ms = await_all(redis, &topics, &mut client, events)?;
    await_latest(redis, &topics)?;
    let usage = client.usage()?;
    let redis_cpu_seconds = redis.cpu_seconds()? - start.redis_cpu_seconds;
    client.stop()?;
    feed.running.stop()?;
    check(redis, &topics, events)?;
    Ok(Outcome {
        contender,
        events,
        seconds: end_ms.saturating_sub(start.first_ms).max(1) as f64 / 1e3,
        cpu_seconds: usage.cpu_seconds - start.cpu_seconds,
        redis_cpu_seconds,
        peak_rss: usage.peak_rss,
    })
}

/// When the first event was received, and what had been used until shortly before.
struct Start {
    first_ms: u64,
    cpu_seconds: f64,
    redis_cpu_seconds: f64,
}

fn await_first(redis: &mut PrivateRedis, topics: &[String], client: &mut Running) -> Result<Start, Failure> {
    wait_for("the first event is in redis", STALL_PATIENCE, POLL_PAUSE, {
        let mut before = (client.usage()?.cpu_seconds, redis.cpu_seconds()?);
        move || {
            client.check_alive()?;
            let streams = redis.streams(topics)?;
            let Some(first_ms) = streams.iter().map(|stream| stream.first_ms).min() else {
                before = (client.usage()?.cpu_seconds, redis.cpu_seconds()?);
                return Ok(None);
            };
            let (cpu_seconds, redis_cpu_seconds) = before;
            Ok(Some(Start { first_ms, cpu_seconds, redis_cpu_seconds }))
        }
    })
}

/// Waits until all events are visible; gives the Unix time in milliseconds when they were seen.
fn await_all(
    redis: &mut PrivateRedis,
    topics: &[String],
    client: &mut Running,
    events: u64,
) -> Result<u64, Failure> {
    let (mut seen, mut progress) = (0, Instant::now());
    loop {
        check_interrupted()?;
        client.check_alive()?;
        let added = added(&redis.streams(topics)?);
        if added >= events {
            return unix_ms();
        }
        if added > seen {
            (seen, progress) = (added, Instant::now());
        } else if progress.elapsed() > STALL_PATIENCE {
            let waiting_for = format!("{seen} of {events} events are in redis and no more come");
            return Err(Failure::TooLate { waiting_for, seconds: STALL_PATIENCE.as_secs() });
        }
        rest(POLL_PAUSE);
    }
}

/// Waits until every hash of the newest event is that of the newest entry of its stream.
fn await_latest(redis: &mut PrivateRedis, topics: &[String]) -> Result<(), Failure> {
    wait_for("the hashes agree with the newest entries", LATEST_PATIENCE, POLL_PAUSE, || {
        let streams = redis.streams(topics)?;
        let latest = redis.latest(topics)?;
        let agree = streams.iter().map(|stream| &stream.last).eq(latest.iter().flatten());
        Ok(agree.then_some(()))
    })
}

/// Every event once, and no stream shorter or longer than its cap allows.
fn check(redis: &mut PrivateRedis, topics: &[String], events: u64) -> Result<(), Failure> {
    let streams = redis.streams(topics)?;
    let added = added(&streams);
    if added != events {
        return Err(Failure::WrongResult(format!("{added} entries were added for {events} events")));
    }
    for stream in &streams {
        let least = stream.added.min(MAXLEN - MAXLEN_TOLERANCE);
        let most = stream.added.min(MAXLEN + MAXLEN_TOLERANCE);
        if !(least..=most).contains(&stream.len) {
            let wrong = format!("a stream holds {} of {} entries", stream.len, stream.added);
            return Err(Failure::WrongResult(wrong));
        }
    }
    Ok(())
}

fn added(streams: &[Stream]) -> u64 {
    streams.iter().map(|stream| stream.added).sum()
}

/// Unix time in milliseconds: what entry ids begin with.
fn unix_ms() -> Result<u64, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(std::io::Error::other);
    Ok(u64::try_from(now.doing("reading the clock")?.as_millis()).unwrap_or(u64::MAX))
}
