//! The pure half of uw-websocket: no actors, sockets, Redis, logs or wall clock, which the manifest enforces.
//!
//! In the order in which an event passes through:
//!
//! * [`channel`]: the table of the known channels
//! * [`plan`]: assigns topics to connections
//! * [`feed`]: frame → topic and payload → routing fields
//! * [`routing`]: routing fields → the streams and hashes of an [`event`], and the shard that writes them
//! * [`duplicates`] and [`ids`]: duplicate detection and entry IDs
//! * [`spool`]: the disk queue; [`quarantine`]: the file of events that Redis rejects;
//!   [`private`]: how files and folders are created
//! * [`backfill`]: what a gap has missed, fetched over REST
//! * [`request_budget`]: when a handshake or a REST request may begin; [`rest_endpoint`]: the endpoints in use
//! * [`audit`]: whether the feed has delivered what REST knows
//! * [`archive`]: what Redis has stored, in files of a day, a channel and an hour
//! * [`slots`]: how a Redis Cluster spreads keys
//! * [`snapshots`]: REST bodies with events merged in; [`calendar`] and [`time`]: trading sessions, times as text

pub mod archive;
pub mod audit;
pub mod backfill;
pub mod board;
pub mod calendar;
pub mod channel;
pub mod duplicates;
pub mod event;
pub mod feed;
pub mod ids;
pub mod labelled;
pub mod plan;
pub mod private;
pub mod quarantine;
pub mod request_budget;
pub mod rest_endpoint;
pub mod rest_query;
pub mod routing;
mod sealed;
pub mod settings;
pub mod slots;
pub mod snapshots;
pub mod spool;
pub mod tables;
pub mod time;

#[cfg(any(test, feature = "test-util"))]
pub mod fixtures;
