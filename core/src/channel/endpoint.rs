//! The endpoints of REST whose bodies events keep fresh.

/// The endpoints of REST whose bodies the feed keeps fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `flow_alerts`: the newest alerts of a ticker.
    FlowAlerts,
    /// `stock_state`: its price.
    StockState,
    /// `spot_exposures`: its gamma exposure over the session.
    SpotExposures,
    /// `spot_exposures_strike`: the same by strike.
    SpotExposuresStrike,
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Endpoint; 4] =
        [Endpoint::FlowAlerts, Endpoint::StockState, Endpoint::SpotExposures, Endpoint::SpotExposuresStrike];

    /// Its name in keys.
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
