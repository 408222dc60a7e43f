//! The documented fields of each channel's payloads. A field that is not optional was in the vendor's documentation and in every
//! frame seen.

use super::spec::{Field, Kind};

/// Decimals and counts are JSON numbers here, integers in the documentation and some of them floats on the wire (`11571.0`); only
/// `bid` and `ask` are texts. Expiry, strike and type are in the contract's symbol alone.
pub(super) const ALERT: &[Field] = &[
    text("id", "UUID; whether a growing cluster is sent again under it is not known"),
    text("rule_id", "UUID of the rule"),
    text("rule_name", "`RepeatedHits`, `RepeatedHitsAscendingFill` and others").optional(),
    text("ticker", "ticker of the underlying"),
    text("option_chain", "OCC symbol of the contract"),
    number("underlying_price", "dollars"),
    number("volume", "contracts of the session so far"),
    number("total_size", "contracts in the cluster"),
    number("total_premium", "dollars in the cluster"),
    number("total_ask_side_prem", "dollars of the cluster at the offer"),
    number("total_bid_side_prem", "dollars of the cluster at the bid"),
    millis("start_time", "first trade of the cluster"),
    millis("end_time", "last trade of the cluster"),
    millis("executed_at", "the same as `end_time` in every captured frame"),
    text("url", "always empty in the captures"),
    number("price", "dollars per share"),
    flag("has_multileg", "whether legs of a spread are in the cluster"),
    flag("has_sweep", "whether sweeps are in the cluster"),
    flag("has_floor", "whether floor trades are in the cluster"),
    flag("has_singleleg", "whether single trades are in the cluster"),
    number("open_interest", "contracts open at the start of the day"),
    flag("all_opening_trades", "whether every trade must have opened a position"),
    number("volume_oi_ratio", "volume by open interest; always 0 in captures of May 2025"),
    texts("trade_ids", "`id` of each trade in `option_trades`; up to 61 seen"),
    number("trade_count", "trades in the cluster"),
    number("expiry_count", "expiries in the cluster"),
    number("ask_vol", "contracts of the session bought at the offer"),
    number("bid_vol", "contracts of the session sold at the bid"),
    number("no_side_vol", "contracts of the session without a side"),
    number("mid_vol", "contracts of the session between bid and offer"),
    number("multi_vol", "contracts of the session that were legs of a spread"),
    number("stock_multi_vol", "contracts of the session that were traded together with stock"),
    texts("upstream_condition_details", "OPRA's conditions of the trades"),
    texts("exchanges", "market identifier codes"),
    decimal("bid", "best bid, dollars"),
    decimal("ask", "best offer, dollars"),
];

pub(super) const TRADE: &[Field] = &[
    text("id", "UUID of the trade; also in `trade_ids` of `flow-alerts` and in the REST tape"),
    text("underlying_symbol", "ticker of the underlying. `SPX` for weeklies whose contract's root is `SPXW`"),
    millis("executed_at", "when the trade was made"),
    millis("created_at", "when the vendor made the event: 30 to 60 ms later"),
    decimal("nbbo_bid", "best bid of all exchanges, dollars"),
    decimal("nbbo_ask", "best offer of all exchanges, dollars"),
    count("size", "contracts"),
    decimal("price", "dollars per share"),
    text("option_symbol", "OCC symbol: root, expiry `YYMMDD`, `C` or `P`, strike in thousandths"),
    texts("report_flags", "flags of the report; empty in every captured frame"),
    texts(
        "tags",
        "the side (`ask_side`, `bid_side`, `mid_side`, `no_side`), the lean, and classes such as `etf`, `sweep`",
    ),
    text("expiry", "`YYYY-MM-DD`"),
    one_of("option_type", &["call", "put"], "call or put"),
    count("open_interest", "contracts open at the start of the day"),
    decimal("strike", "dollars; padded with zeros (`25.0000000000`) or not (`355`)"),
    decimal("premium", "dollars: size × price × multiplier (100; NANOS 1, XSP 10)"),
    count("volume", "contracts of the session so far; a jump shows trades that were missed"),
    decimal("underlying_price", "dollars; missing for index contracts, whose prices are licensed"),
    decimal("ewma_nbbo_ask", "moving average of the offer, dollars"),
    decimal("ewma_nbbo_bid", "moving average of the bid, dollars"),
    decimal("implied_volatility", "a year's volatility as a share: `0.59` is 59 %"),
    decimal("delta", "dollars per dollar of the underlying"),
    decimal("theta", "dollars per day"),
    decimal("gamma", "delta per dollar of the underlying"),
    decimal("vega", "dollars per point of volatility"),
    decimal("rho", "dollars per point of interest"),
    decimal("theo", "theoretical price, dollars"),
    text("trade_code", "OPRA's condition of the trade: `auto`, `mlat`, `slan`, `isoi` and others"),
    text("exchange", "market identifier code (`XCBO`)"),
    count("ask_vol", "contracts of the session bought at the offer"),
    count("bid_vol", "contracts of the session sold at the bid"),
    count("no_side_vol", "contracts of the session without a side"),
    count("mid_vol", "contracts of the session between bid and offer"),
    count("multi_vol", "contracts of the session that were legs of a spread"),
    count("stock_multi_vol", "contracts of the session that were traded together with stock"),
    flag("canceled", "whether the trade was cancelled; never captured, read by other users").optional(),
];

