//! `uw-websocket gaps`: prints the ledger (here), with what became of the fills (`fills`), and asks for them (`fill`).

mod fill;
mod fills;
mod stop;

use std::io::{self, Write};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use tokio::time::sleep;
use uw_websocket_actors::filler::records::FillRecords;
use uw_websocket_actors::ledger;
use uw_websocket_actors::ledger::coverage::open_gaps;
use uw_websocket_actors::ledger::gap::{Gap, GapReason, OpenGap, parse_family};
use uw_websocket_actors::ledger::publisher::{GapPublisher, PAGE, gap_of};
use uw_websocket_actors::wall_clock::unix_micros;
use uw_websocket_actors::writer::store::address::Address;
use uw_websocket_actors::writer::store::guard;
use uw_websocket_core::event::{EntryId, Family};
use uw_websocket_core::time::utc_to_second;

use self::fill::FillArgs;
use self::fills::Fills;
use self::stop::Stop;
use super::complain;
use super::moments::When;
use crate::escape::{write_json_line, write_line};
use crate::exit::Exit;
use crate::resources::ledger_places;
use crate::settings::Settings;
use crate::streams::name::GAPS;
use crate::streams::too_large;

/// Interval between queries when following the ledger.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// Options of `gaps`.
#[derive(Args, Clone, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Times are UTC. Gaps that are still open come last, with `open` as their end. If there are none, stderr says so.\n\
    Exit code 69 if Redis (REDIS_URL) is not reachable.\n\n\
    Example: uw-websocket gaps --since 1d --family trades\n\
    Example: uw-websocket gaps --json | jq -r 'select(.reason == \"crash\") | .from'"
)]
pub(super) struct GapsArgs {
    #[command(subcommand)]
    action: Option<Action>,
    /// Only gaps that ended within this time (90m, 1d) or after a time (2025-05-16T14:30:00Z, 2025-05-16)
    #[arg(long, value_name = "WHEN", value_parser = When::parse, allow_hyphen_values = true)]
    since: Option<When>,
    /// Only gaps of this family
    #[arg(long, value_parser = |text: &str| parse_family(text).ok_or_else(families))]
    family: Option<Family>,
    /// Only gaps with this reason
    #[arg(long, value_parser = |text: &str| GapReason::parse(text).ok_or_else(reasons))]
    reason: Option<GapReason>,
    /// Print one JSON object per line, with the fields of the entry and its ID
    #[arg(long)]
    json: bool,
    /// Keep printing new gaps
    #[arg(long, short)]
    follow: bool,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Ask the running service to fill gaps over REST
    Fill(FillArgs),
}

/// Prints the ledger, or asks for fills.
pub(super) fn run(args: &GapsArgs, settings: &Settings) -> Exit {
    let printed = actix_rt::System::new().block_on(print(args, settings));
    match printed {
        // a reader such as `head` may close the pipe when it has seen enough
        Ok(()) | Err(Stop::Pipe) => Exit::Clean,
        Err(Stop::Unsuitable(error)) => {
            complain(
                &settings.redactor.redact(&format!("REDIS_URL names a server that cannot be used: {error}")),
            );
            Exit::BadSettings
        }
        Err(Stop::Off) => {
            complain("gaps are not filled: ENABLE_BACKFILL is off");
            Exit::BadSettings
        }
        Err(Stop::Redis(error)) => {
            complain(&settings.redactor.redact(&error));
            Exit::Unreachable
        }
        Err(Stop::State(error)) => {
            complain(&settings.redactor.redact(&error));
            Exit::Failed
        }
    }
}

async fn print(args: &GapsArgs, settings: &Settings) -> Result<(), Stop> {
    let actors = &settings.actors;
    let address = Address::new(&actors.redis).map_err(|error| Stop::Redis(error.to_string()))?;
    // a server that cannot be examined now is reported by the first query
    if let Ok(Some(unsuitable)) = guard::examine(&address, &actors.keys.prefix).await {
        return Err(Stop::Unsuitable(unsuitable));
    }
    if let Some(Action::Fill(args)) = &args.action {
        return fill::fill(args, settings, address).await;
    }
    let mut post = GapPublisher::new(address.clone(), &actors.keys.prefix);
    let since = args.since_us(unix_micros());
    // an entry's ID is never before the end of its gap
    let mut last = EntryId { ms: since / 1000, seq: 0 };
    let mut records = FillRecords::new(address.clone(), &actors.keys.prefix);
    let fills = Fills::read_if_ours(&mut records, last).await.map_err(Stop::of_store)?;
    let mut printer = Printer { args, since, fills, out: io::stdout().lock(), has_printed: false };
    printer.print_after(&mut post, &mut last).await?;
    let missing = ledger::look(ledger_places(actors, address), unix_micros()).await?;
    for gap in &open_gaps(&missing) {
        printer.open(gap)?;
    }
    printer.out.flush()?;
    if !printer.has_printed && !args.json {
        complain(&args.none_found(printer.since));
    }
    if !args.follow {
        return Ok(());
    }
    loop {
        sleep(FOLLOW_EVERY).await;
        printer.print_after(&mut post, &mut last).await?;
        printer.out.flush()?;
    }
}

