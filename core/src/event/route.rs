//! Where events go in Redis.

use std::sync::Arc;

use super::topic::Symbol;
use crate::channel::Endpoint;

/// One place in Redis that an event goes to: a stream and the hash of its newest event, for a channel and perhaps a
/// symbol. Equal outlets have equal `stream` keys.
#[derive(Debug, PartialEq, Eq)]
pub struct Outlet {
    /// The symbol; `None` is the channel's full stream.
    pub symbol: Option<Symbol>,
    /// `<p>:ws:<channel>[:<SYMBOL>]`.
    pub stream: Arc<str>,
    /// `<p>:ws:latest:<channel>[:<SYMBOL>]`.
    pub latest: Arc<str>,
    /// `<p>:ws:map:<channel>:<SYMBOL>`, for the channels that have one.
    pub map: Option<Arc<str>>,
    /// The body of REST that its events keep fresh, for channels that have one and symbols that are targets.
    pub rest: Option<RestKey>,
    /// Cap of the stream by count; `0` is none.
    pub maxlen: u64,
}

/// The key of a body of REST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestKey {
    /// `<p>:rest:<endpoint>:<SYMBOL>`.
    pub key: Arc<str>,
    /// What is there.
    pub endpoint: Endpoint,
    /// Whose it is.
    pub symbol: Symbol,
    /// Whether it is made where REST has written none.
    pub may_create: bool,
}

/// Where the events of one topic and symbol go. Made once and shared by its events.
#[derive(Debug)]
pub struct Route {
    /// The channel, for counts.
    pub channel: ChannelIndex,
    /// The writer that owns every outlet of the channel's events.
    pub shard: usize,
    /// All outlets: the full stream first where there is one.
    pub outlets: Vec<Arc<Outlet>>,
}

impl Route {
    /// The symbol of the first outlet; `None` for the events of a full stream, whatever symbols they name.
    #[must_use]
    pub fn symbol(&self) -> Option<&str> {
        self.outlets.first()?.symbol.as_ref().map(Symbol::as_str)
    }
}

/// Position of a channel in the settings' list: what counters are indexed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelIndex(pub u8);
