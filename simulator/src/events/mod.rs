//! The events of a simulator: realistic, distinct, numbered, and cheap.
//!
//! `samples` holds one payload per channel and says which of its fields vary. `frame` overwrites these in place, `alter`
//! makes other forms of a sample, `number` reads back the number of an event, and `maker` ties them together.

mod alter;
mod digits;
mod frame;
mod maker;
mod moment;
mod number;
mod samples;

pub(super) use maker::{EventMaker, Scene};
pub use number::event_number;
pub(super) use samples::Sample;

#[cfg(test)]
mod tests;
