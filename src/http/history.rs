//! Rates of received and written events over the last ten minutes, in steps.
//!
//! Pure: counts and times are passed in. A step is known if the counts were read at its beginning and its end; if the
//! thread did not run at these times the step is unknown, as opposed to a step without events.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use uw_websocket_actors::observation::Observations;

/// Length of a step: short enough to show a burst, long enough that a slow channel is not all zeros.
pub const STEP: Duration = Duration::from_secs(5);
/// Number of steps kept: ten minutes, one number per point of a sparkline.
pub const KEPT: usize = 120;
/// Maximum delay after the end of a step for counts that are attributed to it.
const PUNCTUAL: Duration = Duration::from_millis(500);

/// The rates of the last steps.
#[derive(Debug)]
pub struct History {
    began: Instant,
    /// Steps ended since then, known or not.
    ended: u128,
    /// The counts at the end of the last step, if they were read in time.
    counts: Option<Counts>,
    /// Received events per second, by channel and step, oldest first.
    received: Vec<VecDeque<Option<f64>>>,
    /// The writers' rates in the last step, if known.
    written: Vec<Option<Writing>>,
}

/// A writer's rates in a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Writing {
    /// Events confirmed by Redis per second.
    pub rate: f64,
    /// Events per second by which the backlog on disk shrank; negative if it grew.
    pub drained: f64,
}

/// Counts at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    at: Instant,
    /// Events read from the feed, by channel.
    pub received: Vec<u64>,
    /// Events confirmed by Redis and events on disk, by writer.
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
    /// Creates a history whose steps begin at the time of these counts.
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

    /// Records counts; to be called just after the end of each step.
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
            // at most all steps kept are replaced
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

    /// Returns the received events per second of a channel, oldest step first; `None` for unknown steps.
    #[must_use]
    pub fn rates(&self, channel: usize) -> Vec<Option<f64>> {
        self.received.get(channel).map_or_else(Vec::new, |rates| rates.iter().copied().collect())
    }

    /// Returns a writer's rates in the last step.
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

/// Rounds to two decimals: one event per step is 0.2.
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

    /// A history of one channel with these times (in milliseconds) and counts.
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
        /// Whenever counts are recorded, the number of steps matches the time, and the known rates add up to no more
        /// than the events received.
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
