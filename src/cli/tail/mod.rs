//! `uw-websocket tail`.

mod archive;
mod cells;
mod follower;
mod last;
mod line;
mod printer;

use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use clap::Args;
use jiff::tz::TimeZone;
use regex_lite::{Regex, RegexBuilder};
use terminal_size::{Width, terminal_size_of};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use uw_websocket_actors::wall_clock::unix_micros;
use uw_websocket_core::settings::Secret;

use self::follower::{Follower, Stop, Wish};
use self::printer::{Form, Printer};
use super::moments::When;
use super::{complain, until_signal};
use crate::exit::Exit;
use crate::settings::Settings;
use crate::streams::selection::Pattern;

/// Options of `tail`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "`tail` follows streams across restarts of Redis, and new streams as they appear; stderr says what could be missing. \
    A channel without a symbol means each of its events once. The gap ledger is followed only if named: `gaps`.\n\
    Exit code 69 if Redis is not reachable at startup.\n\n\
    Example: uw-websocket tail option_trades:SPY news\n\
    Example: uw-websocket tail 'gex*:SPY' --since 15m --no-follow\n\
    Example: uw-websocket tail price:SPY --archive --since 2025-05-16T13:30:00Z -n 10\n\
    Example: uw-websocket tail news -n 5 --no-follow\n\
    Example: uw-websocket tail flow-alerts --grep '\"ticker\":\"(SPY|QQQ)\"' --json | jq .payload.total_premium"
)]
pub(super) struct TailArgs {
    /// Streams to follow; `*` matches any text [default: those of CHANNELS and `TARGET_SYMBOLS`]
    #[arg(value_name = "CHANNEL[:SYMBOL]")]
    patterns: Vec<Pattern>,
    /// Start: an age (15m, 6h), a time (2025-05-16T14:30:00Z, 2025-05-16), or the beginning (-) [default: now]
    #[arg(long, value_name = "WHEN", value_parser = When::parse, allow_hyphen_values = true)]
    since: Option<When>,
    /// Only events whose payload matches this regular expression; case-insensitive
    #[arg(long, value_name = "REGEX", value_parser = regex)]
    grep: Option<Regex>,
    /// End after this many events; with --no-follow, print only the last ones
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End at the newest event instead of waiting for more; start at the beginning unless --since is given
    #[arg(long)]
    no_follow: bool,
    /// Print one JSON object per line, with the payload as received; control characters become \u escapes
    #[arg(long)]
    json: bool,
    /// Print local times instead of UTC
    #[arg(long, conflicts_with = "json")]
    local: bool,
    /// Read an archive instead of Redis, and end at its end; -n N prints the first N [default folder: `ARCHIVE_DIR`]
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, require_equals = true, conflicts_with = "redis")]
    #[allow(clippy::option_option, reason = "the option may have no value")]
    archive: Option<Option<PathBuf>>,
    /// Redis to read from [default: `REDIS_URL`]
    #[arg(long, value_name = "URL")]
    pub(super) redis: Option<Secret>,
}

fn regex(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text).case_insensitive(true).build().map_err(|error| error.to_string())
}

/// Maximum wait, after a signal, for the line being written: a stalled reader must not delay the end.
const LAST_LINE: Duration = Duration::from_millis(500);

/// Prints until the end, or until a signal arrives.
pub(super) fn run(args: TailArgs, settings: Settings) -> Exit {
    let (result, ended) = sync_channel(1);
    let (stop, stopped) = oneshot::channel::<()>();
    let (ends, is_over) = oneshot::channel::<()>();
    // a dedicated thread, since it may hang in a write
    let following = move || {
        let tell = |text: &str| complain(&settings.redactor.redact(text));
        let exit = exit_of(follow(&args, &settings, stopped, &tell), &tell);
        // after a signal the receiver may be gone
        drop((result.send(exit), ends));
    };
    let followed = async {
        std::thread::Builder::new().name("tail".to_owned()).spawn(following)?;
        // dropped at its end
        is_over.await.ok();
        io::Result::Ok(())
    };
    if let Err(error) = until_signal(followed).and_then(Option::transpose) {
        complain(&format!("cannot start: {error}"));
        return Exit::Failed;
    }
    drop(stop);
    match ended.recv_timeout(LAST_LINE) {
        Ok(exit) => exit,
        Err(RecvTimeoutError::Timeout) => Exit::Clean,
        // a panic was printed where it happened
        Err(RecvTimeoutError::Disconnected) => Exit::Failed,
    }
}

fn exit_of(ended: Result<(), Stop>, tell: &dyn Fn(&str)) -> Exit {
    match ended {
        Ok(()) => Exit::Clean,
        // a reader such as `head` has seen enough
        Err(Stop::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Clean,
        Err(Stop::Output(error)) => {
            tell(&format!("cannot write: {error}"));
            Exit::Failed
        }
        Err(Stop::Archive(text)) => {
            tell(&text);
            Exit::Failed
        }
        Err(Stop::Redis(error)) => {
            tell(&error.to_string());
            error.exit()
        }
    }
}

/// Follows until there is nothing more, or until stopped; every line begun is completed.
fn follow(
    args: &TailArgs,
    settings: &Settings,
    stopped: oneshot::Receiver<()>,
    tell: &dyn Fn(&str),
) -> Result<(), Stop> {
    let actors = &settings.actors;
    if let Some(dir) = &args.archive {
        return archive::print(args, dir.as_deref(), settings, stopped);
    }
    let since = args.since.or(args.no_follow.then_some(When::Beginning));
    let wish = Wish {
        redis: actors.redis.clone(),
        prefix: actors.keys.prefix.clone(),
        patterns: match args.patterns.as_slice() {
            [] => Pattern::of_settings(&actors.plan),
            patterns => patterns.to_vec(),
        },
        after: since.map(|since| since.id_before(unix_micros() / 1000)),
        goes_on: !args.no_follow,
        last: args.count.filter(|_| args.no_follow),
        named: args.patterns.clone(),
        planned: Pattern::of_settings(&actors.plan),
    };
    let mut printer = Printer {
        out: BufWriter::new(io::stdout().lock()),
        form: args.form(),
        prefix: wish.prefix.clone(),
        grep: args.grep.clone(),
        left: args.count,
        skipped: 0,
    };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = Follower::new(&wish, &mut printer, tell).run() => ended,
            _ = stopped => Ok(()),
        }
    });
    printer.out.flush()?;
    ended
}

impl TailArgs {
    fn form(&self) -> Form {
        let is_terminal = io::stdout().is_terminal();
        Form {
            json: self.json,
            coloured: anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never,
            zone: if self.local { TimeZone::system() } else { TimeZone::UTC },
            width: if is_terminal { terminal_width } else { || None },
        }
    }
}

/// Returns the terminal's current width.
fn terminal_width() -> Option<usize> {
    terminal_size_of(io::stdout()).map(|(Width(columns), _)| columns.into())
}
