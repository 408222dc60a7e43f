//! Documented payload fields by channel. A field that is not optional is in the vendor's documentation and in every
//! captured frame.

use super::field::{
    Field, account, count, decimal, flag, integer, millis, number, object, objects, one_of, text, texts,
};

/// Decimals and counts are JSON numbers here: integers in the documentation, some of them floats on the wire
/// (`11571.0`). Only `bid` and `ask` are strings. Expiry, strike and type are part of the contract's symbol only.
pub(super) const ALERT: &[Field] = &[
    text("id", "UUID of the alert; whether a growing cluster is sent again under the same ID is not known"),
    text("rule_id", "UUID of the rule"),
    text(
        "rule_name",
        "`RepeatedHits`, `RepeatedHitsAscendingFill`, `RepeatedHitsDescendingFill` and others; may be `null`",
    )
    .optional(),
    text("ticker", "ticker of the underlying"),
    text("option_chain", "OCC symbol of the contract; expiry, type and strike are in it only"),
    number("underlying_price", "US dollars"),
    number("volume", "contracts of the session so far"),
    number("total_size", "contracts in the cluster"),
    number("total_premium", "US dollars in the cluster"),
    number("total_ask_side_prem", "US dollars of the cluster at the offer"),
    number("total_bid_side_prem", "US dollars of the cluster at the bid"),
    millis("start_time", "first trade of the cluster, Unix milliseconds"),
    millis("end_time", "last trade of the cluster, Unix milliseconds"),
    millis("executed_at", "equals `end_time` in every captured frame, Unix milliseconds"),
    text("url", "empty in every captured frame"),
    number("price", "US dollars per share"),
    flag("has_multileg", "the cluster has legs of a spread"),
    flag("has_sweep", "the cluster has sweeps"),
    flag("has_floor", "the cluster has floor trades"),
    flag("has_singleleg", "the cluster has single trades"),
    number("open_interest", "contracts open at the beginning of the day"),
    flag("all_opening_trades", "every trade must have opened a position"),
    number("volume_oi_ratio", "volume divided by open interest; 0 in captures of May 2025"),
    texts("trade_ids", "`id` of each trade in `option_trades`; up to 61 seen"),
    number("trade_count", "trades in the cluster"),
    number("expiry_count", "expiries in the cluster"),
    number("ask_vol", "contracts of the session bought at the offer"),
    number("bid_vol", "contracts of the session sold at the bid"),
    number("no_side_vol", "contracts of the session without a side"),
    number("mid_vol", "contracts of the session between bid and offer"),
    number("multi_vol", "contracts of the session in legs of a spread"),
    number("stock_multi_vol", "contracts of the session traded together with stock"),
    texts("upstream_condition_details", "OPRA conditions of the trades"),
    texts("exchanges", "market identifier codes"),
    decimal("bid", "best bid, US dollars"),
    decimal("ask", "best offer, US dollars"),
];

pub(super) const TRADE: &[Field] = &[
    text("id", "UUID of the trade; also in `trade_ids` of `flow-alerts`"),
    text(
        "underlying_symbol",
        "ticker of the underlying; `SPX` for contracts of the root `SPXW`, as users report",
    ),
    millis("executed_at", "time of the trade, Unix milliseconds"),
    millis("created_at", "time of the event, Unix milliseconds; 30 to 60 ms later"),
    decimal("nbbo_bid", "best bid of all exchanges, US dollars"),
    decimal("nbbo_ask", "best offer of all exchanges, US dollars"),
    count("size", "contracts"),
    decimal("price", "US dollars per share"),
    text("option_symbol", "OCC symbol: root, expiry as `YYMMDD`, `C` or `P`, strike in thousandths"),
    texts("report_flags", "empty in every captured frame"),
    texts(
        "tags",
        "side (`ask_side`, `bid_side`, `mid_side`, `no_side`: in no other field), `bullish`, `bearish` or `neutral`, classes such as `etf`",
    ),
    text("expiry", "`YYYY-MM-DD`"),
    one_of("option_type", &["call", "put"], "`call` or `put`"),
    count("open_interest", "contracts open at the beginning of the day"),
    decimal("strike", "US dollars, with or without trailing zeros (`25.0000000000`, `355`)"),
    decimal("premium", "US dollars: size × price × multiplier (100; NANOS 1, XSP 10)"),
    count("volume", "contracts of the session so far"),
    decimal("underlying_price", "US dollars; `\"\"` for index contracts, as users report"),
    decimal("ewma_nbbo_ask", "moving average of the offer, US dollars"),
    decimal("ewma_nbbo_bid", "moving average of the bid, US dollars"),
    decimal("implied_volatility", "per year, as a fraction: `0.59` is 59 %"),
    decimal("delta", "US dollars per dollar of the underlying"),
    decimal("theta", "US dollars per day"),
    decimal("gamma", "delta per dollar of the underlying"),
    decimal("vega", "US dollars per point of volatility"),
    decimal("rho", "US dollars per point of interest"),
    decimal("theo", "theoretical price, US dollars"),
    text("trade_code", "OPRA condition: `auto`, `mlat`, `slan`, `isoi` and others; may be a comma list"),
    text("exchange", "market identifier code"),
    count("ask_vol", "contracts of the session bought at the offer"),
    count("bid_vol", "contracts of the session sold at the bid"),
    count("no_side_vol", "contracts of the session without a side"),
    count("mid_vol", "contracts of the session between bid and offer"),
    count("multi_vol", "contracts of the session in legs of a spread"),
    count("stock_multi_vol", "contracts of the session traded together with stock"),
    flag("canceled", "the trade was cancelled; in no documented or captured frame").optional(),
];

