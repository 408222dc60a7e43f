//! Session dates of sequences of times.

use std::ops::Range;

use jiff::civil::{Date, Time};

use super::products::{Product, next_session};
use super::sessions::{day_number, new_york, unix_ms};

/// Caches the session dates of times mostly on the same day: one comparison per call.
#[derive(Clone, Debug)]
pub struct SessionClock {
    /// The last day looked up, and the Unix milliseconds that it covers.
    date: i32,
    covers: Range<u64>,
    /// That day.
    day: Date,
    /// The next day, if it has a session.
    next: Option<i32>,
}

impl Default for SessionClock {
    fn default() -> SessionClock {
        SessionClock { date: 0, covers: 0..0, day: Date::ZERO, next: None }
    }
}

impl SessionClock {
    /// Returns the date in New York.
    pub fn date(&mut self, unix_ms: u64) -> i32 {
        if !self.covers.contains(&unix_ms) {
            self.turn_to(new_york(unix_ms).0);
        }
        self.date
    }

    /// Returns the date of the session that a time belongs to: an evening in which a product trades already belongs to
    /// the next day.
    pub fn session_of(&mut self, product: Product, unix_ms: u64) -> i32 {
        let date = self.date(unix_ms);
        let (Some(evening), Some(next)) = (product.evening(), self.next) else { return date };
        let is_evening = self::unix_ms(self.day, evening).is_some_and(|evening| unix_ms >= evening);
        if is_evening { next } else { date }
    }

    fn turn_to(&mut self, day: Date) {
        let midnight = |day| unix_ms(day, Time::midnight());
        (self.date, self.day, self.next) = (day_number(day), day, next_session(day));
        // at the ends of the calendar nothing is cached
        self.covers = match (midnight(day), day.tomorrow().ok().and_then(midnight)) {
            (Some(start), Some(end)) => start..end,
            _ => 0..0,
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::session_date;
    use super::super::sessions::tests::recent;
    use super::*;

    #[test]
    fn times_beyond_the_calendar_are_survived() {
        let mut clock = SessionClock::default();
        for time in [0, 1, u64::MAX / 2, u64::MAX] {
            assert_eq!(clock.date(time), session_date(time));
        }
    }

    proptest! {
        #[test]
        fn the_clock_agrees_with_the_calendar(times in prop::collection::vec(recent(), 1..20)) {
            let mut clock = SessionClock::default();
            for time in times {
                // its day, the times around it, and the next day
                for time in [time, time + 1, time + 3_600_000, time, time + 86_400_000] {
                    prop_assert_eq!(clock.date(time), session_date(time));
                }
            }
        }
    }
}
