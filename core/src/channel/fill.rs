//! The REST endpoints that have the missed events of a channel.
//!
//! Sources: the vendor's documentation of August 2026, and measurements published by users of its API.

/// The endpoint that has a channel's missed events, or what comes nearest to them.
#[derive(Debug)]
pub struct FillSource {
    /// The path; `{ticker}` stands for the symbol.
    pub path: &'static str,
    /// How the rows of an interval are asked for.
    pub ask: Ask,
    /// The documented maximum of rows in an answer, which is requested: only a shorter answer is known to be the last.
    pub limit: usize,
    /// Whose rows an answer may have.
    pub subject: FillSubject,
    /// The row's field with its time.
    pub time: &'static str,
    /// The members that identify a row and an event as the same.
    pub identity: RowIdentity,
    /// The smallest step of the row's time, in microseconds: cursors are multiples of it.
    pub unit_us: u64,
    /// By how much the time of a row and the arrival of its event may differ, in milliseconds: the interval asked for is
    /// longer by this at both ends.
    pub margin_ms: u64,
    /// Time after the end of a gap at which late rows are there, in milliseconds.
    pub settle_ms: u64,
    /// Length of the first interval requested, in milliseconds: some 5 000 rows of a busy ticker.
    pub span_ms: u64,
    /// The best possible outcome of a fill with these rows.
    pub fidelity: Fidelity,
    /// Whether the vendor forgets the rows at the next session.
    pub is_of_the_day: bool,
}

/// How the rows of an interval are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// By two times, the later of which moves back from answer to answer.
    Window {
        /// The parameter of the earlier time; perhaps exclusive.
        newer: &'static str,
        /// The parameter of the later time, exclusive.
        older: &'static str,
        /// Parameters whose values divide the rows of one instant that has more than an answer can hold.
        splits: &'static [Split],
    },
    /// By number of the page, newest rows first.
    Pages {
        /// Pages at most.
        most: u32,
    },
    /// By date of the session.
    Day,
    /// Not at all: the present state, in pages.
    State {
        /// Pages at most.
        most: u32,
    },
}

/// A parameter and the values that divide all rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// The parameter.
    pub parameter: &'static str,
    /// Its values.
    pub values: &'static [&'static str],
}

/// Whose rows an answer may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FillSubject {
    /// Those of all symbols.
    All,
    /// Those of the topic's symbol, named in the path; a row does not name it.
    Path,
    /// Those of the topic's symbol, named in the path; a row has it in this field.
    PathAndField(&'static str),
    /// Those of the topic's symbol, if it has one.
    Parameter {
        /// The parameter.
        parameter: &'static str,
        /// The row's field.
        field: &'static str,
    },
}

/// The members that identify a row and an event as the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowIdentity {
    /// These fields together occur once, in rows and in events.
    Unique(&'static [KeyField]),
    /// These fields are equal, but several events may have the same: as many rows are known as there are events.
    Shared(&'static [KeyField]),
    /// Nothing: no row is the same as an event.
    None,
}

/// A field of a row and of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyField {
    /// Its name in a row.
    pub row: &'static str,
    /// Its name in an event.
    pub event: &'static str,
    /// How its values compare.
    pub kind: KeyKind,
}

/// How the values of a key's field compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// As text; a number as written.
    Text,
    /// As decimal numbers, in JSON numbers or in text.
    Decimal,
    /// As times, to the second.
    Second,
}

/// The best possible outcome of a fill from an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fidelity {
    /// The events, each once.
    Events,
    /// The events, but without an identity that both have.
    NoIdentity,
    /// Fewer or summed up.
    Coarser,
}

const SECOND_US: u64 = 1_000_000;
const MILLI_US: u64 = 1_000;
const MINUTE_MS: u64 = 60_000;

const fn same(name: &'static str, kind: KeyKind) -> KeyField {
    KeyField { row: name, event: name, kind }
}

const fn renamed(row: &'static str, event: &'static str, kind: KeyKind) -> KeyField {
    KeyField { row, event, kind }
}

const ID: &[KeyField] = &[same("id", KeyKind::Text)];

/// The parameters of the endpoints with a cursor.
const fn window(splits: &'static [Split]) -> Ask {
    Ask::Window { newer: "newer_than", older: "older_than", splits }
}

/// The codes of the options exchanges, as trades have them.
const OPTION_EXCHANGES: &[&str] = &[
    "AMXO", "ARCO", "BATO", "C2OX", "EDGO", "EMLD", "GMNI", "MCRY", "MPRL", "MXOP", "SPHR", "XBOX", "XBXO",
    "XCBO", "XISX", "XMIO", "XNDQ", "XPHO",
];

/// Known while it is the latest session.
pub(super) static OPTION_TRADES: FillSource = FillSource {
    path: "/api/option-trades",
    ask: window(&[
        Split { parameter: "type", values: &["call", "put"] },
        Split { parameter: "exchanges[]", values: OPTION_EXCHANGES },
    ]),
    limit: 500,
    subject: FillSubject::Parameter { parameter: "ticker_symbol", field: "underlying_symbol" },
    time: "executed_at",
    identity: RowIdentity::Unique(ID),
    unit_us: MILLI_US,
    margin_ms: 5_000,
    settle_ms: MINUTE_MS,
    span_ms: 75_000,
    fidelity: Fidelity::Events,
    is_of_the_day: true,
};

