//! Decodes records of the disk queue into events, for the streams of the current settings.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use uw_websocket_core::calendar::SessionClock;
use uw_websocket_core::event::{Channel, ChannelIndex, Event, MapCell, ReadAt, Route, Symbol};
use uw_websocket_core::feed::map_cell::map_cell;
use uw_websocket_core::feed::routing_fields::RoutingFields;
use uw_websocket_core::routing::destination;
use uw_websocket_core::settings::KeySettings;
use uw_websocket_core::spool::Record;
use uw_websocket_core::tables::{MAX_ROUTES, share};

use super::batch::{EventBatch, TransactionSize};
use crate::observation::Observations;
use crate::wall_clock::unix_micros;

/// Maximum number of destinations of a cached route: a full stream and a symbol. Routes with more are as many as the
/// combinations of symbols.
const MAX_CACHED_DESTINATIONS: usize = 2;

/// Decodes records into events.
#[derive(Debug)]
pub struct RecordDecoder {
    keys: KeySettings,
    shard: usize,
    size: TransactionSize,
    observations: Arc<Observations>,
    sessions: SessionClock,
    /// Cleared and rebuilt at its bound.
    routes: HashMap<String, Arc<Route>, RandomState>,
    max_routes: usize,
    forgotten: u64,
    name: String,
}

impl RecordDecoder {
    /// Creates a decoder for a shard; its batches fit into a transaction of `size`.
    #[must_use]
    pub fn new(
        keys: KeySettings,
        shard: usize,
        size: TransactionSize,
        observations: Arc<Observations>,
    ) -> RecordDecoder {
        let (sessions, routes) = (SessionClock::default(), HashMap::default());
        let max_routes = share(MAX_ROUTES, observations.writers.len());
        let (forgotten, name) = (0, String::new());
        RecordDecoder { keys, shard, size, observations, sessions, routes, max_routes, forgotten, name }
    }

    /// Returns the number of routes that left the cache since the last call.
    pub fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }

    /// Decodes records into batches of consecutive ones, each with the number of its first record.
    pub fn batches(&mut self, records: impl IntoIterator<Item = Record>) -> Vec<(u64, EventBatch)> {
        let mut batches: Vec<(u64, EventBatch)> = Vec::new();
        let mut next = 0;
        for record in records {
            let seq = record.seq;
            let Some(event) = self.event(record) else { continue };
            match batches.last_mut() {
                Some((_, batch)) if seq == next && !batch.is_sealed(self.size) => batch.push_shared(event),
                _ => {
                    let mut batch = EventBatch::new(read_at(event.received_us));
                    batch.push_shared(event);
                    batches.push((seq, batch));
                }
            }
            next = seq + 1;
        }
        batches
    }

    /// Decodes a record; `None` for a channel without counters, which cannot occur: all channels found on disk at
    /// startup have them.
    pub fn event(&mut self, record: Record) -> Option<Event> {
        let route = self.route(&record)?;
        let cell = self.cell(&route, &record);
        let ids = record.destinations.iter().map(|(_, id)| *id).collect();
        Some(Event { route, payload: record.payload, received_us: record.received_us, ordinal: 0, cell, ids })
    }

    fn route(&mut self, record: &Record) -> Option<Arc<Route>> {
        self.name.clear();
        self.name.push_str(&record.channel);
        for (symbol, _) in &record.destinations {
            self.name.push(' ');
            self.name.push_str(symbol.as_ref().map_or("", Symbol::as_str));
        }
        if let Some(route) = self.routes.get(&self.name) {
            return Some(Arc::clone(route));
        }
        let channel = Channel::parse(&record.channel).ok()?;
        let position = self.observations.channels.iter().position(|known| known.channel == channel)?;
        let destinations = record.destinations.iter().map(|(symbol, _)| {
            Arc::new(destination(&self.keys, &channel, symbol.as_ref().map(Symbol::as_str)))
        });
        let route = Arc::new(Route {
            channel: ChannelIndex(u8::try_from(position).ok()?),
            shard: self.shard,
            destinations: destinations.collect(),
        });
        if record.destinations.len() <= MAX_CACHED_DESTINATIONS {
            if self.routes.len() >= self.max_routes {
                self.forgotten += self.routes.len() as u64;
                self.routes.clear();
            }
            self.routes.insert(self.name.clone(), Arc::clone(&route));
        }
        Some(route)
    }

    fn cell(&mut self, route: &Route, record: &Record) -> Option<Box<MapCell>> {
        route.destinations.first()?.map.as_ref()?;
        let facts = RoutingFields::read(std::str::from_utf8(&record.payload).ok()?).ok()?;
        let channel = &self.observations.channel(route.channel).channel;
        map_cell(channel, route.symbol(), &facts, record.received_us, &mut self.sessions)
    }
}

/// Converts a receive time to the monotonic clock, by its age on the wall clock.
fn read_at(received_us: u64) -> ReadAt {
    let now = Instant::now();
    let ago = Duration::from_micros(unix_micros().saturating_sub(received_us));
    ReadAt { unix_us: received_us, instant: now.checked_sub(ago).unwrap_or(now) }
}

#[cfg(test)]
mod tests;
