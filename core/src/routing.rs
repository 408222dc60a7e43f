//! Maps a topic and routing fields to a [`Route`]: streams, hashes and the shard.
//!
//! * A topic with a symbol has one destination, that of the symbol.
//! * A global channel has its full stream and one destination per target symbol of the event. All its events share one
//!   home shard, so an event crosses one boundary and is stored by one transaction.
//! * A per-ticker channel joined in its global form has the destination of the event's symbol only. Events whose symbol
//!   is not valid in a key go to the channel's full stream, so that none is lost.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::channel::SymbolSource;
use crate::event::{Channel, ChannelIndex, Destination, Route, Scope, Symbol, Topic};
use crate::feed::routing_fields::RoutingFields;
use crate::settings::{ChannelChoice, KeySettings, PlanSettings, Targets};
use crate::snapshots::occ::OccSymbol;
use crate::tables::{MAX_ROUTES, share};

/// Maximum number of symbols of one event that get their own entry: a record counts its destinations in a byte, and
/// the full stream is one of them. News about an index names more than a hundred; those beyond are counted, and the
/// full stream holds the event in any case.
const MAX_SYMBOLS: usize = 254;

/// Maximum size of the copies of one event, so that a hostile frame cannot multiply itself. Reached at 254 symbols by
/// payloads above 4 KiB, the largest known.
const MAX_FAN_OUT_BYTES: usize = 1024 * 1024;

/// Returns the distinct channels of the settings in order; [`ChannelIndex`] is an index into it.
#[must_use]
pub fn channels_of(plan: &PlanSettings) -> Vec<Channel> {
    let mut channels: Vec<Channel> = Vec::new();
    for choice in &plan.channels {
        let channel = match choice {
            ChannelChoice::Channel(channel) => channel,
            ChannelChoice::Topic(topic) => &topic.channel,
        };
        if !channels.contains(channel) {
            channels.push(channel.clone());
        }
    }
    channels
}

/// The destination of an event.
#[derive(Debug)]
pub enum Routing {
    /// The destinations of a route.
    To {
        /// The route.
        route: Arc<Route>,
        /// Number of target symbols of the event that are beyond its bounds: they get no entry.
        left_out: usize,
    },
    /// The channel is configured, but neither the topic nor the symbol is.
    NoTarget(ChannelIndex),
    /// The channel is not configured.
    UnknownChannel,
}

/// Builds and caches routes.
#[derive(Debug)]
pub struct Router {
    channels: Vec<Channel>,
    targets: Targets,
    keys: KeySettings,
    shards: usize,
    topics: HashMap<Box<str>, Known, RandomState>,
    /// Cleared and rebuilt at its bound.
    by_symbol: HashMap<(ChannelIndex, Box<str>), Arc<Route>, RandomState>,
    max_routes: usize,
    forgotten: u64,
}

/// The routing rule of a topic.
#[derive(Clone, Debug)]
enum Known {
    /// All events take this route.
    Fixed(Arc<Route>),
    /// The payload determines the route.
    Global(ChannelIndex),
}

impl Router {
    /// Creates a router for the joined topics; topics of channels outside the settings are ignored.
    #[must_use]
    pub fn new(plan: &PlanSettings, keys: &KeySettings, shards: usize, topics: &[Topic]) -> Router {
        let mut router = Router {
            channels: channels_of(plan),
            targets: plan.targets.clone(),
            keys: keys.clone(),
            shards,
            topics: HashMap::default(),
            by_symbol: HashMap::default(),
            max_routes: share(MAX_ROUTES, plan.max_connections),
            forgotten: 0,
        };
        for topic in topics {
            let Some(index) = router.index_of(topic.channel.name()) else { continue };
            let known = match &topic.symbol {
                Some(symbol) => Known::Fixed(router.route(index, Some(symbol.as_str()), &[])),
                None => Known::Global(index),
            };
            router.topics.insert(topic.to_string().into(), known);
        }
        router
    }

    /// Selects the route of an event.
    pub fn route_of(&mut self, topic: &str, facts: &RoutingFields<'_>, payload_bytes: usize) -> Routing {
        match self.topics.get(topic) {
            Some(Known::Fixed(route)) => Routing::To { route: Arc::clone(route), left_out: 0 },
            Some(Known::Global(index)) => self.fan_out(*index, facts, payload_bytes),
            None => {
                let (channel, _) = Topic::split(topic);
                self.index_of(channel).map_or(Routing::UnknownChannel, Routing::NoTarget)
            }
        }
    }

