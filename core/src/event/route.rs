//! Destinations of events in Redis.

use std::sync::Arc;

use super::topic::Symbol;
use crate::calendar::products::Product;
use crate::channel::{BodyEndpoint, Frame};

/// One destination in Redis: a stream and the hash of its newest event, for a channel and optionally a symbol.
/// Equal destinations have equal `stream` keys.
#[derive(Debug, PartialEq, Eq)]
pub struct Destination {
    /// The symbol; `None` is the channel's full stream.
    pub symbol: Option<Symbol>,
    /// `<p>:ws:<channel>[:<SYMBOL>]`.
    pub stream: Arc<str>,
    /// `<p>:ws:latest:<channel>[:<SYMBOL>]`.
    pub latest: Arc<str>,
    /// `<p>:ws:map:<channel>:<SYMBOL>`; `None` for channels without a map.
    pub map: Option<Arc<str>>,
    /// The meaning of one event for the channel's state.
    pub frame: Frame,
    /// The product whose sessions its events belong to.
    pub product: Product,
    /// The REST body that its events keep fresh; `None` for channels without one and for symbols that are not
    /// targets.
    pub rest: Option<RestKey>,
    /// Maximum entries of the stream; `0` means no cap.
    pub maxlen: u64,
}

/// A REST body's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestKey {
    /// `<p>:rest:<endpoint>:<SYMBOL>`.
    pub key: Arc<str>,
    /// The endpoint whose answer it holds.
    pub endpoint: BodyEndpoint,
    /// The ticker.
    pub symbol: Symbol,
    /// Whether to create the body if REST has not written one.
    pub may_create: bool,
}

/// The destinations of one topic and symbol. Created once and shared by their events.
#[derive(Debug)]
pub struct Route {
    /// Index of the channel's counters.
    pub channel: ChannelIndex,
    /// The writer that owns every destination of the channel's events.
    pub shard: usize,
    /// All destinations; the full stream comes first if included.
    pub destinations: Vec<Arc<Destination>>,
}

impl Route {
    /// Returns the symbol of the first destination; `None` for a full stream, whatever symbols the events name.
    #[must_use]
    pub fn symbol(&self) -> Option<&str> {
        self.destinations.first()?.symbol.as_ref().map(Symbol::as_str)
    }
}

/// Index of a channel in the settings' list and in counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelIndex(pub u8);

impl ChannelIndex {
    /// Number of channels that an index can distinguish.
    pub const MAX_CHANNELS: usize = u8::MAX as usize + 1;
}
