//! Writes what follows a batch that a node of a cluster holds up, to the nodes that are there.
//!
//! Nothing of it is acknowledged. When the node, or its successor, has come, the held batch is written, and what follows
//! is lent again: what was written is found in its streams. Only the order within a stream matters, so a batch is passed only
//! if all of it is stored except for the streams of nodes that are away; after any other failure the same batch is tried
//! again.

use std::time::{Duration, Instant};

use super::attempt::Attempt;
use super::reconciler::Placed;
use super::session::Reconciled;
use crate::queue::Queue;

/// Maximum time before the held batch is looked at again.
const AT_ONCE: Duration = Duration::from_millis(200);

/// Writes the batches after the held one as far as possible now.
pub(super) async fn write_ahead(held: &mut Attempt<'_>, session: &mut Reconciled, queue: &Queue) {
    let until = Instant::now() + AT_ONCE;
    // entries of late events are compared with more than their streams
    while Instant::now() < until && held.scope.gate.may_write() && held.scope.gaps.late().is_none() {
        held.scope.beat.beat();
        let from = held.work.ahead.max(held.lent.end());
        // a disk that cannot be read is reported when the batch is lent
        let Ok(Some(lent)) = queue.look_ahead(from).await else { return };
        if !write_batch(&mut held.at(&lent), session, queue).await {
            return;
        }
        held.work.ahead = lent.end();
        held.reconciler.streams.bound();
    }
}

/// Writes a batch except for the streams of nodes that are away; returns whether all else is stored.
async fn write_batch(attempt: &mut Attempt<'_>, session: &mut Reconciled, queue: &Queue) -> bool {
    let lent = attempt.lent;
    if attempt.poison.is_suspicious(queue.name(), lent) {
        return false;
    }
    let wanted = attempt.poison.wanted(lent);
    let placed = attempt.reconciler.place(session.connection(), queue, lent, false, wanted).await;
    let Ok(Placed::Ready(ready)) = placed else { return false };
    let written = attempt.write(session, &ready.entries).await;
    attempt.work.taken.clear();
    matches!(written, Ok(true))
}
