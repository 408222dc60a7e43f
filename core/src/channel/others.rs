//! The channels that are listened to on request only. Those without fields are known by their properties; their
//! payloads are not checked.
//!
//! Source: the vendor's documentation of August 2026.

use super::fields;
use super::fill;
use super::spec::{ChannelSpec, Column, Emphasis, Family, Frame, JoinForms, MapKey, SymbolSource, Usual};
use crate::calendar::products::Kind;

/// Default cap of the streams of a channel whose rate is not known, in entries.
pub const USUAL_CAP: u64 = 5_000;

/// A channel of which no more is known than that it exists: joined once, without an identity.
const PLAIN: ChannelSpec = ChannelSpec {
    name: "",
    about: "",
    family: Family::Other,
    forms: JoinForms::Plain,
    tickers: &[],
    symbol: SymbolSource::Ticker,
    identity: &[],
    frame: Frame::Whole,
    product: Kind::Options,
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
    product: Kind::Stocks,
    fill: Some(&fill::LIT_TRADES),
    ..PLAIN
};

/// As [`LIT_TRADES`].
pub static OFF_LIT_TRADES: ChannelSpec = ChannelSpec {
    name: "off_lit_trades",
    about: "a stock trade off the exchanges",
    product: Kind::Stocks,
    fill: Some(&fill::OFF_LIT_TRADES),
    ..PLAIN
};

/// Called cumulative in the documentation; users find increments.
pub static NET_FLOW: ChannelSpec = ChannelSpec {
    name: "net_flow",
    about: "the net premium of a ticker's options",
    forms: JoinForms::Ticker,
    identity: &["ticker", "time"],
    ..PLAIN
};

/// Every two seconds, as users report.
pub static MARKET_TIDE: ChannelSpec = ChannelSpec {
    name: "market_tide",
    about: "the net premium of all options",
    identity: &["timestamp"],
    ..PLAIN
};

/// Two frames per ticker and window of five minutes; of a window the newest frame counts.
pub static INTERVAL_FLOW: ChannelSpec = ChannelSpec {
    name: "interval_flow",
    about: "the option flow of a ticker in five minutes",
    identity: &["ticker", "interval_type", "tape_time"],
    ..PLAIN
};

/// Has 33 fields and no ticker.
pub static CONTRACT_SCREENER: ChannelSpec = ChannelSpec {
    name: "contract_screener",
    about: "the state of an option contract",
    symbol: SymbolSource::Contract,
    identity: &["option_symbol", "tape_time"],
    ..PLAIN
};

/// The alerts of the token's user; `symbol` is null, a stock or a contract.
pub static CUSTOM_ALERTS: ChannelSpec = ChannelSpec {
    name: "custom_alerts",
    about: "an alert that the user configured",
    symbol: SymbolSource::Contract,
    identity: &["user_noti_config_id", "symbol", "tape_time"],
    fill: Some(&fill::CUSTOM_ALERTS),
    ..PLAIN
};

/// Silent for whole sessions.
pub static TRADING_HALTS: ChannelSpec = ChannelSpec {
    name: "trading_halts",
    product: Kind::Stocks,
    about: "a halt, a pause or a resumption",
    identity: &["ticker", "state", "time"],
    ..PLAIN
};

/// Some 80 frames per second overnight, as users report.
pub static FUTURES_TRADES: ChannelSpec = ChannelSpec {
    name: "futures_trades",
    about: "a trade of a future",
    identity: &["trade_id", "sym"],
    ..PLAIN
};

/// As [`FUTURES_TRADES`], of one contract.
pub static FUTURES: ChannelSpec = ChannelSpec {
    name: "futures",
    about: "a trade of one future",
    forms: JoinForms::Contract,
    identity: &["trade_id", "sym"],
    fill: Some(&fill::FUTURES),
    ..PLAIN
};
