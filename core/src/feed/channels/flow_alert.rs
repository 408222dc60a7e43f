//! `flow-alerts`: clusters of trades that one of the vendor's rules noticed.

use serde::Deserialize;

use super::{Decimal, Text};

/// One alert (DOC): all tickers, unfiltered; 1 to 4 KB. It arrives 5 to 16 s after the last trade of the cluster, in
/// small bursts. Here decimals and counts are JSON numbers, integers in the documentation and some of them floats on the
/// wire (`11571.0`, of dollars and of contracts); only `bid` and `ask` are strings. Expiry, strike and type are in the contract's symbol only.
#[derive(Clone, Debug, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "the vendor's flags")]
pub struct FlowAlert<'a> {
    /// UUID of the alert. Whether a growing cluster is sent again under the same id is not known.
    #[serde(borrow)]
    pub id: Text<'a>,
    /// UUID of the rule.
    pub rule_id: Text<'a>,
    /// `RepeatedHits`, `RepeatedHitsAscendingFill`, `RepeatedHitsDescendingFill` and others; nullable (DOC).
    pub rule_name: Option<Text<'a>>,
    /// Ticker of the underlying.
    pub ticker: Text<'a>,
    /// OCC symbol of the contract.
    pub option_chain: Text<'a>,
    /// Dollars.
    pub underlying_price: Decimal<'a>,
    /// Contracts of the session so far.
    pub volume: Decimal<'a>,
    /// Contracts in the cluster.
    pub total_size: Decimal<'a>,
    /// Dollars in the cluster.
    pub total_premium: Decimal<'a>,
    /// Dollars of the cluster at the offer.
    pub total_ask_side_prem: Decimal<'a>,
    /// Dollars of the cluster at the bid.
    pub total_bid_side_prem: Decimal<'a>,
    /// First trade of the cluster, Unix milliseconds.
    pub start_time: u64,
    /// Last trade of the cluster, Unix milliseconds.
    pub end_time: u64,
    /// The same as `end_time` in every captured frame, Unix milliseconds.
    pub executed_at: u64,
    /// Always empty in the captures.
    pub url: Text<'a>,
    /// Dollars a share.
    pub price: Decimal<'a>,
    /// Whether legs of a spread are in the cluster.
    pub has_multileg: bool,
    /// Whether sweeps are in the cluster.
    pub has_sweep: bool,
    /// Whether floor trades are in the cluster.
    pub has_floor: bool,
    /// Whether single trades are in the cluster.
    pub has_singleleg: bool,
    /// Contracts open at the start of the day.
    pub open_interest: Decimal<'a>,
    /// Whether every trade must have opened a position.
    pub all_opening_trades: bool,
    /// Volume by open interest; always 0 in captures of May 2025, real in September 2025.
    pub volume_oi_ratio: Decimal<'a>,
    /// [`OptionTrade::id`](super::OptionTrade::id) of each trade; up to 61 seen.
    pub trade_ids: Vec<Text<'a>>,
    /// Trades in the cluster.
    pub trade_count: Decimal<'a>,
    /// Expiries in the cluster.
    pub expiry_count: Decimal<'a>,
    /// Contracts of the session bought at the offer.
    pub ask_vol: Decimal<'a>,
    /// Contracts of the session sold at the bid.
    pub bid_vol: Decimal<'a>,
    /// Contracts of the session without a side.
    pub no_side_vol: Decimal<'a>,
    /// Contracts of the session between bid and offer.
    pub mid_vol: Decimal<'a>,
    /// Contracts of the session that were legs of a spread.
    pub multi_vol: Decimal<'a>,
    /// Contracts of the session that were traded together with stock.
    pub stock_multi_vol: Decimal<'a>,
    /// OPRA's conditions of the trades.
    pub upstream_condition_details: Vec<Text<'a>>,
    /// Market identifier codes.
    pub exchanges: Vec<Text<'a>>,
    /// Best bid, dollars; a string.
    pub bid: Decimal<'a>,
    /// Best offer, dollars; a string.
    pub ask: Decimal<'a>,
}
