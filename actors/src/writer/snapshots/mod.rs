//! The hashes beside the streams: `ws:latest:`, `ws:map:` and REST bodies.
//!
//! Writes are conflated: each key is written at most once per `SNAPSHOT_INTERVAL_MS`, from the newest events, and
//! only after those are in their streams. The cost is therefore independent of the event rate, hashes are never
//! ahead of the streams, and as they have their own connection they delay no event. After a crash the next process
//! reads pending content again from the disk queue, which keeps stored records for a while.
//!
//! [`pending`] holds pending content, [`table`] shares it, [`flush`] writes it: `hashes` encodes commands, `crowded`
//! bounds maps, `boards` assembles the frames of a board, `bodies` caches REST bodies, `reading` reads and `settle` updates
//! them through `script`, within a `budget`.

mod boards;
mod bodies;
mod budget;
mod crowded;
pub mod flush;
mod hashes;
pub mod pending;
mod questions;
mod reading;
mod script;
mod settle;
pub mod table;
mod writing;

#[cfg(test)]
mod tests;
