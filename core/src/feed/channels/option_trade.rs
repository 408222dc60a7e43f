//! `option_trades`, `option_trades:TICKER`: every option trade.

use serde::Deserialize;

use super::{Decimal, Text};

/// One option trade (DOC; identical field set in every captured frame). About 950 bytes on the wire. There is no order
/// among trades but the order of arrival. How a cancelled trade shows is not known.
#[derive(Clone, Debug, Deserialize)]
pub struct OptionTrade<'a> {
    /// UUID, unique for the trade; also in [`FlowAlert::trade_ids`](super::FlowAlert::trade_ids) and in the REST tape.
    #[serde(borrow)]
    pub id: Text<'a>,
    /// Ticker of the underlying. `SPX` for weeklies whose contract's root is `SPXW` (3P).
    pub underlying_symbol: Text<'a>,
    /// When the trade was made, Unix milliseconds.
    pub executed_at: u64,
    /// When the vendor made the event, Unix milliseconds: 30 to 60 ms later.
    pub created_at: u64,
    /// Best bid of all exchanges, dollars.
    pub nbbo_bid: Decimal<'a>,
    /// Best offer of all exchanges, dollars.
    pub nbbo_ask: Decimal<'a>,
    /// Contracts.
    pub size: u64,
    /// Dollars a share.
    pub price: Decimal<'a>,
    /// OCC symbol of the contract: root, expiry as `YYMMDD`, `C` or `P`, strike in thousandths.
    pub option_symbol: Text<'a>,
    /// Flags of the report; empty in every captured frame.
    pub report_flags: Vec<Text<'a>>,
    /// `ask_side`, `bid_side`, `mid_side` or `no_side` (the trade's side is nowhere else), `bullish`, `bearish` or
    /// `neutral`, and classes such as `etf`, `index`, `sweep`.
    pub tags: Vec<Text<'a>>,
    /// `YYYY-MM-DD`.
    pub expiry: Text<'a>,
    /// Call or put.
    pub option_type: OptionType,
    /// Contracts open at the start of the day.
    pub open_interest: u64,
    /// Dollars; padded with zeros (`25.0000000000`) or not (`355`).
    pub strike: Decimal<'a>,
    /// Dollars: size × price × multiplier (100; NANOS 1, XSP 10).
    pub premium: Decimal<'a>,
    /// Contracts of the session so far. Cumulative as the counts below, so a jump shows trades that were missed.
    pub volume: u64,
    /// Dollars; missing for index contracts, whose prices are licensed (3P).
    pub underlying_price: Decimal<'a>,
    /// Moving average of the offer, dollars.
    pub ewma_nbbo_ask: Decimal<'a>,
    /// Moving average of the bid, dollars.
    pub ewma_nbbo_bid: Decimal<'a>,
    /// A year's volatility as a share: `0.59` is 59 %.
    pub implied_volatility: Decimal<'a>,
    /// Dollars per dollar of the underlying.
    pub delta: Decimal<'a>,
    /// Dollars per day.
    pub theta: Decimal<'a>,
    /// Delta per dollar of the underlying.
    pub gamma: Decimal<'a>,
    /// Dollars per point of volatility.
    pub vega: Decimal<'a>,
    /// Dollars per point of interest.
    pub rho: Decimal<'a>,
    /// Theoretical price, dollars.
    pub theo: Decimal<'a>,
    /// OPRA's condition of the trade: `auto`, `mlat`, `slan`, `isoi` and others.
    pub trade_code: Text<'a>,
    /// Market identifier code (`XCBO`).
    pub exchange: Text<'a>,
    /// Contracts of the session bought at the offer.
    pub ask_vol: u64,
    /// Contracts of the session sold at the bid.
    pub bid_vol: u64,
    /// Contracts of the session without a side.
    pub no_side_vol: u64,
    /// Contracts of the session between bid and offer.
    pub mid_vol: u64,
    /// Contracts of the session that were legs of a spread.
    pub multi_vol: u64,
    /// Contracts of the session that were traded together with stock.
    pub stock_multi_vol: u64,
    /// Whether the trade was cancelled. Absent from the vendor's documentation and captures; read as optional by 3P.
    pub canceled: Option<bool>,
}

/// The two kinds of options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptionType {
    /// The right to buy.
    Call,
    /// The right to sell.
    Put,
}
