//! Segments of a stock's trading day, by New York's clock.

use jiff::civil::{Time, time};

use super::sessions::{MarketState, market_state, new_york, session_hours};

const EXTENDED_OPEN: Time = time(4, 0, 0, 0);
const EXTENDED_CLOSE: Time = time(20, 0, 0, 0);

/// A part of a stock's day. REST's `stock_state` describes one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DaySegment {
    /// 04:00 to the open.
    Premarket,
    /// From the open to the close.
    Regular,
    /// The close to 20:00.
    Postmarket,
    /// 20:00 to 04:00, and days without a session.
    Night,
}

impl DaySegment {
    /// Returns the segment of a time in Unix milliseconds.
    #[must_use]
    pub fn at(unix_ms: u64) -> DaySegment {
        let (date, now) = new_york(unix_ms);
        let Some(hours) = session_hours(super::sessions::day_number(date)) else { return DaySegment::Night };
        if now < EXTENDED_OPEN || now >= EXTENDED_CLOSE {
            DaySegment::Night
        } else if market_state(unix_ms) == MarketState::Open {
            DaySegment::Regular
        } else if unix_ms < hours.start {
            DaySegment::Premarket
        } else {
            DaySegment::Postmarket
        }
    }

    /// Reads REST's `market_time`; `None` for an unknown word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<DaySegment> {
        match word {
            "premarket" => Some(DaySegment::Premarket),
            "regular" => Some(DaySegment::Regular),
            "postmarket" => Some(DaySegment::Postmarket),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sessions::tests::at;
    use super::*;

    #[test]
    fn a_day_has_segments_and_a_night() {
        use DaySegment::{Night, Postmarket, Premarket, Regular};
        for (time, segment) in [
            ("2026-11-30T03:59:59.999-05:00", Night),
            ("2026-11-30T04:00-05:00", Premarket),
            ("2026-11-30T09:29:59.999-05:00", Premarket),
            ("2026-11-30T09:30-05:00", Regular),
            ("2026-11-30T15:59:59.999-05:00", Regular),
            ("2026-11-30T16:00-05:00", Postmarket),
            ("2026-11-30T19:59:59.999-05:00", Postmarket),
            ("2026-11-30T20:00-05:00", Night),
            // an early close, a holiday, a Saturday, summer time
            ("2026-11-27T12:59-05:00", Regular),
            ("2026-11-27T13:00-05:00", Postmarket),
            ("2026-11-26T12:00-05:00", Night),
            ("2026-11-28T12:00-05:00", Night),
            ("2026-07-01T09:30-04:00", Regular),
        ] {
            assert_eq!(DaySegment::at(at(time)), segment, "{time}");
        }
        assert!([0, u64::MAX].map(DaySegment::at).iter().all(|segment| *segment != Regular));
    }
}
