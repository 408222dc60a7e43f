//! Times of queries and rows.

use jiff::civil::{Date, DateTime};
use jiff::tz::{self, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

static NEW_YORK: TimeZone = tz::get!("America/New_York");

/// Numbers from here on are milliseconds: as seconds they would be in the year 5138.
const FIRST_MILLIS: u64 = 100_000_000_000;
/// The vendor's day ends at 20:00 in New York.
const HOURS_AFTER_THE_DAY: i64 = 4;
/// Microseconds of a minute.
const MINUTE_US: u64 = 60_000_000;

fn at(unix_us: u64) -> Timestamp {
    i64::try_from(unix_us).ok().and_then(|us| Timestamp::from_microsecond(us).ok()).unwrap_or_default()
}

fn unix_us(at: Timestamp) -> u64 {
    u64::try_from(at.as_microsecond()).unwrap_or_default()
}

/// Reads Unix seconds or milliseconds, an ISO date (its start in UTC) or an RFC 3339 time, as Unix microseconds.
pub(super) fn parse(text: &str) -> Option<u64> {
    if let Ok(number) = text.parse::<u64>() {
        return number.checked_mul(if number < FIRST_MILLIS { 1_000_000 } else { 1_000 });
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(unix_us(time));
    }
    let civil: DateTime = text.parse().ok()?;
    Offset::UTC.to_timestamp(civil).ok().map(unix_us)
}

/// Reads a time of a payload: integer milliseconds, or text.
pub(super) fn of_payload(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => parse(text),
        value => value.as_u64()?.checked_mul(1_000),
    }
}

/// Formats `2026-10-05T15:00:00.123456Z`.
pub(super) fn micros(unix_us: u64) -> String {
    at(unix_us).strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// Formats `2026-10-05T15:00:00Z`.
pub(super) fn seconds(unix_us: u64) -> String {
    at(unix_us).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Truncates to the start of a minute.
pub(super) fn minute(unix_us: u64) -> u64 {
    unix_us - unix_us % MINUTE_US
}

/// Returns the start of the next minute.
pub(super) fn next_minute(unix_us: u64) -> u64 {
    minute(unix_us) + MINUTE_US
}

fn in_new_york(unix_us: u64) -> jiff::Zoned {
    at(unix_us).to_zoned(NEW_YORK.clone())
}

/// Returns the date in New York.
pub(super) fn day(unix_us: u64) -> Date {
    in_new_york(unix_us).date()
}

/// Returns the date in UTC, by which prints are selected: it begins in the evening before in New York.
pub(super) fn utc_day(unix_us: u64) -> Date {
    at(unix_us).to_zoned(TimeZone::UTC).date()
}

/// Returns the day of the request count, which ends at 20:00 in New York.
pub(super) fn counting_day(unix_us: u64) -> Date {
    let now = in_new_york(unix_us);
    now.checked_add(SignedDuration::from_hours(HOURS_AFTER_THE_DAY)).map_or(now.date(), |later| later.date())
}

/// Returns the segment of the day as in candles: `pr` before the session, `r` regular, `po` after it.
pub(super) fn segment(unix_us: u64) -> &'static str {
    let now = in_new_york(unix_us);
    match (now.hour(), now.minute()) {
        (hour, minute) if (hour, minute) < (9, 30) => "pr",
        (hour, _) if hour < 16 => "r",
        _ => "po",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_in_seconds_milliseconds_as_a_date_and_as_rfc_3339() {
        for text in ["1791212400", "1791212400000", "2026-10-05T15:00:00Z", "2026-10-05T11:00:00-04:00"] {
            assert_eq!(parse(text), Some(1_791_212_400_000_000), "{text}");
        }
        assert_eq!(parse("2026-10-05"), Some(1_791_158_400_000_000));
        assert_eq!(parse("yesterday"), None);
    }

    #[test]
    fn the_day_of_the_count_ends_at_eight_in_the_evening() {
        let before = parse("2026-10-05T19:59:59-04:00").unwrap();
        assert_eq!(counting_day(before).to_string(), "2026-10-05");
        assert_eq!(counting_day(before + 1_000_000).to_string(), "2026-10-06");
        assert_eq!((segment(before), segment(before - 5 * 3_600_000_000)), ("po", "r"));
    }
}
