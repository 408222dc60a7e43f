//! `uw-websocket archive`: reads the archive without modifying it. The service may be running: no lock is taken.

pub(in crate::cli) mod events;
mod list;

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use thiserror::Error;
use uw_websocket_actors::error_chain::ErrorChain;
use uw_websocket_actors::wall_clock::unix_micros;
use uw_websocket_core::event::Symbol;

use self::events::{ArchivedEvents, Tell};
use super::lines::write_event;
use super::moments::When;
use super::wanted::Wanted;
use super::{complain, symbol};
use crate::exit::Exit;
use crate::settings::Sources;
use crate::streams::selection::Pattern;

/// Options of `archive`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "These commands change nothing and take no lock: they may be used while the service runs.\n\n\
    Examples:\n  uw-websocket archive list\n  uw-websocket archive verify --dir /var/lib/uw-websocket/archive\n  \
    uw-websocket archive cat --channel news --from 2026-01-02 | jq -r .payload.headline"
)]
pub(super) struct ArchiveArgs {
    #[command(subcommand)]
    command: ArchiveCommand,
    /// Folder of the archive [default: `ARCHIVE_DIR`]
    #[arg(long, global = true, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
enum ArchiveCommand {
    /// List days, channels, hours and sizes
    #[command(after_help = "Example: uw-websocket archive list")]
    List(Selected),
    /// Read and check the whole archive
    #[command(
        after_help = "Every file is read, and a damaged one to its end: damage costs the events that were written together, at most a \
        minute of them.\n\
        Exit code 0 if the archive is intact, 1 if anything is damaged or cannot be read.\n\n\
        Example: uw-websocket archive verify || echo damaged"
    )]
    Verify(Selected),
    /// Print the events, or the rows fetched for gaps, as JSON lines, in the order of their IDs
    #[command(
        after_help = "The lines are those of the files and of `spool export`; `replay --file` reads them. On a terminal, control \
        characters become \\u escapes.\n\n\
        Examples:\n  uw-websocket archive cat --channel price --symbol SPY --from 2026-01-02T14:30:00Z > price.jsonl\n  \
        uw-websocket archive cat --channel 'gex*' --from 1d | jq -c .payload\n  \
        uw-websocket archive cat --backfill --channel option_trades --symbol SPY --from 2026-01-02"
    )]
    Cat {
        #[command(flatten)]
        selected: Selected,
        /// The rows fetched over REST in place of the events, selected by their own time
        #[arg(long)]
        backfill: bool,
    },
}

/// The selection.
#[derive(Args, Clone, Debug)]
struct Selected {
    /// Only these channels, comma-separated; `*` matches any text
    #[arg(long, value_delimiter = ',', value_name = "CHANNELS")]
    channel: Vec<Pattern>,
    /// Only events of these symbols, comma-separated
    #[arg(long, value_delimiter = ',', value_name = "SYMBOLS", value_parser = symbol)]
    symbol: Vec<Symbol>,
    /// Start: a time (2026-01-02T14:30:00Z), a day (2026-01-02, UTC) or an age (6h)
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    from: Option<When>,
    /// End, exclusive: a time, a day or an age
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    to: Option<When>,
}

impl Selected {
    fn wanted(&self) -> Wanted {
        let now_ms = unix_micros() / 1000;
        Wanted {
            channels: self.channel.clone(),
            symbols: self.symbol.clone(),
            from_ms: self.from.map_or(0, |from| from.unix_ms(now_ms)),
            to_ms: self.to.map_or(u64::MAX, |to| to.unix_ms(now_ms)),
            is_fetched: false,
        }
    }
}

/// Why a command ended early.
#[derive(Debug, Error)]
enum ArchiveFailure {
    #[error("the archive cannot be read")]
    Read(#[source] io::Error),
    #[error("cannot write the output")]
    Write(#[from] io::Error),
}

/// Returns the folder of the archive: that named, else that of the settings; an empty text counts as not named.
pub(in crate::cli) fn folder(named: Option<&Path>, of_settings: Option<PathBuf>) -> Result<PathBuf, String> {
    let named = named.filter(|dir| !dir.as_os_str().is_empty()).map(Path::to_owned);
    let Some(dir) = named.or(of_settings) else {
        return Err("there is no archive: name its folder, or set ARCHIVE_DIR".to_owned());
    };
    if dir.is_dir() {
        Ok(dir)
    } else {
        Err(format!("{} is not a folder: there is no archive", dir.display()))
    }
}

/// Runs the command.
pub(super) fn run(args: &ArchiveArgs, sources: &Sources) -> Exit {
    let of_settings = sources.value_of("ARCHIVE_DIR").map(PathBuf::from);
    let dir = match folder(args.dir.as_deref(), of_settings) {
        Ok(dir) => dir,
        Err(text) => {
            complain(&text);
            return Exit::Failed;
        }
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let done = match &args.command {
        ArchiveCommand::List(selected) => list::list(&dir, &selected.wanted(), &mut out),
        ArchiveCommand::Verify(selected) => list::verify(&dir, &selected.wanted(), &mut out),
        ArchiveCommand::Cat { selected, backfill } => {
            cat(&dir, Wanted { is_fetched: *backfill, ..selected.wanted() }, &mut out)
        }
    };
    let is_closed = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    match (done, out.flush()) {
        // a reader such as `head` closes the pipe when it has seen enough
        (Err(ArchiveFailure::Write(error)), _) if is_closed(&error) => Exit::Clean,
        (Ok(exit), Err(error)) if is_closed(&error) => exit,
        (Ok(exit), Ok(())) => exit,
        (Err(failure), _) => fail(&failure),
        (Ok(_), Err(error)) => fail(&ArchiveFailure::Write(error)),
    }
}

fn fail(failure: &ArchiveFailure) -> Exit {
    complain(&ErrorChain::new(failure).to_string());
    Exit::Failed
}

/// Damage is complained of, and the exit code tells of it.
fn cat(dir: &Path, wanted: Wanted, out: &mut impl Write) -> Result<Exit, ArchiveFailure> {
    let is_terminal = io::stdout().is_terminal();
    let tell: Tell = Box::new(complain);
    let mut events = ArchivedEvents::open(dir, wanted, tell).map_err(ArchiveFailure::Read)?;
    while let Some(event) = events.next_event().map_err(ArchiveFailure::Read)? {
        write_event(out, &event.line, is_terminal)?;
    }
    Ok(if events.is_damaged() { Exit::Failed } else { Exit::Clean })
}
