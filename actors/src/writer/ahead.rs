//! Writes what follows a batch that a node of a cluster holds up, to the nodes that are there.
//!
//! Nothing of it is acknowledged. When the node, or its successor, has come, the held batch is written, and what follows
//! is lent again: what was written is found in its streams. Only the order within a stream matters, so a batch is passed only
//! if all of it is stored except for the streams of nodes that are away; after any other failure the same batch is tried
//! again.

use std::time::{Duration, Instant};

use super::committer::Committer;
use super::reconciler::Placed;
use super::session::Reconciled;
use crate::queue::Queue;
use crate::queue::backlog::Lent;

/// Maximum time before the held batch is looked at again.
const AT_ONCE: Duration = Duration::from_millis(200);

impl Committer {
    /// Writes the batches after the held one as far as possible now.
    pub(super) async fn write_ahead(&mut self, session: &mut Reconciled, queue: &Queue, held: &Lent) {
        let until = Instant::now() + AT_ONCE;
        // entries of late events are compared with more than their streams
        while Instant::now() < until && self.scope.gate.may_write() && self.scope.gaps.late().is_none() {
            self.scope.beat.beat();
            let from = self.work.ahead.max(held.end());
            // a disk that cannot be read is reported when the batch is lent
            let Ok(Some(lent)) = queue.look_ahead(from).await else { return };
            if !self.commit_ahead(session, queue, &lent).await {
                return;
            }
            self.work.ahead = lent.end();
            self.reconciler.streams.bound();
        }
    }

    /// Writes a batch except for the streams of nodes that are away; returns whether all else is stored.
    async fn commit_ahead(&mut self, session: &mut Reconciled, queue: &Queue, lent: &Lent) -> bool {
        if self.poison.is_suspicious(queue.name(), lent) {
            return false;
        }
        let wanted = self.poison.wanted(lent);
        let placed = self.reconciler.place(session.connection(), queue, lent, false, wanted).await;
        let Ok(Placed::Ready(ready)) = placed else { return false };
        let written = self.attempt(queue, lent).write(session, &ready.entries).await;
        self.work.taken.clear();
        matches!(written, Ok(true))
    }
}
