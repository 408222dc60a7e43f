//! What a fill costs the live events: two services beside each other on one feed, of which one fetches a gap over REST.
//!
//! A third one joins first, so that the feed has a history, and leaves; what was made meanwhile is a gap in the ledger of the
//! service that fills. Both then start on prefixes of their own in one Redis. They are compared over two intervals, which begin
//! with the first request: until the last row is written, and over a whole minute. The budget of requests is one per minute, so
//! this is what fills can cost on end. Feed, REST side, Redis and both readers share the machine, so that what disturbs one
//! service disturbs the other as well.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use deadpool_redis::redis::{Connection, cmd};
use serde::Serialize;
use uw_websocket_core::event::Symbol;
use uw_websocket_core::time::iso_utc;
use uw_websocket_simulator::{
    Rate, RestLimits, RestOptions, Simulator, SimulatorHandle, SimulatorOptions, Spread,
};

use crate::args::{Filling, Plan};
use crate::bench::Bench;
use crate::contender::service;
use crate::failure::{Doing, Failure};
use crate::machine::Machine;
use crate::patience::{check_interrupted, rest, wait_for, watch_signals};
use crate::process::{Running, Usage};
use crate::reader::{Delay, Quantiles, Reader, unix_us};

const SYMBOLS: [&str; 3] = ["SPY", "QQQ", "IWM"];
/// Age of the history, so that late rows are not waited for: the service does so for a minute after a gap.
const AGE_US: u64 = 15 * 60 * 1_000_000;
/// Events per second while the history is made.
const HISTORY_RATE: u32 = 5_000;
/// A starting service joins and looks into the ledger within seconds.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);
/// The interval of the budget of requests.
const MINUTE: Duration = Duration::from_secs(60);

/// What one of the two services has used for the live events of an interval.
#[derive(Clone, Copy, Debug, Serialize)]
struct Side {
    events: usize,
    #[serde(flatten)]
    latency: Quantiles,
    cpu_us_per_event: f64,
    /// Without the thread that fetches, which has a lower priority.
    live_cpu_us_per_event: f64,
    peak_rss_mib: f64,
}

/// The two services beside each other.
#[derive(Clone, Copy, Debug, Serialize)]
struct Compared {
    seconds: f64,
    without: Side,
    filling: Side,
}

#[derive(Serialize)]
struct Report {
    measured_at: String,
    machine: Machine,
    load: f64,
    rows: u64,
    requests: u64,
    is_whole: bool,
    fill: Compared,
    minute: Compared,
}

/// A service on a prefix of its own, and who reads its streams.
struct Watched {
    client: Running,
    reading: JoinHandle<Result<Vec<Delay>, Failure>>,
}

/// Measures and reports.
pub(crate) fn run(plan: Plan, filling: Filling) -> Result<(), Failure> {
    watch_signals()?;
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    fs::create_dir_all(&target).doing(format!("making {}", target.display()))?;
    let mut bench = Bench::start(plan, &target, PathBuf::new())?;
    let machine = Machine::describe(bench.redis.version()?);
    let feed = feed()?;
    let gap = make_history(&bench, &feed, filling)?;
    let mut redis = bench.redis.connect()?;
    write_gap(&mut redis, gap)?;
    let is_over = Arc::new(AtomicBool::new(false));
    let without = start(&bench, &feed, filling, ("without", &is_over))?;
    let with = start(&bench, &feed, filling, ("filling", &is_over))?;
    let measured = measure(&feed, &mut redis, (without, with), &is_over);
    is_over.store(true, Ordering::Relaxed);
    let (is_whole, fill, minute) = measured?;
    let report = Report {
        measured_at: jiff::Timestamp::now().to_string(),
        machine,
        load: load(),
        rows: fetched(&mut redis)?,
        requests: feed.rest_counts().requests,
        is_whole,
        fill,
        minute,
    };
    print!("{report}");
    let json = serde_json::to_string(&report).map_err(std::io::Error::other).doing("encoding the report")?;
    println!("\n{json}");
    fs::write(target.join("fill.json"), format!("{json}\n")).doing("writing the report")
}

/// A feed that is late by [`AGE_US`], with a REST side that limits nobody.
fn feed() -> Result<SimulatorHandle, Failure> {
    let limits = RestLimits { per_minute: u32::MAX, per_day: u32::MAX, ..RestLimits::default() };
    let options = SimulatorOptions {
        rate: Rate::PerSecond(HISTORY_RATE),
        spread: Spread::Even,
        symbols: SYMBOLS.iter().filter_map(|symbol| Symbol::parse(symbol).ok()).collect(),
        stamp: true,
        at_us: Some(unix_us().saturating_sub(AGE_US)),
        rest: Some(RestOptions { limits, ..RestOptions::default() }),
        ..SimulatorOptions::default()
    };
    let feed = Simulator::start(options).doing("starting the simulator")?;
    feed.pause();
    Ok(feed)
}

