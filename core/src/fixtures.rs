//! Events and settings for unit tests.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "only tests see this module, with names that are valid"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::event::{
    Channel, ChannelIndex, Destination, EntryIds, Event, MapCell, ReadAt, Route, Symbol, Topic,
};
use crate::settings::{ChannelChoice, KeySettings, PlanSettings, Targets, WhenJoinsExceed};

/// Friday 2025-05-16, 14:19:52.926001 in New York, in Unix microseconds.
pub const RECEIVED_US: u64 = 1_747_419_592_926_001;

/// Settings with streams and snapshots under `uw`.
#[must_use]
pub fn keys() -> KeySettings {
    KeySettings {
        prefix: "uw".into(),
        snapshots: true,
        snapshot_interval: Duration::ZERO,
        targets: Targets::Symbols(["SPY", "QQQ"].iter().map(|name| Symbol::parse(name).unwrap()).collect()),
        streams: true,
        maxlen: None,
        maxlen_by_channel: Vec::new(),
    }
}

/// Settings that join these channels or topics for these symbols, comma-separated, or for `*`: the whole market.
#[must_use]
pub fn plan(channels: &[&str], targets: &str) -> PlanSettings {
    let choice = |name: &&str| match topic(name) {
        Topic { channel, symbol: None } => ChannelChoice::Channel(channel),
        topic => ChannelChoice::Topic(topic),
    };
    PlanSettings {
        channels: channels.iter().map(choice).collect(),
        targets: match targets {
            "*" => Targets::WholeMarket,
            list => Targets::Symbols(list.split(',').map(|name| Symbol::parse(name).unwrap()).collect()),
        },
        max_connections: 5,
        max_joins_per_connection: 50,
        when_joins_exceed: WhenJoinsExceed::Refuse,
    }
}

/// The topic of this name.
#[must_use]
pub fn topic(name: &str) -> Topic {
    let (channel, symbol) = Topic::split(name);
    let symbol = symbol.map(|symbol| Symbol::parse(symbol).unwrap());
    Topic { channel: Channel::parse(channel).unwrap(), symbol }
}

/// The destination `uw:ws:<name>`.
#[must_use]
pub fn destination(name: &str, maxlen: u64) -> Arc<Destination> {
    let Topic { channel, symbol } = topic(name);
    Arc::new(Destination {
        rest: keys().rest_key(&channel, symbol.as_ref()),
        stream: format!("uw:ws:{name}").into(),
        latest: format!("uw:ws:latest:{name}").into(),
        map: channel.frame().map_key().map(|_| format!("uw:ws:map:{name}").into()),
        frame: channel.frame(),
        product: channel.product(symbol.as_ref().map(Symbol::as_str)),
        symbol,
        maxlen,
    })
}

/// A route of the first channel.
#[must_use]
pub fn route(shard: usize, destinations: Vec<Arc<Destination>>) -> Arc<Route> {
    Arc::new(Route { channel: ChannelIndex(0), shard, destinations })
}

/// An event received `after_ms` after [`RECEIVED_US`].
#[must_use]
pub fn event(route: &Arc<Route>, payload: &str, after_ms: u64) -> Event {
    Event {
        route: Arc::clone(route),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        received_us: RECEIVED_US + after_ms * 1000,
        ordinal: 0,
        cell: None,
        ids: EntryIds::default(),
    }
}

/// A gex row.
#[must_use]
pub fn row(route: &Arc<Route>, payload: &str, field: &str, session: i32) -> Event {
    let cell = Some(Box::new(MapCell { field: field.into(), session, at_ms: 0 }));
    Event { cell, ..event(route, payload, 0) }
}

/// [`RECEIVED_US`] on both clocks.
#[must_use]
pub fn read_at() -> ReadAt {
    ReadAt { unix_us: RECEIVED_US, instant: Instant::now() }
}
