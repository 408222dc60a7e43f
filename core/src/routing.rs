//! Maps a topic and routing fields to a [`Route`]: streams, hashes and the shard.
//!
//! * A topic with a symbol has one destination, that of the symbol.
//! * A global channel has its full stream and one destination per target symbol of the event. All its events share one
//!   home shard, so an event crosses one boundary and is stored by one transaction.
//! * A per-ticker channel joined in its global form has the destination of the event's symbol only. Events whose symbol
//!   is not valid in a key go to the channel's full stream, so that none is lost.
//! * A per-ticker channel that is joined in its global form because its joins did not fit has the targets' destinations
//!   only: all other events are filtered, as if they had not been joined.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};

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
    /// `None` is the whole market.
    targets: Option<HashSet<Box<str>, RandomState>>,
    /// Symbols beside the targets that a channel is joined for.
    others: Vec<(ChannelIndex, Symbol)>,
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
    /// The same, of a channel that is wanted for some symbols only.
    Narrowed(ChannelIndex),
}

impl Router {
    /// Creates a router for the joined topics; topics of channels outside the settings are ignored.
    #[must_use]
    pub fn new(plan: &PlanSettings, keys: &KeySettings, shards: usize, topics: &[Topic]) -> Router {
        let mut router = Router {
            channels: channels_of(plan),
            targets: targets_of(plan),
            others: Vec::new(),
            keys: keys.clone(),
            shards,
            topics: HashMap::default(),
            by_symbol: HashMap::default(),
            max_routes: share(MAX_ROUTES, plan.max_connections),
            forgotten: 0,
        };
        for choice in &plan.channels {
            if let ChannelChoice::Topic(Topic { channel, symbol: Some(symbol) }) = choice
                && let Some(index) = router.index_of(channel.name())
            {
                router.others.push((index, symbol.clone()));
            }
        }
        for topic in topics {
            let Some(index) = router.index_of(topic.channel.name()) else { continue };
            let known = match &topic.symbol {
                Some(symbol) => Known::Fixed(router.route(index, Some(symbol.as_str()), &[])),
                None if router.targets.is_some() && topic.channel.scope() == Scope::PerTicker => {
                    Known::Narrowed(index)
                }
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
            Some(Known::Narrowed(index)) => self.narrow(*index, facts),
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
            self.remember(memory, &route);
        }
        Routing::To { route, left_out }
    }

    /// Routes an event to the symbol that its own join would have had. The vendor joins the roots of an index apart and
    /// names the index in both (`SPX` in a trade of `SPXW`), so the root of the contract counts first.
    fn narrow(&mut self, index: ChannelIndex, facts: &RoutingFields<'_>) -> Routing {
        let root = facts.option_symbol.as_deref().and_then(OccSymbol::root_of);
        let symbols = [root, symbol_of(self.channel(index), facts)].into_iter().flatten();
        let is_other = |symbol: &str| {
            self.others.iter().any(|(channel, other)| *channel == index && other.as_str() == symbol)
        };
        let is_wanted = |symbol: &&str| self.is_target(symbol) || is_other(symbol);
        let Some(symbol) = symbols.into_iter().find(is_wanted) else { return Routing::NoTarget(index) };
        let memory = (index, Box::from(symbol));
        if let Some(route) = self.by_symbol.get(&memory) {
            return Routing::To { route: Arc::clone(route), left_out: 0 };
        }
        let route = self.route(index, Some(symbol), &[]);
        self.remember(memory, &route);
        Routing::To { route, left_out: 0 }
    }

    fn remember(&mut self, memory: (ChannelIndex, Box<str>), route: &Arc<Route>) {
        if self.by_symbol.len() >= self.max_routes {
            self.forgotten += self.by_symbol.len() as u64;
            self.by_symbol.clear();
        }
        self.by_symbol.insert(memory, Arc::clone(route));
    }

    fn is_target(&self, symbol: &str) -> bool {
        match &self.targets {
            None => Symbol::is_valid(symbol),
            Some(targets) => targets.contains(symbol),
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

fn targets_of(plan: &PlanSettings) -> Option<HashSet<Box<str>, RandomState>> {
    match &plan.targets {
        Targets::WholeMarket => None,
        Targets::Symbols(symbols) => Some(symbols.iter().map(|symbol| symbol.as_str().into()).collect()),
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
mod tests;