fn topics() -> Vec<String> {
    SYMBOLS.iter().map(|symbol| format!("option_trades:{symbol}")).collect()
}

/// Lets the feed make what is missed later; gives its interval in Unix microseconds.
fn make_history(bench: &Bench, feed: &SimulatorHandle, filling: Filling) -> Result<(u64, u64), Failure> {
    let folder = bench.run_folder()?;
    let mut command = command(bench, feed, filling, "history");
    let joiner = Running::start("history", command.current_dir(folder.path()), folder.path())?;
    wait_for_joins(feed, topics().len())?;
    feed.resume();
    wait_for("the history is made", PATIENCE, LOOK, || {
        Ok((feed.counts().events >= filling.missed).then_some(()))
    })?;
    feed.pause();
    joiner.stop()?;
    let made = feed.generated();
    let times = || made.iter().map(|event| event.time_us);
    let interval = times().min().zip(times().max());
    feed.set_rate(Rate::PerSecond(filling.rate));
    interval.ok_or_else(|| Failure::WrongResult("the feed has no history".to_owned()))
}

fn wait_for_joins(feed: &SimulatorHandle, joins: usize) -> Result<(), Failure> {
    wait_for("the service has joined", PATIENCE, LOOK, || {
        Ok((feed.counts().joins >= joins as u64).then_some(()))
    })
}

/// Puts the gap into the ledger of the service that fills.
fn write_gap(redis: &mut Connection, (from_us, to_us): (u64, u64)) -> Result<(), Failure> {
    let mut xadd = cmd("XADD");
    xadd.arg("filling:ws:gaps").arg(format!("{}-0", to_us / 1_000));
    xadd.arg("family").arg("trades").arg("channels").arg(topics().join(","));
    xadd.arg("from").arg(iso_utc(from_us)).arg("to").arg(iso_utc(to_us));
    Ok(xadd.arg("reason").arg("disconnect").exec(redis)?)
}

fn command(bench: &Bench, feed: &SimulatorHandle, filling: Filling, prefix: &str) -> std::process::Command {
    let requests = filling.requests_per_minute;
    let mut command = service(&bench.plan.binary, bench, feed.addr());
    command
        .env("TARGET_SYMBOLS", SYMBOLS.join(","))
        .env("KEY_PREFIX", prefix)
        .env("UNUSUAL_WHALES_REST_URL", feed.rest_url())
        .env("RATE_LIMIT_REQUESTS_PER_MINUTE", (requests + crate::args::FETCHER_SHARE).to_string())
        .env("REST_REQUESTS_PER_MINUTE", requests.to_string())
        .env("ENABLE_BACKFILL", (prefix == "filling").to_string());
    command
}

