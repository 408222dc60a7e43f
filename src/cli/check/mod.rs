//! `uw-websocket check`: verifies that the service can run with these settings in this environment.
//!
//! Every section checks one aspect and continues after a problem, so that all of them are found in one run. Nothing is
//! written permanently, no running service is disturbed, and every step has a time limit.

mod archive;
mod disk;
mod feed;
mod http;
mod plan;
mod queues;
mod redis;
mod report;
mod rest;
mod state;

use std::io::Write;

use clap::Args;
use uw_websocket_actors::forecast::Forecast;

use self::report::{Finding, Report};
use super::complain;
use crate::exit::Exit;
use crate::resources::Resources;
use crate::settings::{SettingOrigin, Settings};

/// Options of `check`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "`check` writes nothing and does not disturb a running service: it then tries the handshake with the feed and joins \
    nothing. With ENABLE_BACKFILL or ENABLE_AUDIT it also asks the REST API for one row of each endpoint in use, and for the \
    look-back of the plan.\n\n\
    Exit code 0 if the service can run, also with warnings (`!`); else the first of these that applies: 78 invalid settings, \
    missing permissions in Redis, or an unusable disk queue; 77 the feed or the REST API refuses the token; 69 Redis, the \
    feed or the REST API is not reachable.\n\n\
    Example: uw-websocket check && docker compose up -d\n\
    Example: docker run --rm --env-file .env uw-websocket check --no-feed"
)]
pub(super) struct CheckArgs {
    /// Do not contact the feed and the REST API
    #[arg(long)]
    no_feed: bool,
}

/// Runs all checks.
pub(super) fn run(args: &CheckArgs, settings: &Settings) -> Exit {
    let ways = match Resources::of(&settings.actors) {
        Ok(ways) => ways,
        Err(error) => {
            complain(&settings.redactor.redact(&error.to_string()));
            return Exit::BadSettings;
        }
    };
    let system = actix_rt::System::new();
    let report = Report::on_stdout(settings.redactor.clone());
    let exit = system.block_on(look(args, settings, &ways, report));
    // a pending name lookup would delay the end for as long as the system's resolver takes
    std::mem::forget(system);
    exit
}

async fn look<W: Write>(
    args: &CheckArgs,
    settings: &Settings,
    ways: &Resources,
    mut report: Report<W>,
) -> Exit {
    let actors = &settings.actors;
    report_settings(settings, &mut report);
    plan::subscriptions(&ways.plans, &actors.plan, &mut report);
    let seen = redis::look(actors, ways, &mut report).await;
    queues::look(actors, ways, &seen.owner, &mut report).await;
    let forecast = Forecast::new(&actors.plan, &actors.keys, actors.retention, &seen.measured);
    plan::memory(&forecast, actors.retention, &mut report);
    for finding in seen.states.room(&forecast) {
        report.add(&finding);
    }
    let is_running = disk::look(&actors.spool, &mut report);
    archive::look(actors, &mut report);
    if let Some(dir) = &settings.log.dir {
        disk::look_at_logs(dir, &mut report);
    }
    http::look(&settings.http, is_running, &seen.owner, &mut report);
    if !args.no_feed {
        feed::look(&actors.feed, &ways.plans, &seen.owner, &mut report).await;
        rest::look(actors, &ways.plans, &mut report).await;
    }
    report.end()
}

fn report_settings(settings: &Settings, report: &mut Report<impl Write>) {
    report.section("Settings", "");
    let set = settings.effective.iter().filter(|value| value.origin != SettingOrigin::Default).count();
    let text = format!("{set} of {} are set, and valid", settings.effective.len());
    report.add(&Finding::fine("settings", text));
    for warning in &settings.warnings {
        report.add(&Finding::doubt(&warning.variable, "doubtful", &*warning.advice));
    }
    if !settings.enabled {
        let text = "the service would log that it is disabled and exit with 0";
        report.add(&Finding::doubt("disabled", text, "ENABLE_WEBSOCKET=true"));
    }
}
