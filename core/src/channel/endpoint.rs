//! REST endpoints whose bodies are kept fresh.

/// A REST endpoint whose body the feed keeps fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `flow_alerts`: a ticker's newest alerts.
    FlowAlerts,
    /// `stock_state`: a ticker's price.
    StockState,
    /// `spot_exposures`: a ticker's gamma exposure over the session.
    SpotExposures,
    /// `spot_exposures_strike`: gamma exposure by strike.
    SpotExposuresStrike,
}

impl Endpoint {
    /// All endpoints.
    pub const ALL: [Endpoint; 4] =
        [Endpoint::FlowAlerts, Endpoint::StockState, Endpoint::SpotExposures, Endpoint::SpotExposuresStrike];

    /// Returns the endpoint's segment of `rest:` keys.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Endpoint::FlowAlerts => "flow_alerts",
            Endpoint::StockState => "stock_state",
            Endpoint::SpotExposures => "spot_exposures",
            Endpoint::SpotExposuresStrike => "spot_exposures_strike",
        }
    }
}
