//! The channels that are listened to on request only.
//!
//! Source: the vendor's documentation of August 2026.

use super::fields;
use super::fill;
use super::spec::{ChannelSpec, Column, Emphasis, Family, Frame, JoinForms, MapKey, SymbolSource, Usual};
use crate::calendar::products::ProductKind;

/// Default cap of the streams of a channel whose rate is not known, in entries.
pub const USUAL_CAP: u64 = 5_000;

/// A channel that is joined once and has no identity; the others differ in what they name.
const PLAIN: ChannelSpec = ChannelSpec {
    name: "",
    about: "",
    family: Family::Other,
    forms: JoinForms::Plain,
    tickers: &[],
    symbol: SymbolSource::Ticker,
    identity: &[],
    frame: Frame::Whole,
    product: ProductKind::Options,
    cap: USUAL_CAP,
    usual: None,
    body: None,
    fill: None,
    subject: &[],
    columns: &[],
    fields: &[],
};

/// A board comes in frames of up to 1 024 rows, 83 to 125 KB each, some 17 frames per minute for SPX. It is complete
/// when the rows of one timestamp add up to `total_rows`. Some plans may not join the channel.
pub static PERISCOPE: ChannelSpec = ChannelSpec {
    name: "periscope",
    about: "some rows of a board of market makers' greeks by expiry and strike",
    forms: JoinForms::TickerOrPlain,
    tickers: &["SPX", "VIX", "XSP", "NANOS"],
    identity: &["ticker", "timestamp", "rows"],
    frame: Frame::Fragment { key: MapKey::ExpiryAndStrike, frames: 17 },
    cap: 500,
    usual: Some(Usual { rate: 0.3, entry_bytes: 100_000 }),
    subject: &["total_rows"],
    columns: &[
        Column::Items("rows", "rows"),
        Column::LabelledPrice("of", "total_rows"),
        Column::Flag("has_more", "more follow"),
    ],
    fields: &[fields::PERISCOPE],
    ..PLAIN
};

/// Nine frames per ticker, every five seconds or more often. There is neither an ID nor a time of day: a volatility
/// that returns to an earlier value is a new statement.
pub static INTERPOLATED_IV: ChannelSpec = ChannelSpec {
    name: "interpolated_iv",
    about: "a ticker's implied volatility over a number of days",
    forms: JoinForms::TickerOrPlain,
    frame: Frame::Row { key: MapKey::Days, rows: 9 },
    usual: Some(Usual { rate: 1.8, entry_bytes: 170 }),
    subject: &["volatility"],
    columns: &[
        Column::Labelled("days", "days"),
        Column::Percent("IV", "volatility"),
        Column::LabelledPrice("move", "implied_move"),
        Column::Text("date", "2026-11-30".len(), Emphasis::Faint),
    ],
    fields: &[fields::IV_DAYS, fields::IV],
    ..PLAIN
};

/// One frame per expiry, at the refresh rate of [`INTERPOLATED_IV`] and for some forty expiries (inferred). There is
/// neither an ID nor a time of day.
pub static IV_TERM_STRUCTURE: ChannelSpec = ChannelSpec {
    name: "iv_term_structure",
    about: "a ticker's implied volatility to an expiry",
    forms: JoinForms::TickerOrPlain,
    frame: Frame::Row { key: MapKey::Expiry, rows: 40 },
    usual: Some(Usual { rate: 8.0, entry_bytes: 165 }),
    subject: &["volatility"],
    columns: &[
        Column::Word("expiry"),
        Column::Percent("IV", "volatility"),
        Column::LabelledPrice("move", "implied_move"),
        Column::Text("date", "2026-11-30".len(), Emphasis::Faint),
    ],
    fields: &[fields::EXPIRY, fields::IV],
    ..PLAIN
};

/// Trades have no ID: two of equal size and price in one second are two trades.
pub static LIT_TRADES: ChannelSpec = ChannelSpec {
    name: "lit_trades",
    about: "a stock trade on an exchange",
    product: ProductKind::Stocks,
    subject: &["price"],
    columns: STOCK_TRADE_COLUMNS,
    fields: &[fields::STOCK_TRADE],
    fill: Some(&fill::LIT_TRADES),
    ..PLAIN
};

/// As [`LIT_TRADES`].
pub static OFF_LIT_TRADES: ChannelSpec = ChannelSpec {
    name: "off_lit_trades",
    about: "a stock trade off the exchanges",
    product: ProductKind::Stocks,
    subject: &["price"],
    columns: STOCK_TRADE_COLUMNS,
    fields: &[fields::STOCK_TRADE],
    fill: Some(&fill::OFF_LIT_TRADES),
    ..PLAIN
};

