//! Filling gaps over REST: what to ask for, which rows of the answers were missed, and how a fill ends.
//!
//! A gap becomes a [`job`] for each of its topics ([`plan`]); the endpoint of a channel is in the table of channels
//! ([`FillSource`](crate::channel::fill::FillSource)). The [`walk`] of a job says step by step what to ask and what to
//! write:
//!
//! ```text
//! job ──▶ walk ──Ask──▶ query ──▶ answer ──▶ chunk ──Write──▶ batch ──▶ the cursor of the job moves
//! ```
//!
//! A walk goes forward in time from chunk to chunk. A chunk is requested from its newest row to its oldest, since that
//! is the order of the vendor, and written oldest first. Rows before the cursor of the job are written, those after it
//! are not: the job alone says where to continue after a crash. Rows keep the bytes of the answer.
//!
//! Pure: neither clock nor network nor Redis; times are Unix microseconds.

pub mod answer;
pub mod chunk;
pub mod deadline;
pub mod instant;
pub mod job;
pub mod key;
pub mod known;
pub mod outcome;
pub mod plan;
pub mod trust;
pub mod walk;

#[cfg(test)]
mod tests;
