//! What a simulator is told at its start.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use uw_websocket_core::event::Symbol;
use uw_websocket_core::settings::Secret;

use crate::misbehaviour::Misbehaviour;
use crate::recorded::Recording;

/// How many events are made, over all topics and sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// This many a second, evenly in ticks of a millisecond.
    PerSecond(u32),
    /// As many as the clients read.
    Max,
}

/// Which topics the events are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Each channel has its usual share and within it the n-th symbol 1/n of the first one's, in a shuffled order.
    Skewed,
    /// One topic after the other.
    Even,
}

/// Bursts of `gex_strike` and `gex_strike_expiry` rows. Where there are waves, these channels have no other events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waves {
    /// From the start of one wave to the start of the next.
    pub every: Duration,
    /// Rows of one wave over all its topics, sent within half a second if the clients read them.
    pub rows: u32,
}

/// What a simulator is told at its start.
#[derive(Clone, Debug)]
pub struct SimulatorOptions {
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The only token that is accepted; `None` accepts any that is not empty.
    pub token: Option<Secret>,
    /// The only `Origin` that is accepted, such as `https://example.com`: browsers name the page's, whatever the page wants.
    /// `None` accepts any, and none.
    pub origin: Option<String>,
    /// The symbols of channels that are joined in their global form.
    pub symbols: Vec<Symbol>,
    /// How many events are made.
    pub rate: Rate,
    /// Which topics they are for.
    pub spread: Spread,
    /// The only channels with events; empty is all. Others are acknowledged and silent.
    pub channels_only: Vec<String>,
    /// Bursts of gex rows.
    pub waves: Option<Waves>,
    /// Stop making events after this many; sockets stay open.
    pub events: Option<u64>,
    /// Make no event before this many joins were acknowledged in total.
    pub start_after_joins: u64,
    /// Joins that one connection may have; the vendor's cap is 50.
    pub join_limit: usize,
    /// The time from a join to its acknowledgement; joins of one connection wait for each other.
    pub ack_delay: Duration,
    /// Write the send time in Unix microseconds into the field `sent_us` of every event.
    pub stamp: bool,
    /// Makes everything but the times reproducible, for the same joins in the same order.
    pub seed: u64,
    /// What is wrong from the start.
    pub misbehaviours: Vec<Misbehaviour>,
    /// Frames to send in place of made events.
    pub recording: Option<Recording>,
}

/// The vendor refuses the 51st join of a connection.
const VENDOR_JOIN_LIMIT: usize = 50;

/// Symbols that are traded a lot, in about the order of their option volume.
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
            seed: 0,
            misbehaviours: Vec::new(),
            recording: None,
        }
    }
}

/// A text that is not a rate.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a rate: a number of events a second, or `max`")]
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
