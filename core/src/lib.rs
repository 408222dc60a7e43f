//! What uw-websocket knows without doing anything: pure functions and values, and the files of the disk queue.
//!
//! Nothing here knows an actor, a socket, Redis, a log or the wall clock; the manifest holds the crate to it. In the order of
//! an event's way:
//!
//! * [`channel`]: the one table of what is known of each channel
//! * [`plan`]: which connection joins which topics
//! * [`feed`]: frame → topic and payload → fields
//! * [`routing`]: fields → the streams and hashes of an [`event`], and the shard that writes them
//! * [`duplicates`] and [`ids`]: which events came before, and the entry ID that each gets
//! * [`spool`]: the disk queue of a shard, and its format
//! * [`quarantine`]: the file of events that Redis never takes
//! * [`private`]: how files and folders are created
//! * [`snapshots`]: the bodies of the REST API with events merged into them
//! * [`calendar`] and [`time`]: trading sessions, and times as text

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
pub mod routing;
pub mod settings;
pub mod snapshots;
pub mod spool;
pub mod time;

#[cfg(any(test, feature = "test-util"))]
pub mod fixtures;
