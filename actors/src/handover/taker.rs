//! The side of the owner: stores what a stand-by offers, behind what it has stored itself.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slog::{Logger, info, warn};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use uw_websocket_core::event::Event;
use uw_websocket_core::spool::Record;

use super::adoption::{AdoptedIds, Heir};
use super::message::{Head, MessageError, OfferedBatch, OwnerReceipt};
use super::slot::HandoverSlot;
use crate::error_chain::ErrorChain;
use crate::lease::gate::LeaseGate;
use crate::ledger::left_queue::{Late, LateTally};
use crate::ledger::tracker::GapTracker;
use crate::log_throttle::LogThrottle;
use crate::queue::backlog::Position;
use crate::writer::overlap::Overlap;
use crate::writer::store::EntryStatus;
use crate::writer::store::fault::StoreFault;

/// Interval at which the slot is looked at while nothing is offered.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Interval while a batch is being stored, and shortly after one: more will follow.
const NEXT_SOON: Duration = Duration::from_millis(20);
/// Looks at the short interval after a batch.
const SOON: u32 = 50;
/// Maximum time for the receipt of a batch at the end of a term.
const LAST_RECEIPT: Duration = Duration::from_millis(300);

/// Parts of a taker.
pub struct TakerParts {
    /// The queues of the owner.
    pub heir: Heir,
    /// The slot.
    pub slot: HandoverSlot,
    /// Permission to write, by the lease.
    pub gate: LeaseGate,
    /// Records what was late.
    pub gaps: GapTracker,
    /// The processes whose disk queue is ours: what they offered before is written from there.
    pub ours: BTreeSet<String>,
    /// Logger of the hand-over.
    pub log: Logger,
}

/// Stores what stand-bys offer during one term.
pub struct Taker {
    parts: TakerParts,
    overlap: Overlap,
    /// Instance and queue whose streams `overlap` has. A restarted instance may offer again what is stored since.
    compared: (String, String),
    taken: Option<Taken>,
    /// The last answer: its offer may be there once more, put before the receipt was seen.
    answered: Option<(Head, OwnerReceipt)>,
    looks_soon: u32,
    failures: LogThrottle,
}

/// A batch that has no receipt yet.
struct Taken {
    head: Head,
    /// The records that Redis lacks, until the ledger has their announcement and our queues have them.
    missing: Vec<Record>,
    announcement: u64,
    /// The position after them, by shard.
    ends: Vec<(usize, Position)>,
    receipt: OwnerReceipt,
    /// Whether the queue is empty now.
    is_last: bool,
}

/// An unusable or refused offer.
enum Failed {
    Redis(StoreFault),
    Message(MessageError),
}

impl From<StoreFault> for Failed {
    fn from(fault: StoreFault) -> Failed {
        Failed::Redis(fault)
    }
}

impl From<MessageError> for Failed {
    fn from(error: MessageError) -> Failed {
        Failed::Message(error)
    }
}

impl Taker {
    /// Creates a taker.
    #[must_use]
    pub fn new(parts: TakerParts) -> Taker {
        let overlap = Overlap::new(
            Arc::clone(&parts.heir.observations),
            crate::supervisor::Heartbeat::default(),
            parts.log.clone(),
        );
        Taker {
            parts,
            overlap,
            compared: Default::default(),
            taken: None,
            answered: None,
            looks_soon: 0,
            failures: LogThrottle::default(),
        }
    }

    /// Runs until `stop`, then gives the receipt for what is stored, and answers `ended` by being dropped.
    pub async fn run(mut self, mut stop: oneshot::Receiver<()>, _ended: oneshot::Sender<()>) {
        loop {
            let wait = if self.taken.is_some() || self.looks_soon > 0 { NEXT_SOON } else { LOOK_EVERY };
            self.looks_soon = self.looks_soon.saturating_sub(1);
            tokio::select! {
                _ = &mut stop => break,
                () = sleep(wait) => {}
            }
            if self.parts.gate.may_write() {
                self.turn().await;
            }
        }
        let is_adopted = self.taken.as_ref().is_some_and(|taken| taken.missing.is_empty());
        if is_adopted && self.parts.gate.may_write() {
            // without a receipt the batch is looked up by the next owner
            drop(timeout(LAST_RECEIPT, self.turn()).await);
        }
    }

    async fn turn(&mut self) {
        let done = match self.taken.take() {
            Some(taken) => self.proceed(taken).await,
            None => self.look().await,
        };
        if let Err(fault) = done
            && self.failures.is_due(Instant::now())
        {
            warn!(self.parts.log, "hand-over waits for redis"; "error" => %fault);
        }
    }

    /// Moves a batch to our queues once it is announced, and gives the receipt once it is stored.
    async fn proceed(&mut self, mut taken: Taken) -> Result<(), StoreFault> {
        if !taken.missing.is_empty() && self.parts.gaps.is_kept(taken.announcement, NEXT_SOON).await {
            taken.ends = self.parts.heir.adopt(std::mem::take(&mut taken.missing), AdoptedIds::New).await;
        }
        let is_stored =
            |(shard, end): &(usize, Position)| self.parts.heir.shards[*shard].queue.begin() >= *end;
        if taken.missing.is_empty() && taken.ends.iter().all(is_stored) {
            return self.answer(taken).await;
        }
        self.taken = Some(taken);
        Ok(())
    }

