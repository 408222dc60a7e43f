//! What crosses the service: the vocabulary of an event.
//!
//! A frame names a [`Topic`] (a [`Channel`], perhaps with a [`Symbol`]). A topic and the payload's own symbol choose
//! a [`Route`]: the [`Outlet`]s in Redis that the event is written to, and the shard that writes them. The payload
//! itself stays the bytes that came off the wire.

mod entry_id;
mod route;
mod topic;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

pub use entry_id::{EntryId, EntryIds, InvalidEntryId};
pub use route::{ChannelIndex, Outlet, RestKey, Route};
pub use topic::{InvalidSymbol, Symbol, Topic};

pub use crate::channel::{Channel, Endpoint, Family, InvalidChannel, Scope};

/// A field of a `ws:map:` hash that an event sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapCell {
    /// `<strike>` or `<expiry>:<strike>`, as the payload writes them.
    pub field: Box<str>,
    /// The trading session of the row: its date in New York, as days since 1970-01-01.
    pub session: i32,
    /// Of what time the row is, as it says, in Unix milliseconds; when it was received if it does not say.
    pub at_ms: u64,
}

/// One event on its way from a connection to a writer.
#[derive(Clone, Debug)]
pub struct Event {
    /// Where it goes.
    pub route: Arc<Route>,
    /// The payload's JSON, byte for byte as it came off the wire.
    pub payload: Bytes,
    /// When its frame was read, in Unix microseconds.
    pub received_us: u64,
    /// How many events of its channel came before it, over all connections; given when it enters its batch.
    pub ordinal: u64,
    /// The field it sets in its channel's map, for gex rows.
    pub cell: Option<Box<MapCell>>,
    /// Its entries, once the writer has numbered it.
    pub ids: EntryIds,
}

/// When a chunk of frames was read from its socket, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct ReadAt {
    /// Unix time in microseconds.
    pub unix_us: u64,
    /// The steady clock, for latency.
    pub instant: Instant,
}
