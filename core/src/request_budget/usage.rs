//! The headers of an answer about the use of the token.

use std::time::Duration;

/// The usage of the token, of all its clients together. Any header may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenUsage {
    /// `x-uw-token-req-limit`: requests allowed per day.
    pub day_limit: Option<u64>,
    /// `x-uw-daily-req-count`: requests counted since the day's turn.
    pub day_count: Option<u64>,
    /// `x-uw-req-per-minute-remaining`: requests left in the vendor's current minute.
    pub minute_remaining: Option<u64>,
    /// `x-uw-minute-req-counter`: requests counted in it.
    pub minute_count: Option<u64>,
    /// `x-uw-req-per-minute-reset`: time until it ends; the header has milliseconds.
    pub minute_reset: Option<Duration>,
}

impl TokenUsage {
    /// Reads the headers, which `header` returns by name. One that is no whole number counts as missing.
    #[must_use]
    pub fn read<'h>(header: impl Fn(&str) -> Option<&'h str>) -> TokenUsage {
        let number = |name| header(name)?.trim().parse().ok();
        TokenUsage {
            day_limit: number("x-uw-token-req-limit"),
            day_count: number("x-uw-daily-req-count"),
            minute_remaining: number("x-uw-req-per-minute-remaining"),
            minute_count: number("x-uw-minute-req-counter"),
            minute_reset: number("x-uw-req-per-minute-reset").map(Duration::from_millis),
        }
    }

    /// Returns whether all requests of the day are used.
    #[must_use]
    pub fn is_day_used(&self) -> bool {
        self.day_limit.zip(self.day_count).is_some_and(|(limit, count)| count >= limit)
    }
}