    async fn answer(&mut self, taken: Taken) -> Result<(), StoreFault> {
        if let Err(fault) = self.parts.slot.answer(&taken.head, &taken.receipt).await {
            self.taken = Some(taken);
            return Err(fault);
        }
        if taken.is_last {
            info!(self.parts.log, "disk queue came back"; "instance" => &taken.head.queue);
            self.parts.gaps.came_back(taken.head.queue.clone());
            self.overlap.clear();
        }
        self.answered = Some((taken.head, taken.receipt));
        self.looks_soon = SOON;
        Ok(())
    }

    /// Takes the batch that is offered, if there is one.
    async fn look(&mut self) -> Result<(), StoreFault> {
        let Some(text) = self.parts.slot.look().await? else { return Ok(()) };
        let head = match Head::of(&text) {
            Ok((head, _)) => head,
            Err(error) => {
                self.foreign(&error);
                return self.parts.slot.clear().await;
            }
        };
        if self.parts.ours.contains(&head.queue) {
            // what we offered in stand-by is written from our disk
            return self.parts.slot.clear().await;
        }
        if let Some((_, receipt)) = self.answered.as_ref().filter(|(answered, _)| *answered == head) {
            return self.parts.slot.answer(&head, receipt).await;
        }
        match self.take(head.clone()).await {
            Ok(taken) => {
                self.taken = taken;
                Ok(())
            }
            Err(Failed::Redis(fault)) => Err(fault),
            Err(Failed::Message(error)) => {
                self.foreign(&error);
                let refusal = Some(error.to_string());
                let receipt = OwnerReceipt { batch: head.batch.clone(), refusal, ..OwnerReceipt::default() };
                self.parts.slot.answer(&head, &receipt).await
            }
        }
    }

    fn foreign(&mut self, error: &MessageError) {
        if self.failures.is_due(Instant::now()) {
            warn!(self.parts.log, "hand-over not readable"; ErrorChain::new(error));
        }
    }

    async fn take(&mut self, head: Head) -> Result<Option<Taken>, Failed> {
        let Some(text) = self.parts.slot.read().await? else { return Ok(None) };
        let (present, content) = Head::of(&text)?;
        if present != head {
            return Ok(None);
        }
        let offered = OfferedBatch::parse(content)?;
        let compared = (head.from.clone(), head.queue.clone());
        if self.compared != compared {
            self.compared = compared;
            self.overlap.clear();
        }
        let mut receipt = OwnerReceipt { batch: head.batch.clone(), ..OwnerReceipt::default() };
        let (missing, late) = self.missing(&offered, &mut receipt).await?;
        let detail = format!("from the disk queue of {}, stored behind newer ones", head.queue);
        let announcement = if late.is_empty() { 0 } else { self.parts.gaps.announce(&late, &detail) };
        let is_last = offered.is_last;
        Ok(Some(Taken { head, missing, announcement, ends: Vec::new(), receipt, is_last }))
    }

    /// Returns the records that Redis does not have, with the streams that lack them.
    async fn missing(
        &mut self,
        offered: &OfferedBatch,
        receipt: &mut OwnerReceipt,
    ) -> Result<(Vec<Record>, LateTally), Failed> {
        let records = offered.records()?;
        let mut decoder = self.parts.heir.decoder(0);
        let events: Option<Vec<Event>> = records.iter().map(|record| decoder.event(record.clone())).collect();
        let events = events.ok_or(MessageError::Foreign("the owner does not know one of the channels"))?;
        // whatever is offered was received before the owner stores it
        let late = Late { before: u64::MAX, since: offered.since };
        let connection = self.parts.slot.connection().await?;
        self.overlap.read(connection, &events, late).await?;
        let questions: Vec<_> = events
            .iter()
            .flat_map(|event| {
                let streams = event.route.destinations.iter().zip(event.ids.as_slice());
                streams.map(|(destination, id)| (&*destination.stream, *id, &event.payload[..]))
            })
            .collect();
        let mut statuses = connection.entry_statuses(&questions).await?.into_iter();
        let (mut missing, mut tally) = (Vec::new(), LateTally::default());
        for ((at, mut record), event) in records.into_iter().enumerate().zip(&events) {
            let mut destinations = event.route.destinations.iter();
            let (mut is_double, mut is_stored) = (false, false);
            record.destinations.retain(|_| {
                let by_id = statuses.next() == Some(EntryStatus::Stored);
                let by_content = destinations.next().is_some_and(|to| self.overlap.has(event, to, late));
                is_stored |= by_id;
                is_double |= by_content && !by_id;
                !by_id && !by_content
            });
            if !record.destinations.is_empty() {
                tally.add(event);
                if self.parts.heir.is_archived {
                    receipt.archived.insert(at);
                }
                missing.push(record);
            } else if is_double && !is_stored {
                receipt.doubles.insert(at);
            }
        }
        Ok((missing, tally))
    }
}
