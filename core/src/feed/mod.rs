//! Parsing of the feed: frames into topic and payload, payloads into routing fields.
//!
//! [`envelope`] splits a frame, [`routing_fields`] validates and reads its payload in one pass over `json`,
//! [`map_cell`] derives the map field that a gex row sets.

pub mod envelope;
mod json;
pub mod map_cell;
pub mod routing_fields;
