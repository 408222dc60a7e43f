//! What the feed sends, read: frames into topic and payload, payloads into the fields that decide where they go.
//!
//! `envelope` splits a frame, `routing_fields` reads and validates its payload in one pass over `json`, `map_cell` says which
//! field of a map a gex row sets.

pub mod envelope;
mod json;
pub mod map_cell;
pub mod routing_fields;
