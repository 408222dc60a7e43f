//! `news`: headlines.

use serde::Deserialize;

use super::Text;

/// One headline (DOC); about one a minute, also off hours. It has no id.
#[derive(Clone, Debug, Deserialize)]
pub struct News<'a> {
    /// The headline.
    #[serde(borrow)]
    pub headline: Text<'a>,
    /// ISO 8601, UTC, whole seconds: `2025-06-11T21:40:56Z`.
    pub timestamp: Text<'a>,
    /// `social-media`, `aggregator`, or what the upstream says.
    pub source: Text<'a>,
    /// The tickers it is about; may be none.
    pub tickers: Vec<Text<'a>>,
    /// Whether it is a post of the US president's.
    pub is_trump_ts: bool,
}
