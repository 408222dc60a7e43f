//! What a simulator has done so far.

use std::collections::BTreeMap;

use crate::session::SessionCounts;

/// What a simulator has done so far, over all its connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that came, refused ones too.
    pub handshakes: u64,
    /// Handshakes that were refused.
    pub refused: u64,
    /// Joins that were acknowledged with `ok`.
    pub joins: u64,
    /// Different events that were made or played, each once however many connections got it.
    pub events: u64,
    /// The same by channel.
    pub by_channel: BTreeMap<String, u64>,
    /// Events as often as they were handed to a connection, repeats included. What was not yet written when a
    /// connection ended is lost.
    pub frames: u64,
    /// Events that were sent a second time, byte for byte.
    pub duplicates: u64,
    /// Events that were sent a second time with other contents.
    pub amendments: u64,
    /// Frames that were no events.
    pub odd_frames: u64,
    /// Events that were dropped because a client did not read.
    pub dropped: u64,
    /// Frames of a recording that nobody had joined.
    pub unheard: u64,
    /// Pongs that came.
    pub pongs: u64,
}

impl Counts {
    /// Adds what one connection has done.
    pub(super) fn add(&mut self, session: SessionCounts) {
        self.frames += session.frames;
        self.dropped += session.dropped;
        self.odd_frames += session.odd_frames;
        self.pongs += session.pongs;
    }
}
