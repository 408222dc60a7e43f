//! The command line.

mod archive;
mod check;
mod endpoints;
mod first_process;
mod gaps;
mod healthcheck;
mod lines;
mod moments;
mod probe;
mod replay;
mod run;
mod show;
mod simulate;
mod spool;
mod tail;
mod wanted;

use std::ffi::OsString;
use std::io::{self, Write};

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};
use tokio::runtime::Builder;
use uw_websocket_core::event::Symbol;

use crate::escape::write_line;
use crate::exit::Exit;
use crate::settings::{Settings, SettingsErrors, Sources, log_level};
use crate::signals::Signals;
use crate::version::VERSION;

/// Subscribes to the live channels of Unusual Whales and stores every event in Redis.
#[derive(Debug, Parser)]
#[command(
    version = VERSION.as_str(),
    after_help = "Settings are environment variables: `uw-websocket settings` prints them.\n\n\
    Example: UNUSUAL_WHALES_API_TOKEN_FILE=/run/secrets/token ENABLE_WEBSOCKET=true uw-websocket"
)]
struct Cli {
    /// Log level: trace, debug, info, warning, error or critical; overrides `LOG_LEVEL`
    #[arg(long, global = true, value_name = "LEVEL", value_parser = |text: &str| log_level(text).map(|_| text.to_owned()))]
    log_level: Option<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

/// The commands. Each is a variant here, a sibling module, and a line in [`main`].
#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Run the service (the default)
    #[command(
        after_help = "Ends cleanly on SIGTERM, SIGINT, SIGHUP and SIGQUIT. The log goes to stdout.\n\n\
        Example: TARGET_SYMBOLS=SPY,TSLA uw-websocket run --log-level debug"
    )]
    Run,
    /// Report whether the service could run, with the remedy for each fault
    Check(check::CheckArgs),
    /// Record what the vendor sends to your token, and report what that says of open questions
    Probe(Box<probe::ProbeArgs>),
    /// Serve a simulated feed over the vendor's protocol
    Simulate(Box<simulate::SimulateArgs>),
    /// Serve recorded events again over the vendor's protocol, at their original pace or faster
    Replay(Box<replay::ReplayArgs>),
    /// Follow the event streams in readable form
    Tail(Box<tail::TailArgs>),
    /// Print the gap ledger: what was missed, when and why
    Gaps(gaps::GapsArgs),
    /// List, verify or print the archive
    Archive(archive::ArchiveArgs),
    /// Inspect, verify or export the disk queue
    Spool(spool::SpoolArgs),
    /// Print the effective settings with their origin, secrets masked
    #[command(
        after_help = "Exit code 78 if a setting is invalid; stderr has a line for each mistake.\n\nExample: uw-websocket settings | grep REDIS"
    )]
    Settings,
    /// Query the health of a running service
    #[command(after_help = "Asks at PROBE_ADDR or, if that is off, at HTTP_ADDR.\n\
        Exit code 0 if it is healthy, 1 if it is not, does not answer, or both addresses are off.\n\n\
        Example: HEALTHCHECK CMD [\"uw-websocket\", \"healthcheck\"]")]
    Healthcheck,
    /// Print shell completions
    #[command(
        after_help = "Example: uw-websocket completions bash > ~/.local/share/bash-completion/completions/uw-websocket"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Runs the command of `args`, of which the first is the program's name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(answer) => return explain(&answer),
    };
    let sources = Sources::of_process(cli.log_level);
    let command = cli.command.unwrap_or(Command::Run);
    // these commands handle signals themselves
    if !matches!(
        command,
        Command::Run | Command::Probe(_) | Command::Simulate(_) | Command::Replay(_) | Command::Tail(_)
    ) {
        first_process::end_on_signals();
    }
    match command {
        Command::Run => with_settings(Settings::load(&sources), run::run),
        Command::Check(args) => {
            with_settings(Settings::load(&sources), |settings| check::run(&args, &settings))
        }
        Command::Probe(args) => {
            with_settings(Settings::load(&sources), |settings| probe::run(&args, &settings))
        }
        Command::Simulate(args) => simulate::run(*args),
        Command::Replay(args) => {
            let sources = sources.with_redis(args.redis.as_ref());
            with_settings(Settings::load_without_token(&sources), |settings| replay::run(*args, &settings))
        }
        Command::Tail(args) => {
            let sources = sources.with_redis(args.redis.as_ref());
            with_settings(Settings::load_without_token(&sources), |settings| tail::run(*args, settings))
        }
        Command::Gaps(args) => {
            with_settings(Settings::load_without_token(&sources), |settings| gaps::run(&args, &settings))
        }
        Command::Archive(args) => archive::run(&args, &sources),
        Command::Spool(args) => spool::run(&args, &sources),
        Command::Settings => with_settings(Settings::load(&sources), |settings| show::run(&settings)),
        Command::Healthcheck => {
            with_settings(Settings::load_without_token(&sources), |settings| healthcheck::run(&settings.http))
        }
        Command::Completions { shell } => completions(shell),
    }
}

fn completions(shell: clap_complete::Shell) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "uw-websocket", &mut script);
    // a reader such as `head` may close the pipe when it has seen enough
    io::stdout().lock().write_all(&script).ok();
    Exit::Clean
}

/// Parses a symbol in any case.
fn symbol(text: &str) -> Result<Symbol, String> {
    Symbol::parse(&text.to_ascii_uppercase()).map_err(|error| error.to_string())
}

/// Runs a command to completion, once signals are caught: whoever reads of a start may send one. `None` if a signal
/// arrives first.
fn until_signal<T>(command: impl Future<Output = T>) -> io::Result<Option<T>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        tokio::select! {
            ended = command => Ok(Some(ended)),
            _ = signals.next() => Ok(None),
        }
    })
}

/// Runs a command that needs the settings, unless they are invalid.
fn with_settings(loaded: Result<Settings, SettingsErrors>, command: impl FnOnce(Settings) -> Exit) -> Exit {
    match loaded {
        Ok(settings) => command(settings),
        Err(mistakes) => {
            mistakes.0.iter().for_each(|mistake| complain(&mistake.to_string()));
            Exit::BadSettings
        }
    }
}

/// Help and version are output, all others are errors in the command line.
fn explain(answer: &clap::Error) -> Exit {
    // a reader that closed the pipe does not need the output
    answer.print().ok();
    match answer.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Clean,
        _ => Exit::WrongCommandLine,
    }
}

/// Writes a line to stderr, prefixed with our name.
fn complain(text: &str) {
    // there is no other place to report that stderr is closed
    write_line(&mut io::stderr().lock(), format_args!("uw-websocket: {text}")).ok();
}
