//! The connections to the feed.

pub mod channels;