pub(super) const PRICE: &[Field] = &[
    text("ticker", "the ticker; absent up to April 2026, when only the topic told it").optional(),
    decimal("close", "last price, dollars"),
    millis("time", "when it was made"),
    count("vol", "shares of the session so far"),
];

pub(super) const GEX: &[Field] = &[
    text("ticker", "the ticker"),
    millis("timestamp", "a whole second on a grid of 10 s; may lie in the future of a slow clock"),
    decimal("price", "price of the underlying, dollars"),
    decimal("gamma_per_one_percent_move_oi", "gamma from open interest"),
    decimal("delta_per_one_percent_move_oi", "not usable: missing in the documentation, `0` in the captures"),
    decimal("charm_per_one_percent_move_oi", "charm from open interest"),
    decimal("vanna_per_one_percent_move_oi", "vanna from open interest"),
    decimal("gamma_per_one_percent_move_vol", "gamma from volume"),
    decimal("delta_per_one_percent_move_vol", "not usable, as with open interest"),
    decimal("charm_per_one_percent_move_vol", "charm from volume"),
    decimal("vanna_per_one_percent_move_vol", "vanna from volume"),
    decimal("gamma_per_one_percent_move_dir", "gamma from volume with its side"),
    decimal("charm_per_one_percent_move_dir", "charm from volume with its side"),
    decimal("vanna_per_one_percent_move_dir", "vanna from volume with its side"),
];

pub(super) const EXPIRY: &[Field] = &[text("expiry", "`YYYY-MM-DD`")];

/// Decimals have up to 16 digits and may be missing.
pub(super) const STRIKE: &[Field] = &[
    text("ticker", "the ticker"),
    millis("timestamp", "time of the data"),
    decimal("strike", "dollars"),
    decimal("price", "price of the underlying, dollars"),
    decimal("call_gamma_oi", "gamma of the calls, from open interest"),
    decimal("put_gamma_oi", "gamma of the puts, from open interest"),
    decimal("call_charm_oi", "charm of the calls, from open interest"),
    decimal("put_charm_oi", "charm of the puts, from open interest"),
    decimal("call_vanna_oi", "vanna of the calls, from open interest"),
    decimal("put_vanna_oi", "vanna of the puts, from open interest"),
    decimal("call_gamma_vol", "gamma of the calls, from volume"),
    decimal("put_gamma_vol", "gamma of the puts, from volume"),
    decimal("call_charm_vol", "charm of the calls, from volume"),
    decimal("put_charm_vol", "charm of the puts, from volume"),
    decimal("call_vanna_vol", "vanna of the calls, from volume"),
    decimal("put_vanna_vol", "vanna of the puts, from volume"),
    decimal("call_gamma_ask_vol", "gamma of the calls, from volume at the offer"),
    decimal("put_gamma_ask_vol", "gamma of the puts, from volume at the offer"),
    decimal("call_charm_ask_vol", "charm of the calls, from volume at the offer"),
    decimal("put_charm_ask_vol", "charm of the puts, from volume at the offer"),
    decimal("call_vanna_ask_vol", "vanna of the calls, from volume at the offer"),
    decimal("put_vanna_ask_vol", "vanna of the puts, from volume at the offer"),
    decimal("call_gamma_bid_vol", "gamma of the calls, from volume at the bid"),
    decimal("put_gamma_bid_vol", "gamma of the puts, from volume at the bid"),
    decimal("call_charm_bid_vol", "charm of the calls, from volume at the bid"),
    decimal("put_charm_bid_vol", "charm of the puts, from volume at the bid"),
    decimal("call_vanna_bid_vol", "vanna of the calls, from volume at the bid"),
    decimal("put_vanna_bid_vol", "vanna of the puts, from volume at the bid"),
];

pub(super) const NEWS: &[Field] = &[
    text("headline", "the headline"),
    text("timestamp", "ISO 8601, UTC, whole seconds: `2025-06-11T21:40:56Z`"),
    text("source", "`social-media`, `aggregator`, or what the upstream says"),
    texts("tickers", "the tickers it is about; may be none"),
    flag("is_trump_ts", "whether it is a post of the US president's"),
];

const fn field(name: &'static str, kind: Kind, meaning: &'static str) -> Field {
    Field { name, kind, is_optional: false, meaning }
}

const fn text(name: &'static str, meaning: &'static str) -> Field {
    field(name, Kind::Text, meaning)
}

const fn texts(name: &'static str, meaning: &'static str) -> Field {
    field(name, Kind::Texts, meaning)
}

const fn decimal(name: &'static str, meaning: &'static str) -> Field {
    field(name, Kind::Decimal, meaning)
}

const fn number(name: &'static str, meaning: &'static str) -> Field {
    field(name, Kind::Number, meaning)
}

const fn count(name: &'static str, meaning: &'static str) -> Field {
    field(name, Kind::Count, meaning)
}

const fn millis(name: &'static str, meaning: &'static str) -> Field {
    field(name, Kind::Millis, meaning)
}

const fn flag(name: &'static str, meaning: &'static str) -> Field {
    field(name, Kind::Flag, meaning)
}

const fn one_of(name: &'static str, values: &'static [&'static str], meaning: &'static str) -> Field {
    field(name, Kind::OneOf(values), meaning)
}

impl Field {
    const fn optional(self) -> Field {
        Field { is_optional: true, ..self }
    }
}
