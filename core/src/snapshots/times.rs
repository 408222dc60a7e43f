//! Times as REST bodies and the fetcher write them.

use jiff::Timestamp;
use jiff::tz::Offset;

/// How far ahead of now a time may be.
const MAX_AHEAD_US: i64 = crate::time::MAX_AHEAD_US.cast_signed();
/// How far behind its receipt an event may be dated. Rows of strikes that hardly trade are hours old; milliseconds that are seconds would be of 1970.
const MAX_BEHIND_US: i64 = 30 * 86_400 * 1_000_000;

/// The present, as far as it is known, and what claimed to be later. That is taken as of now: it would be the newest for
/// ever.
#[derive(Debug)]
pub(super) struct Present {
    /// In Unix microseconds.
    pub(super) now_us: i64,
    /// What a time of the future is taken as: that of the answer that states it.
    pub(super) as_of_us: i64,
    /// How many times were of the future.
    pub(super) ahead: u64,
}

impl Default for Present {
    fn default() -> Present {
        Present::at(i64::MAX, i64::MAX)
    }
}

impl Present {
    pub(super) fn at(now_us: i64, as_of_us: i64) -> Present {
        Present { now_us, as_of_us, ahead: 0 }
    }

    /// A time of REST's, in Unix microseconds.
    pub(super) fn hold_back(&mut self, at_us: i64) -> i64 {
        self.held_back(at_us, self.now_us, self.as_of_us)
    }

    /// When an event is dated, in Unix microseconds, if the time that it states can be true of one that was received then.
    pub(super) fn event_us(&mut self, stated_ms: i64, received_us: i64) -> Option<i64> {
        let at_us = stated_ms.saturating_mul(1000);
        let is_possible = at_us > 0 && at_us >= received_us.saturating_sub(MAX_BEHIND_US);
        is_possible.then(|| self.held_back(at_us, received_us, received_us))
    }

    fn held_back(&mut self, at_us: i64, now_us: i64, as_of_us: i64) -> i64 {
        let is_ahead = at_us > now_us.saturating_add(MAX_AHEAD_US);
        self.ahead += u64::from(is_ahead);
        if is_ahead { as_of_us } else { at_us }
    }
}

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

    #[test]
    fn an_event_is_dated_near_its_receipt() {
        let received_us = 1_759_522_387_102_000;
        let ms = received_us / 1000;
        let mut present = Present::default();
        for good in [ms, ms + 300_000, ms - 86_400_000] {
            assert_eq!(present.event_us(good, received_us), Some(good * 1000));
        }
        assert_eq!(present.ahead, 0);
        // microseconds, the near and the far future
        for ahead in [received_us, ms + 300_001, i64::MAX] {
            assert_eq!(present.event_us(ahead, received_us), Some(received_us), "{ahead}");
        }
        assert_eq!(present.ahead, 3);
        // seconds, none at all
        for bad in [ms / 1000, 0, -ms, i64::MIN] {
            assert_eq!(present.event_us(bad, received_us), None, "{bad}");
        }
        let mut event_us = |stated, received| present.event_us(stated, received);
        assert_eq!([event_us(ms, i64::MAX), event_us(1, 0), event_us(0, 0)], [None, Some(1000), None]);
    }

    #[test]
    fn a_time_of_rest_is_held_back_where_the_present_is_known() {
        assert_eq!(Present::default().hold_back(i64::MAX), i64::MAX);
        let mut present = Present::at(7, 6);
        let held = [0, 7 + MAX_AHEAD_US, 8 + MAX_AHEAD_US].map(|at| present.hold_back(at));
        assert_eq!((held, present.ahead), ([0, 7 + MAX_AHEAD_US, 6], 1));
    }
}
