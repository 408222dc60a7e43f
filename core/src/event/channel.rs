//! The vendor's channels and the families that share a connection.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// The vendor's channels. The seven that the service knows in detail, and any other by its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// `flow-alerts`: global only, spread over its tickers.
    FlowAlerts,
    /// `option_trades[:TICKER]`: every option trade.
    OptionTrades,
    /// `price[:TICKER]`: the price of the underlying.
    Price,
    /// `gex[:TICKER]`: gamma exposure of a ticker.
    Gex,
    /// `gex_strike[:TICKER]`: the same by strike, one frame a strike.
    GexStrike,
    /// `gex_strike_expiry[:TICKER]`: the same by strike and expiry, one frame a pair.
    GexStrikeExpiry,
    /// `news`: global only, spread over its tickers.
    News,
    /// Any other vendor channel that the settings name; stored raw.
    Other(Arc<str>),
}

/// How a channel is joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Joined once; its events carry their symbols and have a full stream.
    Global,
    /// Joined once a symbol (or once in its global form for the whole market).
    PerTicker,
}

/// What shares a connection by default: the service runs one connection a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// `flow-alerts`
    Flow,
    /// `option_trades`
    Trades,
    /// `price`
    Prices,
    /// `gex`, `gex_strike`, `gex_strike_expiry`
    Gex,
    /// `news`
    News,
    /// every channel that is not known in detail
    Other,
}

/// The longest name of a channel; the vendor's longest is 17 bytes.
const MAX_CHANNEL_NAME: usize = 64;

/// A channel's name that the feed would not understand or that would break a Redis key.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a channel name: 1 to 64 of a-z A-Z 0-9 _ - and no blank")]
pub struct InvalidChannel(String);

impl Channel {
    /// The seven channels known in detail, in the order of the documentation.
    pub const KNOWN: [Channel; 7] = [
        Channel::FlowAlerts,
        Channel::OptionTrades,
        Channel::Price,
        Channel::Gex,
        Channel::GexStrike,
        Channel::GexStrikeExpiry,
        Channel::News,
    ];

    /// What our own keys are called where a channel's stand: `<p>:ws:status` and so on. No channel has such a name.
    pub const RESERVED: [&str; 7] = ["status", "gaps", "ledger", "owner", "latest", "map", "probe"];

    /// The vendor channels outside [`Channel::KNOWN`] that exist per ticker only (source: vendor's list of 2026-08).
    const OTHER_PER_TICKER: [&str; 1] = ["net_flow"];

    /// Reads a channel's name as the vendor writes it.
    pub fn parse(name: &str) -> Result<Channel, InvalidChannel> {
        if let Some(known) = Channel::KNOWN.iter().find(|channel| channel.name() == name) {
            return Ok(known.clone());
        }
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if name.is_empty() || name.len() > MAX_CHANNEL_NAME || !name.bytes().all(legal) {
            return Err(InvalidChannel(name.chars().take(MAX_CHANNEL_NAME).collect()));
        }
        Ok(Channel::Other(name.into()))
    }

    /// The name on the wire, in keys and in labels.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Channel::FlowAlerts => "flow-alerts",
            Channel::OptionTrades => "option_trades",
            Channel::Price => "price",
            Channel::Gex => "gex",
            Channel::GexStrike => "gex_strike",
            Channel::GexStrikeExpiry => "gex_strike_expiry",
            Channel::News => "news",
            Channel::Other(name) => name,
        }
    }

    /// The family whose connection carries the channel.
    #[must_use]
    pub fn family(&self) -> Family {
        match self {
            Channel::FlowAlerts => Family::Flow,
            Channel::OptionTrades => Family::Trades,
            Channel::Price => Family::Prices,
            Channel::Gex | Channel::GexStrike | Channel::GexStrikeExpiry => Family::Gex,
            Channel::News => Family::News,
            Channel::Other(_) => Family::Other,
        }
    }

    /// How the channel is joined when the settings name it without a symbol.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self {
            Channel::FlowAlerts | Channel::News => Scope::Global,
            Channel::Other(name) if !Self::OTHER_PER_TICKER.contains(&&**name) => Scope::Global,
            _ => Scope::PerTicker,
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Family {
    /// All families in the order in which they are planned and shown.
    pub const ALL: [Family; 6] =
        [Family::Flow, Family::Trades, Family::Prices, Family::Gex, Family::News, Family::Other];

    /// The name of the family and of its connection.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Family::Flow => "flow",
            Family::Trades => "trades",
            Family::Prices => "prices",
            Family::Gex => "gex",
            Family::News => "news",
            Family::Other => "other",
        }
    }

    /// Whether silence in market hours means that the socket is dead: prices, trades and gex come every few seconds,
    /// alerts and news when there are any.
    #[must_use]
    pub fn is_steady(self) -> bool {
        matches!(self, Family::Trades | Family::Prices | Family::Gex)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
