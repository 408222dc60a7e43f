//! The side of the stand-by: offers its backlog to the owner, batch by batch.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slog::{Logger, error, info, warn};
use tokio::time::sleep;

use super::message::{Head, OfferedBatch, OfferedEvent, OwnerReceipt};
use super::slot::HandoverSlot;
use crate::error_chain::ErrorChain;
use crate::ledger::last_owner;
use crate::log_throttle::LogThrottle;
use crate::observation::{Observations, Outcome};
use crate::queue::shard::Shard;
use crate::queue::{Next, Queue};
use crate::writer::store::fault::StoreFault;

/// Interval at which the receipt is looked for: the owner stores a batch within milliseconds.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Interval after a failure of Redis or of the disk.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// The offers of one stand-by period. Dropping it loses nothing: what has no receipt stays in the queues.
#[derive(Debug)]
pub struct Offers {
    /// The queues.
    pub shards: Vec<Shard>,
    /// The slot.
    pub slot: HandoverSlot,
    /// The folder of the ledger's state, which names the last owner on the disk; `None` without a disk queue.
    pub folder: Option<PathBuf>,
    /// The name of this process, and the counts.
    pub observations: Arc<Observations>,
    /// Logger of the stand-by.
    pub log: Logger,
    /// Limits log records of failures.
    pub failures: LogThrottle,
}

/// The owner refuses the events.
#[derive(Debug)]
struct Refused(String);

impl Offers {
    /// Offers everything. Returns immediately if no owner has used this disk, which then holds nothing late.
    pub async fn run(mut self) {
        let Some((queue, since)) = self.folder.as_deref().and_then(last_owner) else { return };
        let began = Instant::now();
        match self.offer_all(&queue, since).await {
            Ok(0) => {}
            Ok(events) => {
                info!(self.log, "backlog handed over"; "events" => events, "elapsed_s" => began.elapsed().as_secs_f64());
            }
            Err(Refused(reason)) => error!(self.log, "backlog not handed over"; "reason" => reason),
        }
    }

    async fn offer_all(&mut self, name: &str, since: u64) -> Result<u64, Refused> {
        let generations = self.shards.first().map(|shard| shard.generations.clone()).unwrap_or_default();
        let mut events = 0;
        for old in generations.queues() {
            events += self.offer_queue(&old.queue, name, since).await?;
            generations.finish(old);
        }
        for queue in self.shards.iter().map(|shard| shard.queue.clone()).collect::<Vec<_>>() {
            // closed since the last term
            queue.open();
            events += self.offer_queue(&queue, name, since).await?;
        }
        let last = OfferedBatch { since, is_last: true, events: Vec::new() };
        // the next life may have to say it again
        let batch = format!("last@{}", self.observations.instance);
        self.hand_over(self.head(name, batch), &json_of(&last)?).await?;
        while let Err(fault) = self.slot.forget(name).await {
            self.failed(&fault).await;
        }
        Ok(events)
    }

    async fn offer_queue(&mut self, queue: &Queue, name: &str, since: u64) -> Result<u64, Refused> {
        let mut events = 0;
        while !queue.is_empty() {
            let lent = match queue.peek().await {
                Ok(Next::Write(lent)) => lent,
                Ok(Next::End) => break,
                Err(error) => {
                    if self.failures.is_due(Instant::now()) {
                        error!(self.log, "disk queue unreadable"; ErrorChain::new(&error));
                    }
                    sleep(RETRY_EVERY).await;
                    continue;
                }
            };
            let offered = lent.batch.events().iter().map(|event| OfferedEvent::of(event, &self.observations));
            let json = json_of(&OfferedBatch { since, is_last: false, events: offered.collect() })?;
            let head = self.head(name, OfferedBatch::name_of(&json));
            let OwnerReceipt { doubles, archived, .. } = self.hand_over(head, &json).await?;
            let outcome = |at| if doubles.contains(&at) { Outcome::Duplicate } else { Outcome::Stored };
            // what the owner found under the IDs that we gave is in no queue of its own
            let is_ours = |at| outcome(at) == Outcome::Stored && !archived.contains(&at);
            queue.ack_archiving(&lent, outcome, Vec::new(), is_ours);
            events += lent.batch.len() as u64;
        }
        Ok(events)
    }

    fn head(&self, queue: &str, batch: String) -> Head {
        Head { queue: queue.to_owned(), batch, from: self.observations.instance.clone() }
    }

    /// Offers a batch until its receipt is there.
    async fn hand_over(&mut self, head: Head, json: &str) -> Result<OwnerReceipt, Refused> {
        loop {
            match self.look(&head, json).await {
                Ok(Some(OwnerReceipt { refusal: Some(reason), .. })) => return Err(Refused(reason)),
                Ok(Some(receipt)) => return Ok(receipt),
                Ok(None) => sleep(LOOK_EVERY).await,
                Err(fault) => self.failed(&fault).await,
            }
        }
    }

    /// Returns the receipt if it is there, of a former life too; offers the batch unless one is offered already.
    async fn look(&mut self, head: &Head, json: &str) -> Result<Option<OwnerReceipt>, StoreFault> {
        // in this order: an offer is gone after its receipt has come
        let is_free = self.slot.look().await?.is_none();
        let receipt = self.slot.receipt(head).await?;
        if receipt.is_none() && is_free {
            self.slot.offer(head, json).await?;
        }
        Ok(receipt)
    }

    async fn failed(&mut self, fault: &StoreFault) {
        if self.failures.is_due(Instant::now()) {
            warn!(self.log, "backlog waits for redis"; "error" => %fault);
        }
        sleep(RETRY_EVERY).await;
    }
}

fn json_of(offered: &OfferedBatch) -> Result<String, Refused> {
    serde_json::to_string(offered).map_err(|error| Refused(error.to_string()))
}
