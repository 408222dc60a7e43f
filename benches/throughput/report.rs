//! The figures for people (aligned tables) and for programs (one JSON object).

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::contender::Contender;
use crate::failure::{Doing, Failure};
use crate::machine::Machine;
use crate::run::Outcome;
use crate::{snapshots, steady};

/// Everything that was measured.
#[derive(Serialize)]
pub(crate) struct Report {
    measured_at: String,
    machine: Machine,
    summaries: Vec<Summary>,
    ratios: Vec<Ratio>,
    steady: Vec<SteadySummary>,
    steady_ratios: Vec<SteadyRatio>,
    snapshots: Vec<snapshots::Outcome>,
    runs: Vec<Outcome>,
    steady_runs: Vec<steady::Outcome>,
}

/// The runs of one client.
#[derive(Clone, Copy, Serialize)]
struct Summary {
    contender: Contender,
    runs: usize,
    events_per_run: u64,
    events_per_second: Spread,
    cpu_seconds_per_million: Spread,
    redis_cpu_seconds_per_million: Spread,
    peak_rss_mib: Spread,
}

/// The service beside another client, by medians.
#[derive(Clone, Copy, Serialize)]
struct Ratio {
    to: Contender,
    events_per_second: f64,
    cpu_seconds_per_million: f64,
    /// What the service takes more, in CPU seconds for a million events.
    more_cpu_seconds: f64,
}

/// The runs of one client at one rate.
#[derive(Clone, Copy, Serialize)]
struct SteadySummary {
    contender: Contender,
    rate: u32,
    runs: usize,
    events_per_run: usize,
    cpu_seconds_per_million: Spread,
    redis_cpu_seconds_per_million: Spread,
    p50_ms: Spread,
    p99_ms: Spread,
    max_ms: Spread,
    append_p99_ms: Option<Spread>,
    archive_cpu_seconds_per_million: Option<Spread>,
}

/// The service beside another client at one rate, by medians.
#[derive(Clone, Copy, Serialize)]
struct SteadyRatio {
    to: Contender,
    rate: u32,
    cpu_seconds_per_million: f64,
    p50: f64,
    p99: f64,
}

