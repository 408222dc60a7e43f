//! The vocabulary of an event.
//!
//! A frame names a [`Topic`]: a [`Channel`] and optionally a [`Symbol`]. The topic and the payload's symbol select
//! a [`Route`]: the [`Destination`]s in Redis and the shard that writes them. The payload stays byte for byte as
//! received.

mod entry_id;
mod route;
mod topic;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

pub use entry_id::{EntryId, EntryIds, InvalidEntryId};
pub use route::{ChannelIndex, Destination, RestKey, Route};
pub use topic::{InvalidSymbol, Symbol, Topic};

pub use crate::channel::{BodyEndpoint, Channel, Family, InvalidChannel, Scope};

/// The `ws:map:` hash field that an event sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapCell {
    /// `<strike>` or `<expiry>:<strike>`, as written in the payload.
    pub field: Box<str>,
    /// The session date in New York, in days since 1970-01-01.
    pub session: i32,
    /// The row's own timestamp in Unix milliseconds; the receive time if it has none.
    pub at_ms: u64,
}

/// An event on its way from a connection to a writer.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its destinations.
    pub route: Arc<Route>,
    /// The payload's JSON, byte for byte as received.
    pub payload: Bytes,
    /// Time at which the frame was read, in Unix microseconds.
    pub received_us: u64,
    /// The number of earlier events of its channel, over all connections; assigned when the event enters its batch.
    pub ordinal: u64,
    /// The field that it sets in its channel's map; gex rows only.
    pub cell: Option<Box<MapCell>>,
    /// Its entry IDs, assigned by the writer.
    pub ids: EntryIds,
}

/// The time at which a chunk of frames was read from its socket, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct ReadAt {
    /// Unix time in microseconds.
    pub unix_us: u64,
    /// The monotonic clock, for latencies.
    pub instant: Instant,
}
