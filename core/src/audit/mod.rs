//! The audit: once per hour, whether the feed has delivered what the REST API knows.
//!
//! * [`kept`]: what is kept of the events as they arrive: sums and identities by minute
//! * [`blind`]: the minutes that are not judged, since something is known to be missing or may be late in them
//! * `drawing`: the intervals that are compared
//! * [`evidence`]: reads answers, and refuses those that prove nothing
//! * [`hours`]: the queries of an hour, and the conclusions from the answers
//! * [`screen`]: the cheap comparison of sums, and whether it may be trusted
//!
//! The clock and chance are parameters. A loss is only what two answers at least [`hours::AGAIN_AFTER_US`] apart show, by
//! identity, in an interval in which nothing else explains it.

pub mod blind;
mod drawing;
pub mod evidence;
pub mod hours;
pub mod kept;
pub mod screen;

/// A minute in microseconds.
pub const MINUTE_US: u64 = 60_000_000;
/// An hour in microseconds.
pub const HOUR_US: u64 = 60 * MINUTE_US;

/// The extent to which a channel is audited.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The option trades of a ticker, by `id` and `executed_at`.
    Trades(String),
    /// The alerts of the tickers, or of all if there is none, by `id` and the time of arrival.
    Alerts(Vec<String>),
    /// The headlines, by their text and second.
    News,
}

impl Subject {
    /// Returns the channel.
    #[must_use]
    pub fn channel(&self) -> &'static str {
        match self {
            Subject::Trades(_) => "option_trades",
            Subject::Alerts(_) => "flow-alerts",
            Subject::News => "news",
        }
    }

    /// Returns the topic, or its channel where it is joined globally.
    #[must_use]
    pub fn topic(&self) -> String {
        match self {
            Subject::Trades(ticker) => format!("option_trades:{ticker}"),
            Subject::Alerts(_) | Subject::News => self.channel().to_owned(),
        }
    }

    /// How much the times of the two sides may differ, in microseconds.
    #[must_use]
    pub const fn tolerance_us(&self) -> u64 {
        match self {
            // the same field on both sides, in milliseconds and in microseconds
            Subject::Trades(_) => 1_000,
            // the time of arrival here, that of creation there
            Subject::Alerts(_) | Subject::News => MINUTE_US,
        }
    }
}
