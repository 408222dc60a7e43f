//! The REST endpoints of the channels that are joined.

use uw_websocket_core::channel::fill::FillSource;
use uw_websocket_core::event::{Channel, Symbol, Topic};
use uw_websocket_core::rest_query::RestQuery;
use uw_websocket_core::settings::Targets;

/// A channel and the endpoint that has its missed events, if there is one.
pub(super) struct ChannelSource<'t> {
    pub(super) channel: &'t Channel,
    pub(super) source: Option<&'static FillSource>,
    /// A symbol of the channel that is joined, or a target.
    pub(super) symbol: Option<Symbol>,
}

/// Returns each channel of the topics once, in their order.
pub(super) fn of_channels<'t>(
    topics: impl Iterator<Item = &'t Topic>,
    targets: &Targets,
) -> Vec<ChannelSource<'t>> {
    let target = match targets {
        Targets::Symbols(symbols) => symbols.first().cloned(),
        Targets::WholeMarket => None,
    };
    let mut channels: Vec<ChannelSource<'t>> = Vec::new();
    for Topic { channel, symbol } in topics {
        if !channels.iter().any(|known| known.channel == channel) {
            let source = channel.spec().and_then(|spec| spec.fill);
            channels.push(ChannelSource {
                channel,
                source,
                symbol: symbol.clone().or_else(|| target.clone()),
            });
        }
    }
    channels
}

impl ChannelSource<'_> {
    /// Builds a request for this many of the newest rows, where the endpoint takes a number; `None` without an endpoint, or
    /// without the symbol that it needs.
    pub(super) fn newest(&self, rows: usize) -> Option<RestQuery> {
        let source = self.source?;
        if source.needs_symbol() && self.symbol.is_none() {
            return None;
        }
        let mut query = RestQuery::new(source, self.symbol.as_ref().map(Symbol::as_str));
        for (name, value) in &mut query.pairs {
            if *name == "limit" {
                *value = rows.min(source.limit).to_string();
            }
        }
        Some(query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_is_asked_for_once_with_a_symbol_of_its_own() {
        let topics: Vec<Topic> = ["news", "price:QQQ", "price:SPY", "lit_trades", "trading_halts"]
            .map(|text| match text.split_once(':') {
                Some((channel, symbol)) => Topic {
                    channel: Channel::parse(channel).unwrap(),
                    symbol: Some(Symbol::parse(symbol).unwrap()),
                },
                None => Topic { channel: Channel::parse(text).unwrap(), symbol: None },
            })
            .into();
        let targets = Targets::Symbols(vec![Symbol::parse("IWM").unwrap()]);
        let asked = |targets| {
            let channels = of_channels(topics.iter(), targets);
            let query = |channel: &ChannelSource<'_>| channel.newest(1).map(|query| query.path);
            channels.iter().map(query).collect::<Vec<_>>()
        };
        let (news, price) = ("/api/news/headlines".to_owned(), "/api/stock/QQQ/ohlc/1m".to_owned());
        let lit = Some("/api/lit-flow/IWM".to_owned());
        assert_eq!(asked(&targets), [Some(news.clone()), Some(price.clone()), lit, None]);
        assert_eq!(asked(&Targets::WholeMarket), [Some(news), Some(price), None, None]);
        let query = of_channels(topics.iter(), &targets)[0].newest(7).unwrap();
        assert_eq!(query.pairs, [("limit", "7".to_owned())]);
    }
}
