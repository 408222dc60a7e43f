//! Market hours: the sessions of the New York Stock Exchange, in New York time.
//!
//! Regular hours only: 09:30 to 16:00, to 13:00 on the days before some holidays. Pure: the time is a parameter.
//! Dates are days since 1970-01-01, times are Unix milliseconds; a time beyond the calendar's range is clamped to
//! its end.

use std::ops::Range;

use jiff::civil::{Date, Time, date, time};
use jiff::tz::{self, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use super::days::{self, Day};

/// Compiled in, so that the image needs no tzdata; a change of New York's time zone rules needs a new build.
static NEW_YORK: TimeZone = tz::get!("America/New_York");

const EPOCH: Date = date(1970, 1, 1);
pub(super) const OPEN: Time = time(9, 30, 0, 0);
pub(super) const CLOSE: Time = time(16, 0, 0, 0);
pub(super) const EARLY_CLOSE: Time = time(13, 0, 0, 0);

/// Days within which the market state next changes: from a Friday's close to the Tuesday after a holiday, with
/// margin.
const LONGEST_STRETCH_DAYS: usize = 7;

/// The market state by the calendar; trading halts are not considered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarketState {
    /// During a session.
    Open,
    /// Outside of sessions.
    Closed(Closure),
}

/// The reason why the market is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closure {
    /// A Saturday or Sunday.
    Weekend,
    /// A weekday without a session.
    Holiday,
    /// Before today's session.
    BeforeOpen,
    /// After today's session.
    AfterClose,
}

impl MarketState {
    /// Returns `open`, `holiday` on a weekday without a session, else `closed`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            MarketState::Open => "open",
            MarketState::Closed(Closure::Holiday) => "holiday",
            MarketState::Closed(Closure::Weekend | Closure::BeforeOpen | Closure::AfterClose) => "closed",
        }
    }
}

/// Returns the date in New York.
#[must_use]
pub fn session_date(unix_ms: u64) -> i32 {
    day_number(new_york(unix_ms).0)
}

/// Parses a date in the form `YYYY-MM-DD`.
#[must_use]
pub fn day_of(iso: &str) -> Option<i32> {
    iso.parse().ok().map(day_number)
}

/// Formats a date as `YYYY-MM-DD`.
#[must_use]
pub fn iso_date(day: i32) -> String {
    date_of(day).to_string()
}

/// Returns the beginning of a date in New York, in Unix milliseconds; `None` before 1970.
#[must_use]
pub fn midnight(day: i32) -> Option<u64> {
    unix_ms(date_of(day), Time::midnight())
}

/// Returns the hour in New York, 0 to 23.
#[must_use]
pub fn new_york_hour(unix_ms: u64) -> u8 {
    new_york(unix_ms).1.hour().unsigned_abs()
}

/// Returns the market state at a time.
#[must_use]
pub fn market_state(unix_ms: u64) -> MarketState {
    let (date, now) = new_york(unix_ms);
    let close = match days::day(date) {
        Day::Weekend => return MarketState::Closed(Closure::Weekend),
        Day::Holiday => return MarketState::Closed(Closure::Holiday),
        Day::Full => CLOSE,
        Day::Early => EARLY_CLOSE,
    };
    match now {
        _ if now < OPEN => MarketState::Closed(Closure::BeforeOpen),
        _ if now < close => MarketState::Open,
        _ => MarketState::Closed(Closure::AfterClose),
    }
}

/// Returns the time at which the [word](MarketState::word) for the state next changes; `None` at the end of the
/// calendar.
#[must_use]
pub fn market_state_until(unix_ms: u64) -> Option<u64> {
    let word = market_state(unix_ms).word();
    let today = new_york(unix_ms).0;
    let days = today.series(1.day()).take(LONGEST_STRETCH_DAYS);
    let turns = days.flat_map(|date| [Time::midnight(), OPEN, EARLY_CLOSE, CLOSE].map(|time| (date, time)));
    turns
        .filter_map(|(date, time)| self::unix_ms(date, time))
        .find(|turn| *turn > unix_ms && market_state(*turn).word() != word)
}

/// Returns open and close of a date's session; `None` if it has none.
#[must_use]
pub fn session_hours(date: i32) -> Option<Range<u64>> {
    let date = date_of(date);
    let close = match days::day(date) {
        Day::Weekend | Day::Holiday => return None,
        Day::Full => CLOSE,
        Day::Early => EARLY_CLOSE,
    };
    Some(unix_ms(date, OPEN)?..unix_ms(date, close)?)
}

pub(super) fn new_york(unix_ms: u64) -> (Date, Time) {
    let at = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let civil = NEW_YORK.to_datetime(at.unwrap_or(Timestamp::MAX));
    (civil.date(), civil.time())
}

/// Returns `None` before 1970. New York's clocks change at 02:00, so midnight and trading hours exist exactly once
/// on every date.
pub(super) fn unix_ms(date: Date, time: Time) -> Option<u64> {
    let at = NEW_YORK.to_timestamp(date.to_datetime(time)).ok()?;
    u64::try_from(at.as_millisecond()).ok()
}

pub(super) fn day_number(date: Date) -> i32 {
    i32::try_from(date.duration_since(EPOCH).as_hours() / 24).unwrap_or(i32::MAX)
}

