//! `uw-websocket simulate`: a feed server on the command line.

mod help;
mod outage;

use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use thiserror::Error;
use tokio::runtime::Builder;
use tokio::time::{MissedTickBehavior, interval, sleep};
use uw_websocket_core::event::Symbol;
use uw_websocket_core::settings::Secret;

use self::help::{MISBEHAVE_HELP, REST_MISBEHAVE_HELP};
use self::outage::Outage;
use super::complain;
use super::lines::print_lines;
use super::replay::file::Contents;
use super::wanted::Wanted;
use crate::exit::Exit;
use crate::signals::Signals;
use uw_websocket_simulator::{
    Misbehaviour, Rate, RecordedPace, Recording, RestFault, RestLimits, RestOptions, Simulator,
    SimulatorHandle, SimulatorOptions, Spread, Waves,
};

/// Options of `simulate`.
#[derive(Args, Clone, Debug)]
#[command(
    about = "Serve a simulated feed over the vendor's protocol",
    after_long_help = "Examples:\n  uw-websocket simulate --rate 500 --wave-seconds 10\n  uw-websocket simulate --rate \
                       max --events 1000000 --channels-only option_trades --start-after-joins 50\n  uw-websocket \
                       simulate --file capture.jsonl --pace 10x --loop\n  uw-websocket simulate --misbehave \
                       refuse=503@3 --misbehave cut=1000 --misbehave invalid-utf8=50"
)]
pub(super) struct SimulateArgs {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The only token to accept [default: any that is not empty]
    #[arg(long)]
    token: Option<String>,
    /// The only `Origin` header to accept, such as `https://example.com` [default: any, and none]
    #[arg(long)]
    origin: Option<String>,
    /// Symbols of the events of channels that are joined globally, comma-separated [default: 20 common tickers]
    #[arg(long, value_delimiter = ',', value_parser = symbol)]
    symbols: Vec<Symbol>,
    /// Events per second over all topics, or `max`: as fast as the clients read
    #[arg(long, default_value = "100")]
    rate: Rate,
    /// How the events are spread over the topics
    #[arg(long, value_enum, default_value_t = SpreadArg::Skewed)]
    spread: SpreadArg,
    /// Send events of these channels only, comma-separated; joins of others are acknowledged
    #[arg(long, value_delimiter = ',', value_name = "CHANNELS")]
    channels_only: Vec<String>,
    /// Send the rows of `gex_strike` and `gex_strike_expiry` in waves, at this interval; 0 disables waves
    #[arg(long, default_value_t = 0)]
    wave_seconds: u32,
    /// Rows of one wave
    #[arg(long, default_value_t = 4000)]
    wave_rows: u32,
    /// Stop after this many events and keep the sockets open
    #[arg(long)]
    events: Option<u64>,
    /// Send the first event after this many acknowledged joins, over all connections
    #[arg(long, default_value_t = 0, value_name = "JOINS")]
    start_after_joins: u64,
    /// Maximum number of joins per connection
    #[arg(long, default_value_t = 50)]
    join_limit: usize,
    /// Delay of acknowledgements, in milliseconds
    #[arg(long, default_value_t = 0, value_name = "MS")]
    ack_delay: u64,
    /// Write the send time in Unix microseconds into the field `sent_us` of every event
    #[arg(long)]
    stamp: bool,
    /// Time of the first event, at most 30 days ago: 2026-11-29T20:30-05:00
    #[arg(long, value_name = "TIME")]
    at: Option<jiff::Timestamp>,
    /// Seed of everything but the times
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Serve no REST API; topics then have events only while they are joined
    #[arg(long)]
    no_rest: bool,
    /// Events that the REST API remembers, in MiB
    #[arg(long, default_value_t = 128, value_name = "MIB")]
    rest_history: usize,
    /// Maximum number of REST requests per token and minute
    #[arg(long, default_value_t = 120, value_name = "REQUESTS")]
    rest_limit: u32,
    /// Faults of the REST API, repeatable: `[ENDPOINT:]KIND[=ARGUMENT][@N for the first N requests | @N.. for those
    /// after]`
    #[arg(long, value_name = "KIND[=ARG]", long_help = REST_MISBEHAVE_HELP, conflicts_with = "no_rest")]
    rest_misbehave: Vec<RestFault>,
    /// Cut all sockets after AFTER seconds and refuse new ones for SECONDS; the REST API stays available
    #[arg(long, value_name = "AFTER,SECONDS")]
    outage: Option<Outage>,
    /// Send the events of a file instead of generated ones: frames as sent by the vendor, `tail --json`, `archive cat`
    /// or `spool export`, one per line
    #[arg(long, value_name = "EVENTS.jsonl")]
    file: Option<PathBuf>,
    /// How fast to send the file: `recorded` (by its time fields), `10x`, `500/s` or `max`
    #[arg(long, default_value = "recorded", requires = "file")]
    pace: RecordedPace,
    /// Restart the file at its end
    #[arg(long = "loop", requires = "file")]
    repeat: bool,
    /// Faults of the feed, repeatable: `KIND[=ARGUMENT][@N for the first N connections | @N.. for those after]`
    #[arg(long, value_name = "KIND[=ARG]", long_help = MISBEHAVE_HELP)]
    misbehave: Vec<Misbehaviour>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SpreadArg {
    /// In realistic shares of channels and symbols
    Skewed,
    /// One topic after the other
    Even,
}

/// Why the simulator could not run.
#[derive(Debug, Error)]
enum SimulateError {
    /// The file cannot be read, or a line of it is no event.
    #[error("{file}: {1}", file = .0.display())]
    File(PathBuf, io::Error),
    /// The address is in use or not local, or the file is gone.
    #[error("cannot start the simulator on {listen}: {source}")]
    Start {
        /// The address.
        listen: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The signal handlers cannot be installed.
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
    /// Standard output is closed.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
}

fn symbol(text: &str) -> Result<Symbol, String> {
    Symbol::parse(text).map_err(|error| error.to_string())
}

impl SimulateArgs {
    /// Reads the file once, so that a line that is no event is reported at the start.
    fn recording(&self) -> Result<Option<Recording>, SimulateError> {
        let Some(path) = self.file.clone() else { return Ok(None) };
        let contents = Contents::survey(&path, &Wanted::default())
            .map_err(|error| SimulateError::File(path.clone(), error))?;
        let open = move || contents.open(&path, Wanted::default());
        Ok(Some(Recording::new(open, self.pace, self.repeat)))
    }

