//! Properties of a known channel.

use std::fmt;

use super::endpoint::BodyEndpoint;
use super::field::Field;
use super::fill::FillSource;
use crate::calendar::products::ProductKind;

/// Whether the plain name of a channel stands for one join or for one per ticker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Joined once; events carry their symbols and also go to a full stream.
    Global,
    /// Joined once per symbol, or once in its global form for the whole market.
    PerTicker,
}

/// The forms in which a channel can be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinForms {
    /// The plain name only, for all symbols.
    Plain,
    /// With a ticker, or plain for the whole market.
    TickerOrPlain,
    /// With a ticker only.
    Ticker,
    /// With a contract only, which is named in the settings: it does not follow from a ticker.
    Contract,
}

impl JoinForms {
    /// Returns what the plain name in the settings stands for.
    #[must_use]
    pub const fn scope(self) -> Scope {
        match self {
            JoinForms::Plain => Scope::Global,
            JoinForms::TickerOrPlain | JoinForms::Ticker | JoinForms::Contract => Scope::PerTicker,
        }
    }
}

/// The place of an event's symbol in its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SymbolSource {
    /// `ticker`, `underlying_symbol` or `symbol`.
    Ticker,
    /// The root of the contract in `option_symbol`, or `symbol`: a stock, or a contract's root.
    Contract,
}

/// A group of channels that share a connection by default: the service runs one connection per family.
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
    /// All other channels.
    Other,
}

impl Family {
    /// All families in planning and display order.
    pub const ALL: [Family; 6] =
        [Family::Flow, Family::Trades, Family::Prices, Family::Gex, Family::News, Family::Other];

    /// Returns the name of the family, which is also that of its connection.
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

    /// Whether silence during market hours indicates a dead socket: prices, trades and gex arrive every few
    /// seconds, alerts and news irregularly.
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

/// The field format of a channel's `ws:map:` hash, which holds the current row per field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKey {
    /// `<strike>`
    Strike,
    /// `<expiry>:<strike>`
    ExpiryAndStrike,
    /// `<expiry>`
    Expiry,
    /// `<days>`
    Days,
}

impl MapKey {
    /// Returns the format as documented.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            MapKey::Strike => "<strike>",
            MapKey::ExpiryAndStrike => "<expiry>:<strike>",
            MapKey::Expiry => "<expiry>",
            MapKey::Days => "<days>",
        }
    }
}

/// The relation of one frame to the current state of its channel and symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Complete in itself: the newest event is the state, or there is no state.
    Whole,
    /// One row of the map.
    Row {
        /// The map's fields.
        key: MapKey,
        /// Number of rows of a busy ticker.
        rows: u64,
    },
    /// Some rows of a board that comes in several frames and is replaced as a whole.
    Fragment {
        /// The map's fields.
        key: MapKey,
        /// Number of frames of a busy ticker's board.
        frames: u64,
    },
}

impl Frame {
    /// Returns the field format of the channel's map, if it has one.
    #[must_use]
    pub const fn map_key(self) -> Option<MapKey> {
        match self {
            Frame::Whole => None,
            Frame::Row { key, .. } | Frame::Fragment { key, .. } => Some(key),
        }
    }

    /// Returns the size of the channel's map in entries of its stream.
    #[must_use]
    pub const fn map_entries(self) -> u64 {
        match self {
            Frame::Whole => 0,
            Frame::Row { rows, .. } => rows,
            Frame::Fragment { frames, .. } => frames,
        }
    }

    /// Whether one frame may be a part of the state only.
    #[must_use]
    pub const fn is_fragment(self) -> bool {
        matches!(self, Frame::Fragment { .. })
    }
}

