//! How fast events came and went in the last ten minutes, step by step.
//!
//! Pure: counts and the time are given to it. A step is known when the counts were read at its beginning and at its end;
//! a thread that did not run then leaves steps that are not known, which is not the same as steps without events.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use uw_websocket_actors::observation::Observations;

/// A step: short enough to show a burst, long enough that a slow channel is no row of zeros.
pub const STEP: Duration = Duration::from_secs(5);
/// Steps that are kept: ten minutes of them, a number for each point of a sparkline.
pub const KEPT: usize = 120;
/// Counts that are read so long after a step's end say nothing about the step.
const PUNCTUAL: Duration = Duration::from_millis(500);

/// The rates of the last steps.
#[derive(Debug)]
pub struct History {
    began: Instant,
    /// Steps that have ended since then, known or not.
    ended: u128,
    /// Read at the end of the last of them, if anybody was there to do it.
    counts: Option<Counts>,
    /// Received events a second, by channel and step, oldest first.
    received: Vec<VecDeque<Option<f64>>>,
    /// What the writers did in the last step, if that is known.
    written: Vec<Option<Writing>>,
}

/// What a writer did in a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Writing {
    /// Events that Redis took, a second.
    pub rate: f64,
    /// By how many events a second its backlog on disk shrank; below zero it grew.
    pub drained: f64,
}

/// Counts at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    at: Instant,
    /// Events read from the feed, by channel.
    pub received: Vec<u64>,
    /// Events that Redis took and events on disk, by writer.
    pub written: Vec<(u64, u64)>,
}

impl Counts {
    /// Reads them.
    #[must_use]
    pub fn read(observations: &Observations, at: Instant) -> Counts {
        Counts {
            at,
            received: observations.channels.iter().map(|channel| channel.received.get()).collect(),
            written: observations
                .writers
                .iter()
                .map(|writer| (writer.events.get(), writer.spool_events.get()))
                .collect(),
        }
    }
}

impl History {
    /// Steps are counted from the moment of these counts.
    #[must_use]
    pub fn new(counts: Counts) -> History {
        History {
            began: counts.at,
            ended: 0,
            received: vec![VecDeque::with_capacity(KEPT); counts.received.len()],
            written: vec![None; counts.written.len()],
            counts: Some(counts),
        }
    }

    /// Takes the counts of a moment; needed are those just after the end of each step.
    pub fn note(&mut self, counts: Counts) {
        let elapsed = counts.at.saturating_duration_since(self.began).as_nanos();
        let ended = elapsed / STEP.as_nanos();
        let missed = ended.saturating_sub(self.ended);
        if missed == 0 {
            return;
        }
        let is_punctual = elapsed % STEP.as_nanos() <= PUNCTUAL.as_nanos();
        let known = self.counts.take().filter(|_| missed == 1 && is_punctual);
        for (channel, rates) in self.received.iter_mut().enumerate() {
            let rate = known.as_ref().and_then(|before| counts.received_since(before, channel));
            // of what is kept, at most all is replaced
            for rate in std::iter::repeat_n(rate, usize::try_from(missed).unwrap_or(KEPT).min(KEPT)) {
                if rates.len() == KEPT {
                    rates.pop_front();
                }
                rates.push_back(rate);
            }
        }
        for (writer, writing) in self.written.iter_mut().enumerate() {
            *writing = known.as_ref().and_then(|before| counts.written_since(before, writer));
        }
        self.ended = ended;
        self.counts = is_punctual.then_some(counts);
    }

    /// Received events a second of a channel, oldest step first; `None` where it is not known.
    #[must_use]
    pub fn rates(&self, channel: usize) -> Vec<Option<f64>> {
        self.received.get(channel).map_or_else(Vec::new, |rates| rates.iter().copied().collect())
    }

    /// What a writer did in the last step.
    #[must_use]
    pub fn writing(&self, writer: usize) -> Option<Writing> {
        self.written.get(writer).copied().flatten()
    }
}

impl Counts {
    fn received_since(&self, before: &Counts, channel: usize) -> Option<f64> {
        let events = self.received.get(channel)?.saturating_sub(*before.received.get(channel)?);
        Some(rounded(events as f64 / self.seconds_since(before)))
    }

