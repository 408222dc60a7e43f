//! Totals of a simulator.

use std::collections::BTreeMap;

use crate::session::SessionCounts;

/// Totals since startup, over all connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SimulatorCounts {
    /// Requests received, including refused ones.
    pub handshakes: u64,
    /// Handshakes that were refused.
    pub refused: u64,
    /// Joins acknowledged with `ok`.
    pub joins: u64,
    /// Distinct events made or played; one sent to several connections counts once.
    pub events: u64,
    /// `events` by channel.
    pub by_channel: BTreeMap<String, u64>,
    /// Events handed to connections, repeats included. Those unwritten when a connection ends are lost.
    pub frames: u64,
    /// Events sent again byte for byte.
    pub duplicates: u64,
    /// Events sent again with the same number and other contents.
    pub amendments: u64,
    /// Frames other than events.
    pub odd_frames: u64,
    /// Events dropped because the client did not read.
    pub dropped: u64,
    /// Events that a connection was never sent, on request.
    pub withheld: u64,
    /// Frames of a recording whose topic no client had joined.
    pub unheard: u64,
    /// Pongs received.
    pub pongs: u64,
}

impl SimulatorCounts {
    /// Adds the totals of one connection.
    pub(super) fn add(&mut self, session: SessionCounts) {
        self.frames += session.frames;
        self.dropped += session.dropped;
        self.withheld += session.withheld;
        self.odd_frames += session.odd_frames;
        self.pongs += session.pongs;
    }
}
