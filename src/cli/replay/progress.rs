//! The progress of a replay, for people: a rewritten line on a terminal, else occasional lines; finally a summary.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use uw_websocket_core::time::utc_to_second;

use crate::cli::lines::print_lines;
use uw_websocket_simulator::{SimulatorCounts, SimulatorHandle};

/// Interval between checks.
pub(super) const BEAT: Duration = Duration::from_millis(100);
/// Interval between lines without a terminal: the log of an hour stays short.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Interval between updates of the line on a terminal.
const REWRITE_EVERY: Duration = Duration::from_millis(500);

/// The progress shown so far.
pub(super) struct Progress {
    is_terminal: bool,
    last_ms: Option<u64>,
    /// The number of joins after which the replay begins.
    joins: u64,
    first_ms: Option<u64>,
    /// Time at which the first event was observed as sent.
    began: Option<Instant>,
    shown: Option<(Instant, u64)>,
}

impl Progress {
    pub(super) fn new(last_ms: Option<u64>, joins: u64) -> Progress {
        let is_terminal = io::stderr().is_terminal();
        Progress { is_terminal, last_ms, joins, first_ms: None, began: None, shown: None }
    }

    /// Shows the progress, if an update is due.
    pub(super) fn show(&mut self, simulator: &SimulatorHandle) {
        let now = Instant::now();
        let every = if self.is_terminal { REWRITE_EVERY } else { LINE_EVERY };
        self.first_ms = self.first_ms.or_else(|| simulator.played_ms());
        if self.first_ms.is_some() {
            self.began.get_or_insert(now);
        }
        let (before, events_before) = self.shown.unwrap_or((now, 0));
        if self.shown.is_some() && now - before < every {
            return;
        }
        let counts = simulator.counts();
        let line = match simulator.played_ms() {
            None => format!("waiting for clients to join: {} of {} joins", counts.joins, self.joins),
            Some(at_ms) => {
                let seconds = (now - before).as_secs_f64().max(0.001);
                let rate = (counts.events - events_before) as f64 / seconds;
                format!("{}{}  {} events  {rate:.0}/s", self.percent(at_ms), moment(at_ms), counts.events)
            }
        };
        self.shown = Some((now, counts.events));
        if self.is_terminal {
            eprint!("\r\x1b[K{line}");
        } else {
            eprintln!("{line}");
        }
    }

    fn percent(&self, at_ms: u64) -> String {
        let of = |first: u64, last: u64| {
            let whole = last.checked_sub(first).filter(|whole| *whole > 0)?;
            Some(format!(
                "{:>3.0} %  ",
                (at_ms.saturating_sub(first) as f64 / whole as f64 * 100.0).min(100.0)
            ))
        };
        self.first_ms.zip(self.last_ms).and_then(|(first, last)| of(first, last)).unwrap_or_default()
    }

    /// Prints the summary.
    pub(super) fn end(&self, counts: &SimulatorCounts, is_whole: bool) -> io::Result<()> {
        if self.is_terminal {
            eprintln!();
        }
        let seconds = self.began.map_or(0.0, |began| began.elapsed().as_secs_f64());
        let rate = if seconds > 0.0 { counts.events as f64 / seconds } else { 0.0 };
        let end = if is_whole { "" } else { ", interrupted" };
        let mut lines = vec![format!("{} events in {seconds:.1} s, {rate:.0}/s{end}", counts.events)];
        lines.extend(counts.by_channel.iter().map(|(channel, events)| format!("  {channel}: {events}")));
        if counts.unheard > 0 {
            lines.push(format!("{} events that no client had joined", counts.unheard));
        }
        print_lines(&lines)
    }
}

/// Formats a time to the second, in UTC.
pub(super) fn moment(unix_ms: u64) -> String {
    utc_to_second(unix_ms.saturating_mul(1000))
}