pub(super) const PRICE: &[Field] = &[
    text("ticker", "the ticker; absent from the documentation before 2026-08").optional(),
    decimal("close", "last price, US dollars"),
    millis("time", "Unix milliseconds"),
    count("vol", "shares of the session so far"),
];

pub(super) const GEX: &[Field] = &[
    text("ticker", "the ticker"),
    millis("timestamp", "Unix milliseconds, a whole second on a grid of 10 s"),
    decimal("price", "price of the underlying, US dollars"),
    decimal("gamma_per_one_percent_move_oi", "gamma, from open interest"),
    decimal("delta_per_one_percent_move_oi", "not usable: `\"\"` in the documentation, `0` in captures"),
    decimal("charm_per_one_percent_move_oi", "charm, from open interest"),
    decimal("vanna_per_one_percent_move_oi", "vanna, from open interest"),
    decimal("gamma_per_one_percent_move_vol", "gamma, from the volume of the session"),
    decimal("delta_per_one_percent_move_vol", "not usable: `\"\"` in the documentation, `0` in captures"),
    decimal("charm_per_one_percent_move_vol", "charm, from the volume of the session"),
    decimal("vanna_per_one_percent_move_vol", "vanna, from the volume of the session"),
    decimal("gamma_per_one_percent_move_dir", "gamma, from the volume with its side"),
    decimal("charm_per_one_percent_move_dir", "charm, from the volume with its side"),
    decimal("vanna_per_one_percent_move_dir", "vanna, from the volume with its side"),
];

pub(super) const EXPIRY: &[Field] = &[text("expiry", "`YYYY-MM-DD`")];

/// The documentation of August 2026 has deltas of 0.45, REST has 2 × 10^8, and a capture of the vendor had zeros.
const DELTA_OI: &str =
    "delta, from open interest; since August 2026; its scale is not that of REST, or not proven to be";
const DELTA_VOL: &str =
    "delta, from volume; since August 2026; its scale is not that of REST, or not proven to be";

/// Decimals have up to 16 digits and may be missing.
pub(super) const STRIKE: &[Field] = &[
    text("ticker", "the ticker"),
    millis("timestamp", "Unix milliseconds; may differ between the rows of one burst"),
    decimal("strike", "US dollars"),
    decimal("price", "price of the underlying, US dollars"),
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
    decimal("call_delta_oi", DELTA_OI).optional(),
    decimal("put_delta_oi", DELTA_OI).optional(),
    decimal("call_delta_vol", DELTA_VOL).optional(),
    decimal("put_delta_vol", DELTA_VOL).optional(),
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
    text("timestamp", "ISO 8601, UTC, whole seconds"),
    text("source", "`social-media`, `aggregator`, or the name of the upstream"),
    texts("tickers", "the tickers it is about; may be empty"),
    flag("is_trump_ts", "a post of the president of the United States"),
];

pub(super) const PERISCOPE: &[Field] = &[
    text("ticker", "`SPX`, `VIX`, `XSP` or `NANOS`"),
    millis("timestamp", "of the board, Unix milliseconds"),
    count("total_rows", "rows of the board over all its frames"),
    flag("has_more", "more frames of the board follow"),
    objects(
        "rows",
        "each with `strike` and `expiry` (text) and `gamma`, `charm` and `vanna` (number); at most 1 024",
    ),
];

pub(super) const IV_DAYS: &[Field] = &[
    count("days", "to the horizon of the volatility"),
    flag("is_exact", "there is an expiry on that day; otherwise interpolated"),
];

pub(super) const IV: &[Field] = &[
    text("ticker", "the ticker"),
    text("date", "`YYYY-MM-DD`, the day of the statement; there is no time of day"),
    number("volatility", "implied, per year, as a fraction: `0.21` is 21 %"),
    number("implied_move", "US dollars"),
    number("implied_move_perc", "as a fraction of the price"),
];