#[derive(Clone, Copy, Serialize)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Report {
    /// Sums up all runs.
    pub(crate) fn new(
        machine: Machine,
        runs: Vec<Outcome>,
        steady_runs: Vec<steady::Outcome>,
        snapshots: Vec<snapshots::Outcome>,
    ) -> Report {
        let summaries: Vec<_> = Contender::ALL.iter().filter_map(|of| Summary::new(*of, &runs)).collect();
        let ratios = ratios(&summaries);
        let steady = steady_summaries(&steady_runs);
        let steady_ratios = steady_ratios(&steady);
        let measured_at = jiff::Timestamp::now().to_string();
        Report {
            measured_at,
            machine,
            summaries,
            ratios,
            steady,
            steady_ratios,
            snapshots,
            runs,
            steady_runs,
        }
    }

    /// Prints the tables.
    pub(crate) fn print(&self) {
        println!("\nmachine: {}", self.machine);
        println!(
            "\n{:<9}{:>5}{:>12}{:>31}{:>26}{:>22}{:>28}",
            "client",
            "runs",
            "events/run",
            "events/s (min–max)",
            "CPU s/M (min–max)",
            "RSS MiB (max)",
            "Redis CPU s/M (min–max)"
        );
        for summary in &self.summaries {
            summary.print();
        }
        if self.summaries.iter().any(|one| one.events_per_run != self.summaries[0].events_per_run) {
            println!("runs differ in length to bound the time; all figures are rates or per million events");
        }
        for Ratio { to, events_per_second, cpu_seconds_per_million, more_cpu_seconds } in &self.ratios {
            if *to == Contender::Cluster {
                println!(
                    "cluster / service  {:.2} × the events/s, {:.2} × the CPU ({:+.2} s/M)",
                    events_per_second.recip(),
                    cpu_seconds_per_million.recip(),
                    -more_cpu_seconds
                );
                continue;
            }
            println!(
                "service / {:<9}{events_per_second:.2} × the events/s, {cpu_seconds_per_million:.2} × the CPU \
                 ({more_cpu_seconds:+.2} s/M)",
                to.name()
            );
        }
        self.print_steady();
        self.print_snapshots();
    }

    /// Fixed rates, by medians.
    fn print_steady(&self) {
        if !self.steady.is_empty() {
            println!(
                "\n{:>8} {:<9}{:>24}{:>10}{:>10}{:>10}{:>22}{:>16}",
                "events/s",
                "client",
                "CPU s/M (min–max)",
                "p50 ms",
                "p99 ms",
                "max ms",
                "on disk p99 ≤ ms",
                "Redis CPU s/M"
            );
        }
        for summary in &self.steady {
            summary.print();
        }
        for SteadyRatio { to, rate, cpu_seconds_per_million, p50, p99 } in &self.steady_ratios {
            println!(
                "{rate:>8} service / {:<9}{cpu_seconds_per_million:.2} × the CPU, {p50:.2} × the p50, {p99:.2} × the p99",
                to.name()
            );
        }
    }

    /// All channels over three symbols at a fixed rate, by medians.
    fn print_snapshots(&self) {
        let of = |with: bool, figure: fn(&snapshots::Outcome) -> f64| {
            let runs = self.snapshots.iter().filter(|run| run.with_snapshots == with);
            Spread::of(runs.map(figure).collect())
        };
        let cost = |with| of(with, snapshots::Outcome::cpu_seconds_per_million);
        let (Some(with), Some(without)) = (cost(true), cost(false)) else { return };
        println!(
            "\n{:<22}{:>10}{:>12}{:>12}{:>12}{:>16}",
            "all channels", "CPU s/M", "p50 ms", "p99 ms", "max ms", "Redis CPU s/M"
        );
        for (name, is_with, cpu) in [("with snapshots", true, with), ("without", false, without)] {
            let median = |figure| of(is_with, figure).map_or(f64::NAN, |spread| spread.median);
            println!(
                "{name:<22}{:>10.2}{:>12.3}{:>12.3}{:>12.3}{:>16.2}",
                cpu.median,
                median(|run| run.latency.p50_ms),
                median(|run| run.latency.p99_ms),
                median(|run| run.latency.max_ms),
                median(snapshots::Outcome::redis_cpu_seconds_per_million)
            );
        }
        println!(
            "the snapshots take {:.0} % of the service's CPU",
            (1.0 - without.median / with.median) * 100.0
        );
    }

    /// Writes the JSON to `path` and prints it as the last line.
    pub(crate) fn save(&self, path: &Path) -> Result<(), Failure> {
        let json = serde_json::to_string(self).map_err(std::io::Error::other).doing("encoding the report")?;
        fs::write(path, format!("{json}\n")).doing(format!("writing {}", path.display()))?;
        println!("\n{json}");
        Ok(())
    }
}

impl Summary {
    /// Nothing without runs.
    fn new(contender: Contender, runs: &[Outcome]) -> Option<Summary> {
        let own: Vec<_> = runs.iter().filter(|run| run.contender == contender).copied().collect();
        let spread = |figure: fn(&Outcome) -> f64| Spread::of(own.iter().map(figure).collect());
        Some(Summary {
            contender,
            runs: own.len(),
            events_per_run: own.first()?.events,
            events_per_second: spread(Outcome::events_per_second)?,
            cpu_seconds_per_million: spread(Outcome::cpu_seconds_per_million)?,
            redis_cpu_seconds_per_million: spread(Outcome::redis_cpu_seconds_per_million)?,
            peak_rss_mib: spread(|run| run.peak_rss as f64 / f64::from(1 << 20))?,
        })
    }

    fn print(&self) {
        println!(
            "{:<9}{:>5}{:>12}{:>31}{:>26}{:>22}{:>28}",
            self.contender.name(),
            self.runs,
            self.events_per_run,
            self.events_per_second.text(0),
            self.cpu_seconds_per_million.text(2),
            format!("{:.1} ({:.1})", self.peak_rss_mib.median, self.peak_rss_mib.max),
            self.redis_cpu_seconds_per_million.text(2),
        );
    }
}

impl Spread {
    /// Nothing without figures.
    fn of(mut figures: Vec<f64>) -> Option<Spread> {
        figures.sort_by(f64::total_cmp);
        let (min, max) = (*figures.first()?, *figures.last()?);
        let middle = figures.len() / 2;
        let upper = figures[middle];
        let median = if figures.len() % 2 == 1 { upper } else { f64::midpoint(figures[middle - 1], upper) };
        Some(Spread { median, min, max })
    }

