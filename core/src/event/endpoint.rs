//! The endpoints of REST whose bodies events keep fresh.

use super::channel::Channel;

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

    /// The endpoint whose bodies a channel's events keep fresh. The fetcher has none for the other channels.
    #[must_use]
    pub fn of(channel: &Channel) -> Option<Endpoint> {
        match channel {
            Channel::FlowAlerts => Some(Endpoint::FlowAlerts),
            Channel::Price => Some(Endpoint::StockState),
            Channel::Gex => Some(Endpoint::SpotExposures),
            Channel::GexStrike => Some(Endpoint::SpotExposuresStrike),
            _ => None,
        }
    }

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
