//! What the pure parts are told: what to join, and which keys to write. The service reads it from the environment; here are the
//! checked forms.

use std::fmt;
use std::time::Duration;

use crate::event::{Channel, RestKey, Symbol, Topic};

/// A text that never shows itself: not in logs, errors, panics or `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    #[must_use]
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The text, for the one place that needs it.
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

/// Which symbols the service is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// `*`: every symbol; each channel is joined in its global form.
    WholeMarket,
    /// These symbols, in the order of the settings, each once.
    Symbols(Vec<Symbol>),
}

/// An item of `CHANNELS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelChoice {
    /// A channel by its name: joined for each target symbol, or globally, as its scope says.
    Channel(Channel),
    /// A channel with a symbol of its own, joined exactly so (`option_trades:SPXW`).
    Topic(Topic),
}

/// What is to be joined, and over how many sockets.
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
}

/// Default cap of the streams of a channel that is not known in detail.
const UNKNOWN_CAP: u64 = 5_000;

/// What is written to Redis, and where.
#[derive(Clone, Debug)]
pub struct KeySettings {
    /// `KEY_PREFIX`, without the colon.
    pub prefix: String,
    /// `STORE_TO_REDIS`: the hashes `ws:latest:`, `ws:map:` and `rest:`.
    pub snapshots: bool,
    /// `SNAPSHOT_INTERVAL_MS`: each of these hashes is written at most once in it.
    pub snapshot_interval: Duration,
    /// `TARGET_SYMBOLS`: whose `rest:` hashes are kept fresh.
    pub targets: Targets,
    /// `ENABLE_HISTORY_STREAMS`: the event streams.
    pub streams: bool,
    /// `REDIS_STREAM_MAXLEN`: the cap of every stream; `None` is the default of each channel, `0` no cap.
    pub maxlen: Option<u64>,
    /// `REDIS_STREAM_MAXLEN_BY_CHANNEL`.
    pub maxlen_by_channel: Vec<(Channel, u64)>,
}

impl KeySettings {
    /// What every stream's key begins with; its topic follows.
    #[must_use]
    pub fn stream_prefix(&self) -> String {
        format!("{}:ws:", self.prefix)
    }

    /// The body of REST that a channel's events keep fresh. There is one for targets alone; of the whole market only those
    /// are kept fresh that REST has written, for nobody has asked for the others.
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

    /// The cap of a channel's streams by count: the channel's own, else the common one, else the channel's default; `0` is
    /// none.
    #[must_use]
    pub fn maxlen_of(&self, channel: &Channel) -> u64 {
        let own = self.maxlen_by_channel.iter().find(|(named, _)| named == channel).map(|(_, cap)| *cap);
        own.or(self.maxlen).unwrap_or(channel.spec().map_or(UNKNOWN_CAP, |spec| spec.cap))
    }
}

/// `STREAM_RETENTION`: what the age limit keeps. Anything older may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// `off`: there is no age limit.
    Off,
    /// `1d` to `30d`: everything since the open of the session that lies so many sessions before the present one.
    Sessions(usize),
    /// `90m`, `6h`: plain time.
    Span(Duration),
}
