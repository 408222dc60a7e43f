//! The current time in the formats of events.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// A time, formatted once for all events that are made together.
#[derive(Debug)]
pub(super) struct Moment {
    pub(super) millis: [u8; 13],
    pub(super) second_millis: [u8; 13],
    pub(super) micros: [u8; 16],
    pub(super) iso: [u8; 20],
    second: u64,
    /// The time of the events in Unix microseconds.
    pub(super) unix_us: u64,
    /// Added to the wall clock, except in `micros`, the time of sending.
    shift_us: i64,
}

impl Moment {
    /// Reads the wall clock, which is shifted so that it is `at_us` now.
    pub(super) fn now(at_us: Option<u64>) -> Moment {
        let now_us = unix_micros();
        let mut moment = Moment::at(now_us);
        moment.shift_us = at_us.map_or(0, |at_us| at_us.cast_signed().wrapping_sub(now_us.cast_signed()));
        moment.set(now_us);
        moment
    }

    /// Returns the time of the events.
    pub(super) fn timestamp(&self) -> Timestamp {
        i64::try_from(self.second)
            .ok()
            .and_then(|second| Timestamp::from_second(second).ok())
            .unwrap_or_default()
    }

    /// Formats a time in Unix microseconds.
    pub(super) fn at(unix_us: u64) -> Moment {
        let mut moment = Moment {
            millis: [b'0'; 13],
            second_millis: [b'0'; 13],
            micros: [b'0'; 16],
            iso: *b"1970-01-01T00:00:00Z",
            second: 0,
            unix_us: 0,
            shift_us: 0,
        };
        moment.set(unix_us);
        moment
    }

    /// Reads the wall clock again.
    pub(super) fn refresh(&mut self) {
        self.set(unix_micros());
    }

    fn set(&mut self, unix_us: u64) {
        decimal(&mut self.micros, unix_us);
        let unix_us = unix_us.saturating_add_signed(self.shift_us);
        self.unix_us = unix_us;
        decimal(&mut self.millis, unix_us / 1000);
        let second = unix_us / 1_000_000;
        if second == self.second {
            return;
        }
        self.second = second;
        decimal(&mut self.second_millis, second * 1000);
        let text = self.timestamp().to_string();
        if text.len() == self.iso.len() {
            self.iso.copy_from_slice(text.as_bytes());
        }
    }
}

/// Reads the wall clock, in Unix microseconds.
pub(super) fn unix_micros() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
}

/// Writes the last decimal digits of `value`, as many as there is room for.
#[inline]
pub(super) fn decimal(out: &mut [u8], mut value: u64) {
    for place in out.iter_mut().rev() {
        *place = b'0' + u8::try_from(value % 10).unwrap_or_default();
        value /= 10;
    }
}
