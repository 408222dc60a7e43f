//! The vendor's REST API: the [`limiter`] that handshakes and requests draw from, and the [`client`], whose `body` reads
//! whole answers only and whose [`error`] says what a refusal means.

mod body;
pub mod client;
pub mod error;
pub mod limiter;

pub use client::{RestAnswer, RestClient, RestReply};
pub use error::{RestError, RestFault};