    fn written_since(&self, before: &Counts, writer: usize) -> Option<Writing> {
        let ((events, backlog), (events_before, backlog_before)) =
            (self.written.get(writer)?, before.written.get(writer)?);
        let seconds = self.seconds_since(before);
        Some(Writing {
            rate: rounded(events.saturating_sub(*events_before) as f64 / seconds),
            drained: (*backlog_before as f64 - *backlog as f64) / seconds,
        })
    }

    /// Never zero: a step that ended punctually took most of [`STEP`].
    fn seconds_since(&self, before: &Counts) -> f64 {
        self.at.saturating_duration_since(before.at).as_secs_f64()
    }
}

/// With two decimals: one event a step is 0.2.
fn rounded(rate: f64) -> f64 {
    (rate * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts(began: Instant, ms: u64, received: u64) -> Counts {
        Counts { at: began + Duration::from_millis(ms), received: vec![received], written: vec![(0, 0)] }
    }

    /// A history of one channel that was noted at these milliseconds with these counts.
    fn history(notes: &[(u64, u64)]) -> History {
        let began = Instant::now();
        let mut history = History::new(counts(began, 0, 0));
        for (ms, received) in notes {
            history.note(counts(began, *ms, *received));
        }
        history
    }

    #[test]
    fn nothing_is_known_before_the_first_step_has_ended() {
        assert_eq!(history(&[(1_000, 10), (4_999, 50)]).rates(0), []);
        assert_eq!(history(&[]).writing(0), None);
    }

    #[test]
    fn a_rate_is_what_came_by_the_time_that_it_took() {
        let history = history(&[(1_000, 10), (5_000, 50), (6_000, 51), (10_500, 161), (15_000, 161)]);
        assert_eq!(history.rates(0), [Some(10.0), Some(20.18), Some(0.0)]);
    }

    #[test]
    fn steps_in_which_nobody_counted_are_not_known() {
        let history = history(&[(5_000, 50), (20_000, 500), (25_000, 505)]);
        assert_eq!(history.rates(0), [Some(10.0), None, None, None, Some(1.0)]);
    }

    #[test]
    fn counts_that_come_late_say_nothing_about_the_steps_on_either_side() {
        let history = history(&[(5_000, 50), (10_501, 100), (15_000, 150), (20_000, 200)]);
        assert_eq!(history.rates(0), [Some(10.0), None, None, Some(10.0)]);
    }

    #[test]
    fn no_more_than_the_newest_steps_are_kept() {
        let notes: Vec<_> = (1..=200).map(|step| (step * 5_000, step * step * 5)).collect();
        let rates = history(&notes).rates(0);
        assert_eq!((rates.len(), rates[0], rates[KEPT - 1]), (KEPT, Some(161.0), Some(399.0)));
        let rates = history(&[(5_000, 5), (10_000_000, 10)]).rates(0);
        assert_eq!(rates, [None; KEPT]);
    }

    #[test]
    fn a_writer_shows_what_it_writes_and_whether_its_backlog_shrinks() {
        let began = Instant::now();
        let at = |ms, written| Counts { written: vec![written], ..counts(began, ms, 0) };
        let mut history = History::new(at(0, (0, 1_000)));
        history.note(at(5_000, (600, 500)));
        assert_eq!(history.writing(0), Some(Writing { rate: 120.0, drained: 100.0 }));
        history.note(at(10_000, (600, 550)));
        assert_eq!(history.writing(0), Some(Writing { rate: 0.0, drained: -10.0 }));
        history.note(at(30_000, (9_999, 0)));
        assert_eq!(history.writing(0), None);
    }

    proptest! {
        /// Whenever it is noted, the number of steps is that of the time, and all that is known adds up to no more
        /// than came.
        #[test]
        fn every_step_has_one_entry(pauses in prop::collection::vec((0_u64..12_000, 0_u64..1_000), 1..60)) {
            let began = Instant::now();
            let mut history = History::new(counts(began, 0, 0));
            let (mut now, mut received) = (0, 0);
            for (pause, events) in pauses {
                now += pause;
                received += events;
                history.note(counts(began, now, received));
            }
            let rates = history.rates(0);
            prop_assert_eq!(rates.len(), usize::try_from(now / 5_000).unwrap().min(KEPT));
            prop_assert!(rates.iter().flatten().all(|rate| *rate >= 0.0));
            let known: f64 = rates.iter().flatten().map(|rate| rate * 4.5).sum(); // the shortest step
            prop_assert!(known <= received as f64 + 1.0, "{} of {}", known, received);
        }
    }
}
