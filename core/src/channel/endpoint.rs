//! REST endpoints whose bodies are kept fresh.

/// A REST endpoint whose body the feed keeps fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BodyEndpoint {
    /// `flow_alerts`: a ticker's newest alerts.
    FlowAlerts,
    /// `stock_state`: a ticker's price.
    StockState,
    /// `spot_exposures`: a ticker's gamma exposure over the session.
    SpotExposures,
    /// `spot_exposures_strike`: gamma exposure by strike.
    SpotExposuresStrike,
}

impl BodyEndpoint {
    /// All endpoints.
    pub const ALL: [BodyEndpoint; 4] = [
        BodyEndpoint::FlowAlerts,
        BodyEndpoint::StockState,
        BodyEndpoint::SpotExposures,
        BodyEndpoint::SpotExposuresStrike,
    ];

    /// Returns the endpoint's segment of `rest:` keys.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            BodyEndpoint::FlowAlerts => "flow_alerts",
            BodyEndpoint::StockState => "stock_state",
            BodyEndpoint::SpotExposures => "spot_exposures",
            BodyEndpoint::SpotExposuresStrike => "spot_exposures_strike",
        }
    }
}
