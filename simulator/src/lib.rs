//! A feed server that speaks the vendor's protocol, for tests, demonstrations and benchmarks.
//!
//! It behaves as the real feed is known to: the token is in the query, only text frames join, acknowledgements come in
//! order with events between them, a join above the limit of a connection is answered by a notice, each event is one frame
//! of the documented shape, and gex rows come in waves. On request it misbehaves ([`Misbehaviour`]).
//!
//! Every event differs from all others and holds a number ([`event_number`]) that rises by one with each event over all
//! channels. An event is made only when each of its receivers has room for it: a slow client slows the simulator down and
//! loses nothing, unless [`MisbehaviourKind::DropWhenSlow`] is set.
//!
//! `events::samples` names the field that holds the number of each channel: the last 12 hexadecimal digits of a UUID, the last
//! 12 digits of a decimal or a text, or a session volume minus 100 000 000 000. A channel without a sample has it in `volume`.
//!
//! It runs on its own thread, so blocking and asynchronous tests can both use it. It has no TLS and no compression, and like
//! the vendor no replay after a reconnection.

mod counts;
mod events;
mod feed;
mod frames;
mod handle;
mod handshake;
mod hub;
mod joins;
mod misbehaviour;
mod odd;
mod options;
mod pacing;
mod playback;
mod recording;
mod rest;
mod server;
mod session;

pub use counts::SimulatorCounts;
pub use events::event_number;
pub use handle::{Simulator, SimulatorHandle};
pub use handshake::HandshakeRequest;
pub use misbehaviour::{
    Alteration, InvalidMisbehaviour, Misbehaviour, MisbehaviourKind, OccurrenceWindow, OddFrame,
};
pub use options::{InvalidRate, Rate, SimulatorOptions, Spread, Waves};
pub use recording::{
    InvalidPace, RecordedFrame, RecordedFrames, RecordedPace, Recording, is_acknowledgement,
};
pub use rest::{
    AboveLimit, Excess, Generated, ResetAt, RestCounts, RestFault, RestKind, RestLie, RestLimits,
    RestOptions, RestRefusal, RestRequest, RetryAfter,
};

#[cfg(test)]
mod tests;
