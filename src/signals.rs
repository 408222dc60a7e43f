//! The signals that end the process.

use std::fs;
use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The number of SIGHUP, which is the same on all platforms.
const HANGUP: u32 = 1;

/// SIGTERM, SIGINT, SIGQUIT and SIGHUP; not a SIGHUP that the process was started to ignore (`nohup`).
pub struct Signals {
    caught: Vec<(&'static str, Signal)>,
}

impl Signals {
    /// Catches the signals from now on.
    pub fn listen() -> io::Result<Signals> {
        let mut wanted = vec![
            ("SIGTERM", SignalKind::terminate()),
            ("SIGINT", SignalKind::interrupt()),
            ("SIGQUIT", SignalKind::quit()),
        ];
        if !is_hangup_ignored() {
            wanted.push(("SIGHUP", SignalKind::hangup()));
        }
        let caught = wanted.into_iter().map(|(name, kind)| Ok((name, signal(kind)?)));
        Ok(Signals { caught: caught.collect::<io::Result<_>>()? })
    }

    /// Waits for the next signal and returns its name. SIGHUP comes once: both the kernel and the shell send it when a
    /// terminal closes.
    pub async fn next(&mut self) -> &'static str {
        let name = poll_fn(|context| {
            for (name, signal) in &mut self.caught {
                if signal.poll_recv(context).is_ready() {
                    return Poll::Ready(*name);
                }
            }
            Poll::Pending
        });
        let name = name.await;
        if name == "SIGHUP" {
            self.caught.retain(|(caught, _)| *caught != name);
        }
        name
    }
}

/// Whether SIGHUP is ignored now; must be asked before it is caught.
fn is_hangup_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores(&status, HANGUP)
}

/// Whether a process of this status ignores a signal.
fn ignores(status: &str, number: u32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask & (1 << (number - 1)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_tells_what_is_ignored() {
        let status = "Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n";
        assert!(ignores(status, HANGUP));
        assert!(!ignores(status, 15) && !ignores("", HANGUP));
    }
}