/// Of `lit_trades` and `off_lit_trades`.
pub(super) const STOCK_TRADE: &[Field] = &[
    text("symbol", "the ticker"),
    decimal("price", "US dollars"),
    one_of(
        "type",
        &["lit", "off_lit"],
        "`lit` on an exchange, `off_lit` elsewhere: one of them on each channel",
    ),
    count("size", "shares"),
    count("volume", "shares of the session so far"),
    text("trade_settlement", "`regular`, `cash`, `next_day`, `seller`").optional(),
    text("trade_code", "`opening_print`, `closing_print`, `odd_lot` and others").optional(),
    text("ext_hour_sold_codes", "`extended_hours_trade` outside the regular session").optional(),
    text("sale_cond_codes", "`cross_trade`, `derivatively_priced` and others").optional(),
    text("executed_at", "ISO 8601, UTC; of the trade"),
    text(
        "trf_executed_at",
        "ISO 8601, UTC; of the report to the trade reporting facility, mostly off the exchanges",
    )
    .optional(),
    decimal("nbbo_bid", "best bid of all exchanges, US dollars"),
    decimal("nbbo_ask", "best offer of all exchanges, US dollars"),
    count("nbbo_bid_quantity", "size of the best bid, as the vendor gives it"),
    count("nbbo_ask_quantity", "size of the best offer, as the vendor gives it"),
    text("sector", "of the company").optional(),
    text("next_earnings_date", "`YYYY-MM-DD`").optional(),
    decimal("avg30_volume", "shares per day over the last 30 trading days"),
    text("issue_type", "`Common Stock`, `ETF`, `ADR` and others").optional(),
    decimal("marketcap", "US dollars"),
];

pub(super) const NET_FLOW: &[Field] = &[
    text("ticker", "the ticker"),
    decimal("net_call_prem", "US dollars for calls at the offer, less those at the bid"),
    integer("net_call_vol", "contracts of calls at the offer, less those at the bid"),
    decimal("net_put_prem", "US dollars for puts at the offer, less those at the bid"),
    integer("net_put_vol", "contracts of puts at the offer, less those at the bid"),
    millis("time", "Unix milliseconds"),
];

pub(super) const MARKET_TIDE: &[Field] = &[
    text("timestamp", "ISO 8601, UTC, whole seconds"),
    integer("net_volume", "contracts of calls less those of puts"),
    decimal("net_call_premium", "US dollars for calls at the offer, less those at the bid"),
    decimal("net_put_premium", "US dollars for puts at the offer, less those at the bid"),
    integer("otm_net_volume", "as `net_volume`, out of the money only"),
    decimal("otm_net_call_premium", "as `net_call_premium`, out of the money only"),
    decimal("otm_net_put_premium", "as `net_put_premium`, out of the money only"),
];

pub(super) const INTERVAL_FLOW: &[Field] = &[
    text("ticker", "ticker of the underlying"),
    one_of("interval_type", &["All", "OtmOnly"], "`All` contracts, or `OtmOnly`: those out of the money"),
    text("start_time", "ISO 8601, UTC; start of the window"),
    text("tape_time", "ISO 8601, UTC; of the statement, within the window"),
    count("call_vol", "contracts of calls in the window"),
    count("put_vol", "contracts of puts in the window"),
    count("transactions", "trades in the window"),
    count("call_vol_ask_side", "contracts of calls bought at the offer"),
    count("call_vol_bid_side", "contracts of calls sold at the bid"),
    count("call_vol_neutral_side", "contracts of calls without a side"),
    count("put_vol_ask_side", "contracts of puts bought at the offer"),
    count("put_vol_bid_side", "contracts of puts sold at the bid"),
    count("put_vol_neutral_side", "contracts of puts without a side"),
    count("call_sweep_vol", "contracts of calls in sweeps"),
    count("put_sweep_vol", "contracts of puts in sweeps"),
    count("call_floor_vol", "contracts of calls in floor trades"),
    count("put_floor_vol", "contracts of puts in floor trades"),
    count("call_cross_vol", "contracts of calls in crosses"),
    count("put_cross_vol", "contracts of puts in crosses"),
    count("call_multi_vol", "contracts of calls in legs of a spread"),
    count("put_multi_vol", "contracts of puts in legs of a spread"),
    integer("cum_net_call_delta", "delta of the calls of the session so far, signed by side"),
    integer("cum_net_put_delta", "delta of the puts of the session so far, signed by side"),
    decimal("avg_dte", "mean days to expiry"),
    decimal("avg_otm", "mean distance out of the money, as the vendor gives it"),
    decimal("avg_size", "mean contracts per trade"),
    decimal("avg_prem", "mean US dollars per trade"),
    integer("net_call_prem", "US dollars for calls at the offer, less those at the bid"),
    integer("net_put_prem", "US dollars for puts at the offer, less those at the bid"),
    decimal("open", "price of the underlying at the start of the window, US dollars"),
    decimal("close", "price of the underlying at the end of the window, US dollars"),
    integer("implied_move_perc_30d_open", "implied move over 30 days at the start, basis points"),
    integer("implied_move_perc_30d_close", "implied move over 30 days at the end, basis points"),
    integer("volatility_30d_open", "implied volatility over 30 days at the start, basis points"),
    integer("volatility_30d_close", "implied volatility over 30 days at the end, basis points"),
    integer("delta_flow", "delta traded, without a sign"),
    integer("gamma_flow", "gamma traded, without a sign"),
    integer("vega_flow", "vega traded, without a sign"),
    integer("dir_delta_flow", "delta traded, signed by side"),
    integer("dir_gamma_flow", "gamma traded, signed by side"),
    integer("dir_vega_flow", "vega traded, signed by side"),
];