/// All properties of a channel. To add a channel, add one of these to [`super::table`].
#[derive(Debug)]
pub struct ChannelSpec {
    /// The name on the wire, in keys and in labels.
    pub name: &'static str,
    /// A short description of an event.
    pub about: &'static str,
    /// The family whose connection carries the channel.
    pub family: Family,
    /// The join forms that exist.
    pub forms: JoinForms,
    /// The only tickers that the channel exists for; empty means any.
    pub tickers: &'static [&'static str],
    /// The place of the symbol in a payload.
    pub symbol: SymbolSource,
    /// The fields that tell two events apart: an ID, or a key with a time. Only with these is an equal payload the
    /// same event sent again; empty means that equal payloads are separate events.
    pub identity: &'static [&'static str],
    /// The meaning of one frame for the channel's state.
    pub frame: Frame,
    /// The product whose hours its events follow.
    pub product: ProductKind,
    /// Default cap of the channel's streams, in entries.
    pub cap: u64,
    /// Entries per second of the busiest stream (SPY) during a session, and Redis memory per entry in bytes, if
    /// known: the upper end of what users of the feed report, and `MEMORY USAGE` on Redis 7.0 with typical payloads.
    pub usual: Option<Usual>,
    /// The REST body that the channel's events keep fresh.
    pub body: Option<BodyEndpoint>,
    /// The endpoint that missed events are fetched from.
    pub fill: Option<&'static FillSource>,
    /// An event without any of these fields is not displayed as an event of this channel.
    pub subject: &'static [&'static str],
    /// The columns of `tail`, from left to right.
    pub columns: &'static [Column],
    /// Documented payload fields; the vendor may add others at any time.
    pub fields: &'static [&'static [Field]],
}

/// The usual rate and size of a channel's entries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual {
    /// Entries per second of the busiest stream.
    pub rate: f64,
    /// Bytes of Redis memory per entry.
    pub entry_bytes: u64,
}

impl ChannelSpec {
    /// Iterates over all documented fields.
    pub fn fields(&self) -> impl Iterator<Item = &'static Field> {
        self.fields.iter().copied().flatten()
    }
}

/// A column of `tail`; names of fields unless stated otherwise.
#[derive(Clone, Copy, Debug)]
pub enum Column {
    /// An OCC symbol in readable form.
    Contract(&'static str),
    /// A string padded to a width in characters.
    Text(&'static str, usize, Emphasis),
    /// A string of any length; omitted if absent.
    Word(&'static str),
    /// A number as written, right-aligned to a width.
    Exact(&'static str, usize),
    /// A price as written, prefixed with `@`.
    At(&'static str),
    /// A decimal number without redundant zeros, right-aligned to a width.
    Plain(&'static str, usize),
    /// A number in at most six characters.
    Short(&'static str),
    /// US dollars in at most seven characters.
    Money(&'static str),
    /// Label and fraction, shown as a percentage.
    Percent(&'static str, &'static str),
    /// Label and number, coloured by sign.
    Signed(&'static str, &'static str),
    /// Label and number in at most six characters; omitted if absent.
    Labelled(&'static str, &'static str),
    /// Label and price as written; omitted if absent.
    LabelledPrice(&'static str, &'static str),
    /// The split of a total between ask and bid: total, ask part, bid part.
    Shares(&'static str, &'static str, &'static str),
    /// The side of a trade, taken from its tags and coloured by their sentiment.
    Side(&'static str),
    /// The tags of a trade other than its side.
    Tags(&'static str),
    /// An array of strings, joined by commas.
    Words(&'static str),
    /// Label and number of items of an array.
    Items(&'static str, &'static str),
    /// Field and the word shown if the flag is set.
    Flag(&'static str, &'static str),
    /// [`Column::Flag`], highlighted as a warning.
    Alarm(&'static str, &'static str),
}

impl Column {
    /// Returns the first field shown.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Column::Contract(field)
            | Column::Text(field, ..)
            | Column::Word(field)
            | Column::Exact(field, _)
            | Column::At(field)
            | Column::Plain(field, _)
            | Column::Short(field)
            | Column::Money(field)
            | Column::Percent(_, field)
            | Column::Signed(_, field)
            | Column::Labelled(_, field)
            | Column::LabelledPrice(_, field)
            | Column::Shares(field, ..)
            | Column::Side(field)
            | Column::Tags(field)
            | Column::Words(field)
            | Column::Items(_, field)
            | Column::Flag(field, _)
            | Column::Alarm(field, _) => field,
        }
    }
}

/// The emphasis of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emphasis {
    /// Normal.
    None,
    /// Dimmed.
    Faint,
}
