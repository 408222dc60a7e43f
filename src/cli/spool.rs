//! `uw-websocket spool`: inspects the disk queue without modifying it. The service may be running: no lock is taken.

mod export;
mod inspect;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use thiserror::Error;
use uw_websocket_actors::error_chain::ErrorChain;
use uw_websocket_core::spool::{Damage, DamageKind, ShardFolder, SpoolError, Survey, shard_folders};

use super::complain;
use crate::escape::write_line;
use crate::exit::Exit;
use crate::settings::Sources;

/// The default folder of the disk queue.
const DEFAULT_DIR: &str = "data/spool";
/// A record being written looks torn. A write takes a few milliseconds; a record that looks torn for longer is torn.
const SECOND_LOOK_AFTER: Duration = Duration::from_millis(200);

/// Options of `spool`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "These commands change nothing and take no lock: they may be used while the service runs.\n\n\
    Examples:\n  uw-websocket spool inspect\n  uw-websocket spool verify --dir /var/lib/uw-websocket/spool\n  \
    uw-websocket spool export --channel news | jq -r .payload.headline"
)]
pub(super) struct SpoolArgs {
    #[command(subcommand)]
    command: SpoolCommand,
    /// Folder of the disk queue [default: `SPOOL_DIR`]
    #[arg(long, global = true, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
enum SpoolCommand {
    /// Print the content of the queue: segments, events by channel, damage, salvaged and quarantined events
    #[command(after_help = "Example: uw-websocket spool inspect")]
    Inspect,
    /// Read and check the whole queue
    #[command(
        after_help = "Exit code 0 if the queue is intact, whatever other files are in the folder; 1 if there is damage that the \
        service has not reported yet, or if the queue cannot be read.\n\n\
        Example: uw-websocket spool verify || echo damaged"
    )]
    Verify,
    /// Print events as JSON lines, oldest first within each shard
    #[command(after_help = "Examples:\n  uw-websocket spool export --channel price > price.jsonl\n  \
        uw-websocket spool export --all | jq -r .topic | sort | uniq -c")]
    Export {
        /// Only this channel
        #[arg(long)]
        channel: Option<String>,
        /// Include events that Redis has and that are kept for `SPOOL_KEEP`
        #[arg(long)]
        all: bool,
    },
}

/// Why a command ended early.
#[derive(Debug, Error)]
enum SpoolFailure {
    #[error("the disk queue cannot be read")]
    Read(#[from] SpoolError),
    #[error("cannot write the output")]
    Write(#[from] io::Error),
}

/// Runs the command.
pub(super) fn run(args: &SpoolArgs, sources: &Sources) -> Exit {
    let from_settings = || sources.value_of("SPOOL_DIR").map_or_else(|| DEFAULT_DIR.into(), PathBuf::from);
    let dir = args.dir.clone().unwrap_or_else(from_settings);
    if !dir.is_dir() {
        complain(&format!("{} is not a folder: there is no disk queue", dir.display()));
        return Exit::Failed;
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let done = shard_folders(&dir).map_err(SpoolFailure::from).and_then(|folders| match &args.command {
        SpoolCommand::Inspect => inspect::inspect(&dir, &folders, &mut out),
        SpoolCommand::Verify => verify(&folders, &mut out),
        SpoolCommand::Export { channel, all } => export::export(&folders, channel.as_deref(), *all, &mut out),
    });
    let is_closed = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    match (done, out.flush()) {
        // a reader such as `head` closes the pipe when it has seen enough
        (Err(SpoolFailure::Write(error)), _) if is_closed(&error) => Exit::Clean,
        (Ok(exit), Err(error)) if is_closed(&error) => exit,
        (Ok(exit), Ok(())) => exit,
        (Err(failure), _) => fail(&failure),
        (Ok(_), Err(error)) => fail(&SpoolFailure::Write(error)),
    }
}

fn fail(failure: &SpoolFailure) -> Exit {
    complain(&ErrorChain::new(failure).to_string());
    Exit::Failed
}

/// Inspects a shard; on damage twice, since the service may be in the middle of a write.
fn survey(folder: &ShardFolder) -> Result<Survey, SpoolError> {
    let mut survey = Survey::take(&folder.path)?;
    if !survey.damages.is_empty() {
        #[expect(clippy::disallowed_methods, reason = "a tool of one thread, without actors")]
        std::thread::sleep(SECOND_LOOK_AFTER);
        survey.confirm(&Survey::take(&folder.path)?);
    }
    Ok(survey)
}

fn verify(folders: &[ShardFolder], out: &mut impl Write) -> Result<Exit, SpoolFailure> {
    let mut exit = Exit::Clean;
    for folder in folders {
        let survey = survey(folder)?;
        let is_damage = |damage: &&Damage| damage.kind != DamageKind::ForeignFile;
        let damages = survey.damages.iter().filter(is_damage).count();
        if damages > 0 {
            exit = Exit::Failed;
        }
        let events: u64 = survey.channels.values().map(|counted| counted.events).sum();
        let verdict = if damages > 0 { "damaged" } else { "ok" };
        // the exit code is valid whether or not the output is read
        let (path, segments) = (folder.path.display(), survey.segments);
        write_line(out, format_args!("{path}: {verdict}, {events} events in {segments} segments"))
            .and_then(|()| inspect::damages(&survey, out))
            .ok();
    }
    Ok(exit)
}