pub(super) const CONTRACT_SCREENER: &[Field] = &[
    text("option_symbol", "OCC symbol of the contract; there is no ticker"),
    text("tape_time", "ISO 8601, UTC"),
    count("volume", "contracts of the session so far"),
    count("open_interest", "contracts open at `tape_time`"),
    count("prev_oi", "contracts open at the close of the session before"),
    count("trades", "trades of the session so far"),
    decimal("premium", "US dollars of the session so far"),
    count("ask_side_volume", "contracts bought at the offer"),
    count("bid_side_volume", "contracts sold at the bid"),
    count("neutral_volume", "contracts without a side"),
    count("mid_volume", "contracts between bid and offer"),
    count("floor_volume", "contracts in floor trades"),
    count("sweep_volume", "contracts in sweeps"),
    count("cross_volume", "contracts in crosses"),
    count("multileg_volume", "contracts in legs of a spread"),
    count("stock_multi_leg_volume", "contracts traded together with stock"),
    decimal("open", "first price of the session, US dollars per share"),
    decimal("high", "highest price of the session, US dollars per share"),
    decimal("low", "lowest price of the session, US dollars per share"),
    decimal("close", "last price, US dollars per share"),
    decimal("avg_price", "mean price weighted by volume, US dollars per share"),
    decimal("bid", "best bid of all exchanges, US dollars"),
    decimal("ask", "best offer of all exchanges, US dollars"),
    decimal("iv", "implied volatility per year, as a fraction"),
    decimal("delta", "US dollars per dollar of the underlying"),
    decimal("gamma", "delta per dollar of the underlying"),
    decimal("theta", "US dollars per day"),
    decimal("vega", "US dollars per point of volatility"),
    decimal("chain_prev_close", "price at the close of the session before, US dollars per share"),
    count("days_of_oi_increases", "sessions in succession in which open interest rose"),
    count("days_of_vol_greater_than_oi", "sessions in succession with more volume than open interest"),
    flag("is_new", "the contract was listed recently"),
    decimal("ask_side_perc_7_day", "share of seven trading days' volume at the offer, as a fraction"),
    decimal("bid_side_perc_7_day", "share of seven trading days' volume at the bid, as a fraction"),
];

pub(super) const CUSTOM_ALERT: &[Field] = &[
    text("name", "name of the user's configuration"),
    text("noti_type", "kind of the alert, such as `flow_alerts`, `price_alert` or `news`"),
    account("user_noti_config_id", "UUID of the user's configuration"),
    account("user_id", "UUID of the user of the token"),
    text("symbol", "a ticker or an OCC symbol; may be `null`").optional(),
    text("symbol_type", "`stock` or `option_chain`; may be `null`").optional(),
    text("tape_time", "ISO 8601, UTC"),
    object("meta", "depends on `noti_type`"),
];

pub(super) const TRADING_HALT: &[Field] = &[
    text("ticker", "the ticker"),
    text("state", "`halted`, `paused`, `resumed`; passed through by the vendor"),
    text("reason", "code of the exchange: `LUDP` a volatility pause, `T1` news pending; may be empty"),
    text("time", "ISO 8601, UTC"),
];

/// Reported by a user in September 2026; the vendor documents the channels' names only.
pub(super) const FUTURES_TRADE: &[Field] = &[
    text("sym", "the contract"),
    text("product", "root of the contract").optional(),
    text("exchange", "market identifier code").optional(),
    millis("executed_at", "Unix milliseconds"),
    decimal("price", "in points"),
    count("size", "contracts"),
    text("side", "`buy` or `sell`").optional(),
    decimal("nbbo_bid", "best bid, in points").optional(),
    decimal("nbbo_ask", "best offer, in points").optional(),
    count("trade_id", "tells two trades of a contract apart"),
    flag("is_block", "a block trade").optional(),
];
