//! Options of a simulator.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use uw_websocket_core::event::Symbol;
use uw_websocket_core::settings::Secret;

use crate::misbehaviour::Misbehaviour;
use crate::recording::Recording;
use crate::rest::options::RestOptions;

/// Rate of events over all topics and sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// Events per second, spread evenly over ticks of a millisecond.
    PerSecond(u32),
    /// As fast as the clients read.
    Max,
}

/// Distribution of events over topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Each channel has its usual share, and within it the n-th symbol 1/n of the first one's, shuffled.
    Skewed,
    /// Topics take turns.
    Even,
}

/// Bursts of `gex_strike` and `gex_strike_expiry` rows. With waves, these channels have no other events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waves {
    /// Time from the start of one wave to the start of the next.
    pub every: Duration,
    /// Rows per wave over all its topics, sent within half a second if clients read them.
    pub rows: u32,
}

/// Options of a simulator.
#[derive(Clone, Debug)]
pub struct SimulatorOptions {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The only accepted token; `None` accepts any that is not empty.
    pub token: Option<Secret>,
    /// The only accepted `Origin`, such as `https://example.com`; `None` accepts any, and none. Browsers send that of the page.
    pub origin: Option<String>,
    /// Symbols of the events of channels joined in their global form.
    pub symbols: Vec<Symbol>,
    /// Rate of events.
    pub rate: Rate,
    /// Distribution of events over topics.
    pub spread: Spread,
    /// The only channels with events, or empty for all; joins of others are acknowledged.
    pub channels_only: Vec<String>,
    /// Bursts of gex rows.
    pub waves: Option<Waves>,
    /// Total number of events; afterwards sockets stay open.
    pub events: Option<u64>,
    /// Acknowledged joins before the first event is made.
    pub start_after_joins: u64,
    /// Joins per connection; the vendor's limit is 50.
    pub join_limit: usize,
    /// Time from a join to its acknowledgement; joins of one connection are answered one after the other.
    pub ack_delay: Duration,
    /// Whether every event has the send time in Unix microseconds in its field `sent_us`.
    pub stamp: bool,
    /// Time of the first event in Unix microseconds, from which time goes on as usual: of a segment of the day or a
    /// night session. `None` is the present.
    pub at_us: Option<u64>,
    /// Makes everything except times reproducible, given the same joins in the same order.
    pub seed: u64,
    /// Misbehaviours from startup on.
    pub misbehaviours: Vec<Misbehaviour>,
    /// The REST API; without it every path but the sockets' is unknown.
    pub rest: Option<RestOptions>,
    /// Frames to send instead of made events.
    pub recording: Option<Recording>,
}

/// The vendor refuses the 51st join of a connection (reports of users since June 2026).
const VENDOR_JOIN_LIMIT: usize = 50;

/// Liquid symbols, roughly ordered by option volume.
const USUAL_SYMBOLS: &str =
    "SPY,QQQ,SPXW,TSLA,NVDA,IWM,AAPL,AMZN,AMD,META,MSFT,GOOGL,NFLX,PLTR,COIN,DIA,XSP,SMH,GLD,TLT";

impl Default for SimulatorOptions {
    fn default() -> SimulatorOptions {
        SimulatorOptions {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            token: None,
            origin: None,
            symbols: USUAL_SYMBOLS.split(',').filter_map(|text| Symbol::parse(text).ok()).collect(),
            rate: Rate::PerSecond(100),
            spread: Spread::Skewed,
            channels_only: Vec::new(),
            waves: None,
            events: None,
            start_after_joins: 0,
            join_limit: VENDOR_JOIN_LIMIT,
            ack_delay: Duration::ZERO,
            stamp: false,
            at_us: None,
            seed: 0,
            misbehaviours: Vec::new(),
            rest: None,
            recording: None,
        }
    }
}

/// A text that is not a rate.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a rate: a number of events per second, or `max`")]
pub struct InvalidRate(String);

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Rate, InvalidRate> {
        match text {
            "max" => Ok(Rate::Max),
            _ => text.parse().map(Rate::PerSecond).map_err(|_| InvalidRate(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_or_max() {
        assert_eq!("250".parse(), Ok(Rate::PerSecond(250)));
        assert_eq!("max".parse(), Ok(Rate::Max));
        assert!("fast".parse::<Rate>().is_err());
    }

    #[test]
    fn the_usual_symbols_are_symbols() {
        assert_eq!(SimulatorOptions::default().symbols.len(), 20);
    }
}
