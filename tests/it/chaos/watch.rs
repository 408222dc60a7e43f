//! What is looked at all the time: whether the books balance, how much memory there is, how long a recovery takes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::stage::{Living, Stage};
use crate::support::has_passed;
use crate::support::metrics::Metrics;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(500);
/// The contract's bound.
const MAX_RESIDENT: u64 = 256 * 1024 * 1024;
/// The HTTP server has a thread of its own: it answers whatever the others do.
const SILENCE_LIMIT: Duration = Duration::from_secs(15);

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) looks: u64,
    pub(crate) worst_resident: u64,
    /// From the end of the last action to a service that is ready with nothing pending.
    pub(crate) longest_recovery: Duration,
    pub(crate) duplicates: u64,
    pub(crate) recovered: u64,
    pub(crate) rejected_frames: u64,
    /// By life, what the service said it had read. The look before the last: what was read in the last moments of a
    /// life may not have been on disk.
    pub(crate) read: BTreeMap<usize, Read>,
}

/// What a life had read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Read {
    /// By channel, the events that were read and not given up.
    pub(crate) events: BTreeMap<String, u64>,
    /// Events of all channels that were not on disk yet: a disk may take seconds for an append, and SIGKILL ends what
    /// waits for it.
    pub(crate) not_on_disk: u64,
}

/// Counts at the last look at each life.
#[derive(Default)]
struct Watch {
    seen: Seen,
    last: Option<(usize, [u64; 3])>,
    last_read: Option<(usize, Read)>,
    answered_at: Option<Instant>,
    measured: Option<Instant>,
}

/// Looks until `is_done`.
pub(crate) fn watch(stage: &Stage, is_done: impl Fn() -> bool) -> Seen {
    let mut watch = Watch::default();
    while !is_done() {
        if let Some(living) = stage.living() {
            watch.look(stage, &living);
        }
        std::thread::park_timeout(EVERY);
    }
    watch.bank();
    watch.seen
}

impl Watch {
    fn look(&mut self, stage: &Stage, living: &Living) {
        let metrics = match living.probe.metrics() {
            Ok(metrics) => metrics,
            // it was ended meanwhile
            Err(_) if stage.living().is_none_or(|now| now.life != living.life) => return,
            Err(error) => {
                let answered_at = *self.answered_at.get_or_insert_with(Instant::now);
                if has_passed(answered_at, SILENCE_LIMIT) {
                    stage.fail(format!("life {} does not answer: {error}", living.life));
                }
                return;
            }
        };
        self.answered_at = Some(Instant::now());
        self.seen.looks += 1;
        if let Err(problem) = metrics.check_conservation() {
            stage.fail(format!("the books of life {} do not balance: {problem}", living.life));
        }
        let lost = metrics.sum("uw_ws_events_dropped_total", &[("reason", "crash")]);
        if lost > 0 {
            stage.fail(format!("{lost} events of life {} died with an actor", living.life));
        }
        self.count(living.life, &metrics);
        let resident = living.probe.peak_resident_bytes().unwrap_or_default();
        self.seen.worst_resident = self.seen.worst_resident.max(resident);
        if resident >= MAX_RESIDENT {
            stage.fail(format!("life {} has taken {resident} bytes of memory", living.life));
        }
        self.measure_recovery(stage, living, &metrics);
    }

    /// The counts of a life begin at zero.
    fn count(&mut self, life: usize, metrics: &Metrics) {
        if self.last.is_some_and(|(last, _)| last != life) {
            self.bank();
        }
        let names =
            ["uw_ws_events_duplicate_total", "uw_ws_events_recovered_total", "uw_ws_frames_rejected_total"];
        self.last = Some((life, names.map(|name| metrics.sum(name, &[]))));
        let read_of = |channel: String| {
            let count = |name| metrics.sum(name, &[("channel", &channel)]);
            let read = count("uw_ws_events_received_total") - count("uw_ws_events_dropped_total");
            (channel, read)
        };
        let events: BTreeMap<String, u64> =
            metrics.labels("uw_ws_events_received_total", "channel").into_iter().map(read_of).collect();
        let sum = |name| metrics.sum(name, &[]);
        let elsewhere = sum("uw_ws_events_duplicate_total") + sum("uw_ws_events_filtered_total");
        let on_disk = sum("uw_ws_append_latency_seconds_count");
        let not_on_disk = events.values().sum::<u64>().saturating_sub(elsewhere + on_disk);
        let read = Read { events, not_on_disk };
        if let Some((before, read)) =
            self.last_read.replace((life, read)).filter(|(before, _)| *before == life)
        {
            self.seen.read.insert(before, read);
        }
    }

    fn bank(&mut self) {
        let (_, [duplicates, recovered, rejected]) = self.last.take().unwrap_or_default();
        self.seen.duplicates += duplicates;
        self.seen.recovered += recovered;
        self.seen.rejected_frames += rejected;
    }

    fn measure_recovery(&mut self, stage: &Stage, living: &Living, metrics: &Metrics) {
        let Some(healed_at) = stage.healed_at().filter(|at| self.measured != Some(*at)) else { return };
        // what has just been read is pending for a moment even when all is well
        let is_calm = metrics.sum("uw_ws_events_pending", &[]) < 1_000;
        if is_calm && living.probe.is_ready() {
            self.measured = Some(healed_at);
            self.seen.longest_recovery = self.seen.longest_recovery.max(healed_at.elapsed());
        }
    }
}
