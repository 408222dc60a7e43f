//! The table of channels: this file has those that are listened to by default, [`super::others`] the rest.
//!
//! Sources: the vendor's documentation and published examples, captures of May and September 2025, and reports of
//! other users of the feed. `docs/feed.md`, shape checks, memory estimates, join forms and the columns of `tail`
//! all derive from it.

use super::endpoint::BodyEndpoint;
use super::fields;
use super::fill;
use super::others::{
    CONTRACT_SCREENER, CUSTOM_ALERTS, FUTURES, FUTURES_TRADES, INTERPOLATED_IV, INTERVAL_FLOW,
    IV_TERM_STRUCTURE, LIT_TRADES, MARKET_TIDE, NET_FLOW, OFF_LIT_TRADES, PERISCOPE, TRADING_HALTS,
};
use super::spec::{ChannelSpec, Column, Emphasis, Family, Frame, JoinForms, MapKey, SymbolSource, Usual};
use crate::calendar::products::ProductKind;

/// All known channels, in documentation order.
pub static KNOWN: [&ChannelSpec; 20] = [
    &FLOW_ALERTS,
    &OPTION_TRADES,
    &PRICE,
    &GEX,
    &GEX_STRIKE,
    &GEX_STRIKE_EXPIRY,
    &NEWS,
    &PERISCOPE,
    &INTERPOLATED_IV,
    &IV_TERM_STRUCTURE,
    &LIT_TRADES,
    &OFF_LIT_TRADES,
    &NET_FLOW,
    &MARKET_TIDE,
    &INTERVAL_FLOW,
    &CONTRACT_SCREENER,
    &CUSTOM_ALERTS,
    &TRADING_HALTS,
    &FUTURES_TRADES,
    &FUTURES,
];

/// Alerts arrive 5 to 16 s after the last trade of their cluster, in small bursts.
pub static FLOW_ALERTS: ChannelSpec = ChannelSpec {
    name: "flow-alerts",
    about: "a cluster of option trades that one of the vendor's rules noticed",
    family: Family::Flow,
    forms: JoinForms::Plain,
    tickers: &[],
    symbol: SymbolSource::Ticker,
    identity: &["id"],
    cap: 100_000,
    frame: Frame::Whole,
    product: ProductKind::Options,
    usual: Some(Usual { rate: 2.0, entry_bytes: 2_100 }),
    body: Some(BodyEndpoint::FlowAlerts),
    fill: Some(&fill::FLOW_ALERTS),
    subject: &["option_chain"],
    columns: &[
        Column::Contract("option_chain"),
        Column::Text("rule_name", "RepeatedHitsDescendingFill".len(), Emphasis::None),
        Column::Short("total_size"),
        Column::Money("total_premium"),
        Column::Shares("total_premium", "total_ask_side_prem", "total_bid_side_prem"),
        Column::Flag("has_sweep", "sweep"),
        Column::Flag("has_floor", "floor"),
        Column::Flag("has_multileg", "multileg"),
        Column::Flag("all_opening_trades", "opening"),
    ],
    fields: &[fields::ALERT],
};

/// Trades are ordered by arrival only. The representation of a cancelled trade is unknown.
pub static OPTION_TRADES: ChannelSpec = ChannelSpec {
    name: "option_trades",
    about: "an option trade",
    family: Family::Trades,
    forms: JoinForms::TickerOrPlain,
    tickers: &[],
    symbol: SymbolSource::Ticker,
    identity: &["id"],
    cap: 100_000,
    frame: Frame::Whole,
    product: ProductKind::Options,
    usual: Some(Usual { rate: 80.0, entry_bytes: 1_030 }),
    body: None,
    fill: Some(&fill::OPTION_TRADES),
    subject: &["option_symbol"],
    columns: &[
        Column::Contract("option_symbol"),
        Column::Side("tags"),
        Column::Short("size"),
        Column::At("price"),
        Column::Money("premium"),
        Column::Percent("IV", "implied_volatility"),
        Column::Tags("tags"),
        Column::Alarm("canceled", "canceled"),
    ],
    fields: &[fields::TRADE],
};

/// About 34 events per minute for SPY, including after hours.
pub static PRICE: ChannelSpec = ChannelSpec {
    name: "price",
    about: "the price of an underlying",
    family: Family::Prices,
    forms: JoinForms::TickerOrPlain,
    tickers: &[],
    symbol: SymbolSource::Ticker,
    identity: &["ticker", "time", "close", "vol"],
    cap: 100_000,
    frame: Frame::Whole,
    product: ProductKind::Stocks,
    usual: Some(Usual { rate: 0.6, entry_bytes: 92 }),
    body: Some(BodyEndpoint::StockState),
    fill: Some(&fill::PRICE),
    subject: &["close"],
    columns: &[Column::Exact("close", 8), Column::Labelled("volume", "vol")],
    fields: &[fields::PRICE],
};