    /// Returns the number of routes that left the cache since the last call.
    pub fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }

    fn fan_out(&mut self, index: ChannelIndex, facts: &RoutingFields<'_>, payload_bytes: usize) -> Routing {
        // only one symbol for a per-ticker channel: the streams of others may belong to other shards
        let is_global = self.channel(index).scope() == Scope::Global;
        let mut symbols: Vec<&str> = if facts.tickers.is_empty() || !is_global {
            symbol_of(self.channel(index), facts).into_iter().collect()
        } else {
            facts.tickers.iter().map(AsRef::as_ref).collect()
        };
        symbols.retain(|symbol| self.is_target(symbol));
        symbols.sort_unstable();
        symbols.dedup();
        let most = (MAX_FAN_OUT_BYTES / payload_bytes.max(1)).clamp(1, MAX_SYMBOLS);
        let left_out = symbols.len().saturating_sub(most);
        symbols.truncate(most);

        let memory = match symbols[..] {
            [] => Some((index, Box::from(""))),
            [symbol] => Some((index, symbol.into())),
            _ => None,
        };
        if let Some(route) = memory.as_ref().and_then(|memory| self.by_symbol.get(memory)) {
            return Routing::To { route: Arc::clone(route), left_out };
        }
        let route = match symbols.split_first() {
            Some((symbol, others)) if !is_global => self.route(index, Some(symbol), others),
            _ => self.route(index, None, &symbols),
        };
        if let Some(memory) = memory {
            if self.by_symbol.len() >= self.max_routes {
                self.forgotten += self.by_symbol.len() as u64;
                self.by_symbol.clear();
            }
            self.by_symbol.insert(memory, Arc::clone(&route));
        }
        Routing::To { route, left_out }
    }

    fn is_target(&self, symbol: &str) -> bool {
        match &self.targets {
            Targets::WholeMarket => Symbol::is_valid(symbol),
            Targets::Symbols(symbols) => symbols.iter().any(|target| target.as_str() == symbol),
        }
    }

    /// Builds a route to the destination of `first` (`None`: the full stream) and those of other symbols; it has at
    /// least one destination.
    fn route(&self, index: ChannelIndex, first: Option<&str>, others: &[&str]) -> Arc<Route> {
        let channel = self.channel(index);
        let symbols = std::iter::once(first).chain(others.iter().copied().map(Some));
        let destinations = symbols.map(|symbol| Arc::new(destination(&self.keys, channel, symbol))).collect();
        Arc::new(Route { channel: index, shard: home_shard(channel, first, self.shards), destinations })
    }

    fn index_of(&self, channel: &str) -> Option<ChannelIndex> {
        let position = self.channels.iter().position(|known| known.name() == channel)?;
        u8::try_from(position).ok().map(ChannelIndex)
    }

    /// Looks up an index returned by [`Router::index_of`].
    fn channel(&self, index: ChannelIndex) -> &Channel {
        &self.channels[usize::from(index.0)]
    }
}

/// Returns the symbol that a payload of the channel is about, not validated.
#[must_use]
pub fn symbol_of<'f>(channel: &Channel, facts: &'f RoutingFields<'_>) -> Option<&'f str> {
    match channel.spec().map(|spec| spec.symbol) {
        Some(SymbolSource::Contract) => match (facts.option_symbol.as_deref(), facts.symbol()) {
            (Some(contract), _) => OccSymbol::root_of(contract),
            (None, Some(symbol)) => Some(OccSymbol::root_of(symbol).unwrap_or(symbol)),
            (None, None) => None,
        },
        Some(SymbolSource::Ticker) | None => facts.symbol(),
    }
}

/// Returns the shard of a channel and first symbol. Independent of run, machine and key prefix.
#[must_use]
pub fn home_shard(channel: &Channel, symbol: Option<&str>, shards: usize) -> usize {
    let mut home = crc32fast::Hasher::new();
    home.update(channel.name().as_bytes());
    if let (Scope::PerTicker, Some(symbol)) = (channel.scope(), symbol) {
        home.update(b":");
        home.update(symbol.as_bytes());
    }
    home.finalize() as usize % shards
}

