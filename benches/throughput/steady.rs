//! A run at a fixed rate: what a client takes of the processor where it has time to spare, and how long an event is on its
//! way.
//!
//! The feed rests until the client has joined and its start is over, so the processor time is that of the events and of
//! whatever the client does meanwhile by itself. The service tells of itself over HTTP, as it does unless told otherwise,
//! and in its metrics stands how soon an event was on disk.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use uw_websocket_simulator::{Rate, Simulator, SimulatorHandle, SimulatorOptions};

use crate::bench::Bench;
use crate::contender::Contender;
use crate::failure::{Doing, Failure};
use crate::patience::{rest, wait_for};
use crate::process::{Running, free_address};
use crate::reader::{Quantiles, Reader};

/// Joins take some hundredths of a second.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);
/// What a client does at its start is done by then: its first second is full of it.
const SETTLING: Duration = Duration::from_secs(2);
/// An answer of the service takes milliseconds.
const HTTP_PATIENCE: Duration = Duration::from_secs(5);
const APPENDS: &str = "uw_ws_append_latency_seconds_bucket{";
const ARCHIVED: &str = "uw_ws_archive_events_total ";

/// What a run measured.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Outcome {
    /// The client.
    pub(crate) contender: Contender,
    /// Events a second.
    pub(crate) rate: u32,
    /// Events stored.
    pub(crate) events: usize,
    /// Processor time of the client.
    pub(crate) cpu_seconds: f64,
    /// Processor time of Redis.
    pub(crate) redis_cpu_seconds: f64,
    /// From the send of an event to its arrival at a reader of its stream.
    #[serde(flatten)]
    pub(crate) latency: Quantiles,
    /// 99 % of the events were on disk at most this long after their frame was read: the bound of a bucket. None where the
    /// client does not say.
    pub(crate) append_p99_ms: Option<f64>,
    /// Processor time of the archive's thread for a million archived events. None without an archive.
    pub(crate) archive_cpu_seconds_per_million: Option<f64>,
}

impl Outcome {
    /// For a million events.
    pub(crate) fn cpu_seconds_per_million(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.events as f64
    }

    /// For a million events.
    pub(crate) fn redis_cpu_seconds_per_million(&self) -> f64 {
        self.redis_cpu_seconds * 1e6 / self.events as f64
    }
}

/// Lets `contender` store the events of a feed at `rate`, and times each.
pub(crate) fn measure(bench: &mut Bench, contender: Contender, rate: u32) -> Result<Outcome, Failure> {
    let events = u64::from(rate) * bench.plan.seconds_at(rate);
    let folder = bench.run_folder()?;
    bench.redis.reset()?;
    let mut reader = Reader::new(bench.redis.connect()?, &bench.topics);
    let feed = feed(rate, events)?;
    let mut command = contender.command(bench, feed.addr())?;
    let http = if contender.has_http() { Some(free_address()?) } else { None };
    if let Some(http) = http {
        command.env("HTTP_ADDR", http.to_string());
    }
    let mut client = Running::start(contender.name(), command.current_dir(folder.path()), folder.path())?;
    wait_for("the client has joined", PATIENCE, LOOK, || {
        client.check_alive()?;
        Ok((feed.counts().joins >= bench.topics.len() as u64).then_some(()))
    })?;
    rest(SETTLING);
    let before = (client.usage()?.cpu_seconds, bench.redis.cpu_seconds()?);
    feed.resume();
    let delays = reader.read_all(usize::try_from(events).unwrap_or(usize::MAX), &mut client)?;
    let (cpu_seconds, redis_cpu_seconds) =
        (client.usage()?.cpu_seconds - before.0, bench.redis.cpu_seconds()? - before.1);
    let metrics = http.map(metrics_of).transpose()?;
    let append_p99_ms = metrics.as_deref().and_then(|text| quantile(text, 0.99)).map(|seconds| seconds * 1e3);
    let archived = metrics.as_deref().and_then(archived_events);
    let archive_cpu_seconds_per_million =
        archived.zip(client.thread_cpu_seconds("archive")).map(|(events, seconds)| seconds * 1e6 / events);
    client.stop()?;
    feed.stop();
    let (events, latency) = (delays.len(), Quantiles::of(delays));
    Ok(Outcome {
        contender,
        rate,
        events,
        cpu_seconds,
        redis_cpu_seconds,
        latency,
        append_p99_ms,
        archive_cpu_seconds_per_million,
    })
}

/// A feed that rests.
fn feed(rate: u32, events: u64) -> Result<SimulatorHandle, Failure> {
    let options = SimulatorOptions {
        rate: Rate::PerSecond(rate),
        events: Some(events),
        stamp: true,
        ..SimulatorOptions::default()
    };
    let feed = Simulator::start(options).doing("starting the simulator")?;
    feed.pause();
    Ok(feed)
}

/// What the service tells of itself.
fn metrics_of(service: SocketAddr) -> Result<String, Failure> {
    let request = ureq::get(format!("http://{service}/metrics")).config();
    let request = request.timeout_global(Some(HTTP_PATIENCE)).build();
    let text = request.call().and_then(|mut answer| answer.body_mut().read_to_string());
    text.map_err(std::io::Error::other).doing("asking the service for its metrics")
}

/// What is in the archive so far; none without one.
fn archived_events(metrics: &str) -> Option<f64> {
    let value = metrics.lines().find_map(|line| line.strip_prefix(ARCHIVED))?;
    value.trim().parse().ok().filter(|events| *events > 0.0)
}

/// The bound of the bucket that holds the `q`-quantile of the appends of all shards, in seconds; none if there were none, or if
/// the build does not count them.
fn quantile(metrics: &str, q: f64) -> Option<f64> {
    let mut buckets: Vec<(f64, u64)> = Vec::new();
    for line in metrics.lines().filter_map(|line| line.strip_prefix(APPENDS)) {
        let (bound, count) = bucket(line)?;
        match buckets.iter_mut().find(|(known, _)| known.total_cmp(&bound).is_eq()) {
            Some((_, sum)) => *sum += count,
            None => buckets.push((bound, count)),
        }
    }
    let &(_, all) = buckets.last()?;
    let reached = |(_, count): &&(f64, u64)| all > 0 && *count as f64 >= q * all as f64;
    buckets.iter().find(reached).map(|(bound, _)| *bound)
}

/// Reads the labels and the value of a bucket: `le="0.005",shard="0"} 12`.
fn bucket(line: &str) -> Option<(f64, u64)> {
    let (_, after) = line.split_once("le=\"")?;
    let (bound, _) = after.split_once('"')?;
    let (_, count) = line.rsplit_once(' ')?;
    // the highest bound is `+Inf`, which is read as infinity
    Some((bound.parse().ok()?, count.parse().ok()?))
}
