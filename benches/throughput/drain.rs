//! How fast a backlog on disk empties: the queue is filled at full speed while there is no Redis, then Redis starts, and
//! events go on arriving.
//!
//! The backlog is gone at the first look at which Redis holds every event that had been made at the look before. Then
//! the feed rests, and every stream is read: each number once, rising.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use uw_websocket_simulator::{Rate, Simulator, SimulatorHandle, SimulatorOptions, Spread, event_number};

use crate::args::{Backlog, Plan};
use crate::bench::Bench;
use crate::contender::Contender;
use crate::failure::{Doing, Failure};
use crate::patience::{check_interrupted, rest, wait_for};
use crate::process::Running;
use crate::redis::PrivateRedis;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// A service that takes nothing from the feed, or stores nothing, for so long will not do the rest.
const STALL_PATIENCE: Duration = Duration::from_secs(20);
/// Entries that are read at once.
const PAGE: usize = 10_000;

/// Measures and reports.
pub(crate) fn run(plan: Plan, backlog: Backlog) -> Result<(), Failure> {
    crate::patience::watch_signals()?;
    let target = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    std::fs::create_dir_all(&target).doing(format!("making {}", target.display()))?;
    let bench = Bench::start(plan, &target, std::path::PathBuf::new())?;
    let folder = bench.run_folder()?;
    let simulator = feed(&bench)?;
    let mut client = Contender::Service.start(&bench, simulator.addr(), folder.path())?;
    let topics = bench.topics.clone();
    // the service has seen it, so that the backlog is nothing but what comes from now on
    wait_for("the service listens", STALL_PATIENCE, LOOK, || {
        Ok((simulator.counts().joins >= topics.len() as u64).then_some(()))
    })?;
    let address = bench.redis.stop()?;
    fill(&simulator, &mut client, backlog)?;
    let filled = simulator.counts().events;
    println!("{filled} events wait on disk, {} a second go on arriving", backlog.rate);
    let (seconds, drained) = drain(&simulator, &mut client, address, folder.path(), &topics)?;
    let usage = client.usage()?;
    println!("drained in {seconds:.1} s: {:.0} events/s", drained as f64 / seconds);
    println!("peak memory {} MiB", usage.peak_rss >> 20);
    Ok(())
}

/// A feed at full speed that waits for all joins.
fn feed(bench: &Bench) -> Result<SimulatorHandle, Failure> {
    let options = SimulatorOptions { rate: Rate::Max, spread: Spread::Even, ..SimulatorOptions::default() };
    let simulator = Simulator::start(options).doing("starting the simulator")?;
    // not before Redis is away
    simulator.pause();
    println!("{} topics, {}", bench.topics.len(), simulator.url());
    Ok(simulator)
}

/// Lets the feed run until the backlog is there.
fn fill(simulator: &SimulatorHandle, client: &mut Running, backlog: Backlog) -> Result<(), Failure> {
    let (mut made, mut progress) = (0, Instant::now());
    simulator.resume();
    while made < backlog.events {
        check_interrupted()?;
        client.check_alive()?;
        rest(LOOK);
        let now = simulator.counts().events;
        if now > made {
            (made, progress) = (now, Instant::now());
        } else if progress.elapsed() > STALL_PATIENCE {
            let waiting_for = format!("{made} of {} events were read while redis was away", backlog.events);
            return Err(Failure::TooLate { waiting_for, seconds: STALL_PATIENCE.as_secs() });
        }
    }
    simulator.set_rate(Rate::PerSecond(backlog.rate));
    Ok(())
}

/// Starts Redis and waits until the backlog is gone; gives the seconds and the events that were stored in them.
fn drain(
    simulator: &SimulatorHandle,
    client: &mut Running,
    address: SocketAddr,
    folder: &std::path::Path,
    topics: &[String],
) -> Result<(f64, u64), Failure> {
    let mut redis = PrivateRedis::start_at(address, folder)?;
    let started = Instant::now();
    let mut made = simulator.counts().events;
    let (mut seen, mut progress) = (0, started);
    let seconds = loop {
        check_interrupted()?;
        client.check_alive()?;
        let stored = added(&mut redis, topics)?;
        if stored >= made {
            break started.elapsed().as_secs_f64();
        }
        if stored > seen {
            (seen, progress) = (stored, Instant::now());
        } else if progress.elapsed() > STALL_PATIENCE {
            let waiting_for = format!("{stored} of {made} events are in redis and no more come");
            return Err(Failure::TooLate { waiting_for, seconds: STALL_PATIENCE.as_secs() });
        }
        made = simulator.counts().events;
        rest(LOOK);
    };
    let drained = added(&mut redis, topics)?;
    simulator.pause();
    verify(simulator, &mut redis, topics)?;
    Ok((seconds, drained))
}

fn added(redis: &mut PrivateRedis, topics: &[String]) -> Result<u64, Failure> {
    Ok(redis.streams(topics)?.iter().map(|stream| stream.added).sum())
}

/// Every number once, and rising in every stream.
fn verify(simulator: &SimulatorHandle, redis: &mut PrivateRedis, topics: &[String]) -> Result<(), Failure> {
    let made = wait_for("every event is in redis", STALL_PATIENCE, LOOK, || {
        let made = simulator.counts().events;
        Ok((added(redis, topics)? == made).then_some(made))
    })?;
    let mut numbers = Vec::new();
    for topic in topics {
        let before = numbers.len();
        let mut from = "-".to_owned();
        loop {
            let page = redis.entries(topic, &from, PAGE)?;
            let unread = usize::from(from != "-");
            numbers.extend(page.iter().skip(unread).filter_map(|entry| event_number(topic, &entry.payload)));
            match page.last() {
                Some(last) if page.len() > unread => from.clone_from(&last.id),
                _ => break,
            }
        }
        if !numbers[before..].is_sorted_by(|a, b| a < b) {
            return Err(Failure::WrongResult(format!("the events of {topic} are not in order")));
        }
    }
    numbers.sort_unstable();
    if !numbers.iter().copied().eq(1..=made) {
        return Err(Failure::WrongResult(format!("{} events, not each of {made} once", numbers.len())));
    }
    println!("{made} events, each once and in order");
    Ok(())
}