fn start(
    bench: &Bench,
    feed: &SimulatorHandle,
    filling: Filling,
    (prefix, is_over): (&'static str, &Arc<AtomicBool>),
) -> Result<Watched, Failure> {
    let joined = usize::try_from(feed.counts().joins).unwrap_or(usize::MAX);
    let folder = bench.lasting_folder()?;
    let mut command = command(bench, feed, filling, prefix);
    let client = Running::start(prefix, command.current_dir(&folder), &folder)?;
    wait_for_joins(feed, joined + topics().len())?;
    let mut reader = Reader::of_prefix(bench.redis.connect()?, prefix, &topics());
    let is_over = Arc::clone(is_over);
    let reading = std::thread::spawn(move || reader.read_until(|| is_over.load(Ordering::Relaxed)));
    Ok(Watched { client, reading })
}

/// What both services have used so far.
struct Mark {
    at: Instant,
    at_us: u64,
    without: Used,
    filling: Used,
}

impl Mark {
    fn now(without: &Watched, filling: &Watched) -> Result<Mark, Failure> {
        let (without, filling) = (Used::of(&without.client)?, Used::of(&filling.client)?);
        Ok(Mark { at: Instant::now(), at_us: unix_us(), without, filling })
    }
}

/// Lets live events come for a minute from the first request on; returns whether the fill has ended within it, and the
/// comparisons until then and over the whole.
fn measure(
    feed: &SimulatorHandle,
    redis: &mut Connection,
    (mut without, mut filling): (Watched, Watched),
    is_over: &AtomicBool,
) -> Result<(bool, Compared, Compared), Failure> {
    feed.resume();
    wait_for("the fill begins", PATIENCE, LOOK, || Ok((feed.rest_counts().requests > 0).then_some(())))?;
    let begin = Mark::now(&without, &filling)?;
    let mut filled = None;
    while begin.at.elapsed() < MINUTE {
        check_interrupted()?;
        without.client.check_alive()?;
        filling.client.check_alive()?;
        if filled.is_none() && cmd("XLEN").arg("filling:ws:fills").query::<usize>(redis)? >= topics().len() {
            filled = Some(Mark::now(&without, &filling)?);
        }
        rest(LOOK);
    }
    let end = Mark::now(&without, &filling)?;
    is_over.store(true, Ordering::Relaxed);
    let delays = (without.end()?, filling.end()?);
    let compared = |until: &Mark| Compared {
        seconds: (until.at - begin.at).as_secs_f64(),
        without: side((begin.without, until.without), within(&delays.0, &begin, until)),
        filling: side((begin.filling, until.filling), within(&delays.1, &begin, until)),
    };
    Ok((filled.is_some(), compared(filled.as_ref().unwrap_or(&end)), compared(&end)))
}

/// Processor time and memory of a service so far.
#[derive(Clone, Copy)]
struct Used {
    usage: Usage,
    fetching_seconds: f64,
}

impl Used {
    fn of(client: &Running) -> Result<Used, Failure> {
        Ok(Used { usage: client.usage()?, fetching_seconds: client.low_priority_cpu_seconds() })
    }
}

impl Watched {
    /// Ends the service and its reader; returns what that has seen.
    fn end(self) -> Result<Vec<Delay>, Failure> {
        let ended = |_| Failure::WrongResult("the reader has panicked".to_owned());
        let delays = self.reading.join().map_err(ended)??;
        self.client.stop()?;
        Ok(delays)
    }
}

/// Returns the delays of the events seen in an interval, in microseconds.
fn within(delays: &[Delay], begin: &Mark, until: &Mark) -> Vec<u64> {
    let seen = |delay: &&Delay| (begin.at_us..until.at_us).contains(&delay.seen_us);
    delays.iter().filter(seen).map(|delay| delay.us).collect()
}

fn side((before, after): (Used, Used), delays: Vec<u64>) -> Side {
    let events = delays.len();
    let seconds = after.usage.cpu_seconds - before.usage.cpu_seconds;
    let live_seconds = seconds - (after.fetching_seconds - before.fetching_seconds);
    let per_event = |seconds: f64| seconds * 1e6 / events as f64;
    Side {
        events,
        latency: Quantiles::of(delays),
        cpu_us_per_event: per_event(seconds),
        live_cpu_us_per_event: per_event(live_seconds),
        peak_rss_mib: after.usage.peak_rss as f64 / f64::from(1 << 20),
    }
}

/// Rows in the streams of fetched rows.
fn fetched(redis: &mut Connection) -> Result<u64, Failure> {
    topics().iter().try_fold(0, |rows, topic| {
        Ok(rows + cmd("XLEN").arg(format!("filling:ws:backfill:{topic}")).query::<u64>(redis)?)
    })
}

/// Processes that ran or waited for a processor during the last minute.
fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(f64::NAN)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { machine, load, rows, requests, is_whole, fill, minute, .. } = self;
        writeln!(f, "machine: {machine}, load {load:.1}")?;
        let end = if *is_whole { "the fill ended" } else { "the fill went on" };
        writeln!(
            f,
            "{rows} rows fetched with {requests} requests, {end}\n\nuntil then {fill}\nover the minute {minute}"
        )
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "({:.1} s)", self.seconds)?;
        writeln!(
            f,
            "{:<10}{:>10}{:>10}{:>10}{:>10}{:>15}{:>22}{:>10}",
            "service", "events", "p50 ms", "p99 ms", "max ms", "CPU µs/event", "without fetching", "RSS MiB"
        )?;
        for (name, side) in [("without", self.without), ("filling", self.filling)] {
            let Side { events, latency, cpu_us_per_event, live_cpu_us_per_event, peak_rss_mib } = side;
            let Quantiles { p50_ms, p99_ms, max_ms } = latency;
            writeln!(
                f,
                "{name:<10}{events:>10}{p50_ms:>10.2}{p99_ms:>10.2}{max_ms:>10.2}{cpu_us_per_event:>15.1}\
                 {live_cpu_us_per_event:>22.1}{peak_rss_mib:>10.1}"
            )?;
        }
        let ratio = |figure: fn(&Side) -> f64| figure(&self.filling) / figure(&self.without);
        writeln!(
            f,
            "filling / without: {:.2} × the p99, {:.2} × the CPU per event, {:.2} × without the thread that fetches",
            ratio(|side| side.latency.p99_ms),
            ratio(|side| side.cpu_us_per_event),
            ratio(|side| side.live_cpu_us_per_event)
        )
    }
}