/// One frame every 10 s or more often, in dollars per one-percent move. The suffix names the input: `_oi` open
/// interest, `_vol` the session's volume, `_dir` the volume with its side.
pub static GEX: ChannelSpec = ChannelSpec {
    name: "gex",
    about: "the exposure of a ticker's option dealers",
    family: Family::Gex,
    forms: JoinForms::TickerOrPlain,
    tickers: &[],
    symbol: SymbolSource::Ticker,
    identity: &["ticker", "timestamp"],
    cap: 100_000,
    frame: Frame::Whole,
    product: ProductKind::Options,
    usual: Some(Usual { rate: 0.6, entry_bytes: 690 }),
    body: Some(BodyEndpoint::SpotExposures),
    fill: Some(&fill::GEX),
    subject: &["gamma_per_one_percent_move_oi", "gamma_per_one_percent_move_vol"],
    columns: &[
        Column::Exact("price", 8),
        Column::Signed("gamma oi", "gamma_per_one_percent_move_oi"),
        Column::Signed("vol", "gamma_per_one_percent_move_vol"),
        Column::Signed("dir", "gamma_per_one_percent_move_dir"),
    ],
    fields: &[fields::GEX],
};

/// One frame per strike, all strikes in a burst. Rows are restated within the session (late prints, cancels); the
/// last one is authoritative. Timestamps may differ within a burst, and rows of rarely traded strikes can be hours
/// old.
pub static GEX_STRIKE: ChannelSpec = ChannelSpec {
    name: "gex_strike",
    about: "the exposure of a ticker's option dealers at one strike",
    family: Family::Gex,
    forms: JoinForms::TickerOrPlain,
    tickers: &[],
    symbol: SymbolSource::Ticker,
    identity: &["ticker", "strike", "timestamp"],
    cap: 100_000,
    frame: Frame::Row { key: MapKey::Strike, rows: 400 },
    product: ProductKind::Options,
    usual: Some(Usual { rate: 40.0, entry_bytes: 1_030 }),
    body: Some(BodyEndpoint::SpotExposuresStrike),
    fill: Some(&fill::GEX_STRIKE),
    subject: &["strike"],
    columns: STRIKE_COLUMNS,
    fields: &[fields::STRIKE],
};

/// Waves of up to 4 000 rows within one second, every 10 to 30 s; joining triggers no initial wave.
pub static GEX_STRIKE_EXPIRY: ChannelSpec = ChannelSpec {
    name: "gex_strike_expiry",
    about: "the exposure of a ticker's option dealers at one strike of one expiry",
    family: Family::Gex,
    forms: JoinForms::TickerOrPlain,
    tickers: &[],
    symbol: SymbolSource::Ticker,
    identity: &["ticker", "expiry", "strike", "timestamp"],
    cap: 100_000,
    frame: Frame::Row { key: MapKey::ExpiryAndStrike, rows: 4_000 },
    product: ProductKind::Options,
    usual: Some(Usual { rate: 100.0, entry_bytes: 1_160 }),
    body: None,
    fill: None,
    subject: &["strike"],
    columns: STRIKE_COLUMNS,
    fields: &[fields::EXPIRY, fields::STRIKE],
};

/// About one event per minute, also outside trading hours. A headline has no ID.
pub static NEWS: ChannelSpec = ChannelSpec {
    name: "news",
    about: "a headline",
    family: Family::News,
    forms: JoinForms::Plain,
    tickers: &[],
    symbol: SymbolSource::Ticker,
    identity: &["timestamp", "source", "headline"],
    cap: 20_000,
    frame: Frame::Whole,
    product: ProductKind::Options,
    usual: Some(Usual { rate: 0.03, entry_bytes: 260 }),
    body: None,
    fill: Some(&fill::NEWS),
    subject: &["headline"],
    columns: &[
        Column::Text("source", "social-media".len(), Emphasis::Faint),
        Column::Words("tickers"),
        Column::Word("headline"),
    ],
    fields: &[fields::NEWS],
};

const STRIKE_COLUMNS: &[Column] = &[
    Column::Word("expiry"),
    Column::Plain("strike", 7),
    Column::Signed("gamma oi call", "call_gamma_oi"),
    Column::Signed("put", "put_gamma_oi"),
    Column::Signed("vol call", "call_gamma_vol"),
    Column::Signed("put", "put_gamma_vol"),
    Column::LabelledPrice("price", "price"),
];
