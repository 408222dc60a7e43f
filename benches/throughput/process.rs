//! Processes that the comparison starts: each ends with its owner, and can be measured.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::failure::{Doing, Failure};
use crate::patience::wait_for;

/// A server on this machine listens within a fraction of a second after its start.
const START_PATIENCE: Duration = Duration::from_secs(20);
const START_PAUSE: Duration = Duration::from_millis(5);
/// The service drains at most 8 s after SIGTERM.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
const STOP_PAUSE: Duration = Duration::from_millis(10);
/// How much of a log is shown when its process ends.
const SHOWN_LINES: usize = 15;

/// A running process, killed when dropped.
pub(crate) struct Running {
    name: String,
    child: Child,
    log: PathBuf,
}

/// What a process has used since its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Processor time in user and system mode.
    pub(crate) cpu_seconds: f64,
    /// Peak of the resident memory in bytes.
    pub(crate) peak_rss: u64,
}

impl Running {
    /// Starts `command` with its output in `<folder>/<name>.log` and no input. It gets a process group of its own, so
    /// that Ctrl-C reaches the comparison alone, which then stops its processes in order.
    pub(crate) fn start(name: &str, command: &mut Command, folder: &Path) -> Result<Running, Failure> {
        let log = folder.join(format!("{name}.log"));
        let output = File::create(&log).doing(format!("creating {}", log.display()))?;
        let errors = output.try_clone().doing("sharing a log file")?;
        let command = command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
        let child = command.spawn().doing(format!("starting {name}"))?;
        Ok(Running { name: name.to_owned(), child, log })
    }

    /// The number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails with the end of the log if the process has ended.
    pub(crate) fn check_alive(&mut self) -> Result<(), Failure> {
        let Some(status) = self.child.try_wait().doing("looking after a process")? else { return Ok(()) };
        Err(Failure::Ended {
            name: self.name.clone(),
            status: status.to_string(),
            output: self.last_output(),
        })
    }

    /// Waits until the process accepts connections at `address`.
    pub(crate) fn wait_until_listening(&mut self, address: SocketAddr) -> Result<(), Failure> {
        let what = format!("{} listens on {address}", self.name);
        wait_for(&what, START_PATIENCE, START_PAUSE, || {
            self.check_alive()?;
            Ok(TcpStream::connect(address).ok().map(drop))
        })
    }

    /// What the process has used so far.
    pub(crate) fn usage(&self) -> Result<Usage, Failure> {
        let read = |file: &str| {
            let path = format!("/proc/{}/{file}", self.child.id());
            fs::read_to_string(&path).doing(format!("reading {path} of {}", self.name))
        };
        let malformed = || Failure::WrongResult(format!("no usage of {} in /proc", self.name));
        Ok(Usage {
            cpu_seconds: cpu_seconds(&read("stat")?).ok_or_else(malformed)?,
            peak_rss: peak_rss(&read("status")?).ok_or_else(malformed)?,
        })
    }

    /// Processor time of the thread of this name, in seconds; `None` without one.
    pub(crate) fn thread_cpu_seconds(&self, name: &str) -> Option<f64> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).ok()?;
        let of =
            |thread: &Path| fs::read_to_string(thread.join("comm")).is_ok_and(|comm| comm.trim() == name);
        let thread = threads.flatten().map(|thread| thread.path()).find(|thread| of(thread))?;
        // in nanoseconds, where `stat` has ticks of 10 ms
        let time = fs::read_to_string(thread.join("schedstat")).ok()?;
        Some(time.split_whitespace().next()?.parse::<f64>().ok()? / 1e9)
    }

    /// Processor time of the threads of a lower priority than usual, in seconds.
    pub(crate) fn low_priority_cpu_seconds(&self) -> f64 {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        let stats = threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
        stats
            .filter(|stat| niceness(stat).is_some_and(|nice| nice > 0))
            .filter_map(|stat| cpu_seconds(&stat))
            .sum()
    }

    /// Asks the process to end and waits for it; kills it if it takes too long.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| matches!(self.child.try_wait(), Ok(None))) {
            kill_process(pid, Signal::TERM).map_err(Into::into).doing(format!("stopping {}", self.name))?;
        }
        let what = format!("{} ends after SIGTERM", self.name);
        wait_for(&what, STOP_PATIENCE, STOP_PAUSE, || self.child.try_wait().doing("waiting for a process"))?;
        Ok(())
    }

    fn last_output(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // both fail only for a process that has ended
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A port of this machine that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).doing("looking for a free port")?;
    listener.local_addr().doing("looking for a free port")
}

/// `utime` and `stime`, fields 14 and 15; the name before them may hold blanks but ends with the last bracket.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let ticks = after_name.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    let total: u64 = ticks.sum::<Result<u64, _>>().ok()?;
    Some(total as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// `nice`, field 19.
fn niceness(stat: &str) -> Option<i32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(16)?.parse().ok()
}

fn peak_rss(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}
