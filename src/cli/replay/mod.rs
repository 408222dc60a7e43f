//! `uw-websocket replay`: serves recorded events again.

mod archive;
pub(super) mod file;
mod once;
mod progress;
mod redis;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::stream::StreamExt as _;
use thiserror::Error;
use tokio::runtime::Builder;
use uw_websocket_actors::wall_clock::unix_micros;
use uw_websocket_core::event::Symbol;
use uw_websocket_core::settings::Secret;

use self::file::Contents;
use self::progress::Progress;
use self::redis::{Source, Tell};
use super::archive as archives;
use super::lines::print_lines;
use super::moments::When;
use super::wanted::Wanted;
use super::{complain, symbol, until_signal};
use crate::exit::Exit;
use crate::settings::Settings;
use crate::streams::link::LinkError;
use crate::streams::selection::Pattern;
use uw_websocket_simulator::{RecordedPace, Recording, Simulator, SimulatorHandle, SimulatorOptions};

/// Time without a join after which the replay begins: a client with several connections and many topics joins for a
/// second or two, with milliseconds between its joins and less than this between its handshakes.
const SETTLE: Duration = Duration::from_secs(2);
/// Maximum speed that preserves the intervals: a second of the recording becomes a millisecond.
const MAX_SPEED: u32 = 1000;

/// Options of `replay`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Events are sent in the order of their IDs, each once, byte for byte: those of a global channel to clients that \
    joined it, others to clients that joined CHANNEL:SYMBOL or CHANNEL. Events that nobody joined are skipped. A slow client \
    slows the replay down and loses nothing.\n\
    Exit code 0 when everything is sent and the clients are closed, 1 if no event matches, 65 if a line of the file is not an \
    event, 69 if Redis is not reachable, also later on. No API token is needed.\n\n\
    Example: uw-websocket replay --from 2025-05-16T13:30:00Z --to 2025-05-16T20:00:00Z --speed 60 --listen 127.0.0.1:8080\n\
    Example: uw-websocket replay --archive --from 2025-05-16 --to 2025-05-17 --speed max\n\
    Example: uw-websocket tail news --no-follow --json > news.jsonl; uw-websocket replay --file news.jsonl --speed max"
)]
pub(super) struct ReplayArgs {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The only token to accept [default: any that is not empty]
    #[arg(long)]
    token: Option<Secret>,
    /// The only `Origin` header to accept, such as `https://example.com` [default: any, and none]
    #[arg(long)]
    origin: Option<String>,
    /// Factor of the pace, 1 to 1000, or `max`: as fast as the clients read
    #[arg(long, default_value = "1")]
    speed: Speed,
    /// Start: a time (2025-05-16T14:30:00Z, 2025-05-16), an age (6h), or the beginning (-)
    #[arg(long, value_name = "WHEN", default_value = "-", value_parser = When::parse, allow_hyphen_values = true)]
    from: When,
    /// End, exclusive: a time or an age [default: now]
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    to: Option<When>,
    /// Only these channels, comma-separated; `*` matches any text [default: all]
    #[arg(long, value_delimiter = ',', value_name = "CHANNELS")]
    channels: Vec<Pattern>,
    /// Only events of these symbols, comma-separated [default: all]
    #[arg(long, value_delimiter = ',', value_parser = symbol)]
    symbols: Vec<Symbol>,
    /// Start after this many joins [default: 2 s after the last join]
    #[arg(long, value_name = "JOINS")]
    wait_joins: Option<u64>,
    /// Read an archive instead of Redis [default folder: `ARCHIVE_DIR`]
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, require_equals = true, conflicts_with_all = ["redis", "file"])]
    #[allow(clippy::option_option, reason = "the option may have no value")]
    archive: Option<Option<PathBuf>>,
    /// Read a file instead of Redis: frames as sent by the vendor, `tail --json`, `archive cat` or `spool export`, one
    /// per line
    #[arg(long, value_name = "EVENTS.jsonl", conflicts_with = "redis")]
    file: Option<PathBuf>,
    /// Redis to read from [default: `REDIS_URL`]
    #[arg(long, value_name = "URL")]
    pub(super) redis: Option<Secret>,
}

/// A speed.
#[derive(Clone, Copy, Debug)]
struct Speed(RecordedPace);

