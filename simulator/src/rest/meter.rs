//! Counts the requests of each token over all its clients, and refuses those above its limits.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::civil::Date;

use super::limits::{Excess, RestLimits};
use super::times;

/// Tokens that are counted apart; further ones share one count.
const MAX_ACCOUNTS: usize = 1024;

/// The counts of a token as its headers show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    limits: RestLimits,
    in_minute: u32,
    today: u32,
    /// Time until the minute's count starts over.
    pub(crate) reset: Duration,
}

impl Usage {
    /// Claims that the limit of the minute or of the day is used up.
    pub(crate) fn exhausted(self, excess: Excess) -> Usage {
        match excess {
            Excess::Minute => Usage { in_minute: self.limits.per_minute, ..self },
            Excess::Day => Usage { today: self.limits.per_day, ..self },
            Excess::InFlight => self,
        }
    }

    /// Returns the five usage headers.
    pub(crate) fn headers(&self) -> Vec<(&'static str, String)> {
        let remaining = self.limits.per_minute.saturating_sub(self.in_minute);
        vec![
            ("x-uw-token-req-limit", self.limits.per_day.to_string()),
            ("x-uw-daily-req-count", self.today.to_string()),
            ("x-uw-req-per-minute-remaining", remaining.to_string()),
            ("x-uw-minute-req-counter", self.in_minute.to_string()),
            ("x-uw-req-per-minute-reset", self.reset.as_millis().to_string()),
        ]
    }
}

#[derive(Debug)]
struct Account {
    minute_since: Instant,
    in_minute: u32,
    day: Date,
    today: u32,
    in_flight: u32,
    handshakes_since: Instant,
    handshakes: u32,
}

impl Account {
    fn new(now: Instant) -> Account {
        Account {
            minute_since: now,
            in_minute: 0,
            day: Date::MIN,
            today: 0,
            in_flight: 0,
            handshakes_since: now,
            handshakes: 0,
        }
    }

    /// Starts the counts over that are due.
    fn turn(&mut self, now: Instant, day: Date, minute: Duration) {
        if now.duration_since(self.minute_since) >= minute {
            (self.minute_since, self.in_minute) = (now, 0);
        }
        if day != self.day {
            (self.day, self.today) = (day, 0);
        }
    }
}

/// Counts of all tokens.
#[derive(Debug)]
pub(crate) struct Meter {
    limits: RestLimits,
    accounts: HashMap<String, Account>,
}

impl Meter {
    pub(crate) fn new(limits: RestLimits) -> Meter {
        Meter { limits, accounts: HashMap::new() }
    }

    /// Replaces the limits and keeps the counts.
    pub(crate) fn set_limits(&mut self, limits: RestLimits) {
        self.limits = limits;
    }

    fn account(&mut self, token: &str, now: Instant) -> &mut Account {
        let is_full = self.accounts.len() >= MAX_ACCOUNTS && !self.accounts.contains_key(token);
        let name = if is_full { "" } else { token };
        self.accounts.entry(name.to_owned()).or_insert_with(|| Account::new(now))
    }

    /// Counts a request, or tells which limit it is above; a refused request is not counted. A counted one is to be
    /// [finished](Self::finish).
    pub(crate) fn begin(&mut self, token: &str, now: Instant, now_us: u64) -> Result<(), Excess> {
        let limits = self.limits;
        let account = self.account(token, now);
        account.turn(now, times::counting_day(now_us), limits.minute);
        if account.today >= limits.per_day {
            return Err(Excess::Day);
        }
        if account.in_minute >= limits.per_minute {
            return Err(Excess::Minute);
        }
        if account.in_flight >= limits.in_flight {
            return Err(Excess::InFlight);
        }
        account.in_minute += 1;
        account.today += 1;
        account.in_flight += 1;
        Ok(())
    }

    /// Ends a counted request.
    pub(crate) fn finish(&mut self, token: &str, now: Instant) {
        let account = self.account(token, now);
        account.in_flight = account.in_flight.saturating_sub(1);
    }

    /// Counts a handshake; returns whether it is within its limit.
    pub(crate) fn admits_handshake(&mut self, token: &str, now: Instant) -> bool {
        let limits = self.limits;
        let account = self.account(token, now);
        if now.duration_since(account.handshakes_since) >= limits.minute {
            (account.handshakes_since, account.handshakes) = (now, 0);
        }
        account.handshakes += 1;
        limits.handshakes_per_minute.is_none_or(|limit| account.handshakes <= limit)
    }

    /// Returns the counts of a token.
    pub(crate) fn usage(&mut self, token: &str, now: Instant) -> Usage {
        let limits = self.limits;
        let account = self.account(token, now);
        let reset = limits.minute.saturating_sub(now.duration_since(account.minute_since));
        Usage { limits, in_minute: account.in_minute, today: account.today, reset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some Monday, 15:00 in New York.
    const NOW_US: u64 = 1_791_226_800_000_000;

    fn meter() -> Meter {
        let limits = RestLimits { per_minute: 3, per_day: 5, in_flight: 2, ..RestLimits::default() };
        Meter::new(limits)
    }

    #[test]
    fn a_token_is_refused_above_each_of_its_limits_and_others_are_not() {
        let (mut meter, now) = (meter(), Instant::now());
        let minute = Duration::from_secs(60);
        assert_eq!(meter.begin("a", now, NOW_US), Ok(()));
        assert_eq!(meter.begin("a", now, NOW_US), Ok(()));
        assert_eq!(meter.begin("a", now, NOW_US), Err(Excess::InFlight));
        meter.finish("a", now);
        assert_eq!(meter.begin("a", now, NOW_US), Ok(()));
        meter.finish("a", now);
        assert_eq!(meter.begin("a", now, NOW_US), Err(Excess::Minute));
        assert_eq!(meter.begin("b", now, NOW_US), Ok(()));
        for _ in 0..2 {
            assert_eq!(meter.begin("a", now + minute, NOW_US), Ok(()));
            meter.finish("a", now);
        }
        assert_eq!(meter.begin("a", now + minute, NOW_US), Err(Excess::Day));
        let evening_us = NOW_US + 5 * 3_600_000_000;
        assert_eq!(meter.begin("a", now + 2 * minute, evening_us), Ok(()));
    }

    #[test]
    fn the_headers_show_the_counts() {
        let (mut meter, now) = (meter(), Instant::now());
        assert_eq!(meter.begin("a", now, NOW_US), Ok(()));
        let headers = meter.usage("a", now).headers();
        let value = |name: &str| headers.iter().find(|(header, _)| *header == name).unwrap().1.clone();
        assert_eq!(value("x-uw-token-req-limit"), "5");
        assert_eq!(value("x-uw-daily-req-count"), "1");
        assert_eq!(value("x-uw-req-per-minute-remaining"), "2");
        assert_eq!(value("x-uw-minute-req-counter"), "1");
        assert!(value("x-uw-req-per-minute-reset").parse::<u64>().unwrap() <= 60_000);
    }

    #[test]
    fn handshakes_have_a_limit_of_their_own() {
        let mut meter = meter();
        let now = Instant::now();
        assert!((0..9).all(|_| meter.admits_handshake("a", now)));
        meter.set_limits(RestLimits { handshakes_per_minute: Some(9), ..RestLimits::default() });
        assert!(!meter.admits_handshake("a", now));
        assert!(meter.admits_handshake("a", now + Duration::from_secs(60)));
    }
}
