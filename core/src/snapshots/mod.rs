//! The REST bodies under `<p>:rest:<endpoint>:<SYMBOL>`, written by the REST fetcher, with events merged in.
//!
//! A [`RestBody`] keeps the newest REST answer and the events since; its text is computed from both on demand. Neither
//! the order in which answers and events arrive nor repetition affects the result, so an event replayed from disk,
//! a REST answer in between, and a late write of the fetcher that restores an older answer all lead to the same
//! text.
//!
//! No Redis, no clock. Sources of the formats: REST answers of 2025-10-03, the vendor's sample frames, and the
//! fetcher's own writes.

mod alerts;
mod body;
mod content;
pub mod decimal;
mod frame;
mod object;
pub mod occ;
mod parts;
mod rows;
mod state;
mod times;

pub use body::{Hash, RestBody};
pub use parts::{MAX_BODY, Receipt, UnreadableBody, Untranslatable};

#[cfg(test)]
mod tests;
