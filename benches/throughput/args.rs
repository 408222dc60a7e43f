//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::contender::Contender;

/// Compares the service with the leanest possible client (the floor) and with a good Python client.
#[derive(Parser)]
#[command(
    name = "throughput",
    after_help = "Example: cargo bench --bench throughput -- --quick --only floor,service"
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
    /// Seconds of each latency run; 0 leaves them out
    #[arg(long, default_value_t = 10)]
    pub(crate) latency_seconds: u64,
    /// Events a second of the latency runs
    #[arg(long, default_value_t = 5_000)]
    pub(crate) latency_rate: u64,
    /// One short round, to see that everything works; its figures say little
    #[arg(long)]
    pub(crate) quick: bool,
    /// Another build of uw-websocket, as the service and as the simulator
    #[arg(long, default_value = env!("CARGO_BIN_EXE_uw-websocket"))]
    pub(crate) binary: PathBuf,
}

impl Plan {
    /// Applies the options that change others.
    pub(crate) fn settled(mut self) -> Plan {
        if self.quick {
            self.rounds = 1;
            self.events = self.events.min(100_000);
            self.python_events = Some(self.python_events.unwrap_or(20_000).min(20_000));
            self.latency_seconds = self.latency_seconds.min(2);
        }
        self.only.retain(|contender| !(self.skip_python && *contender == Contender::Python));
        self
    }

    /// Events of a run of `contender`.
    pub(crate) fn events_of(&self, contender: Contender) -> u64 {
        match contender {
            Contender::Python => self.python_events.unwrap_or(self.events),
            Contender::Floor | Contender::Service | Contender::Off => self.events,
        }
    }
}
