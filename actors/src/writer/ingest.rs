//! Moves events from the inbox into the queue.

use std::future::pending;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::poison::Poison;
use super::scope::{BEAT, WriterScope};
use crate::fault::FaultPoint;
use crate::queue::shard::Shard;

/// Accepts the deliveries of a shard.
pub struct Ingest {
    /// The shard to serve.
    pub shard: Shard,
    /// Notified when the writer is told of a delivery or to end.
    pub deliveries: Arc<Notify>,
    /// Quarantines events that do not fit into a record.
    pub poison: Poison,
    /// Shared parts of the writer's loops.
    pub scope: WriterScope,
}

impl Ingest {
    /// Accepts deliveries until no more come.
    pub async fn run(mut self) {
        // events accepted by a previous writer come first
        self.keep().await;
        loop {
            self.scope.beat.beat();
            let deliveries = Arc::clone(&self.deliveries);
            // from here on deliveries are not missed
            let delivered = deliveries.notified();
            if self.shard.queue.accept(&self.shard.inbox) {
                self.scope.faults.reach(FaultPoint::Accepted).await;
                self.keep().await;
                continue;
            }
            if self.shard.inbox.is_exhausted() {
                break;
            }
            tokio::select! {
                biased;
                () = delivered => self.scope.faults.reach(FaultPoint::Delivery).await,
                // a failed disk may recover although nothing is delivered
                () = sleep(BEAT) => if !self.shard.queue.is_safe() {
                    self.keep().await;
                }
            }
        }
        self.keep().await;
        self.shard.queue.close();
    }

    /// Waits until accepted events may be written, and records losses.
    async fn keep(&mut self) {
        let (queue, faults) = (&self.shard.queue, &self.scope.faults);
        let kept = self.scope.beat.during(async {
            tokio::select! {
                biased;
                () = queue.keep() => {}
                () = async {
                    faults.reach(FaultPoint::AppendSent).await;
                    pending::<()>().await;
                } => {}
            }
        });
        kept.await;
        faults.reach(FaultPoint::Appended).await;
        queue.take_losses().into_iter().for_each(|loss| self.scope.gaps.note(loss));
        while let Some((event, error)) = queue.unrecordable() {
            let (outcome, losses) =
                self.poison.put_event_away(&event, &error.to_string(), &self.scope.log).await;
            queue.end_unrecordable(outcome);
            for loss in losses {
                self.scope.gaps.note(loss);
            }
        }
    }
}
