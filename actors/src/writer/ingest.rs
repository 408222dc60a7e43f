//! From the inbox into the queue.

use std::future::pending;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::poison::Poison;
use super::scope::{BEAT, Scope};
use crate::fault::FaultPoint;
use crate::queue::shard::Shard;

/// Takes over what is delivered to a shard.
pub struct Ingest {
    /// The shard.
    pub shard: Shard,
    /// Rings when the writer was told of a delivery, or to end.
    pub deliveries: Arc<Notify>,
    /// For what no record can hold.
    pub poison: Poison,
    /// What it works with.
    pub scope: Scope,
}

impl Ingest {
    /// Takes over what comes, until nothing comes any more.
    pub async fn run(mut self) {
        // what an earlier life had taken over goes first
        self.keep().await;
        loop {
            self.scope.beat.beat();
            let deliveries = Arc::clone(&self.deliveries);
            // from here on no delivery is missed
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
                // though nothing comes, a disk that failed may have come back
                () = sleep(BEAT) => if !self.shard.queue.is_safe() {
                    self.keep().await;
                }
            }
        }
        self.keep().await;
        self.shard.queue.close();
    }

    /// Waits until what was taken over may be written, and enters what was lost by it.
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
            let (fate, losses) =
                self.poison.put_event_away(&event, &error.to_string(), &self.scope.log).await;
            queue.end_unrecordable(fate);
            for loss in losses {
                self.scope.gaps.note(loss);
            }
        }
    }
}
