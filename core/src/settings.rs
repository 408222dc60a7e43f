//! Validated settings of the pure half: joins and keys. The service reads them from the environment.

use std::fmt;
use std::time::Duration;

use crate::channel::others::USUAL_CAP;
use crate::event::{Channel, RestKey, Symbol, Topic};

/// A string that is never shown: not in logs, errors, panics or `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// Returns the secret itself. Do not log it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The target symbols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// `*`: every symbol; each channel is joined in its global form.
    WholeMarket,
    /// Distinct symbols in the order of the settings.
    Symbols(Vec<Symbol>),
}

/// An item of `CHANNELS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelChoice {
    /// A channel, joined per target symbol or globally depending on its scope.
    Channel(Channel),
    /// A channel with its own symbol, joined exactly so (`option_trades:SPXW`).
    Topic(Topic),
}

crate::labelled! {
    /// `WHEN_JOINS_EXCEED`: what happens when the joins do not fit on the sockets.
    WhenJoinsExceed {
        /// The settings are refused.
        Refuse = "refuse",
        /// Whole channels are joined for all symbols, and the events of others are filtered.
        Global = "global",
    }
}

/// The joins and the number of sockets.
#[derive(Clone, Debug)]
pub struct PlanSettings {
    /// The items of `CHANNELS`.
    pub channels: Vec<ChannelChoice>,
    /// `TARGET_SYMBOLS`.
    pub targets: Targets,
    /// `WEBSOCKET_MAX_CONNECTIONS`, 1 to 10.
    pub max_connections: usize,
    /// `WEBSOCKET_MAX_CHANNELS_PER_CONNECTION`, at least 1.
    pub max_joins_per_connection: usize,
    /// `WHEN_JOINS_EXCEED`.
    pub when_joins_exceed: WhenJoinsExceed,
}

/// Keys written to Redis, and their bounds.
#[derive(Clone, Debug)]
pub struct KeySettings {
    /// `KEY_PREFIX`, without the colon.
    pub prefix: String,
    /// `STORE_TO_REDIS`: whether to write the hashes `ws:latest:`, `ws:map:` and `rest:`.
    pub snapshots: bool,
    /// `SNAPSHOT_INTERVAL_MS`: minimum time between two writes of the same hash.
    pub snapshot_interval: Duration,
    /// `TARGET_SYMBOLS`: the symbols whose `rest:` hashes are kept fresh.
    pub targets: Targets,
    /// `ENABLE_HISTORY_STREAMS`: whether to write event streams.
    pub streams: bool,
    /// `REDIS_STREAM_MAXLEN`: the cap of every stream; `None` means the default of each channel, `0` no cap.
    pub maxlen: Option<u64>,
    /// `REDIS_STREAM_MAXLEN_BY_CHANNEL`.
    pub maxlen_by_channel: Vec<(Channel, u64)>,
}

impl KeySettings {
    /// Returns the prefix of all stream keys, before the topic.
    #[must_use]
    pub fn stream_prefix(&self) -> String {
        format!("{}:ws:", self.prefix)
    }

    /// Returns the REST body that a channel's events keep fresh. Targets only; with the whole market as target, only
    /// bodies that REST has already written, as no one has requested the others.
    #[must_use]
    pub fn rest_key(&self, channel: &Channel, symbol: Option<&Symbol>) -> Option<RestKey> {
        let (endpoint, symbol) = (channel.spec()?.body?, symbol?);
        let may_create = match &self.targets {
            Targets::WholeMarket => false,
            Targets::Symbols(symbols) if symbols.contains(symbol) => true,
            Targets::Symbols(_) => return None,
        };
        let key = format!("{}:rest:{}:{symbol}", self.prefix, endpoint.name());
        Some(RestKey { key: key.into(), endpoint, symbol: symbol.clone(), may_create })
    }

    /// Returns the stream cap: the channel's own, else the common one, else the channel's default; `0` means none.
    #[must_use]
    pub fn maxlen_of(&self, channel: &Channel) -> u64 {
        let own = self.maxlen_by_channel.iter().find(|(named, _)| named == channel).map(|(_, cap)| *cap);
        own.or(self.maxlen).unwrap_or(channel.spec().map_or(USUAL_CAP, |spec| spec.cap))
    }
}

/// `STREAM_RETENTION`: what the age limit keeps. Anything older may be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// `off`: no age limit.
    Off,
    /// `1d` to `30d`: everything since the open of the session this many sessions before the current one.
    Sessions(usize),
    /// `90m`, `6h`: elapsed time.
    Span(Duration),
}