    fn text(self, decimals: usize) -> String {
        let Spread { median, min, max } = self;
        format!("{median:.decimals$} ({min:.decimals$}–{max:.decimals$})")
    }
}

fn ratios(summaries: &[Summary]) -> Vec<Ratio> {
    let Some(service) = summaries.iter().find(|summary| summary.contender == Contender::Service) else {
        return Vec::new();
    };
    let others = summaries.iter().filter(|summary| summary.contender != Contender::Service);
    let ratio = |other: &Summary| Ratio {
        to: other.contender,
        events_per_second: service.events_per_second.median / other.events_per_second.median,
        cpu_seconds_per_million: service.cpu_seconds_per_million.median
            / other.cpu_seconds_per_million.median,
        more_cpu_seconds: service.cpu_seconds_per_million.median - other.cpu_seconds_per_million.median,
    };
    others.map(ratio).collect()
}

/// In the order of the rates, and of the clients within a rate.
fn steady_summaries(runs: &[steady::Outcome]) -> Vec<SteadySummary> {
    let mut rates: Vec<u32> = runs.iter().map(|run| run.rate).collect();
    rates.sort_unstable();
    rates.dedup();
    let of_rate = |rate| Contender::ALL.iter().filter_map(move |of| SteadySummary::new(*of, rate, runs));
    rates.into_iter().flat_map(of_rate).collect()
}

impl SteadySummary {
    /// Nothing without runs.
    fn new(contender: Contender, rate: u32, runs: &[steady::Outcome]) -> Option<SteadySummary> {
        let own = runs.iter().filter(|run| run.contender == contender && run.rate == rate);
        let own: Vec<_> = own.copied().collect();
        let spread = |figure: fn(&steady::Outcome) -> f64| Spread::of(own.iter().map(figure).collect());
        Some(SteadySummary {
            contender,
            rate,
            runs: own.len(),
            events_per_run: own.first()?.events,
            cpu_seconds_per_million: spread(steady::Outcome::cpu_seconds_per_million)?,
            redis_cpu_seconds_per_million: spread(steady::Outcome::redis_cpu_seconds_per_million)?,
            p50_ms: spread(|run| run.latency.p50_ms)?,
            p99_ms: spread(|run| run.latency.p99_ms)?,
            max_ms: spread(|run| run.latency.max_ms)?,
            append_p99_ms: Spread::of(own.iter().filter_map(|run| run.append_p99_ms).collect()),
            archive_cpu_seconds_per_million: Spread::of(
                own.iter().filter_map(|run| run.archive_cpu_seconds_per_million).collect(),
            ),
        })
    }

    fn print(&self) {
        println!(
            "{:>8} {:<9}{:>24}{:>10.3}{:>10.3}{:>10.3}{:>22}{:>16.1}",
            self.rate,
            self.contender.name(),
            self.cpu_seconds_per_million.text(1),
            self.p50_ms.median,
            self.p99_ms.median,
            self.max_ms.median,
            self.append_p99_ms.map_or_else(|| "–".to_owned(), |append| append.text(2)),
            self.redis_cpu_seconds_per_million.median,
        );
        if let Some(archive) = self.archive_cpu_seconds_per_million {
            println!("{:>18}{:>24} of it by the archive's thread, per million archived", "", archive.text(1));
        }
    }
}

fn steady_ratios(summaries: &[SteadySummary]) -> Vec<SteadyRatio> {
    let services = summaries.iter().filter(|summary| summary.contender == Contender::Service);
    let beside = |service: &SteadySummary| {
        let (service, summaries) = (*service, summaries.iter());
        let others = summaries
            .filter(move |other| other.rate == service.rate && other.contender != Contender::Service);
        others.map(move |other| SteadyRatio {
            to: other.contender,
            rate: service.rate,
            cpu_seconds_per_million: service.cpu_seconds_per_million.median
                / other.cpu_seconds_per_million.median,
            p50: service.p50_ms.median / other.p50_ms.median,
            p99: service.p99_ms.median / other.p99_ms.median,
        })
    };
    services.flat_map(beside).collect()
}
