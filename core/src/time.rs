//! Times as text in logs and Redis keys.

use std::time::Duration;

use jiff::Timestamp;

const SECOND_US: u64 = 1_000_000;

/// Formats Unix microseconds as `2026-01-02T03:04:05.000006+00:00`: Python's `isoformat()`, but always with
/// microseconds. A time beyond the calendar's range is clamped to its end.
#[must_use]
pub fn iso_utc(unix_us: u64) -> String {
    let at = i64::try_from(unix_us).ok().and_then(|us| Timestamp::from_microsecond(us).ok());
    at.unwrap_or(Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
}

/// Writes times as [`iso_utc`] does, most of which are in the second of the one before. One beyond the calendar's range is
/// in its last second.
#[derive(Clone, Debug, Default)]
pub struct IsoClock {
    second: u64,
    /// The text up to the microseconds; empty before the first time.
    text: String,
}

impl IsoClock {
    /// Appends Unix microseconds.
    pub fn write(&mut self, unix_us: u64, out: &mut Vec<u8>) {
        let (second, micros) = (unix_us / SECOND_US, unix_us % SECOND_US);
        if self.text.is_empty() || self.second != second {
            (self.second, self.text) = (second, iso_utc(unix_us));
            self.text.truncate("2026-01-02T03:04:05.".len());
        }
        out.extend_from_slice(self.text.as_bytes());
        // six digits behind the one
        out.extend(itoa::Buffer::new().format(SECOND_US + micros).bytes().skip(1));
        out.extend_from_slice(b"+00:00");
    }
}

/// Formats Unix microseconds to the second, in UTC: `2026-01-02T03:04:05`.
#[must_use]
pub fn utc_to_second(unix_us: u64) -> String {
    let mut text = iso_utc(unix_us);
    text.truncate("2026-01-02T03:04:05".len());
    text
}

/// Parses the output of [`iso_utc`], or any other ISO 8601 time with an offset, as Unix microseconds.
#[must_use]
pub fn parse_iso(text: &str) -> Option<u64> {
    let at: Timestamp = text.parse().ok()?;
    u64::try_from(at.as_microsecond()).ok()
}

/// Maximum time ahead of our clock, in microseconds, of a time from outside: synchronised clocks differ by seconds.
/// A later time would stay the newest forever.
pub const MAX_AHEAD_US: u64 = 5 * 60 * 1_000_000;

/// Clamps a time from outside that is in the future to `now_us`, both in Unix microseconds; returns whether it did.
pub fn hold_back(at_us: &mut u64, now_us: u64) -> bool {
    let is_ahead = at_us.saturating_sub(now_us) > MAX_AHEAD_US;
    if is_ahead {
        *at_us = now_us;
    }
    is_ahead
}

/// Returns whole milliseconds, as used in log records; saturates.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_utc_with_all_microseconds() {
        assert_eq!(iso_utc(1_767_323_045_000_006), "2026-01-02T03:04:05.000006+00:00");
        assert_eq!(iso_utc(1_767_323_045_000_000), "2026-01-02T03:04:05.000000+00:00");
        assert_eq!(iso_utc(0), "1970-01-01T00:00:00.000000+00:00");
        assert!(iso_utc(u64::MAX).starts_with("9999-12-"));
    }

    proptest! {
        #[test]
        fn a_clock_writes_what_is_formatted(times in prop::collection::vec(0_u64..4_000_000_000_000_000, 1..20)) {
            let mut clock = IsoClock::default();
            for time in times.into_iter().flat_map(|time| [time, time + 1, time - time % SECOND_US]) {
                let mut text = Vec::new();
                clock.write(time, &mut text);
                prop_assert_eq!(String::from_utf8(text).unwrap(), iso_utc(time));
            }
        }
    }

    #[test]
    fn what_claims_to_be_of_the_future_is_taken_as_of_now() {
        for (at, held) in
            [(0, 0), (7, 7), (7 + MAX_AHEAD_US, 7 + MAX_AHEAD_US), (8 + MAX_AHEAD_US, 7), (u64::MAX, 7)]
        {
            let mut seen = at;
            assert_eq!((hold_back(&mut seen, 7), seen), (held != at, held), "{at}");
        }
    }

    #[test]
    fn a_time_that_was_written_is_read_again() {
        for at in [0, 1_767_323_045_000_006] {
            assert_eq!(parse_iso(&iso_utc(at)), Some(at));
        }
        assert_eq!(parse_iso("2026-01-02T03:04:05Z"), Some(1_767_323_045_000_000));
        assert_eq!([parse_iso("yesterday"), parse_iso("1969-12-31T23:59:59Z")], [None, None]);
    }
}
