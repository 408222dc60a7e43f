//! What crosses the service: the vocabulary of an event.
//!
//! A frame names a [`Topic`] (a [`Channel`], perhaps with a [`Symbol`]). A topic and the payload's own symbol choose
//! a [`Route`]: the [`Outlet`]s in Redis that the event is written to, and the shard that writes them. The payload
//! itself stays the bytes that came off the wire.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use thiserror::Error;

use crate::rest::Endpoint;

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

/// A ticker that may become part of a Redis key: 1 to 32 of `A-Z 0-9 . - _ /`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(Arc<str>);

/// A text that may not become part of a Redis key.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a symbol: 1 to 32 of A-Z 0-9 . - _ /")]
pub struct InvalidSymbol(String);

impl Symbol {
    /// The longest symbol.
    pub const MAX_LEN: usize = 32;

    /// Checks a symbol; it is not upper-cased here.
    pub fn parse(text: &str) -> Result<Symbol, InvalidSymbol> {
        if Symbol::is_valid(text) {
            Ok(Symbol(text.into()))
        } else {
            Err(InvalidSymbol(text.chars().take(Symbol::MAX_LEN).collect()))
        }
    }

    /// Whether `text` may become part of a key.
    #[must_use]
    pub fn is_valid(text: &str) -> bool {
        let legal =
            |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_' | b'/');
        !text.is_empty() && text.len() <= Symbol::MAX_LEN && text.bytes().all(legal)
    }

    /// The symbol's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A channel as it is joined and as the feed's frames name it: `option_trades:SPY`, `news`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic {
    /// The channel.
    pub channel: Channel,
    /// The ticker it is joined for; `None` is the channel's global form.
    pub symbol: Option<Symbol>,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.symbol {
            Some(symbol) => write!(f, "{}:{symbol}", self.channel),
            None => self.channel.fmt(f),
        }
    }
}

/// The ID of a stream entry: `<milliseconds>-<sequence>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// Unix time in milliseconds, as far as the clock went forward.
    pub ms: u64,
    /// Number within the millisecond.
    pub seq: u64,
}

/// A text that is not `<milliseconds>-<sequence>`.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a stream entry id")]
pub struct InvalidEntryId(String);

impl std::str::FromStr for EntryId {
    type Err = InvalidEntryId;

    fn from_str(text: &str) -> Result<EntryId, InvalidEntryId> {
        let parsed = text.split_once('-').and_then(|(ms, seq)| Some((ms.parse().ok()?, seq.parse().ok()?)));
        let (ms, seq) = parsed.ok_or_else(|| InvalidEntryId(text.chars().take(64).collect()))?;
        Ok(EntryId { ms, seq })
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// One place in Redis that an event goes to: a stream and the hash of its newest event, for a channel and perhaps a
/// symbol. Equal outlets have equal `stream` keys.
#[derive(Debug, PartialEq, Eq)]
pub struct Outlet {
    /// The symbol; `None` is the channel's full stream.
    pub symbol: Option<Symbol>,
    /// `<p>:ws:<channel>[:<SYMBOL>]`.
    pub stream: Arc<str>,
    /// `<p>:ws:latest:<channel>[:<SYMBOL>]`.
    pub latest: Arc<str>,
    /// `<p>:ws:map:<channel>:<SYMBOL>`, for the channels that have one.
    pub map: Option<Arc<str>>,
    /// The body of REST that its events keep fresh, for channels that have one and symbols that are targets.
    pub rest: Option<RestKey>,
    /// Cap of the stream by count; `0` is none.
    pub maxlen: u64,
}

/// The key of a body of REST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestKey {
    /// `<p>:rest:<endpoint>:<SYMBOL>`.
    pub key: Arc<str>,
    /// What is there.
    pub endpoint: Endpoint,
    /// Whose it is.
    pub symbol: Symbol,
    /// Whether it is made where REST has written none.
    pub may_create: bool,
}

/// Where the events of one topic and symbol go. Made once and shared by its events.
#[derive(Debug)]
pub struct Route {
    /// The channel, for counts.
    pub channel: ChannelIndex,
    /// The writer that owns every outlet of the channel's events.
    pub shard: usize,
    /// All outlets: the full stream first where there is one.
    pub outlets: Vec<Arc<Outlet>>,
}

impl Route {
    /// The symbol of the first outlet; `None` for the events of a full stream, whatever symbols they name.
    #[must_use]
    pub fn symbol(&self) -> Option<&str> {
        self.outlets.first()?.symbol.as_ref().map(Symbol::as_str)
    }
}

/// Position of a channel in the settings' list: what counters are indexed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelIndex(pub u8);

/// A field of a `ws:map:` hash that an event sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapCell {
    /// `<strike>` or `<expiry>:<strike>`, as the payload writes them.
    pub field: Box<str>,
    /// The trading session of the row: its date in New York, as days since 1970-01-01.
    pub session: i32,
    /// Of what time the row is, as it says, in Unix milliseconds; when it was received if it does not say.
    pub at_ms: u64,
}

/// The stream entries of one event, in the order of its outlets. Nearly every event has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryIds {
    /// Of the only outlet; zero before the writer has numbered the event.
    One(EntryId),
    /// Of several outlets.
    Many(Box<[EntryId]>),
}

impl Default for EntryIds {
    fn default() -> EntryIds {
        EntryIds::One(EntryId::default())
    }
}

impl EntryIds {
    /// All of them.
    #[must_use]
    pub fn as_slice(&self) -> &[EntryId] {
        match self {
            EntryIds::One(id) => std::slice::from_ref(id),
            EntryIds::Many(ids) => ids,
        }
    }

    /// The ID for the outlet at a position.
    #[must_use]
    pub fn get(&self, outlet: usize) -> EntryId {
        self.as_slice().get(outlet).copied().unwrap_or_default()
    }

    /// Changes the ID for the outlet at a position.
    pub fn set(&mut self, outlet: usize, id: EntryId) {
        let ids = match self {
            EntryIds::One(only) => std::slice::from_mut(only),
            EntryIds::Many(ids) => ids,
        };
        if let Some(place) = ids.get_mut(outlet) {
            *place = id;
        }
    }
}

impl FromIterator<EntryId> for EntryIds {
    fn from_iter<I: IntoIterator<Item = EntryId>>(ids: I) -> EntryIds {
        let mut ids = ids.into_iter();
        match (ids.next(), ids.next()) {
            (first, None) => EntryIds::One(first.unwrap_or_default()),
            (first, second) => EntryIds::Many(first.into_iter().chain(second).chain(ids).collect()),
        }
    }
}

/// One event on its way from a connection to a writer.
#[derive(Clone, Debug)]
pub struct Event {
    /// Where it goes.
    pub route: Arc<Route>,
    /// The payload's JSON, byte for byte as it came off the wire.
    pub payload: Bytes,
    /// When its frame was read, in Unix microseconds.
    pub received_us: u64,
    /// How many events of its channel came before it, over all connections; given when it enters its batch.
    pub ordinal: u64,
    /// The field it sets in its channel's map, for gex rows.
    pub cell: Option<Box<MapCell>>,
    /// Its entries, once the writer has numbered it.
    pub ids: EntryIds,
}

/// When a chunk of frames was read from its socket, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct ReadAt {
    /// Unix time in microseconds.
    pub unix_us: u64,
    /// The steady clock, for latency.
    pub instant: Instant,
}