    fn options(self, recording: Option<Recording>) -> SimulatorOptions {
        let usual = SimulatorOptions::default();
        let waves = Waves { every: Duration::from_secs(self.wave_seconds.into()), rows: self.wave_rows };
        let usual_rest = RestOptions::default();
        let rest = RestOptions {
            history_bytes: self.rest_history << 20,
            limits: RestLimits { per_minute: self.rest_limit, ..usual_rest.limits },
            faults: self.rest_misbehave,
            ..usual_rest
        };
        SimulatorOptions {
            listen: self.listen,
            token: self.token.map(Secret::new),
            origin: self.origin,
            symbols: if self.symbols.is_empty() { usual.symbols } else { self.symbols },
            rate: self.rate,
            spread: match self.spread {
                SpreadArg::Skewed => Spread::Skewed,
                SpreadArg::Even => Spread::Even,
            },
            channels_only: self.channels_only,
            waves: (self.wave_seconds > 0).then_some(waves),
            events: self.events,
            start_after_joins: self.start_after_joins,
            join_limit: self.join_limit,
            ack_delay: Duration::from_millis(self.ack_delay),
            stamp: self.stamp,
            at_us: self.at.and_then(|at| u64::try_from(at.as_microsecond()).ok()),
            seed: self.seed,
            misbehaviours: self.misbehave,
            rest: (!self.no_rest).then_some(rest),
            recording,
        }
    }
}

/// Serves until a signal. The first line on standard output is `listening on ws://ADDRESS/socket`, the last
/// ones are a summary.
pub(super) fn run(args: SimulateArgs) -> Exit {
    let served = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(serve(args)),
        Err(error) => Err(SimulateError::Signals(error)),
    };
    match served {
        Ok(()) => Exit::Clean,
        Err(error) => {
            complain(&error.to_string());
            match error {
                SimulateError::File(_, error) if error.kind() == io::ErrorKind::InvalidData => Exit::BadInput,
                _ => Exit::Failed,
            }
        }
    }
}

async fn serve(args: SimulateArgs) -> Result<(), SimulateError> {
    let mut signals = Signals::listen().map_err(SimulateError::Signals)?;
    let listen = args.listen;
    let recording = args.recording()?;
    let (outage, misbehaviours) = (args.outage, args.misbehave.clone());
    let simulator = Simulator::start(args.options(recording))
        .map_err(|source| SimulateError::Start { listen, source })?;
    print_lines(&[format!("listening on {}", simulator.url())]).map_err(SimulateError::Output)?;
    let started = Instant::now();
    tokio::select! {
        () = watch(&simulator, &mut signals) => {}
        failed = interrupt(&simulator, outage, misbehaviours) => failed?,
    }
    let summary = summary(&simulator, started.elapsed());
    simulator.stop();
    print_lines(&summary).map_err(SimulateError::Output)
}

/// Shows the rate once per second, on a terminal only, until a signal arrives.
async fn watch(simulator: &SimulatorHandle, signals: &mut Signals) {
    let is_shown = io::stderr().is_terminal();
    let mut beat = interval(Duration::from_secs(1));
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = 0;
    loop {
        tokio::select! {
            _ = signals.next() => break,
            _ = beat.tick(), if is_shown => {
                let counts = simulator.counts();
                let (sessions, topics) = (simulator.sessions(), simulator.topics().len());
                let rate = counts.events - before;
                before = counts.events;
                eprint!("\r\x1b[K{rate} events/s, {before} in total, {sessions} connections, {topics} topics");
            }
        }
    }
    if is_shown {
        eprintln!();
    }
}

/// Makes the outage, and says when it begins and ends; returns only if that cannot be said.
async fn interrupt(
    simulator: &SimulatorHandle,
    outage: Option<Outage>,
    usual: Vec<Misbehaviour>,
) -> Result<(), SimulateError> {
    if let Some(Outage { after, lasts }) = outage {
        sleep(after).await;
        outage::begin(simulator);
        print_lines(&["the outage begins: connections are cut and refused".to_owned()])
            .map_err(SimulateError::Output)?;
        sleep(lasts).await;
        simulator.misbehave(usual);
        print_lines(&["the outage ends".to_owned()]).map_err(SimulateError::Output)?;
    }
    std::future::pending().await
}

fn summary(simulator: &SimulatorHandle, elapsed: Duration) -> Vec<String> {
    let counts = simulator.counts();
    let mut lines = vec![
        format!(
            "{} events in {:.1} s, handed out {} times",
            counts.events,
            elapsed.as_secs_f64(),
            counts.frames
        ),
        format!("{} handshakes ({} refused), {} joins", counts.handshakes, counts.refused, counts.joins),
    ];
    let rest = simulator.rest_counts();
    if rest.requests > 0 {
        lines.push(format!("{} REST requests, {} rows", rest.requests, rest.rows));
    }
    lines.extend(counts.by_channel.iter().map(|(channel, events)| format!("  {channel}: {events}")));
    for (count, what) in [
        (counts.duplicates, "duplicates"),
        (counts.amendments, "amendments"),
        (counts.odd_frames, "odd frames"),
        (counts.withheld, "events withheld"),
        (counts.dropped, "events dropped for slow clients"),
    ] {
        if count > 0 {
            lines.push(format!("{count} {what}"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: SimulateArgs,
    }

    fn options(line: &str) -> SimulatorOptions {
        Command::try_parse_from(line.split(' ')).unwrap().args.options(None)
    }

    #[test]
    fn the_command_line_becomes_options() {
        let options = options(
            "simulate --rate max --events 1000000 --channels-only option_trades,price --start-after-joins 50 --symbols \
             SPY,QQQ --wave-seconds 10 --misbehave refuse=429,7@2 --misbehave silent --spread even --stamp",
        );
        assert_eq!(options.rate, Rate::Max);
        assert_eq!(options.events, Some(1_000_000));
        assert_eq!(options.channels_only, ["option_trades", "price"]);
        assert_eq!(options.symbols.len(), 2);
        assert_eq!(options.waves, Some(Waves { every: Duration::from_secs(10), rows: 4000 }));
        assert_eq!(options.misbehaviours.len(), 2);
        assert!(options.stamp && options.recording.is_none() && options.rest.is_some());
    }

    #[test]
    fn rest_is_served_with_its_limits_unless_told_otherwise() {
        let rest = options("simulate --rest-history 2 --rest-limit 9").rest.unwrap();
        assert_eq!((rest.history_bytes, rest.limits.per_minute), (2 << 20, 9));
        assert!(options("simulate --no-rest").rest.is_none());
        let faulty = options("simulate --rest-misbehave news:stall@2 --rest-misbehave canceled");
        assert_eq!(faulty.rest.unwrap().faults.len(), 2);
    }

    #[test]
    fn wrong_options_are_refused() {
        for line in [
            "simulate --rate fast",
            "simulate --pace max",
            "simulate --symbols spy",
            "simulate --misbehave x",
            "simulate --rest-misbehave x",
            "simulate --outage 5",
        ] {
            assert!(Command::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn it_listens_on_loopback_unless_told_otherwise_and_can_demand_a_token_and_an_origin() {
        let usual = options("simulate");
        assert!(usual.listen.ip().is_loopback() && usual.token.is_none() && usual.origin.is_none());
        let told = options("simulate --listen 0.0.0.0:1 --token t --origin https://example.com");
        assert_eq!(told.listen, "0.0.0.0:1".parse().unwrap());
        assert_eq!(told.token.unwrap().reveal(), "t");
        assert_eq!(told.origin.as_deref(), Some("https://example.com"));
    }

    #[test]
    fn a_token_never_shows() {
        assert!(!format!("{:?}", options("simulate --token hush")).contains("hush"));
    }
}
