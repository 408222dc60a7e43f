//! What the snapshots cost: the service with and without them, on a feed of all channels over three symbols at a fixed
//! rate, beside bodies of REST of the usual size.
//!
//! The processor time is that of the whole service from the first event to the last one; the latency is that of the
//! streams, seen by a reader, as in [`reader`](crate::reader).

use std::time::Duration;

use deadpool_redis::redis::{Connection, cmd};
use serde::Serialize;
use uw_websocket_core::event::Symbol;
use uw_websocket_simulator::{Rate, Simulator, SimulatorHandle, SimulatorOptions};

use crate::bench::Bench;
use crate::contender::service;
use crate::failure::{Doing, Failure};
use crate::patience::wait_for;
use crate::process::Running;
use crate::reader::{Quantiles, Reader};

const SYMBOLS: [&str; 3] = ["SPY", "QQQ", "IWM"];
const PER_TICKER: [&str; 5] = ["option_trades", "price", "gex", "gex_strike", "gex_strike_expiry"];
const GLOBAL: [&str; 2] = ["flow-alerts", "news"];
/// Joins and the end of the last write take some hundredths of a second.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);
/// Rows of a body of REST: a session by the minute, and as many strikes as a page has.
const SERIES_ROWS: u32 = 538;
const STRIKE_ROWS: u32 = 50;

/// What a run measured.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Outcome {
    /// Whether the snapshots were written.
    pub(crate) with_snapshots: bool,
    /// Events stored.
    pub(crate) events: usize,
    /// Processor time of the service.
    pub(crate) cpu_seconds: f64,
    /// Processor time of Redis.
    pub(crate) redis_cpu_seconds: f64,
    /// From the send of an event to its arrival at a reader of its stream.
    pub(crate) latency: Quantiles,
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

/// One run at the plan's rate of these runs.
pub(crate) fn measure(bench: &mut Bench, with_snapshots: bool) -> Result<Outcome, Failure> {
    let folder = bench.run_folder()?;
    bench.redis.reset()?;
    write_bodies(&mut bench.redis.connect()?)?;
    let per_ticker =
        PER_TICKER.iter().flat_map(|channel| SYMBOLS.map(|symbol| format!("{channel}:{symbol}")));
    let topics: Vec<String> = GLOBAL.iter().map(ToString::to_string).chain(per_ticker).collect();
    let mut reader = Reader::new(bench.redis.connect()?, &topics);
    let events = u64::from(bench.plan.snapshot_rate) * bench.plan.seconds_at(bench.plan.snapshot_rate);
    let feed = feed(bench, events)?;
    let mut command = service(&bench.plan.binary, bench, feed.addr());
    command.env("TARGET_SYMBOLS", SYMBOLS.join(",")).env_remove("CHANNELS");
    command.env("STORE_TO_REDIS", if with_snapshots { "true" } else { "false" });
    let mut client = Running::start("service", command.current_dir(folder.path()), folder.path())?;
    wait_for("the service has joined", PATIENCE, LOOK, || {
        Ok((feed.counts().joins >= topics.len() as u64).then_some(()))
    })?;
    let before = (client.usage()?.cpu_seconds, bench.redis.cpu_seconds()?);
    feed.resume();
    let delays = reader.read_all(usize::try_from(events).unwrap_or(usize::MAX), &mut client)?;
    let (events, latency) = (delays.len(), Quantiles::of(delays));
    let (cpu_seconds, redis_cpu_seconds) =
        (client.usage()?.cpu_seconds - before.0, bench.redis.cpu_seconds()? - before.1);
    client.stop()?;
    feed.stop();
    Ok(Outcome { with_snapshots, events, cpu_seconds, redis_cpu_seconds, latency })
}

fn feed(bench: &Bench, events: u64) -> Result<SimulatorHandle, Failure> {
    let options = SimulatorOptions {
        rate: Rate::PerSecond(bench.plan.snapshot_rate),
        symbols: SYMBOLS.iter().filter_map(|symbol| Symbol::parse(symbol).ok()).collect(),
        events: Some(events),
        stamp: true,
        ..SimulatorOptions::default()
    };
    let feed = Simulator::start(options).doing("starting the simulator")?;
    feed.pause();
    Ok(feed)
}

/// Bodies as the fetcher leaves them.
fn write_bodies(redis: &mut Connection) -> Result<(), Failure> {
    let now = jiff::Timestamp::now();
    let at = |seconds_ago: u32| {
        let at = now - jiff::SignedDuration::from_secs(i64::from(seconds_ago));
        at.strftime("%Y-%m-%dT%H:%M:%S.000000Z").to_string()
    };
    for symbol in SYMBOLS {
        let series = (0..SERIES_ROWS).rev().map(|row| {
            let metrics = ["charm", "gamma", "vanna"].iter().flat_map(|greek| {
                ["dir", "oi", "vol"]
                    .map(|side| format!(r#","{greek}_per_one_percent_move_{side}":"-318084164.{row:02}""#))
            });
            let (time, metrics) = (at(row * 60), metrics.collect::<String>());
            format!(r#"{{"time":"{time}","ticker":"{symbol}","price":"671.15"{metrics}}}"#)
        });
        let strikes = (0..STRIKE_ROWS).map(|row| {
            let metrics = ["gamma", "delta", "charm", "vanna"].iter().flat_map(|greek| {
                ["oi", "vol", "ask", "bid"].iter().flat_map(move |side| {
                    ["call", "put"].map(|kind| format!(r#","{kind}_{greek}_{side}":"-47563310.56""#))
                })
            });
            let (time, metrics, strike) = (at(10), metrics.collect::<String>(), 510 + row);
            format!(
                r#"{{"ticker":"{symbol}","date":"{}","time":"{time}","strike":"{strike}","price":"668.88"{metrics}}}"#,
                &time[..10]
            )
        });
        let state = format!(
            r#"{{"data":{{"close":"1","high":"1","low":"1","open":"1","volume":1,"market_time":"r","tape_time":"{}","total_volume":1,"prev_close":"1"}}}}"#,
            at(10)
        );
        let bodies = [
            ("flow_alerts", r#"{"data":[]}"#.to_owned()),
            ("spot_exposures", format!(r#"{{"data":[{}]}}"#, series.collect::<Vec<_>>().join(","))),
            ("spot_exposures_strike", format!(r#"{{"data":[{}]}}"#, strikes.collect::<Vec<_>>().join(","))),
            ("stock_state", state),
        ];
        for (endpoint, body) in bodies {
            let key = format!("uw:rest:{endpoint}:{symbol}");
            cmd("HSET").arg(key).arg("payload").arg(body).arg("fetched_at").arg(at(5)).exec(redis)?;
        }
    }
    Ok(())
}
