//! Times in the formats of REST bodies and of the fetcher.

use jiff::Timestamp;
use jiff::tz::Offset;

/// Maximum time of an event after its receipt. Clocks differ by seconds; an event from the far future would stay
/// the newest forever.
const MAX_AHEAD_US: i64 = 3_600 * 1_000_000;
/// Maximum time of an event before its receipt. Rows of rarely traded strikes are hours old; seconds mistaken for
/// milliseconds would be in 1970.
const MAX_BEHIND_US: i64 = 30 * 86_400 * 1_000_000;

/// Returns the event's time in Unix microseconds, if it is plausible for the time of receipt.
pub(super) fn event_us(stated_ms: i64, received_us: i64) -> Option<i64> {
    let possible = received_us.saturating_sub(MAX_BEHIND_US)..=received_us.saturating_add(MAX_AHEAD_US);
    stated_ms.checked_mul(1000).filter(|at_us| *at_us > 0 && possible.contains(at_us))
}

/// Formats `2025-10-03T20:13:07.102593Z`, as in rows.
pub(super) fn micros(unix_us: i64) -> String {
    at(unix_us).strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// Formats `2025-10-03T23:58:43Z`, as in `tape_time`.
pub(super) fn seconds(unix_us: i64) -> String {
    at(unix_us).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Formats `2025-10-04T21:46:54.515417+00:00`, as Python's `datetime.isoformat()`: without a fraction if it is
/// zero.
pub(super) fn isoformat(unix_us: i64) -> String {
    let form =
        if unix_us % 1_000_000 == 0 { "%Y-%m-%dT%H:%M:%S+00:00" } else { "%Y-%m-%dT%H:%M:%S%.6f+00:00" };
    at(unix_us).strftime(form).to_string()
}

/// Parses any of these formats as Unix microseconds; a time without an offset is UTC.
pub(super) fn parse(text: &str) -> Option<i64> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at.as_microsecond());
    }
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    Some(Offset::UTC.to_timestamp(civil).ok()?.as_microsecond())
}

/// Formats days since 1970-01-01 as `YYYY-MM-DD`.
pub(super) fn date(days: i32) -> String {
    at(i64::from(days) * 86_400_000_000).strftime("%Y-%m-%d").to_string()
}

fn at(unix_us: i64) -> Timestamp {
    Timestamp::from_microsecond(unix_us).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_look_as_in_rest_bodies() {
        let at = 1_759_522_387_102_000;
        assert_eq!(micros(at), "2025-10-03T20:13:07.102000Z");
        assert_eq!(seconds(at), "2025-10-03T20:13:07Z");
        assert_eq!(isoformat(at), "2025-10-03T20:13:07.102000+00:00");
        assert_eq!(isoformat(1_759_522_387_000_000), "2025-10-03T20:13:07+00:00");
        assert_eq!(date(20_364), "2025-10-03");
        for text in [micros(at), isoformat(at)] {
            assert_eq!(parse(&text), Some(at));
        }
        assert_eq!(parse("2025-10-03T20:13:07"), Some(1_759_522_387_000_000));
        assert_eq!(parse("2025-10-03T16:13:07-04:00"), Some(1_759_522_387_000_000));
        assert_eq!(parse("soon"), None);
    }

    #[test]
    fn an_event_is_dated_near_its_receipt() {
        let received_us = 1_759_522_387_102_000;
        let ms = received_us / 1000;
        for good in [ms, ms + 3_599_000, ms - 86_400_000] {
            assert_eq!(event_us(good, received_us), Some(good * 1000));
        }
        // seconds, microseconds, far future, zero and negative
        for bad in [ms / 1000, received_us, ms + 3_600_001, i64::MAX, 0, -ms, i64::MIN] {
            assert_eq!(event_us(bad, received_us), None, "{bad}");
        }
        assert_eq!([event_us(ms, i64::MAX), event_us(1, 0), event_us(0, 0)], [None, Some(1000), None]);
    }
}
