//! `price`, `price:TICKER`: the price of an underlying.

use serde::Deserialize;

use super::{Decimal, Text};

/// One price (DOC); under 200 bytes, about 34 a minute for SPY (3P), also after hours.
#[derive(Clone, Debug, Deserialize)]
pub struct Price<'a> {
    /// The ticker; absent from the documentation up to 2026-04, when only the channel's name told it.
    #[serde(borrow)]
    pub ticker: Option<Text<'a>>,
    /// Last price, dollars.
    pub close: Decimal<'a>,
    /// Unix milliseconds.
    pub time: u64,
    /// Shares of the session so far.
    pub vol: u64,
}