/// An invalid speed.
#[derive(Debug, Error)]
#[error("must be a whole number from 1 to {MAX_SPEED}, or max")]
struct InvalidSpeed;

impl FromStr for Speed {
    type Err = InvalidSpeed;

    fn from_str(text: &str) -> Result<Speed, InvalidSpeed> {
        if text == "max" {
            return Ok(Speed(RecordedPace::Max));
        }
        let times = text.parse().ok().filter(|times| (1..=MAX_SPEED).contains(times));
        times.map(|times| Speed(RecordedPace::Original(times))).ok_or(InvalidSpeed)
    }
}

/// Why a replay was not completed.
#[derive(Debug, Error)]
enum ReplayError {
    #[error(transparent)]
    Redis(#[from] LinkError),
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    #[error("{0}")]
    NoArchive(String),
    #[error("the archive cannot be read: {0}")]
    Archive(io::Error),
    #[error("the archive has no matching event")]
    NotArchived,
    #[error("no stream matches")]
    Nothing,
    #[error("no event matches in {streams} stream(s) from {from} to {to}")]
    NoEvent { streams: usize, from: String, to: String },
    #[error("cannot start on {0}: {1}")]
    Start(SocketAddr, io::Error),
    #[error("cannot continue: {0}")]
    Unreadable(String),
    #[error("input or output failed: {0}")]
    Io(#[from] io::Error),
}

impl ReplayError {
    fn no_event(wanted: &Wanted, streams: usize) -> ReplayError {
        let (from, to) = (progress::moment(wanted.from_ms), progress::moment(wanted.to_ms));
        ReplayError::NoEvent { streams, from, to }
    }
}

/// Serves until everything is sent, or a signal arrives.
pub(super) fn run(args: ReplayArgs, settings: &Settings) -> Exit {
    let is_of_redis = args.file.is_none() && args.archive.is_none();
    let Err(error) = replay(args, settings) else { return Exit::Clean };
    complain(&settings.redactor.redact(&error.to_string()));
    match error {
        ReplayError::Redis(error) => error.exit(),
        ReplayError::File(_, error) if error.kind() == io::ErrorKind::InvalidData => Exit::BadInput,
        ReplayError::Unreadable(_) if is_of_redis => Exit::Unreachable,
        _ => Exit::Failed,
    }
}

fn replay(args: ReplayArgs, settings: &Settings) -> Result<(), ReplayError> {
    let (recording, last_ms) = args.recording(settings)?;
    let (listen, joins) = (args.listen, args.start_after_joins());
    let simulator =
        Simulator::start(args.options(recording)).map_err(|error| ReplayError::Start(listen, error))?;
    let mut progress = Progress::new(last_ms, joins);
    let ended = until_signal(played(&simulator, &mut progress))?.transpose()?;
    // it does not respond once it has ended
    let (failure, counts) = (simulator.failure(), simulator.counts());
    let is_whole = failure.is_none() && ended.is_some();
    if is_whole {
        simulator.finish();
    } else {
        simulator.stop();
    }
    progress.end(&counts, is_whole)?;
    failure.map_or(Ok(()), |failure| Err(ReplayError::Unreadable(failure)))
}

/// Prints the address for clients, and shows the progress until everything is handed over to the sockets.
async fn played(simulator: &SimulatorHandle, progress: &mut Progress) -> io::Result<()> {
    print_lines(&[format!("listening on {}", simulator.url())])?;
    while !(simulator.is_finished() && simulator.is_written()) {
        progress.show(simulator);
        tokio::time::sleep(progress::BEAT).await;
    }
    Ok(())
}

impl ReplayArgs {
    /// Opens the recording; also returns the time of its last event, if known.
    fn recording(&self, settings: &Settings) -> Result<(Recording, Option<u64>), ReplayError> {
        let now_ms = unix_micros() / 1000;
        let wanted = Wanted {
            channels: self.channels.clone(),
            symbols: self.symbols.clone(),
            from_ms: self.from.unix_ms(now_ms),
            // a file is complete; a Redis may still be written to
            to_ms: match (self.to, self.file.is_some() || self.archive.is_some()) {
                (Some(to), _) => to.unix_ms(now_ms),
                (None, true) => u64::MAX,
                (None, false) => now_ms,
            },
            is_fetched: false,
        };
        let (mut recording, last_ms) = match (&self.file, &self.archive) {
            (None, Some(dir)) => self.recording_of_archive(dir.as_deref(), settings, wanted)?,
            (Some(path), _) => {
                let failed = |error| ReplayError::File(path.clone(), error);
                let contents = Contents::survey(path, &wanted).map_err(failed)?;
                let (path, last_ms) = (path.clone(), contents.last_ms);
                let open = move || contents.open(&path, wanted.clone());
                (Recording::new(open, self.speed.0, false), last_ms)
            }
            (None, None) => self.recording_of_redis(settings, wanted)?,
        };
        recording.settle = if self.wait_joins.is_some() { Duration::ZERO } else { SETTLE };
        Ok((recording, last_ms))
    }

    fn recording_of_archive(
        &self,
        dir: Option<&Path>,
        settings: &Settings,
        wanted: Wanted,
    ) -> Result<(Recording, Option<u64>), ReplayError> {
        let of_settings = settings.actors.archive.as_ref().map(|archive| archive.dir.clone());
        let dir = archives::folder(dir, of_settings).map_err(ReplayError::NoArchive)?;
        let source = archive::Source { dir, wanted, tell: Arc::new(complain) };
        if !source.has_event().map_err(ReplayError::Archive)? {
            return Err(ReplayError::NotArchived);
        }
        let open = move || source.events();
        Ok((Recording::new(open, self.speed.0, false), None))
    }

    fn recording_of_redis(
        &self,
        settings: &Settings,
        wanted: Wanted,
    ) -> Result<(Recording, Option<u64>), ReplayError> {
        let redactor = Arc::clone(&settings.redactor);
        let tell: Tell = Arc::new(move |text| complain(&redactor.redact(text)));
        let (redis, prefix) = (settings.actors.redis.clone(), settings.actors.keys.prefix.clone());
        let source = Source { redis, prefix, wanted, tell };
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let found = runtime.block_on(source.look(&Pattern::of_settings(&settings.actors.plan)))?;
        if found.names.is_empty() {
            return Err(ReplayError::Nothing);
        }
        // a client would join and wait for events that never arrive
        let first = runtime.block_on(source.clone().events(found.clone()).next());
        let first = first.transpose().map_err(|error| ReplayError::Unreadable(error.to_string()))?;
        if first.is_none() {
            return Err(ReplayError::no_event(&source.wanted, found.names.len()));
        }
        let last_ms = found.last_ms;
        let open = move || Ok(source.clone().events(found.clone()));
        Ok((Recording::new(open, self.speed.0, false), Some(last_ms)))
    }

    fn start_after_joins(&self) -> u64 {
        self.wait_joins.unwrap_or(1)
    }

    fn options(self, recording: Recording) -> SimulatorOptions {
        SimulatorOptions {
            listen: self.listen,
            start_after_joins: self.start_after_joins(),
            token: self.token,
            origin: self.origin,
            recording: Some(recording),
            ..SimulatorOptions::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: ReplayArgs,
    }

    fn options(line: &str) -> SimulatorOptions {
        let args = Command::try_parse_from(line.split(' ')).unwrap().args;
        let nothing = || Ok(futures_util::stream::empty().boxed_local());
        args.options(Recording::new(nothing, RecordedPace::Max, false))
    }

    #[test]
    fn it_listens_on_loopback_unless_told_otherwise_and_can_demand_a_token_and_an_origin() {
        let usual = options("replay");
        assert!(usual.listen.ip().is_loopback() && usual.token.is_none() && usual.origin.is_none());
        let told = options("replay --listen 0.0.0.0:1 --token t --origin https://example.com");
        assert_eq!(told.listen, "0.0.0.0:1".parse().unwrap());
        assert_eq!(told.token.unwrap().reveal(), "t");
        assert_eq!(told.origin.as_deref(), Some("https://example.com"));
    }

    #[test]
    fn a_speed_is_a_number_of_times_or_max() {
        assert_eq!("60".parse::<Speed>().unwrap().0, RecordedPace::Original(60));
        assert_eq!("max".parse::<Speed>().unwrap().0, RecordedPace::Max);
        for text in ["0", "1001", "fast", "1.5", ""] {
            assert!(text.parse::<Speed>().is_err(), "{text}");
        }
    }
}
