//! The events of a simulator: realistic, distinct, numbered, and cheap.
//!
//! `samples` is the table of payloads, one per channel, with the fields that vary. `patch` overwrites these fields in place,
//! `alter` changes a sample into another form. `maker` combines them, and reads the number of an event back.

mod alter;
mod maker;
mod moment;
mod patch;
mod samples;

pub use maker::event_number;
pub(super) use maker::{EventMaker, Scene};
pub(super) use samples::Sample;

#[cfg(test)]
mod tests;
