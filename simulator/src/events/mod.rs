//! The events of a simulator: realistic, distinct, numbered, and cheap.
//!
//! `samples` is the table of payloads, one per channel, with the fields that vary. `patch` overwrites these fields in place,
//! `alter` changes a sample into another form, and `number` reads the number of an event back. `maker` combines them.

mod alter;
mod digits;
mod maker;
mod moment;
mod number;
mod patch;
mod samples;

pub(super) use maker::{EventMaker, Scene};
pub use number::event_number;
pub(super) use samples::Sample;

#[cfg(test)]
mod tests;
