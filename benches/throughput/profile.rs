//! `make profile`: what the service spends its processor time on, while the feed is faster than it or at a fixed rate.
//!
//! `perf` samples the service alone; feed and Redis run beside it as in the other measurements. Out of the samples come a
//! flame graph and a table of the functions that the samples fell into.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use foldhash::fast::RandomState;
use inferno::collapse::Collapse as _;
use inferno::collapse::perf::{Folder, Options as FolderOptions};
use inferno::flamegraph;

use crate::args::{Plan, Sampling};
use crate::bench::Bench;
use crate::contender::{Contender, Feed, Pace};
use crate::failure::{Doing, Failure};
use crate::patience::{rest, wait_for};
use crate::process::Running;

/// The first event comes within a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);
/// Buffers and tables have their size, and the page cache is in use, by then.
const WARM_UP: Duration = Duration::from_secs(2);
/// More events a second than any client takes: the feed is never at its end before the samples are.
const EVENTS_PER_SECOND: u64 = 5_000_000;
/// The feed is to last so much longer than the samples: as long as `perf` may take to start and to end.
const MARGIN_SECONDS: u64 = 30;
/// Entries that a stream keeps: Redis is to hold megabytes, however long the run is.
const MAXLEN: &str = "10000";
/// Functions in the table.
const HOTTEST: usize = 40;
/// What is printed of a program's complaint.
const SHOWN_LINES: usize = 5;

/// Records, and writes `perf.data`, `stacks.txt`, `flamegraph.svg` and `hottest.txt` into `target/profile`.
pub(crate) fn run(plan: Plan, sampling: Sampling) -> Result<(), Failure> {
    crate::patience::watch_signals()?;
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("profile");
    fs::create_dir_all(&target).doing(format!("making {}", target.display()))?;
    let event = event()?;
    let pace = sampling.rate.map_or("full speed".to_owned(), |rate| format!("{rate} events per second"));
    println!("sampling {event} for {} s at {pace}", sampling.seconds);
    let data = target.join("perf.data");
    record(plan, sampling, event, &target, &data)?;
    let stacks = fold(&data)?;
    fs::write(target.join("stacks.txt"), &stacks).doing("writing the stacks")?;
    draw(&stacks, &format!("uw-websocket at {pace}"), &target.join("flamegraph.svg"))?;
    let table = table(&stacks);
    print!("{table}");
    fs::write(target.join("hottest.txt"), table).doing("writing the table")?;
    println!("\nflame graph, stacks and this table: {}", target.display());
    Ok(())
}

/// Cycles where the processor counts them for us; a virtual machine often does not, and then it is the clock.
fn event() -> Result<&'static str, Failure> {
    let output = Command::new("perf").args(["stat", "-e", "cycles", "true"]).output();
    let Output { status, stderr, .. } = output.doing("starting perf")?;
    let is_counted = status.success() && !String::from_utf8_lossy(&stderr).contains("<not ");
    Ok(if is_counted { "cycles" } else { "cpu-clock" })
}

fn record(plan: Plan, sampling: Sampling, event: &str, target: &Path, data: &Path) -> Result<(), Failure> {
    let mut bench = Bench::start(plan, target, std::path::PathBuf::new())?;
    let folder = bench.run_folder()?;
    let seconds = sampling.seconds + WARM_UP.as_secs() + MARGIN_SECONDS;
    let events = seconds * sampling.rate.unwrap_or(EVENTS_PER_SECOND);
    let pace = Pace { events, rate: sampling.rate, stamped: false };
    let feed = Feed::start(&bench, pace, folder.path())?;
    let mut command = Contender::Service.command(&bench, feed.address)?;
    command.env("REDIS_STREAM_MAXLEN", MAXLEN).current_dir(folder.path());
    let mut client = Running::start("service", &mut command, folder.path())?;
    wait_for("the first event is in redis", PATIENCE, LOOK, || {
        client.check_alive()?;
        Ok((!bench.redis.streams(&bench.topics)?.is_empty()).then_some(()))
    })?;
    rest(WARM_UP);
    let (used, stored) = (client.usage()?.cpu_seconds, added(&mut bench)?);
    let mut perf = Command::new("perf");
    perf.args(["record", "--event", event, "--call-graph", "fp"]);
    perf.args(["--freq", &sampling.frequency.to_string(), "--pid", &client.id().to_string()]);
    perf.arg("--output").arg(data).args(["--", "sleep", &sampling.seconds.to_string()]);
    succeed(&mut perf)?;
    let (used, stored) = (client.usage()?.cpu_seconds - used, added(&mut bench)? - stored);
    println!("{stored} events, {:.2} CPU s per million", used * 1e6 / stored as f64);
    client.stop()?;
    feed.running.stop()
}

