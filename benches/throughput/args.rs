//! The command line.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::contender::Contender;

/// Below so many events a second a run lasts twice as long.
const SPARSE: u32 = 500;

/// Requests per minute that the service leaves to the fetcher.
pub(crate) const FETCHER_SHARE: u32 = uw_websocket_core::request_budget::FETCHER_SHARE;

/// Compares the service with the leanest possible client (the floor) and with a good Python client.
#[derive(Parser)]
#[command(
    name = "throughput",
    after_help = "Examples:\n  cargo bench --bench throughput -- --quick --only floor,service\n  cargo bench --bench \
                  throughput -- --only floor,service --before ../older/target/release/uw-websocket\n  cargo bench --bench \
                  throughput -- --only service,archive --rates 5000 --rate-seconds 60\n  cargo bench --bench throughput -- --only \
                  service,cluster --rate-seconds 0 --skip-snapshots"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) mode: Option<Mode>,
    #[command(flatten)]
    pub(crate) plan: Plan,
    /// Compare; `cargo bench` adds this
    #[arg(long, hide = true, global = true)]
    pub(crate) bench: bool,
}

/// What this program does besides running the comparison.
#[derive(Subcommand)]
pub(crate) enum Mode {
    /// Be the floor: store the option trades of a feed in Redis until the feed closes
    Floor {
        /// Address of the feed
        #[arg(long)]
        feed: SocketAddr,
        /// Address of Redis
        #[arg(long)]
        redis: SocketAddr,
        /// Symbols to join
        #[arg(long, value_delimiter = ',', required = true)]
        symbols: Vec<String>,
    },
    /// Fill the disk queue while Redis is away, and measure how fast it empties
    Drain(Backlog),
    /// Let one of two services on one feed fill a gap, and compare what live events cost them
    Fill(Filling),
    /// Sample what the service spends its processor time on
    Profile(Sampling),
}

/// How the service is sampled.
#[derive(Args, Clone, Copy)]
pub(crate) struct Sampling {
    /// Seconds of the samples
    #[arg(long, default_value_t = 15)]
    pub(crate) seconds: u64,
    /// Samples a second of each core; a prime number, so as not to keep step with timers
    #[arg(long, default_value_t = 997)]
    pub(crate) frequency: u32,
    /// Events per second of the feed; as fast as the service takes them if it is not given
    #[arg(long = "at")]
    pub(crate) rate: Option<u64>,
}

/// What the disk queue is filled with.
#[derive(Args, Clone, Copy)]
pub(crate) struct Backlog {
    /// Events that wait on disk when Redis starts
    #[arg(long = "backlog", default_value_t = 1_000_000)]
    pub(crate) events: u64,
    /// Events a second that go on arriving meanwhile
    #[arg(long, default_value_t = 2_000)]
    pub(crate) rate: u32,
}

/// What is missed, and what comes meanwhile.
#[derive(Args, Clone, Copy)]
pub(crate) struct Filling {
    /// Option trades that were missed
    #[arg(long, default_value_t = 20_000)]
    pub(crate) missed: u64,
    /// Live events per second: three symbols at noon
    #[arg(long = "live-rate", default_value_t = 240)]
    pub(crate) rate: u32,
    /// Requests per minute of the fill; the default is that of the service
    #[arg(long, default_value_t = 45, value_parser = clap::value_parser!(u32).range(1..9_000))]
    pub(crate) requests_per_minute: u32,
}

/// What is compared, and how long.
#[derive(Args)]
pub(crate) struct Plan {
    /// Events of a run
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) events: u64,
    /// Events of a run of the Python client, if fewer shall do; its figures are given per million all the same
    #[arg(long)]
    pub(crate) python_events: Option<u64>,
    /// Runs of each client, interleaved
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// The clients to run
    #[arg(long, value_delimiter = ',', default_value = "floor,service,python")]
    pub(crate) only: Vec<Contender>,
    /// Leave the Python client out
    #[arg(long)]
    pub(crate) skip_python: bool,
    /// Events a second of the runs at a fixed rate
    #[arg(long, value_delimiter = ',', default_value = "200,1000,5000", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rates: Vec<u32>,
    /// Seconds of each run at a fixed rate, twice as many below 500 events a second; 0 leaves these runs out
    #[arg(long, default_value_t = 10)]
    pub(crate) rate_seconds: u64,
    /// Events a second of the runs with and without snapshots
    #[arg(long, default_value_t = 5_000)]
    pub(crate) snapshot_rate: u32,
    /// Leave the runs with and without snapshots out
    #[arg(long)]
    pub(crate) skip_snapshots: bool,
    /// One short round, to see that everything works; its figures say little
    #[arg(long)]
    pub(crate) quick: bool,
    /// Another build of uw-websocket, as the service and as the simulator
    #[arg(long, default_value = env!("CARGO_BIN_EXE_uw-websocket"), value_parser = program)]
    pub(crate) binary: PathBuf,
    /// A build of uw-websocket to compare the service with: it runs beside it as `before`
    #[arg(long, value_parser = program)]
    pub(crate) before: Option<PathBuf>,
}

impl Plan {
    /// Applies the options that change others.
    pub(crate) fn settled(mut self) -> Plan {
        if self.quick {
            self.rounds = 1;
            self.events = self.events.min(100_000);
            self.python_events = Some(self.python_events.unwrap_or(20_000).min(20_000));
            self.rate_seconds = self.rate_seconds.min(2);
        }
        if self.before.is_some() {
            let service = self.only.iter().position(|contender| *contender == Contender::Service);
            self.only.insert(service.unwrap_or(self.only.len()), Contender::Before);
        }
        self.only.retain(|contender| !(self.skip_python && *contender == Contender::Python));
        self
    }

    /// Events of a run of `contender`.
    pub(crate) fn events_of(&self, contender: Contender) -> u64 {
        match contender {
            Contender::Python => self.python_events.unwrap_or(self.events),
            _ => self.events,
        }
    }

    /// Seconds of a run at so many events a second: where few come, more of them make the figures steady.
    pub(crate) fn seconds_at(&self, rate: u32) -> u64 {
        if rate < SPARSE { 2 * self.rate_seconds } else { self.rate_seconds }
    }
}

/// The absolute path of a program, which is started in another folder than this one.
fn program(path: &str) -> io::Result<PathBuf> {
    std::fs::canonicalize(path)
}
