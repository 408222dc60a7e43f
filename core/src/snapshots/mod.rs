//! The bodies that the REST fetcher keeps under `<p>:rest:<endpoint>:<SYMBOL>`, with events merged into them.
//!
//! A [`Body`] is the newest answer of REST that is known, and beside it what events brought: its text is made of both
//! whenever it is asked for. The order in which answers and events come makes no difference to it, nor does their
//! repetition. So an event that is replayed from disk, an answer of REST that comes between, and a late write of the
//! fetcher that puts an older answer back all end in the same text.
//!
//! Nothing here knows Redis or the clock. Sources of the forms: samples of REST's answers of 2025-10-03, the vendor's
//! examples of frames, and the fetcher's own writes.

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

pub use body::{Body, Hash};
pub use parts::{MAX_BODY, Receipt, Unreadable, Untranslatable};

#[cfg(test)]
mod tests;
