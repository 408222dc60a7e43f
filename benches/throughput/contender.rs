//! The clients that are compared, and the feed that they all listen to.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use clap::ValueEnum;
use serde::Serialize;

use crate::bench::Bench;
use crate::failure::{Doing, Failure};
use crate::process::{Running, free_address};

/// A client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Contender {
    /// The leanest client that one can write.
    Floor,
    /// The service of the build that `--before` names.
    #[value(skip)]
    Before,
    /// `uw-websocket run` with its default settings: `SPOOL_MODE=always`.
    Service,
    /// The service with its default settings and a cluster of three masters in place of one server.
    Cluster,
    /// The service with `SPOOL_MODE=off` and `SPOOL_WHEN_FULL=block`.
    Off,
    /// The service with its default settings and an archive.
    Archive,
    /// A good Python client.
    Python,
}

impl Contender {
    /// All of them, in the order of a round.
    pub(crate) const ALL: [Contender; 7] = [
        Contender::Floor,
        Contender::Before,
        Contender::Service,
        Contender::Cluster,
        Contender::Off,
        Contender::Archive,
        Contender::Python,
    ];

    /// The name on the command line and in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Contender::Floor => "floor",
            Contender::Before => "before",
            Contender::Service => "service",
            Contender::Cluster => "cluster",
            Contender::Off => "off",
            Contender::Archive => "archive",
            Contender::Python => "python",
        }
    }

    /// Whether the way of its events is timed at fixed rates: the latency of the Python client is that of its queue, and the
    /// reader reads one server.
    pub(crate) fn is_timed(self) -> bool {
        !matches!(self, Contender::Python | Contender::Cluster)
    }

    /// Whether it tells others of itself over HTTP.
    pub(crate) fn has_http(self) -> bool {
        matches!(self, Contender::Before | Contender::Service | Contender::Off | Contender::Archive)
    }

    /// The client on `feed`, with no environment but `PATH` and its own settings.
    pub(crate) fn command(self, bench: &Bench, feed: SocketAddr) -> Result<Command, Failure> {
        Ok(match self {
            Contender::Floor => floor(bench, feed)?,
            Contender::Before => {
                service(bench.plan.before.as_ref().unwrap_or(&bench.plan.binary), bench, feed)
            }
            Contender::Service => service(&bench.plan.binary, bench, feed),
            Contender::Cluster => {
                let mut command = service(&bench.plan.binary, bench, feed);
                command.envs(bench.cluster.as_ref().map(|cluster| ("REDIS_URL", cluster.url())));
                command
            }
            Contender::Off => {
                let mut command = service(&bench.plan.binary, bench, feed);
                // the feed is faster than Redis: all of it is to be written
                command.env("SPOOL_MODE", "off").env("SPOOL_WHEN_FULL", "block");
                command
            }
            Contender::Archive => {
                let mut command = service(&bench.plan.binary, bench, feed);
                command.env("ARCHIVE_DIR", "archive");
                command
            }
            Contender::Python => python(bench, feed),
        })
    }

    /// Starts the client on `feed` with `folder` as its working directory.
    pub(crate) fn start(self, bench: &Bench, feed: SocketAddr, folder: &Path) -> Result<Running, Failure> {
        Running::start(self.name(), self.command(bench, feed)?.current_dir(folder), folder)
    }
}

fn floor(bench: &Bench, feed: SocketAddr) -> Result<Command, Failure> {
    let mut command = bare(&std::env::current_exe().doing("looking up this program")?);
    command.arg("floor").arg("--feed").arg(feed.to_string());
    command.arg("--redis").arg(bench.redis.address().to_string()).arg("--symbols").arg(&bench.symbols);
    Ok(command)
}

/// The service with its default settings but for where things are.
pub(crate) fn service(binary: &Path, bench: &Bench, feed: SocketAddr) -> Command {
    let mut command = bare(binary);
    command
        .arg("run")
        .env("UNUSUAL_WHALES_API_TOKEN", "bench")
        .env("ENABLE_WEBSOCKET", "true")
        .env("UNUSUAL_WHALES_WEBSOCKET_URL", format!("ws://{feed}/socket"))
        .env("REDIS_URL", bench.redis.url())
        .env("TARGET_SYMBOLS", &bench.symbols)
        .env("CHANNELS", "option_trades")
        .env("HTTP_ADDR", "off")
        .env("PROBE_ADDR", "off")
        .env("LOG_FORMAT", "json");
    command
}

fn python(bench: &Bench, feed: SocketAddr) -> Command {
    let mut command = bare(&bench.interpreter);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/throughput/client.py"));
    command.arg("--feed").arg(feed.to_string()).arg("--redis").arg(bench.redis.address().to_string());
    command.arg("--symbols").arg(&bench.symbols);
    command
}

/// How a feed sends.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// Distinct option trades, after all joins are acknowledged.
    pub(crate) events: u64,
    /// Events a second; as fast as the client takes them if there is none.
    pub(crate) rate: Option<u64>,
    /// Whether every event tells in `sent_us` when it was sent.
    pub(crate) stamped: bool,
}

/// The simulator.
pub(crate) struct Feed {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its process.
    pub(crate) running: Running,
}

impl Feed {
    /// Starts a simulator that serves one client at `pace`.
    pub(crate) fn start(bench: &Bench, pace: Pace, folder: &Path) -> Result<Feed, Failure> {
        let address = free_address()?;
        let mut command = bare(&bench.plan.binary);
        command.arg("simulate").arg("--no-rest").arg("--listen").arg(address.to_string());
        command.arg("--events").arg(pace.events.to_string());
        command.arg("--start-after-joins").arg(bench.topics.len().to_string());
        command.arg("--rate").arg(pace.rate.map_or_else(|| "max".to_owned(), |rate| rate.to_string()));
        if pace.stamped {
            command.arg("--stamp");
        }
        let mut running = Running::start("simulator", command.current_dir(folder), folder)?;
        running.wait_until_listening(address)?;
        Ok(Feed { address, running })
    }
}

/// A command without the settings that this shell may hold.
fn bare(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}
