//! The latencies of the last minute: the growth of the histograms since a reading of a minute ago.
//!
//! A histogram covers the life of the process, so that its quantiles show an outage long after it has ended.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use uw_websocket_actors::observation::{Buckets, LATENCY_BOUNDS, Latency, Observations, WriterObservation};

/// The period that quantiles are of, at least; at most one [`STEP`] more.
const MINUTE: Duration = Duration::from_secs(60);
/// Interval between readings.
const STEP: Duration = Duration::from_secs(5);

/// The latencies of a writer's events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Latencies {
    /// From the read of a frame to the reply of Redis.
    pub(super) stored: Buckets,
    /// From the read of a frame to the end of the append to the disk queue.
    pub(super) appended: Buckets,
}

/// The readings of the last minute.
#[derive(Debug)]
pub(super) struct LastMinute {
    /// In order; the first one is the newest that is a minute old, or the state at the start.
    readings: VecDeque<(Instant, Vec<Latencies>)>,
}

impl LastMinute {
    /// Begins with the start of the process: nothing was observed before.
    pub(super) fn new(now: Instant, writers: usize) -> LastMinute {
        LastMinute { readings: VecDeque::from([(now, vec![Latencies::default(); writers])]) }
    }

    /// Reads the histograms if a step has passed; to be called about once per second.
    pub(super) fn note(&mut self, observations: &Observations, now: Instant) {
        let since = |at: &Instant| now.saturating_duration_since(*at);
        if self.readings.back().is_some_and(|(at, _)| since(at) < STEP) {
            return;
        }
        self.readings.push_back((now, observations.writers.iter().map(Latencies::of).collect()));
        while self.readings.get(1).is_some_and(|(at, _)| since(at) >= MINUTE) {
            self.readings.pop_front();
        }
    }

    /// Returns what a writer has observed since.
    pub(super) fn latencies(&self, writer: usize, observed: &WriterObservation) -> Latencies {
        let before = self.readings.front().and_then(|(_, writers)| writers.get(writer));
        let (now, before) = (Latencies::of(observed), before.copied().unwrap_or_default());
        Latencies {
            stored: grown(&now.stored, &before.stored),
            appended: grown(&now.appended, &before.appended),
        }
    }
}

impl Latencies {
    fn of(writer: &WriterObservation) -> Latencies {
        let buckets = Latency::buckets;
        Latencies { stored: buckets(&writer.latency), appended: buckets(&writer.append_latency) }
    }
}

fn grown(now: &Buckets, before: &Buckets) -> Buckets {
    let mut grown = [0; LATENCY_BOUNDS.len() + 1];
    for (bucket, (now, before)) in grown.iter_mut().zip(now.iter().zip(before)) {
        *bucket = now.saturating_sub(*before);
    }
    grown
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uw_websocket_actors::observation::quantile;

    use super::*;

    #[test]
    fn an_outage_is_forgotten_a_minute_after_its_end() {
        let observations = Observations::new("test".to_owned(), "0", &[], &[], 1, Arc::default());
        let writer = &observations.writers[0];
        let began = Instant::now();
        let mut minute = LastMinute::new(began, 1);
        let second = |n: u64| began + Duration::from_secs(n);
        let p99 = |minute: &LastMinute| quantile(&minute.latencies(0, writer).stored, 0.99);
        assert_eq!(p99(&minute), None);
        writer.latency.observe(Duration::from_secs(90), 1_000);
        writer.append_latency.observe(Duration::from_millis(1), 1_000);
        assert_eq!(p99(&minute), Some(120.0), "also before the first step has ended");
        for n in 1..=66 {
            minute.note(&observations, second(n));
            writer.latency.observe(Duration::from_millis(3), 10);
            if n < 60 {
                assert_eq!(p99(&minute), Some(120.0), "{n} s");
            }
        }
        assert_eq!(p99(&minute), Some(0.003));
        assert_eq!(minute.latencies(0, writer).appended.iter().sum::<u64>(), 0, "the append was before");
        assert!(minute.readings.len() <= 14, "{}", minute.readings.len());
    }

    #[test]
    fn a_thread_that_did_not_run_leaves_a_longer_period_and_no_gap() {
        let observations = Observations::new("test".to_owned(), "0", &[], &[], 1, Arc::default());
        let began = Instant::now();
        let mut minute = LastMinute::new(began, 1);
        observations.writers[0].latency.observe(Duration::from_secs(1), 1);
        minute.note(&observations, began + Duration::from_secs(300));
        let events =
            |minute: &LastMinute| minute.latencies(0, &observations.writers[0]).stored.iter().sum::<u64>();
        assert_eq!(events(&minute), 1);
        minute.note(&observations, began + Duration::from_secs(359));
        assert_eq!(events(&minute), 1);
        minute.note(&observations, began + Duration::from_secs(365));
        assert_eq!(events(&minute), 0);
    }
}
