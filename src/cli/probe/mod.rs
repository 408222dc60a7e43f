//! `uw-websocket probe`: records what the vendor sends to a token, and what that says of questions that its documentation leaves
//! open.
//!
//! [`feed`] is one socket, [`rest`] the requests, whose rows [`rows`] reads; [`folder`] is where everything is recorded.

mod feed;
mod folder;
mod rest;
mod rows;

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use uw_websocket_core::event::Topic;
use uw_websocket_core::time::utc_to_second;

use self::feed::FeedSeen;
use self::folder::Folder;
use super::complain;
use super::endpoints::of_channels;
use crate::exit::Exit;
use crate::resources::Resources;
use crate::settings::{Settings, units};
use crate::signals::Signals;
use uw_websocket_actors::wall_clock::unix_micros;

/// Joins of a socket: the vendor refuses more, which can be tried by naming them.
const USUAL_JOINS: usize = 50;

/// Options of `probe`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "`probe` opens one socket with the token of the settings, and sends some fifteen REST requests within the limits \
    of the settings. By some reports the vendor feeds only one socket per token: stop a service that uses the same one.\n\n\
    The folder gets frames.jsonl (each frame as received, for `simulate --file`), timeline.jsonl (joins, answers, pings, the \
    close), rest/ (each answer with its headers) and report.txt (what is printed). The token is in none of them; events of \
    custom_alerts name your account.\n\n\
    Exit code 0 if every request was answered, 77 if the token is refused, 69 if the vendor is not reachable, 64 if a terminal \
    to ask for confirmation is missing and so is --yes.\n\n\
    Example: uw-websocket probe --yes --for 2m option_trades:SPY flow-alerts news\n\
    Example: uw-websocket probe --yes --no-rest price:spy price:SPX no_such_channel"
)]
pub(super) struct ProbeArgs {
    /// Topics to join, sent as written [default: those of the settings, at most 50]
    #[arg(value_name = "TOPIC", value_parser = topic)]
    topics: Vec<String>,
    /// How long to listen
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = time)]
    time: Duration,
    /// Folder of the recording, which is created [default: `probe-` and the time]
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
    /// Do not ask for confirmation
    #[arg(long, short)]
    yes: bool,
    /// Open no socket
    #[arg(long, conflicts_with = "no_rest")]
    no_feed: bool,
    /// Send no REST requests
    #[arg(long)]
    no_rest: bool,
}

fn time(text: &str) -> Result<Duration, String> {
    units::duration(text, &(Duration::from_secs(1)..=Duration::from_secs(3_600)))
}

fn topic(text: &str) -> Result<String, String> {
    let is_legal = !text.is_empty() && text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_legal { Ok(text.to_owned()) } else { Err("must be printable ASCII without blanks".to_owned()) }
}

/// Records and reports.
pub(super) fn run(args: &ProbeArgs, settings: &Settings) -> Exit {
    if settings.actors.feed.token.reveal().is_empty() {
        complain(
            "there is no token: set UNUSUAL_WHALES_API_TOKEN, or UNUSUAL_WHALES_API_TOKEN_FILE to a file that holds it",
        );
        return Exit::BadSettings;
    }
    match confirmed(args) {
        Ok(true) => {}
        Ok(false) => return Exit::Clean,
        Err(exit) => return exit,
    }
    let ways = match Resources::of(&settings.actors) {
        Ok(ways) => ways,
        Err(error) => {
            complain(&settings.redactor.redact(&error.to_string()));
            return Exit::BadSettings;
        }
    };
    let planned: Vec<Topic> = ways.plans.iter().flat_map(|plan| plan.topics.iter().cloned()).collect();
    let path = args.into.clone().unwrap_or_else(|| {
        PathBuf::from(format!("probe-{}", utc_to_second(unix_micros()).replace([':', '-'], "")))
    });
    let folder = match Folder::create(&path, settings.redactor.clone()) {
        Ok(folder) => folder,
        Err(error) => {
            complain(&format!("{}: {error}", path.display()));
            return Exit::Failed;
        }
    };
    let system = actix_rt::System::new();
    let exit = system.block_on(record(args, settings, &planned, folder));
    // a pending name lookup would delay the end for as long as the system's resolver takes
    std::mem::forget(system);
    exit
}

/// Asks a person, unless told not to.
fn confirmed(args: &ProbeArgs) -> Result<bool, Exit> {
    if args.yes {
        return Ok(true);
    }
    let warning = "The vendor may feed one socket per token only: a service that runs with this token could get nothing \
                   meanwhile. REST requests count against its limits, which the REST fetcher shares.";
    if !io::stdin().is_terminal() {
        complain(&format!("{warning} Add --yes to continue."));
        return Err(Exit::WrongCommandLine);
    }
    complain(warning);
    eprint!("Continue? [y/N] ");
    let mut answer = String::new();
    io::stderr().flush().and_then(|()| io::stdin().lock().read_line(&mut answer)).map_err(|error| {
        complain(&format!("cannot ask: {error}"));
        Exit::Failed
    })?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

async fn record(args: &ProbeArgs, settings: &Settings, planned: &[Topic], mut folder: Folder) -> Exit {
    let mut exit = Exit::Clean;
    let mut seen = FeedSeen::default();
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            complain(&format!("cannot wait for signals: {error}"));
            return Exit::Failed;
        }
    };
    if !args.no_feed {
        let topics: Vec<String> = match &args.topics[..] {
            [] => planned.iter().take(USUAL_JOINS).map(ToString::to_string).collect(),
            named => named.to_vec(),
        };
        folder.section("Feed");
        let listening = feed::listen(&settings.actors.feed, &topics, args.time, &mut folder, &mut seen);
        let ended = tokio::select! {
            ended = listening => Some(ended),
            _ = signals.next() => None,
        };
        match ended {
            Some(Err(failed)) => {
                folder.say("handshake", &failed.to_string());
                exit = if failed.is_token_refused() { Exit::TokenRefused } else { Exit::Unreachable };
            }
            Some(Ok(())) => seen.report(&topics, &mut folder),
            None => {
                folder.say("stopped", "by a signal; no REST request was sent");
                seen.report(&topics, &mut folder);
                return ended_with(Exit::Clean, folder);
            }
        }
    }
    if !args.no_rest {
        folder.section("REST");
        let named: Vec<Topic> = args.topics.iter().filter_map(|text| rows::topic_of(text)).collect();
        let topics = if named.is_empty() { planned } else { &named };
        let channels = of_channels(topics.iter(), &settings.actors.plan.targets);
        let asked = rest::ask(&settings.actors.rest, &channels, &seen, &mut folder);
        let outcome = tokio::select! {
            outcome = asked => outcome,
            _ = signals.next() => {
                folder.say("stopped", "by a signal");
                return ended_with(exit, folder);
            }
        };
        exit = if exit == Exit::Clean { outcome } else { exit };
    }
    ended_with(exit, folder)
}

fn ended_with(exit: Exit, folder: Folder) -> Exit {
    match folder.close() {
        Ok(()) => exit,
        Err(error) => {
            complain(&format!("the recording is not complete: {error}"));
            Exit::Failed
        }
    }
}