impl GapsArgs {
    fn wants(&self, family: Family, reason: GapReason) -> bool {
        self.family.is_none_or(|wanted| wanted == family) && self.reason.is_none_or(|wanted| wanted == reason)
    }

    fn since_us(&self, now: u64) -> u64 {
        self.since.map_or(0, |since| since.unix_ms(now / 1000).saturating_mul(1000))
    }

    /// Describes a search without a result: `no gaps of family news since 2025-05-16T14:30:00 UTC`.
    fn none_found(&self, since_us: u64) -> String {
        let family = self.family.map(|family| format!(" of family {}", family.name())).unwrap_or_default();
        let reason = self.reason.map(|reason| format!(" for {}", reason.label())).unwrap_or_default();
        let since = match since_us {
            0 => " on record".to_owned(),
            _ => format!(" since {} UTC", utc_to_second(since_us)),
        };
        format!("no gaps{family}{reason}{since}")
    }
}

/// Prints the selected gaps, one per line.
struct Printer<'a, W> {
    args: &'a GapsArgs,
    since: u64,
    fills: Fills,
    out: W,
    has_printed: bool,
}

/// A closed or open gap, as printed by `--json`: an open one has neither `id` nor `to`.
#[derive(Serialize)]
struct Line<'g, G> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(flatten)]
    gap: &'g G,
    #[serde(skip_serializing_if = "Option::is_none")]
    filled: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
}

impl<W: Write> Printer<'_, W> {
    /// Prints all entries of the ledger after `last`, and updates `last`.
    async fn print_after(&mut self, post: &mut GapPublisher, last: &mut EntryId) -> Result<(), Stop> {
        loop {
            let page = post.read_after(*last, PAGE).await?;
            for entry in &page.entries {
                *last = entry.0;
                // an entry written by another program is not a gap
                if let Some(gap) = gap_of(entry).filter(|gap| gap.to_us >= self.since) {
                    self.gap(*last, &gap)?;
                }
            }
            if let Some(id) = page.too_large {
                *last = id;
                complain(&too_large(GAPS, id));
            }
            if !page.has_more {
                return Ok(());
            }
        }
    }

    fn gap(&mut self, id: EntryId, gap: &Gap) -> io::Result<()> {
        if !self.args.wants(gap.family, gap.reason) {
            return Ok(());
        }
        let (filled, rows) = self.fills.of(id).unzip();
        if self.args.json {
            return self.json(&Line { id: Some(id.to_string()), gap, filled, rows });
        }
        let events = gap.events.map(|events| events.to_string()).unwrap_or_default();
        let (from, to, seconds) =
            (utc_to_second(gap.from_us), utc_to_second(gap.to_us), format!("{:.1}", gap.seconds()));
        let (family, reason) = (gap.family.name(), gap.reason.label());
        let (filled, rows) =
            (filled.unwrap_or_default(), rows.map(|rows| rows.to_string()).unwrap_or_default());
        let channels = gap.channels.join(",");
        self.row([&from, &to, &seconds, family, reason, &events, filled, &rows, &channels, &gap.detail])
    }

    fn open(&mut self, gap: &OpenGap) -> io::Result<()> {
        if !self.args.wants(gap.family, gap.reason) {
            return Ok(());
        }
        if self.args.json {
            return self.json(&Line { id: None, gap, filled: None, rows: None });
        }
        let seconds = format!("{:.1}", unix_micros().saturating_sub(gap.from_us) as f64 / 1e6);
        let (family, reason) = (gap.family.name(), gap.reason.label());
        let (from, channels) = (utc_to_second(gap.from_us), gap.channels.join(","));
        self.row([&from, "open", &seconds, family, reason, "", "", "", &channels, &gap.detail])
    }

    fn json(&mut self, line: &impl Serialize) -> io::Result<()> {
        write_json_line(&mut self.out, line)
    }

    fn row(&mut self, columns: [&str; 10]) -> io::Result<()> {
        if !std::mem::replace(&mut self.has_printed, true) {
            write_line(&mut self.out, format_args!("{}", aligned(HEAD)))?;
        }
        write_line(&mut self.out, format_args!("{}", aligned(columns)))
    }
}

const HEAD: [&str; 10] =
    ["FROM", "TO", "SECONDS", "FAMILY", "REASON", "EVENTS", "FILLED", "ROWS", "CHANNELS", "DETAIL"];

/// As wide as a time, the longest family, the longest reason; channels may be longer.
fn aligned(
    [from, to, seconds, family, reason, events, filled, rows, channels, detail]: [&str; 10],
) -> String {
    let line = format!(
        "{from:<19}  {to:<19}  {seconds:>9}  {family:<6}  {reason:<13}  {events:>6}  {filled:<10}  {rows:>7}  \
         {channels:<36}  {detail}"
    );
    line.trim_end().to_owned()
}

fn families() -> String {
    listed(Family::ALL.iter().map(|family| family.name()))
}

fn reasons() -> String {
    listed(GapReason::ALL.iter().map(|reason| reason.label()))
}

fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    format!("must be one of {}", names.collect::<Vec<_>>().join(", "))
}
