//! A feed server that speaks the vendor's protocol, for tests, demonstrations and benchmarks.
//!
//! It promises what is known of the real feed: the token in the query, joins by text frames only, acknowledgements in
//! order with data between them, the cap of joins on a connection and its notice, one frame an event in the documented
//! shapes, waves of gex rows. On request it misbehaves ([`Misbehaviour`]).
//!
//! Every event that it makes is different from all others and holds a number ([`event_number`]) that rises by one from
//! event to event over all channels. An event is made only when each of its receivers has room for it, so a slow
//! client slows the simulator down and loses nothing, unless [`Kind::DropWhenSlow`] is set.
//!
//! The number is, in the field that `events::samples` names for the channel, the last 12 hexadecimal digits of an `id`, the
//! 12 digits after the point of a decimal or at the end of a text, or what a session volume is above 100 000 000 000. A
//! channel without a sample has it in `volume`.
//!
//! It runs on a thread of its own, so a blocking test can use it as well as an asynchronous one. Deliberately absent:
//! TLS, compression, replay after a reconnection (the vendor has none).

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
mod server;
mod session;

pub use counts::Counts;
pub use events::event_number;
pub use handle::{Simulator, SimulatorHandle};
pub use handshake::HandshakeRequest;
pub use misbehaviour::{Alteration, InvalidMisbehaviour, Kind, Misbehaviour, OddFrame, Window};
pub use options::{InvalidRate, Rate, SimulatorOptions, Spread, Waves};
pub use recording::{InvalidPace, RecordedFrame, RecordedFrames, RecordedPace, Recording};

#[cfg(test)]
mod tests;