/// Clamps to the calendar's range.
pub(super) fn date_of(day_number: i32) -> Date {
    EPOCH.saturating_add(SignedDuration::from_hours(i64::from(day_number) * 24))
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Parses a time with its UTC offset, so that the time zone is under test too.
    pub(crate) fn at(text: &str) -> u64 {
        let at: Timestamp = text.parse().unwrap();
        u64::try_from(at.as_millisecond()).unwrap()
    }

    fn day(text: &str) -> i32 {
        day_number(text.parse().unwrap())
    }

    #[test]
    fn the_date_changes_at_midnight_in_new_york() {
        assert_eq!(session_date(0), -1, "1969-12-31 19:00 in New York");
        assert_eq!(session_date(at("2026-01-15T23:59:59.999-05:00")), day("2026-01-15"));
        assert_eq!(session_date(at("2026-01-16T00:00-05:00")), day("2026-01-16"));
        // UTC is ahead by four or five hours
        assert_eq!(session_date(at("2026-07-01T20:30-04:00")), day("2026-07-01"));
    }

    #[test]
    fn a_session_is_open_from_half_past_nine_to_four() {
        use Closure::{AfterClose, BeforeOpen, Weekend};
        for (time, state) in [
            ("2026-11-20T09:29:59.999-05:00", MarketState::Closed(BeforeOpen)),
            ("2026-11-20T09:30-05:00", MarketState::Open),
            ("2026-11-20T15:59:59.999-05:00", MarketState::Open),
            ("2026-11-20T16:00-05:00", MarketState::Closed(AfterClose)),
            ("2026-11-21T12:00-05:00", MarketState::Closed(Weekend)),
            ("2026-11-22T12:00-05:00", MarketState::Closed(Weekend)),
            ("2026-11-26T12:00-05:00", MarketState::Closed(Closure::Holiday)),
            ("2026-11-27T12:59:59.999-05:00", MarketState::Open),
            ("2026-11-27T13:00-05:00", MarketState::Closed(AfterClose)),
        ] {
            assert_eq!(market_state(at(time)), state, "{time}");
        }
    }

    #[test]
    fn hours_follow_new_yorks_clock_over_its_changes() {
        // a Friday in winter time, the Monday after the change to summer time
        for open in ["2026-03-06T09:30-05:00", "2026-03-09T09:30-04:00"] {
            assert_eq!(market_state(at(open) - 1), MarketState::Closed(Closure::BeforeOpen), "{open}");
            assert_eq!(market_state(at(open)), MarketState::Open, "{open}");
        }
    }

    #[test]
    fn a_session_has_hours_and_other_days_have_none() {
        let hours = |open, close| Some(at(open)..at(close));
        for (date, expected) in [
            ("2026-03-06", hours("2026-03-06T09:30-05:00", "2026-03-06T16:00-05:00")),
            ("2026-03-09", hours("2026-03-09T09:30-04:00", "2026-03-09T16:00-04:00")),
            ("2024-07-03", hours("2024-07-03T09:30-04:00", "2024-07-03T13:00-04:00")),
            ("2026-11-27", hours("2026-11-27T09:30-05:00", "2026-11-27T13:00-05:00")),
            ("2025-12-24", hours("2025-12-24T09:30-05:00", "2025-12-24T13:00-05:00")),
            ("2026-11-26", None),
            ("2026-11-28", None),
        ] {
            assert_eq!(session_hours(day(date)), expected, "{date}");
        }
    }

    #[test]
    fn a_state_ends_where_another_begins() {
        for (time, word, until) in [
            ("2026-11-20T09:00-05:00", "closed", "2026-11-20T09:30-05:00"),
            ("2026-11-20T09:30-05:00", "open", "2026-11-20T16:00-05:00"),
            ("2026-11-20T16:00-05:00", "closed", "2026-11-23T09:30-05:00"),
            ("2026-11-25T18:00-05:00", "closed", "2026-11-26T00:00-05:00"),
            ("2026-11-26T00:00-05:00", "holiday", "2026-11-27T00:00-05:00"),
            ("2026-11-27T12:59-05:00", "open", "2026-11-27T13:00-05:00"),
            // the clocks change on the Sunday
            ("2026-03-06T20:00-05:00", "closed", "2026-03-09T09:30-04:00"),
            // a holiday on a Friday ends with the day, the weekend with the Monday's session
            ("2026-04-03T12:00-04:00", "holiday", "2026-04-04T00:00-04:00"),
            ("2026-04-04T00:00-04:00", "closed", "2026-04-06T09:30-04:00"),
            // a holiday on a Monday
            ("2026-05-22T17:00-04:00", "closed", "2026-05-25T00:00-04:00"),
        ] {
            let time = at(time);
            assert_eq!((market_state(time).word(), market_state_until(time)), (word, Some(at(until))));
        }
    }

    #[test]
    fn times_beyond_the_calendar_are_survived() {
        for time in [0, 1, u64::MAX / 2, u64::MAX] {
            assert!(matches!(market_state(time), MarketState::Open | MarketState::Closed(_)));
            assert!(market_state_until(time).is_none_or(|until| until > time));
        }
        for date in [i32::MIN, i32::MAX] {
            assert!(session_hours(date).is_none_or(|hours| hours.start < hours.end));
        }
    }

    /// 2015-01-01 to 2044-12-31.
    pub(crate) fn recent() -> impl Strategy<Value = u64> {
        1_420_070_400_000_u64..2_366_841_600_000
    }

    proptest! {
        #[test]
        fn the_market_is_open_in_the_hours_of_its_date(time in recent()) {
            let is_within = session_hours(session_date(time)).is_some_and(|hours| hours.contains(&time));
            prop_assert_eq!(market_state(time) == MarketState::Open, is_within);
        }

        #[test]
        fn a_state_lasts_until_it_ends(time in recent(), share in 0_u64..1_000) {
            let until = market_state_until(time).unwrap();
            let word = market_state(time).word();
            let between = time + (until - 1 - time) * share / 1_000;
            prop_assert_eq!(market_state(between).word(), word);
            prop_assert_eq!(market_state(until - 1).word(), word);
            prop_assert_ne!(market_state(until).word(), word);
        }
    }
}
