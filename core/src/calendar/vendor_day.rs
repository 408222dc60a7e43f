//! The day by which the vendor counts requests: it turns at 20:00 New York time.

use jiff::civil::Time;

use super::sessions::{date_of, session_date, unix_ms};

/// Time from the turn to the midnight after it. No time zone change of New York lies between them.
const BEFORE_MIDNIGHT_MS: u64 = 4 * 3_600 * 1_000;

/// Returns the day that a time is counted for, as days since 1970-01-01: from 20:00 on the next date's.
#[must_use]
pub fn vendor_day(unix_ms: u64) -> i32 {
    session_date(unix_ms.saturating_add(BEFORE_MIDNIGHT_MS))
}

/// Returns the end of that day, the next 20:00 in New York; the time itself at the end of the calendar.
#[must_use]
pub fn vendor_day_end(unix_ms: u64) -> u64 {
    let midnight = date_of(vendor_day(unix_ms)).tomorrow().ok();
    let midnight = midnight.and_then(|date| self::unix_ms(date, Time::midnight()));
    midnight.map_or(unix_ms, |midnight| midnight - BEFORE_MIDNIGHT_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::parse_iso;

    fn ms(text: &str) -> u64 {
        parse_iso(text).unwrap() / 1_000
    }

    #[test]
    fn the_day_turns_at_eight_in_the_evening_of_new_york_in_winter_and_in_summer() {
        for (turn, day) in [("2026-01-06T01:00:00Z", "2026-01-06"), ("2026-07-07T00:00:00Z", "2026-07-07")] {
            let (turn, day) = (ms(turn), super::super::day_of(day).unwrap());
            assert_eq!([vendor_day(turn - 1), vendor_day(turn)], [day - 1, day]);
            assert_eq!(vendor_day_end(turn - 1), turn);
            assert_eq!(vendor_day_end(turn), turn + 86_400_000);
        }
    }

    #[test]
    fn the_end_of_a_day_with_a_change_of_the_clock_is_an_hour_off() {
        // the night of 2026-03-08 has 23 hours
        assert_eq!(vendor_day_end(ms("2026-03-08T01:00:00Z")), ms("2026-03-09T00:00:00Z"));
        assert_eq!(vendor_day_end(u64::MAX), u64::MAX);
    }
}
