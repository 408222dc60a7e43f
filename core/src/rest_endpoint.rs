//! The endpoints of the vendor's REST API, for counts.

use crate::labelled;

labelled! {
    /// An endpoint; its symbol is no part of it.
    RestEndpoint {
        /// `/api/option-trades`
        OptionTrades = "option-trades",
        /// `/api/option-trades/flow-alerts`
        FlowAlerts = "flow-alerts",
        /// `/api/news/headlines`
        News = "news",
        /// `/api/stock/{ticker}/ohlc/1m`
        Candles = "ohlc",
        /// `/api/stock/{ticker}/quote`
        Quote = "quote",
        /// `/api/stock/{ticker}/spot-exposures`
        SpotExposures = "spot-exposures",
        /// `/api/stock/{ticker}/spot-exposures/strike`
        Strikes = "spot-exposures-strike",
        /// `/api/stock/{ticker}/net-prem-ticks`
        NetPremium = "net-prem-ticks",
        /// `/api/darkpool/{ticker}`
        DarkPool = "darkpool",
        /// `/api/lit-flow/{ticker}`
        LitFlow = "lit-flow",
        /// `/api/alerts`
        Alerts = "alerts",
        /// `/api/futures/{contract}/trades`
        Futures = "futures-trades",
        /// Any other.
        Other = "other",
    }
}

impl RestEndpoint {
    /// Returns the endpoint of a path.
    #[must_use]
    pub fn of(path: &str) -> RestEndpoint {
        let parts: Vec<&str> = path.split('/').skip_while(|part| part.is_empty()).collect();
        match parts[..] {
            ["api", "option-trades"] => RestEndpoint::OptionTrades,
            ["api", "option-trades", "flow-alerts", ..] => RestEndpoint::FlowAlerts,
            ["api", "news", "headlines"] => RestEndpoint::News,
            ["api", "stock", _, "ohlc", _] => RestEndpoint::Candles,
            ["api", "stock", _, "quote"] => RestEndpoint::Quote,
            ["api", "stock", _, "spot-exposures"] => RestEndpoint::SpotExposures,
            ["api", "stock", _, "spot-exposures", "strike"] => RestEndpoint::Strikes,
            ["api", "stock", _, "net-prem-ticks"] => RestEndpoint::NetPremium,
            ["api", "darkpool", _] => RestEndpoint::DarkPool,
            ["api", "lit-flow", _] => RestEndpoint::LitFlow,
            ["api", "alerts"] => RestEndpoint::Alerts,
            ["api", "futures", _, "trades"] => RestEndpoint::Futures,
            _ => RestEndpoint::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_is_no_part_of_an_endpoint() {
        let label = |path| RestEndpoint::of(path).label();
        assert_eq!(label("/api/stock/SPY/spot-exposures/strike"), "spot-exposures-strike");
        assert_eq!([label("/api/darkpool/SPY"), label("/api/darkpool/QQQ")], ["darkpool", "darkpool"]);
        assert_eq!([label("/api/stock/SPY"), label("/"), label("")], ["other"; 3]);
    }
}
