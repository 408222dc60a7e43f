//! Events that another instance's disk queue had, on their way into ours.

use uw_websocket_core::event::Event;
use uw_websocket_core::ids::Numbering;

use super::Queue;
use super::backlog::Position;
use super::batch::EventBatch;
use crate::sync::lock;

impl Queue {
    /// Accepts events that another instance's disk queue had; returns the position after them.
    #[must_use]
    pub fn adopt(&self, batch: EventBatch) -> Position {
        self.adopt_numbered(batch, Numbering::number)
    }

    /// Like [`Queue::adopt`], with the IDs that the events have: they may be stored under them.
    #[must_use]
    pub fn adopt_as_they_are(&self, batch: EventBatch) -> Position {
        self.adopt_numbered(batch, |numbering, event| {
            for (destination, id) in event.route.destinations.iter().zip(event.ids.as_slice()) {
                numbering.raise(&destination.stream, *id);
            }
        })
    }

    fn adopt_numbered(&self, mut batch: EventBatch, number: impl Fn(&mut Numbering, &mut Event)) -> Position {
        let state = &mut *lock(&self.0.state);
        for event in batch.events_mut() {
            event.ordinal = self.0.books.channel(event.route.channel).adopt();
            number(&mut state.numbering, event);
        }
        self.0.leave_out_duplicates(state, &mut batch);
        self.0.leave_out_unrecordable(state, &mut batch);
        if !batch.is_empty() {
            state.backlog.push(batch);
        }
        state.backlog.next()
    }
}