/// An alert arrives up to 16 s after the time that it states. Asked for without a ticker, since the socket sends the
/// alerts of all.
pub(super) static FLOW_ALERTS: FillSource = FillSource {
    path: "/api/option-trades/flow-alerts",
    ask: window(&[]),
    limit: 200,
    subject: FillSubject::All,
    time: "created_at",
    identity: RowIdentity::Unique(ID),
    unit_us: MILLI_US,
    margin_ms: 30_000,
    settle_ms: MINUTE_MS,
    span_ms: 15 * MINUTE_MS,
    fidelity: Fidelity::Events,
    is_of_the_day: false,
};

/// A headline has no ID.
pub(super) static NEWS: FillSource = FillSource {
    path: "/api/news/headlines",
    ask: Ask::Pages { most: 20 },
    limit: 100,
    subject: FillSubject::All,
    time: "created_at",
    identity: RowIdentity::Unique(&[same("headline", KeyKind::Text)]),
    unit_us: MILLI_US,
    margin_ms: 5 * MINUTE_MS,
    settle_ms: MINUTE_MS,
    span_ms: 0,
    fidelity: Fidelity::Events,
    is_of_the_day: false,
};

/// Candles of a minute in place of every change.
pub(super) static PRICE: FillSource = FillSource {
    path: "/api/stock/{ticker}/ohlc/1m",
    ask: Ask::Day,
    limit: 2_500,
    subject: FillSubject::Path,
    time: "start_time",
    identity: RowIdentity::None,
    unit_us: 60 * SECOND_US,
    margin_ms: 0,
    settle_ms: 2 * MINUTE_MS,
    span_ms: 0,
    fidelity: Fidelity::Coarser,
    is_of_the_day: false,
};

/// One point per minute of some six.
pub(super) static GEX: FillSource = FillSource {
    path: "/api/stock/{ticker}/spot-exposures",
    ask: Ask::Day,
    limit: 0,
    subject: FillSubject::PathAndField("ticker"),
    time: "time",
    identity: RowIdentity::None,
    unit_us: SECOND_US,
    margin_ms: 0,
    settle_ms: 2 * MINUTE_MS,
    span_ms: 0,
    fidelity: Fidelity::Coarser,
    is_of_the_day: false,
};

/// The state after the gap.
pub(super) static GEX_STRIKE: FillSource = FillSource {
    path: "/api/stock/{ticker}/spot-exposures/strike",
    ask: Ask::State { most: 4 },
    limit: 500,
    subject: FillSubject::Path,
    time: "time",
    identity: RowIdentity::None,
    unit_us: SECOND_US,
    margin_ms: 0,
    settle_ms: 2 * MINUTE_MS,
    span_ms: 0,
    fidelity: Fidelity::Coarser,
    is_of_the_day: true,
};

const PRINT: &[KeyField] = &[
    renamed("ticker", "symbol", KeyKind::Text),
    same("executed_at", KeyKind::Second),
    same("price", KeyKind::Decimal),
    same("size", KeyKind::Decimal),
    same("volume", KeyKind::Decimal),
];

const fn prints(path: &'static str) -> FillSource {
    FillSource {
        path,
        ask: window(&[]),
        limit: 500,
        subject: FillSubject::PathAndField("ticker"),
        time: "executed_at",
        identity: RowIdentity::Shared(PRINT),
        unit_us: SECOND_US,
        margin_ms: 5_000,
        settle_ms: MINUTE_MS,
        span_ms: 5 * MINUTE_MS,
        fidelity: Fidelity::NoIdentity,
        is_of_the_day: false,
    }
}

pub(super) static OFF_LIT_TRADES: FillSource = prints("/api/darkpool/{ticker}");
pub(super) static LIT_TRADES: FillSource = prints("/api/lit-flow/{ticker}");

/// The account's alerts of the last 14 days.
pub(super) static CUSTOM_ALERTS: FillSource = FillSource {
    path: "/api/alerts",
    ask: window(&[]),
    limit: 500,
    subject: FillSubject::All,
    time: "tape_time",
    identity: RowIdentity::Unique(&[
        same("user_noti_config_id", KeyKind::Text),
        same("symbol", KeyKind::Text),
        same("tape_time", KeyKind::Second),
    ]),
    unit_us: SECOND_US,
    margin_ms: 30_000,
    settle_ms: MINUTE_MS,
    span_ms: 60 * MINUTE_MS,
    fidelity: Fidelity::Events,
    is_of_the_day: false,
};

pub(super) static FUTURES: FillSource = FillSource {
    path: "/api/futures/{ticker}/trades",
    ask: window(&[]),
    limit: 500,
    subject: FillSubject::Path,
    time: "executed_at",
    identity: RowIdentity::Unique(&[same("trade_id", KeyKind::Text)]),
    unit_us: MILLI_US,
    margin_ms: 5_000,
    settle_ms: MINUTE_MS,
    span_ms: 75_000,
    fidelity: Fidelity::Events,
    is_of_the_day: false,
};

impl FillSource {
    /// Returns the name of the endpoint in the field `source` of an entry: the path without `/api/`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.path.strip_prefix("/api/").unwrap_or(self.path)
    }

    /// Whether rows can be asked for one symbol, or for all.
    #[must_use]
    pub fn takes_symbol(&self) -> bool {
        matches!(self.subject, FillSubject::Parameter { .. })
    }

    /// Whether rows can be asked for one symbol at a time only.
    #[must_use]
    pub fn needs_symbol(&self) -> bool {
        matches!(self.subject, FillSubject::Path | FillSubject::PathAndField(_))
    }
}
