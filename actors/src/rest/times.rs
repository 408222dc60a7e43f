//! Times as REST bodies and the fetcher write them.

use jiff::Timestamp;
use jiff::tz::Offset;

/// `2025-10-03T20:13:07.102593Z`, as rows have it.
pub(super) fn micros(unix_us: i64) -> String {
    at(unix_us).strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// `2025-10-03T23:58:43Z`, as `tape_time` has it.
pub(super) fn seconds(unix_us: i64) -> String {
    at(unix_us).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `2025-10-04T21:46:54.515417+00:00`, as Python's `datetime.isoformat()` has it: without a fraction where it is zero.
pub(super) fn isoformat(unix_us: i64) -> String {
    let form =
        if unix_us % 1_000_000 == 0 { "%Y-%m-%dT%H:%M:%S+00:00" } else { "%Y-%m-%dT%H:%M:%S%.6f+00:00" };
    at(unix_us).strftime(form).to_string()
}

/// Reads any of these as Unix microseconds; a time without an offset counts as UTC.
pub(super) fn parse(text: &str) -> Option<i64> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at.as_microsecond());
    }
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    Some(Offset::UTC.to_timestamp(civil).ok()?.as_microsecond())
}

/// The date of days since 1970-01-01, as `YYYY-MM-DD`.
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
}
