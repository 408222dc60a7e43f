//! `gex_strike`, `gex_strike:TICKER`: the exposure of a ticker's option dealers, by strike.

use serde::Deserialize;

use super::{Decimal, Text};

/// The exposure at one strike (DOC), in dollars; one frame a strike, all strikes in a burst. Decimals have up to 16 digits
/// and may be missing. Rows are restated within the session (late prints, cancels): the last one holds. Rows of one
/// burst may differ in their time, and rarely traded strikes can be hours old (3P).
#[derive(Clone, Debug, Deserialize)]
pub struct GexStrike<'a> {
    /// The ticker.
    #[serde(borrow)]
    pub ticker: Text<'a>,
    /// Unix milliseconds.
    pub timestamp: u64,
    /// Dollars.
    pub strike: Decimal<'a>,
    /// Price of the underlying, dollars.
    pub price: Decimal<'a>,
    /// Gamma of the calls, from open interest.
    pub call_gamma_oi: Decimal<'a>,
    /// Gamma of the puts, from open interest.
    pub put_gamma_oi: Decimal<'a>,
    /// Charm of the calls, from open interest.
    pub call_charm_oi: Decimal<'a>,
    /// Charm of the puts, from open interest.
    pub put_charm_oi: Decimal<'a>,
    /// Vanna of the calls, from open interest.
    pub call_vanna_oi: Decimal<'a>,
    /// Vanna of the puts, from open interest.
    pub put_vanna_oi: Decimal<'a>,
    /// Gamma of the calls, from volume.
    pub call_gamma_vol: Decimal<'a>,
    /// Gamma of the puts, from volume.
    pub put_gamma_vol: Decimal<'a>,
    /// Charm of the calls, from volume.
    pub call_charm_vol: Decimal<'a>,
    /// Charm of the puts, from volume.
    pub put_charm_vol: Decimal<'a>,
    /// Vanna of the calls, from volume.
    pub call_vanna_vol: Decimal<'a>,
    /// Vanna of the puts, from volume.
    pub put_vanna_vol: Decimal<'a>,
    /// Gamma of the calls, from volume at the offer.
    pub call_gamma_ask_vol: Decimal<'a>,
    /// Gamma of the puts, from volume at the offer.
    pub put_gamma_ask_vol: Decimal<'a>,
    /// Charm of the calls, from volume at the offer.
    pub call_charm_ask_vol: Decimal<'a>,
    /// Charm of the puts, from volume at the offer.
    pub put_charm_ask_vol: Decimal<'a>,
    /// Vanna of the calls, from volume at the offer.
    pub call_vanna_ask_vol: Decimal<'a>,
    /// Vanna of the puts, from volume at the offer.
    pub put_vanna_ask_vol: Decimal<'a>,
    /// Gamma of the calls, from volume at the bid.
    pub call_gamma_bid_vol: Decimal<'a>,
    /// Gamma of the puts, from volume at the bid.
    pub put_gamma_bid_vol: Decimal<'a>,
    /// Charm of the calls, from volume at the bid.
    pub call_charm_bid_vol: Decimal<'a>,
    /// Charm of the puts, from volume at the bid.
    pub put_charm_bid_vol: Decimal<'a>,
    /// Vanna of the calls, from volume at the bid.
    pub call_vanna_bid_vol: Decimal<'a>,
    /// Vanna of the puts, from volume at the bid.
    pub put_vanna_bid_vol: Decimal<'a>,
}