/// Builds the destination of a channel for a validated symbol; `None` is its full stream.
#[must_use]
pub fn destination(keys: &KeySettings, channel: &Channel, symbol: Option<&str>) -> Destination {
    let prefix = &keys.prefix;
    let suffix = symbol.map(|symbol| format!(":{symbol}")).unwrap_or_default();
    let has_map = channel.frame().map_key().is_some() && symbol.is_some();
    let product = channel.product(symbol);
    let symbol = symbol.and_then(|symbol| Symbol::parse(symbol).ok());
    Destination {
        rest: keys.rest_key(channel, symbol.as_ref()),
        symbol,
        stream: format!("{prefix}:ws:{channel}{suffix}").into(),
        latest: format!("{prefix}:ws:latest:{channel}{suffix}").into(),
        map: has_map.then(|| format!("{prefix}:ws:map:{channel}{suffix}").into()),
        frame: channel.frame(),
        product,
        maxlen: keys.maxlen_of(channel),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn router(channels: &[&str], targets: &str, topics: &[&str]) -> Router {
        let plan = PlanSettings {
            channels: channels.iter().map(|c| ChannelChoice::Channel(Channel::parse(c).unwrap())).collect(),
            targets: match targets {
                "*" => Targets::WholeMarket,
                list => Targets::Symbols(list.split(',').map(|s| Symbol::parse(s).unwrap()).collect()),
            },
            max_connections: 5,
            max_joins_per_connection: 50,
        };
        let keys = KeySettings { targets: plan.targets.clone(), ..fixtures::keys() };
        let topics: Vec<Topic> = topics.iter().map(|name| fixtures::topic(name)).collect();
        Router::new(&plan, &keys, 2, &topics)
    }

    fn streams(router: &mut Router, topic: &str, payload: &str) -> Vec<String> {
        match router.route_of(topic, &RoutingFields::read(payload).unwrap(), payload.len()) {
            Routing::To { route, .. } => {
                route.destinations.iter().map(|destination| destination.stream.to_string()).collect()
            }
            Routing::NoTarget(_) => vec!["no target".into()],
            Routing::UnknownChannel => vec!["unknown".into()],
        }
    }

    #[test]
    fn the_topics_symbol_wins_over_the_payloads() {
        let mut router = router(&["option_trades"], "SPXW", &["option_trades:SPXW"]);
        let payload = r#"{"underlying_symbol":"SPX"}"#;
        assert_eq!(streams(&mut router, "option_trades:SPXW", payload), ["uw:ws:option_trades:SPXW"]);
    }

    #[test]
    fn a_global_channel_goes_to_its_full_stream_and_to_the_targets_it_names() {
        let mut router = router(&["flow-alerts", "news"], "SPY,QQQ", &["flow-alerts", "news"]);
        assert_eq!(
            streams(&mut router, "flow-alerts", r#"{"ticker":"SPY"}"#),
            ["uw:ws:flow-alerts", "uw:ws:flow-alerts:SPY"]
        );
        assert_eq!(streams(&mut router, "flow-alerts", r#"{"ticker":"DIA"}"#), ["uw:ws:flow-alerts"]);
        assert_eq!(
            streams(&mut router, "news", r#"{"tickers":["SPY","AAPL","QQQ","SPY"]}"#),
            ["uw:ws:news", "uw:ws:news:QQQ", "uw:ws:news:SPY"]
        );
    }

    /// The number of streams and of symbols left out, of news about this many targets.
    fn spread(symbols: usize, payload_bytes: usize) -> (usize, usize) {
        let tickers: Vec<String> = (0..symbols).map(|n| format!("T{n}")).collect();
        let mut router = router(&["news"], &tickers.join(","), &["news"]);
        let payload = format!(r#"{{"tickers":{tickers:?}}}"#);
        let facts = RoutingFields::read(&payload).unwrap();
        match router.route_of("news", &facts, payload_bytes) {
            Routing::To { route, left_out } => (route.destinations.len(), left_out),
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn an_event_goes_to_every_target_that_a_record_can_name_and_the_rest_is_counted() {
        assert_eq!(spread(100, 2_000), (101, 0));
        assert_eq!(spread(254, 4_096), (255, 0));
        assert_eq!(spread(300, 4_096), (255, 46));
        // copies of a giant
        assert_eq!(spread(10, MAX_FAN_OUT_BYTES / 4), (5, 6));
        assert_eq!(spread(10, 4 * MAX_FAN_OUT_BYTES), (2, 9));
    }

    #[test]
    fn events_without_a_ticker_go_by_the_root_of_their_contract() {
        let mut router = router(
            &["contract_screener", "custom_alerts"],
            "TSLA,SPXW,SPY",
            &["contract_screener", "custom_alerts"],
        );
        for (topic, payload, symbol) in [
            ("contract_screener", r#"{"option_symbol":"TSLA250516C00355000"}"#, Some("TSLA")),
            ("contract_screener", r#"{"option_symbol":"SPXW  250516C05950000"}"#, Some("SPXW")),
            ("contract_screener", r#"{"option_symbol":"AAPL250516C00355000"}"#, None),
            ("contract_screener", r#"{"option_symbol":"TSLA"}"#, None),
            (
                "custom_alerts",
                r#"{"symbol":"TSLA250516C00355000","symbol_type":"option_chain"}"#,
                Some("TSLA"),
            ),
            ("custom_alerts", r#"{"symbol":"SPY","symbol_type":"stock"}"#, Some("SPY")),
            ("custom_alerts", r#"{"symbol":null}"#, None),
        ] {
            let full = format!("uw:ws:{topic}");
            let expected = [Some(full.clone()), symbol.map(|symbol| format!("{full}:{symbol}"))];
            let expected: Vec<String> = expected.into_iter().flatten().collect();
            assert_eq!(streams(&mut router, topic, payload), expected, "{payload}");
        }
    }

    #[test]
    fn every_event_of_a_global_channel_has_one_shard() {
        let mut router = router(&["flow-alerts"], "*", &["flow-alerts"]);
        let mut shards: Vec<usize> = (0..100)
            .map(|n| {
                let payload = format!(r#"{{"ticker":"T{n}"}}"#);
                match router.route_of("flow-alerts", &RoutingFields::read(&payload).unwrap(), payload.len()) {
                    Routing::To { route, .. } => route.shard,
                    other => unreachable!("{other:?}"),
                }
            })
            .collect();
        shards.dedup();
        assert_eq!(shards.len(), 1);
    }

    #[test]
    fn the_whole_market_has_streams_by_symbol_and_a_refuge_for_bad_symbols() {
        let mut router = router(&["gex_strike"], "*", &["gex_strike"]);
        assert_eq!(streams(&mut router, "gex_strike", r#"{"ticker":"BRK.B"}"#), ["uw:ws:gex_strike:BRK.B"]);
        for bad in [r#"{"ticker":"a b"}"#, r#"{"ticker":"*"}"#, r#"{"x":1}"#, r#"{"ticker":"\n"}"#] {
            assert_eq!(streams(&mut router, "gex_strike", bad), ["uw:ws:gex_strike"], "{bad}");
        }
        let tickers = r#"{"ticker":"SPY","tickers":["AAPL","SPY"]}"#;
        assert_eq!(streams(&mut router, "gex_strike", tickers), ["uw:ws:gex_strike:SPY"]);
    }

    #[test]
    fn tells_a_topic_without_target_from_an_unknown_channel() {
        let mut router = router(&["price"], "SPY", &["price:SPY"]);
        assert_eq!(streams(&mut router, "price:AAPL", "{}"), ["no target"]);
        assert_eq!(streams(&mut router, "lit_trades", "{}"), ["unknown"]);
    }

    #[test]
    fn remembers_a_bounded_number_of_symbols() {
        let mut router = router(&["price"], "*", &["price"]);
        for n in 0..router.max_routes + 10 {
            let payload = format!(r#"{{"ticker":"T{n}"}}"#);
            assert_eq!(streams(&mut router, "price", &payload), [format!("uw:ws:price:T{n}")]);
        }
        assert!(router.by_symbol.len() <= router.max_routes);
        assert_eq!(router.take_forgotten(), router.max_routes as u64);
    }
}