/// Called cumulative in the documentation; users find increments.
pub static NET_FLOW: ChannelSpec = ChannelSpec {
    name: "net_flow",
    about: "the net premium of a ticker's options",
    forms: JoinForms::Ticker,
    identity: &["ticker", "time"],
    subject: &["net_call_prem", "net_put_prem"],
    columns: &[
        Column::Signed("net call", "net_call_prem"),
        Column::Signed("put", "net_put_prem"),
        Column::Signed("contracts call", "net_call_vol"),
        Column::Signed("put", "net_put_vol"),
    ],
    fields: &[fields::NET_FLOW],
    ..PLAIN
};

/// Every two seconds, as users report.
pub static MARKET_TIDE: ChannelSpec = ChannelSpec {
    name: "market_tide",
    about: "the net premium of all options",
    identity: &["timestamp"],
    subject: &["net_call_premium", "net_put_premium"],
    columns: &[
        Column::Signed("net call", "net_call_premium"),
        Column::Signed("put", "net_put_premium"),
        Column::Signed("otm call", "otm_net_call_premium"),
        Column::Signed("put", "otm_net_put_premium"),
        Column::Signed("contracts", "net_volume"),
    ],
    fields: &[fields::MARKET_TIDE],
    ..PLAIN
};

/// Two frames per ticker and window of five minutes; of a window the newest frame counts.
pub static INTERVAL_FLOW: ChannelSpec = ChannelSpec {
    name: "interval_flow",
    about: "the option flow of a ticker in five minutes",
    identity: &["ticker", "interval_type", "tape_time"],
    subject: &["interval_type"],
    columns: &[
        Column::Text("interval_type", "OtmOnly".len(), Emphasis::None),
        Column::Labelled("calls", "call_vol"),
        Column::Labelled("puts", "put_vol"),
        Column::Signed("net call", "net_call_prem"),
        Column::Signed("put", "net_put_prem"),
    ],
    fields: &[fields::INTERVAL_FLOW],
    ..PLAIN
};

/// Has no ticker.
pub static CONTRACT_SCREENER: ChannelSpec = ChannelSpec {
    name: "contract_screener",
    about: "the state of an option contract",
    symbol: SymbolSource::Contract,
    identity: &["option_symbol", "tape_time"],
    subject: &["option_symbol"],
    columns: &[
        Column::Contract("option_symbol"),
        Column::Labelled("volume", "volume"),
        Column::Labelled("open", "open_interest"),
        Column::Money("premium"),
        Column::Percent("IV", "iv"),
        Column::Flag("is_new", "new"),
    ],
    fields: &[fields::CONTRACT_SCREENER],
    ..PLAIN
};

/// The alerts of the token's user; `symbol` is null, a stock or a contract.
pub static CUSTOM_ALERTS: ChannelSpec = ChannelSpec {
    name: "custom_alerts",
    about: "an alert that the user configured",
    symbol: SymbolSource::Contract,
    identity: &["user_noti_config_id", "symbol", "tape_time"],
    subject: &["name"],
    columns: &[Column::Word("noti_type"), Column::Word("name")],
    fields: &[fields::CUSTOM_ALERT],
    fill: Some(&fill::CUSTOM_ALERTS),
    ..PLAIN
};

/// Silent for whole sessions.
pub static TRADING_HALTS: ChannelSpec = ChannelSpec {
    name: "trading_halts",
    about: "a halt, a pause or a resumption",
    product: ProductKind::Stocks,
    identity: &["ticker", "state", "time"],
    subject: &["state"],
    columns: &[Column::Word("state"), Column::Word("reason")],
    fields: &[fields::TRADING_HALT],
    ..PLAIN
};

/// Some 80 frames per second overnight, as users report.
pub static FUTURES_TRADES: ChannelSpec = ChannelSpec {
    name: "futures_trades",
    about: "a trade of a future",
    identity: &["trade_id", "sym"],
    subject: &["price"],
    columns: FUTURES_COLUMNS,
    fields: &[fields::FUTURES_TRADE],
    ..PLAIN
};

/// As [`FUTURES_TRADES`], of one contract.
pub static FUTURES: ChannelSpec = ChannelSpec {
    name: "futures",
    about: "a trade of one future",
    forms: JoinForms::Contract,
    identity: &["trade_id", "sym"],
    subject: &["price"],
    columns: FUTURES_COLUMNS,
    fields: &[fields::FUTURES_TRADE],
    fill: Some(&fill::FUTURES),
    ..PLAIN
};

const STOCK_TRADE_COLUMNS: &[Column] = &[
    Column::Short("size"),
    Column::At("price"),
    Column::Labelled("volume", "volume"),
    Column::Word("trade_code"),
    Column::Word("sale_cond_codes"),
    Column::Word("ext_hour_sold_codes"),
];

const FUTURES_COLUMNS: &[Column] = &[
    Column::Text("sym", "ESZ6".len(), Emphasis::None),
    Column::Short("size"),
    Column::At("price"),
    Column::Word("side"),
    Column::Flag("is_block", "block"),
];
