//! `make bench`: the service beside the leanest possible client (the floor) and a good Python client.
//!
//! All three listen to the same simulator and store the same events in the same private Redis, one after the other in
//! interleaved rounds, because one machine's speed varies more over minutes than clients differ. What is measured, and
//! how, stands in [`run`] (full speed) and [`steady`] (fixed rates); what the floor leaves out in [`floor`]. `make drain`
//! measures how the service alone gets rid of a backlog on disk ([`drain`]); `make bench-fill` what a fill costs the live
//! events ([`fill`]); `make profile` what it spends its time on ([`profile`]).

mod args;
mod bench;
mod contender;
mod drain;
mod failure;
mod fill;
mod floor;
mod machine;
mod patience;
mod process;
mod profile;
mod python;
mod reader;
mod redis;
mod report;
mod run;
mod snapshots;
mod steady;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Arguments, Mode, Plan};
use crate::bench::Bench;
use crate::contender::Contender;
use crate::failure::{Doing, Failure};
use crate::machine::Machine;
use crate::report::Report;

fn main() -> ExitCode {
    let Arguments { mode, plan, bench } = Arguments::parse();
    let ended = match mode {
        Some(Mode::Floor { feed, redis, symbols }) => {
            floor::run(feed, redis, &symbols).doing("being the floor")
        }
        Some(Mode::Drain(backlog)) => drain::run(plan, backlog),
        Some(Mode::Fill(filling)) => fill::run(plan, filling),
        Some(Mode::Profile(sampling)) => profile::run(plan, sampling),
        None if bench => compare(plan.settled()),
        None => {
            // `cargo test --all-targets` runs every benchmark once, to see that it starts
            println!("to compare: cargo bench --bench throughput");
            Ok(())
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the plan and reports.
fn compare(mut plan: Plan) -> Result<(), Failure> {
    patience::watch_signals()?;
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    fs::create_dir_all(&target).doing(format!("making {}", target.display()))?;
    let interpreter = prepare_python(&mut plan, &target);
    let mut bench = Bench::start(plan, &target, interpreter)?;
    let machine = Machine::describe(bench.redis.version()?);
    let runs = throughput(&mut bench)?;
    let steady = steady_runs(&mut bench)?;
    let snapshots = snapshots_of(&mut bench)?;
    let report = Report::new(machine, runs, steady, snapshots);
    report.print();
    report.save(&target.join("throughput.json"))
}

/// The interpreter of the Python client; takes the client out of the plan if there is none.
fn prepare_python(plan: &mut Plan, target: &Path) -> PathBuf {
    if !plan.only.contains(&Contender::Python) {
        return PathBuf::new();
    }
    python::interpreter(target).unwrap_or_else(|reason| {
        println!("python is left out: {reason}");
        plan.only.retain(|contender| *contender != Contender::Python);
        PathBuf::new()
    })
}

fn throughput(bench: &mut Bench) -> Result<Vec<run::Outcome>, Failure> {
    let mut outcomes = Vec::new();
    for round in 1..=bench.plan.rounds {
        for contender in bench.plan.only.clone() {
            let outcome = run::measure(bench, contender)?;
            println!(
                "round {round} {:<8} {:>9.0} events/s, {:.2} CPU s per million",
                contender.name(),
                outcome.events_per_second(),
                outcome.cpu_seconds_per_million()
            );
            outcomes.push(outcome);
        }
    }
    Ok(outcomes)
}

/// The service with and without snapshots, in interleaved rounds.
fn snapshots_of(bench: &mut Bench) -> Result<Vec<snapshots::Outcome>, Failure> {
    let mut outcomes = Vec::new();
    let plan = &bench.plan;
    if plan.rate_seconds > 0 && !plan.skip_snapshots && plan.only.contains(&Contender::Service) {
        for _ in 0..bench.plan.rounds {
            for with_snapshots in [true, false] {
                outcomes.push(snapshots::measure(bench, with_snapshots)?);
            }
        }
    }
    Ok(outcomes)
}

/// Interleaved like the runs at full speed.
fn steady_runs(bench: &mut Bench) -> Result<Vec<steady::Outcome>, Failure> {
    let mut outcomes = Vec::new();
    if bench.plan.rate_seconds == 0 {
        return Ok(outcomes);
    }
    let only = bench.plan.only.clone().into_iter().filter(|contender| contender.is_timed());
    for round in 1..=bench.plan.rounds {
        for rate in bench.plan.rates.clone() {
            for contender in only.clone() {
                let outcome = steady::measure(bench, contender, rate)?;
                println!(
                    "round {round} {:<8} {rate:>6} events/s: {:.1} CPU s per million, p99 {:.2} ms",
                    contender.name(),
                    outcome.cpu_seconds_per_million(),
                    outcome.latency.p99_ms
                );
                outcomes.push(outcome);
            }
        }
    }
    Ok(outcomes)
}
