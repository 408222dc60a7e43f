//! What the figures were measured on.

use std::fmt;
use std::fs;
use std::process::Command;
use std::thread::available_parallelism;

use serde::Serialize;

/// The machine and the programs that the figures depend on.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    kernel: String,
    redis: String,
    rustc: String,
    python: String,
}

impl Machine {
    /// Looks around; what cannot be found is `unknown`.
    pub(crate) fn describe(redis: String) -> Machine {
        Machine {
            cpu: cpu_model().unwrap_or_else(unknown),
            cores: available_parallelism().map_or(0, usize::from),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or_else(|_| unknown(), |release| release.trim().to_owned()),
            redis,
            rustc: version_of("rustc"),
            python: version_of("python3"),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cpu, cores, kernel, redis, rustc, python } = self;
        write!(
            f,
            "{cpu}, {cores} cores shared by feed, client and Redis; Linux {kernel}; Redis {redis}; {rustc}; {python}"
        )
    }
}

fn cpu_model() -> Option<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn version_of(program: &str) -> String {
    let output = Command::new(program).arg("--version").output();
    output.map_or_else(|_| unknown(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn unknown() -> String {
    "unknown".to_owned()
}
