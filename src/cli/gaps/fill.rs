//! `uw-websocket gaps fill`: asks the owner to fill gaps.

use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use clap::Args;
use tokio::time::sleep;
use uw_websocket_actors::filler::records::FillRecords;
use uw_websocket_actors::ledger::gap::GapReason;
use uw_websocket_actors::ledger::publisher::{GapPublisher, PAGE, gap_of};
use uw_websocket_actors::wall_clock::unix_micros;
use uw_websocket_actors::writer::store::address::Address;
use uw_websocket_core::backfill::job::FillJob;
use uw_websocket_core::backfill::outcome::{FillReason, FillStatus};
use uw_websocket_core::backfill::plan::{self, GapToFill, Joined};
use uw_websocket_core::event::EntryId;
use uw_websocket_core::time::utc_to_second;

use super::fills::Fills;
use super::stop::Stop;
use crate::cli::complain;
use crate::cli::moments::When;
use crate::escape::write_line;
use crate::settings::Settings;

/// Interval between looks at the progress.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks per line where the output is no terminal.
const LOOKS_PER_LINE: u32 = 10;
/// How far back gaps are filled unless said otherwise, in microseconds: a day.
const DEFAULT_SINCE_US: u64 = 24 * 3_600 * 1_000_000;

/// Options of `gaps fill`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "The instance that holds the lease fetches; this command plans, asks and shows the progress, and may be ended at any \
    time. It leaves out gaps that are complete, under way, or have no better endpoint.\n\n\
    Example: uw-websocket gaps fill --since 6h --dry-run"
)]
pub(super) struct FillArgs {
    /// Gaps that ended within this time (90m, 1d) or after a time [default: 1d]
    #[arg(long, value_name = "WHEN", value_parser = When::parse, allow_hyphen_values = true)]
    since: Option<When>,
    /// Print the plan only
    #[arg(long)]
    dry_run: bool,
}

/// Plans, asks and watches.
pub(super) async fn fill(args: &FillArgs, settings: &Settings, address: Address) -> Result<(), Stop> {
    let actors = &settings.actors;
    let mut records = FillRecords::new(address.clone(), &actors.keys.prefix);
    let mut ledger = GapPublisher::new(address, &actors.keys.prefix);
    let now_us = unix_micros();
    let since_us = args.since.map_or(now_us.saturating_sub(DEFAULT_SINCE_US), |since| {
        since.unix_ms(now_us / 1000).saturating_mul(1000)
    });
    let jobs = planned(&mut ledger, &mut records, settings, since_us).await?;
    let mut out = io::stdout().lock();
    if jobs.is_empty() {
        complain("nothing to fill");
        return Ok(());
    }
    let mut total = 0_u32;
    for job in &jobs {
        let requests = plan::requests(job);
        total = total.saturating_add(requests);
        let (from, to) = (utc_to_second(job.from_us), utc_to_second(job.to_us));
        write_line(&mut out, format_args!("{from}  {to}  {requests:>6}  {}", job.topic))?;
    }
    let (count, per_minute) = (jobs.len(), actors.rest.limits.rest_per_minute);
    write_line(
        &mut out,
        format_args!("{count} fills, some {total} requests at up to {per_minute} per minute"),
    )?;
    if args.dry_run {
        return Ok(());
    }
    if !actors.rest.backfill {
        return Err(Stop::Off);
    }
    for job in &jobs {
        records.add(job).await.map_err(Stop::of_store)?;
    }
    watch(&mut records, &jobs, &mut out).await
}

async fn planned(
    ledger: &mut GapPublisher,
    records: &mut FillRecords,
    settings: &Settings,
    since_us: u64,
) -> Result<Vec<FillJob>, Stop> {
    let mut after = EntryId { ms: since_us / 1000, seq: 0 };
    let fills = Fills::read(records, after).await.map_err(Stop::of_store)?;
    let under_way = records.names().await.map_err(Stop::of_store)?;
    let connections = uw_websocket_core::plan::plan(&settings.actors.plan)
        .map_err(|error| Stop::State(error.to_string()))?;
    let topics = connections.into_iter().flat_map(|connection| connection.topics).collect();
    let joined = Joined { topics, targets: settings.actors.plan.targets.clone() };
    let mut jobs = Vec::new();
    loop {
        let page = ledger.read_after(after, PAGE).await?;
        for entry in &page.entries {
            after = entry.0;
            let Some(gap) = gap_of(entry).filter(|gap| is_missed(gap.reason)) else { continue };
            let gap =
                GapToFill { id: entry.0, channels: &gap.channels, from_us: gap.from_us, to_us: gap.to_us };
            let possible = plan::jobs(&gap, &joined, unix_micros()).into_iter();
            jobs.extend(possible.filter(|(_, flaw)| flaw.is_none()).map(|(job, _)| job).filter(|job| {
                let is_done = fills.topic(job.gap, &job.topic).is_some_and(|ended| {
                    ended.status == FillStatus::Complete || ended.reason == Some(FillReason::Resolution)
                });
                !is_done && !under_way.contains(&job.field())
            }));
        }
        after = page.too_large.unwrap_or(after);
        if !page.has_more {
            return Ok(jobs);
        }
    }
}

/// Shows the progress until all fills have ended.
async fn watch(records: &mut FillRecords, jobs: &[FillJob], out: &mut impl Write) -> Result<(), Stop> {
    let names: Vec<String> = jobs.iter().map(FillJob::field).collect();
    let is_terminal = io::stderr().is_terminal();
    for look in 0_u32.. {
        let under_way = records.jobs(&names).await.map_err(Stop::of_store)?;
        let under_way: Vec<FillJob> = under_way.into_iter().flatten().collect();
        let (rows, requests) = under_way
            .iter()
            .fold((0, 0), |(rows, requests), job| (rows + job.rows, requests + u64::from(job.requests)));
        let done = names.len() - under_way.len();
        let line = format!(
            "{done} of {} fills ended; of the others {rows} rows in {requests} requests so far",
            names.len()
        );
        if is_terminal {
            write!(io::stderr(), "\r{}\x1b[K", bar(done, names.len()) + &line)?;
        } else if look.is_multiple_of(LOOKS_PER_LINE) {
            complain(&line);
        }
        if under_way.is_empty() {
            break;
        }
        sleep(LOOK_EVERY).await;
    }
    if is_terminal {
        writeln!(io::stderr())?;
    }
    let oldest = jobs.iter().map(|job| job.gap).min().unwrap_or_default();
    let fills = Fills::read(records, oldest).await.map_err(Stop::of_store)?;
    for job in jobs {
        if let Some(ended) = fills.topic(job.gap, &job.topic) {
            let reason = ended.reason.map_or("", FillReason::label);
            let (status, rows) = (ended.status.label(), ended.rows);
            write_line(out, format_args!("{status:<10}  {reason:<13}  {rows:>8} rows  {}", job.topic))?;
        }
    }
    Ok(())
}

/// Draws what is done of a whole.
fn bar(done: usize, all: usize) -> String {
    const WIDTH: usize = 20;
    let filled = (done * WIDTH).checked_div(all).unwrap_or(WIDTH);
    format!("[{}{}] ", "#".repeat(filled), "·".repeat(WIDTH - filled))
}

fn is_missed(reason: GapReason) -> bool {
    uw_websocket_actors::filler::is_missed(reason)
}
