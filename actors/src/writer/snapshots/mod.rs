//! The hashes beside the streams: `ws:latest:`, `ws:map:` and the bodies of REST.
//!
//! They are conflated: each key is written at most once in `SNAPSHOT_INTERVAL_MS`, from the newest events, and only after
//! these are in their streams. So they cost little however many events there are, they are never ahead of the streams, and
//! writing them holds up no event: they have a connection of their own. What waits to be written when the process dies is
//! read again from the disk queue by the next one, which keeps stored records for a while.
//!
//! [`pending`] is what waits and [`table`] shares it, [`flush`] writes it; `hashes` and `bodies` know how.

mod bodies;
mod budget;
pub mod flush;
mod hashes;
pub mod pending;
mod questions;
mod reading;
mod script;
mod settle;
pub mod table;

#[cfg(test)]
mod tests;
