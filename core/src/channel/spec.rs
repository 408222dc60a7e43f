//! What there is to say of a channel that the service knows in detail.

use std::fmt;

use super::endpoint::Endpoint;

/// How a channel is joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Joined once; its events carry their symbols and have a full stream.
    Global,
    /// Joined once per symbol (or once in its global form for the whole market).
    PerTicker,
}

/// Channels that share a connection by default: the service runs one connection per family.
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
    /// Every channel that is not known in detail.
    Other,
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

/// The hash that holds the present rows of a channel and symbol, by the field that a row sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKey {
    /// `<strike>`
    Strike,
    /// `<expiry>:<strike>`
    ExpiryAndStrike,
}

/// Everything that the service knows of a channel. Adding a channel is adding one of these to [`super::table`].
#[derive(Debug)]
pub struct ChannelSpec {
    /// The name on the wire, in keys and in labels.
    pub name: &'static str,
    /// What an event is, in a few words.
    pub about: &'static str,
    /// The family whose connection carries it.
    pub family: Family,
    /// How it is joined when the settings name it without a symbol.
    pub scope: Scope,
    /// Default cap of its streams, in entries.
    pub cap: u64,
    /// Entries per second of its busiest stream during a session, at the upper end of what users of the feed report (SPY).
    pub rate: f64,
    /// Bytes of Redis per entry, as `MEMORY USAGE` has them: measured with Redis 7.0 and payloads of the usual size.
    pub entry_bytes: u64,
    /// The map of its present rows, and how many rows one has.
    pub map: Option<(MapKey, u64)>,
    /// The body of the REST API that its events keep fresh.
    pub body: Option<Endpoint>,
    /// Fields of which an event has at least one, or it is not shown as an event of this channel.
    pub subject: &'static [&'static str],
    /// What `tail` shows of an event, from left to right.
    pub columns: &'static [Column],
    /// The fields of its payloads that are documented; the vendor adds others at any time.
    pub fields: &'static [&'static [Field]],
}

/// A documented field of a payload.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// How it is written.
    pub kind: Kind,
    /// Whether it may be absent or `null`.
    pub is_optional: bool,
    /// What it means, and in which unit.
    pub meaning: &'static str,
}

/// How the feed writes a field. It decides whether a sum in a data frame adds or concatenates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// An array of texts.
    Texts,
    /// A decimal number, written as a text of any length; `""` and `null` are missing values.
    Decimal,
    /// A number that may be written with a fraction (`106`, `11571.0`).
    Number,
    /// A whole number that is not negative.
    Count,
    /// A whole number: Unix milliseconds.
    Millis,
    /// `true` or `false`.
    Flag,
}

impl ChannelSpec {
    /// All documented fields.
    pub fn fields(&self) -> impl Iterator<Item = &'static Field> {
        self.fields.iter().copied().flatten()
    }
}

impl Kind {
    /// The type's name in `docs/feed.md`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Kind::Text | Kind::OneOf(_) => "text",
            Kind::Texts => "list of text",
            Kind::Decimal => "decimal text",
            Kind::Number => "number",
            Kind::Count | Kind::Millis => "integer",
            Kind::Flag => "boolean",
        }
    }
}

/// A cell that `tail` shows of an event.
#[derive(Clone, Copy, Debug)]
pub enum Column {
    /// An OCC symbol in words.
    Contract(&'static str),
    /// A text that fills so many columns; emphasised or not.
    Text(&'static str, usize, Emphasis),
    /// A text of any length; nothing where it is absent.
    Word(&'static str),
    /// A number as it is written, right-aligned in so many columns.
    Exact(&'static str, usize),
    /// A price as it is written, behind `@`.
    At(&'static str),
    /// A decimal number without zeros that say nothing, right-aligned in so many columns.
    Plain(&'static str, usize),
    /// A number in at most six characters.
    Short(&'static str),
    /// Dollars in at most seven characters.
    Money(&'static str),
    /// A share as a percentage behind a label.
    Percent(&'static str, &'static str),
    /// A labelled number whose sign is its colour.
    Signed(&'static str, &'static str),
    /// A labelled number in at most six characters; nothing where it is absent.
    Labelled(&'static str, &'static str),
    /// A labelled price as it is written; nothing where it is absent.
    LabelledPrice(&'static str, &'static str),
    /// How a whole is divided between ask and bid: the whole, the ask's part, the bid's part.
    Shares(&'static str, &'static str, &'static str),
    /// The side of a trade among its tags; its colour is the tags' lean.
    Side(&'static str),
    /// The tags of a trade that are not its side.
    Tags(&'static str),
    /// Words joined by commas.
    Words(&'static str),
    /// A word where a flag is set.
    Flag(&'static str, &'static str),
    /// The same for something bad.
    Alarm(&'static str, &'static str),
}

impl Column {
    /// The field that it shows, or the first of them.
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
            | Column::Flag(field, _)
            | Column::Alarm(field, _) => field,
        }
    }
}

/// How a text stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emphasis {
    /// It does not.
    None,
    /// It stands back.
    Faint,
}