fn added(bench: &mut Bench) -> Result<u64, Failure> {
    Ok(bench.redis.streams(&bench.topics)?.iter().map(|stream| stream.added).sum())
}

/// The samples as lines `thread;outermost;…;innermost count`.
fn fold(data: &Path) -> Result<Vec<u8>, Failure> {
    // to look up every inlined function takes minutes
    let mut script = Command::new("perf");
    let samples = succeed(script.args(["script", "--no-inline", "--input"]).arg(data))?;
    let mut options = FolderOptions::default();
    options.annotate_kernel = true;
    let mut stacks = Vec::new();
    Folder::from(options).collapse(samples.as_slice(), &mut stacks).doing("folding the samples")?;
    Ok(stacks)
}

fn draw(stacks: &[u8], title: &str, path: &Path) -> Result<(), Failure> {
    let mut options = flamegraph::Options::default();
    title.clone_into(&mut options.title);
    let mut picture = Vec::new();
    flamegraph::from_reader(&mut options, stacks, &mut picture)
        .map_err(io::Error::other)
        .doing("drawing the flame graph")?;
    fs::write(path, picture).doing(format!("writing {}", path.display()))
}

/// How much of the time was in a function itself, and in it or in what it calls: each sample stands for its period.
#[derive(Clone, Copy, Default)]
struct Share {
    own: u64,
    total: u64,
}

/// The share of each thread, and the hottest functions.
fn table(stacks: &[u8]) -> String {
    let text = String::from_utf8_lossy(stacks);
    let mut threads: HashMap<&str, u64, RandomState> = HashMap::default();
    let mut functions: HashMap<&str, Share, RandomState> = HashMap::default();
    let mut all = 0;
    for (stack, count) in text.lines().filter_map(|line| line.rsplit_once(' ')) {
        let Ok(count) = count.parse::<u64>() else { continue };
        all += count;
        let mut frames: Vec<&str> = stack.split(';').collect();
        *threads.entry(frames.remove(0)).or_default() += count;
        if let Some(innermost) = frames.last() {
            functions.entry(innermost).or_default().own += count;
        }
        // a function that calls itself counts once
        frames.sort_unstable();
        frames.dedup();
        for function in frames {
            functions.entry(function).or_default().total += count;
        }
    }
    let percent = |share: u64| share as f64 * 100.0 / all.max(1) as f64;
    let mut threads: Vec<_> = threads.into_iter().collect();
    threads.sort_by_key(|(name, share)| (std::cmp::Reverse(*share), *name));
    let mut functions: Vec<_> = functions.into_iter().collect();
    functions.sort_by_key(|(name, share)| (std::cmp::Reverse(share.own), *name));
    let mut table = String::from("\n     %  thread\n");
    // writing to a `String` cannot fail
    for (name, share) in threads {
        writeln!(table, "{:>6.2}  {name}", percent(share)).ok();
    }
    table.push_str("\nself %  total %  function ([k]: in the kernel)\n");
    for (name, Share { own, total }) in functions.into_iter().take(HOTTEST) {
        writeln!(table, "{:>6.2}  {:>7.2}  {name}", percent(own), percent(total)).ok();
    }
    table
}

/// The output of a program that must succeed.
fn succeed(command: &mut Command) -> Result<Vec<u8>, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let Output { status, stdout, stderr } = command.output().doing(format!("starting {name}"))?;
    if status.success() {
        return Ok(stdout);
    }
    let complaint = String::from_utf8_lossy(&stderr);
    let lines: Vec<&str> = complaint.lines().collect();
    let output = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
    Err(Failure::Ended { name, status: status.to_string(), output })
}
