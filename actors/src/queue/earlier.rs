//! What a queue learns of the events of an earlier process.

use uw_websocket_core::event::{ChannelIndex, Event};

use super::handle::Queue;
use crate::sync::lock;

impl Queue {
    /// Learns an earlier event: its IDs and its fingerprint for duplicate detection, which is returned.
    #[must_use]
    pub fn learn(&self, event: &Event, is_stored: bool) -> u64 {
        let state = &mut *lock(&self.0.state);
        let next_record = state.persistence.next_record();
        for (destination, id) in event.route.destinations.iter().zip(event.ids.as_slice()) {
            state.numbering.raise(&destination.stream, *id);
            if is_stored {
                state.stored.note(&destination.stream, *id, true, next_record);
            }
        }
        state.numbering.bound(event.received_us / 1000);
        self.0.note_forgotten(state);
        state.duplicates.fingerprint(event.route.symbol(), &event.payload)
    }

    /// Adds an earlier event to duplicate detection. Call it in order, oldest first.
    pub fn remember(&self, channel: ChannelIndex, ordinal: u64, fingerprint: u64) {
        lock(&self.0.state).duplicates.remember(channel, ordinal, fingerprint);
    }
}
