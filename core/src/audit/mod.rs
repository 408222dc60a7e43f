//! The audit: once per hour, whether the feed has delivered what the REST API knows.
//!
//! * [`kept`]: what is kept of the events as they arrive: sums, identities and times by minute
//! * [`blind`]: the minutes that are not judged, since something is known to be missing or may be late in them
//! * `course`: the hour of a subject, what is asked of it, and what may be trusted
//! * `drawing`: the intervals that are compared
//! * [`evidence`]: reads answers with rows, and refuses those that prove nothing
//! * [`series`]: reads answers with a row per minute, or with the newest state
//! * [`minutes`]: compares a row per minute with the events
//! * [`question`]: what is asked and answered
//! * [`hours`]: what is asked of an hour, and what follows from the answers
//! * [`screen`]: whether both sides are known to mean the same
//!
//! The clock and chance are parameters. A loss is only what two answers at least [`hours::AGAIN_AFTER_US`] apart show, in an
//! interval in which nothing else explains it: of trades, alerts and headlines by identity; of prices and exposures, whose
//! rows are no events, by a comparison that has agreed for hours.

pub mod blind;
mod course;
mod drawing;
pub mod evidence;
pub mod hours;
pub mod kept;
pub mod minutes;
pub mod question;
pub mod screen;
pub mod series;

use crate::calendar::Product;
use crate::calendar::products::ProductKind;

/// A minute in microseconds.
pub const MINUTE_US: u64 = 60_000_000;
/// An hour in microseconds.
pub const HOUR_US: u64 = 60 * MINUTE_US;

/// What of a channel is audited.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuditSubject {
    /// The option trades of a ticker, by `id` and `executed_at`.
    Trades(String),
    /// The alerts of the tickers, or of all if there is none, by `id` and the time of arrival.
    Alerts(Vec<String>),
    /// The headlines, by their text and second.
    News,
    /// The prices of a ticker, by candles of a minute and the last trade.
    Price(String),
    /// The exposures of a ticker, by a point per minute.
    Gex(String),
    /// The exposures of a ticker by strike, by the time of the newest.
    Strikes(String),
    /// The same by strike and expiry. The endpoint by expiry takes a request per expiry, and was seen to answer with an old
    /// state: the newest exposure by strike, computed together with them, stands for them.
    StrikesByExpiry(String),
}

impl AuditSubject {
    /// Returns the channel.
    #[must_use]
    pub fn channel(&self) -> &'static str {
        match self {
            AuditSubject::Trades(_) => "option_trades",
            AuditSubject::Alerts(_) => "flow-alerts",
            AuditSubject::News => "news",
            AuditSubject::Price(_) => "price",
            AuditSubject::Gex(_) => "gex",
            AuditSubject::Strikes(_) => "gex_strike",
            AuditSubject::StrikesByExpiry(_) => "gex_strike_expiry",
        }
    }

    /// Returns the ticker; `None` if the channel is joined globally.
    #[must_use]
    pub fn ticker(&self) -> Option<&str> {
        match self {
            AuditSubject::Alerts(_) | AuditSubject::News => None,
            AuditSubject::Trades(ticker)
            | AuditSubject::Price(ticker)
            | AuditSubject::Gex(ticker)
            | AuditSubject::Strikes(ticker)
            | AuditSubject::StrikesByExpiry(ticker) => Some(ticker),
        }
    }

    /// Returns the topic, or its channel where it is joined globally.
    #[must_use]
    pub fn topic(&self) -> String {
        let channel = self.channel();
        self.ticker().map_or_else(|| channel.to_owned(), |ticker| format!("{channel}:{ticker}"))
    }

    /// How much the times of the two sides may differ, in microseconds.
    #[must_use]
    pub const fn tolerance_us(&self) -> u64 {
        match self {
            // the same field on both sides, in milliseconds and in microseconds
            AuditSubject::Trades(_) => 1_000,
            // the vendor's clock on both sides; a trade counts in the minute of one side or the other
            AuditSubject::Price(_) => 5_000_000,
            // the time of arrival here, that of creation there; or a point of six here, one there
            AuditSubject::Alerts(_) | AuditSubject::News | AuditSubject::Gex(_) => MINUTE_US,
            // waves every half minute here, a state of unknown age there
            AuditSubject::Strikes(_) | AuditSubject::StrikesByExpiry(_) => 2 * MINUTE_US,
        }
    }

    /// Whether events are expected throughout, times in Unix microseconds. Of a stock in regular hours only: before and
    /// after them it is thin.
    #[must_use]
    pub fn is_expected(&self, from_us: u64, to_us: u64) -> bool {
        let product = match self {
            AuditSubject::Trades(_) | AuditSubject::Alerts(_) | AuditSubject::News => return true,
            AuditSubject::Price(_) => Product::Options,
            AuditSubject::Gex(_) | AuditSubject::Strikes(_) | AuditSubject::StrikesByExpiry(_) => {
                Product::of(ProductKind::Options, self.ticker())
            }
        };
        // no pause is shorter than what is judged at once
        [from_us, to_us.saturating_sub(1)].into_iter().all(|at_us| product.is_trading(at_us / 1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::parse_iso;

    #[test]
    fn events_are_expected_in_the_hours_of_their_product() {
        let [spy, tsla] = ["SPY", "TSLA"].map(str::to_owned);
        for (subject, time, expected) in [
            (AuditSubject::Price(spy.clone()), "2026-11-30T09:29-05:00", false),
            (AuditSubject::Price(spy.clone()), "2026-11-30T09:30-05:00", true),
            (AuditSubject::Price(spy.clone()), "2026-11-30T16:05-05:00", false),
            (AuditSubject::Gex(spy), "2026-11-30T16:05-05:00", true),
            (AuditSubject::Gex(tsla), "2026-11-30T16:05-05:00", false),
            // an early close, and a day without a session
            (AuditSubject::Strikes("TSLA".to_owned()), "2026-11-27T12:58-05:00", true),
            (AuditSubject::Strikes("TSLA".to_owned()), "2026-11-27T12:59:30-05:00", false),
            (AuditSubject::StrikesByExpiry("SPX".to_owned()), "2026-11-26T12:00-05:00", false),
            (AuditSubject::News, "2026-11-26T12:00-05:00", true),
        ] {
            let from_us = parse_iso(time).unwrap();
            assert_eq!(subject.is_expected(from_us, from_us + MINUTE_US), expected, "{subject:?} {time}");
        }
    }
}
