//! The side of the owner: stores what a stand-by offers, behind what it has stored itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use slog::{Logger, info, warn};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use uw_websocket_core::event::{ChannelIndex, Event};
use uw_websocket_core::spool::Record;

use super::adoption::{AdoptedIds, Heir};
use super::message::{Head, MessageError, OfferedBatch, OwnerReceipt};
use super::slot::HandoverSlot;
use crate::error_chain::ErrorChain;
use crate::lease::gate::LeaseGate;
use crate::ledger::gap::{Gap, GapReason, family_of};
use crate::ledger::left_queue::Late;
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
    looks_soon: u32,
    failures: LogThrottle,
}

/// A batch that the queues have and Redis does not have yet.
struct Taken {
    head: Head,
    /// The position after its events, by shard.
    ends: Vec<(usize, Position)>,
    /// Events, and earliest and latest time of receipt, by channel.
    late: BTreeMap<ChannelIndex, (u64, u64, u64)>,
    receipt: OwnerReceipt,
    /// The queue that is empty now, if it is.
    back: Option<String>,
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
        if self.taken.is_some() && self.parts.gate.may_write() {
            // without a receipt the batch is looked up by the next owner
            drop(timeout(LAST_RECEIPT, self.turn()).await);
        }
    }

    async fn turn(&mut self) {
        let done = match self.taken.take() {
            Some(taken) if !self.is_stored(&taken) => {
                self.taken = Some(taken);
                Ok(())
            }
            Some(taken) => self.answer(taken).await,
            None => self.look().await,
        };
        if let Err(fault) = done
            && self.failures.is_due(Instant::now())
        {
            warn!(self.parts.log, "hand-over waits for redis"; "error" => %fault);
        }
    }

    fn is_stored(&self, taken: &Taken) -> bool {
        taken.ends.iter().all(|(shard, end)| self.parts.heir.shards[*shard].queue.begin() >= *end)
    }

    /// Gives the receipt, and enters the events in the ledger.
    async fn answer(&mut self, mut taken: Taken) -> Result<(), StoreFault> {
        for (index, (events, from, to)) in std::mem::take(&mut taken.late) {
            let channel = self.parts.heir.observations.channel(index);
            channel.late.add(events);
            let name = channel.channel.to_string();
            let gap = Gap::new(family_of(&name), vec![name], (from, to), GapReason::Late);
            let detail = format!("handed over by {}, stored behind newer ones", taken.head.from);
            self.parts.gaps.note(gap.with_events(events).with_detail(detail));
        }
        let json = serde_json::to_string(&taken.receipt).unwrap_or_default();
        if let Err(fault) = self.parts.slot.answer(&taken.head, &json).await {
            self.taken = Some(taken);
            return Err(fault);
        }
        if let Some(queue) = taken.back {
            info!(self.parts.log, "disk queue came back"; "instance" => &queue);
            self.parts.gaps.came_back(queue);
            self.overlap.clear();
        }
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
                return Ok(());
            }
        };
        if self.parts.ours.contains(&head.from) {
            // what we offered in stand-by is written from our disk
            return self.parts.slot.clear().await;
        }
        if head.is_receipt {
            return Ok(());
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
                let json = serde_json::to_string(&OwnerReceipt { refusal, ..OwnerReceipt::default() })
                    .unwrap_or_default();
                self.parts.slot.answer(&head, &json).await.map(drop)
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
        if self.parts.ours.contains(&offered.queue) {
            self.parts.slot.clear().await?;
            return Ok(None);
        }
        let compared = (head.from.clone(), offered.queue.clone());
        if self.compared != compared {
            self.compared = compared;
            self.overlap.clear();
        }
        let mut taken = Taken {
            head,
            ends: Vec::new(),
            late: BTreeMap::new(),
            receipt: OwnerReceipt::default(),
            back: offered.is_last.then(|| offered.queue.clone()),
        };
        let missing = self.missing(&offered, &mut taken).await?;
        taken.ends = self.parts.heir.adopt(missing, AdoptedIds::New).await;
        Ok(Some(taken))
    }

    /// Returns the records that Redis does not have, with the streams that lack them.
    async fn missing(&mut self, offered: &OfferedBatch, taken: &mut Taken) -> Result<Vec<Record>, Failed> {
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
        let mut missing = Vec::new();
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
                let received = record.received_us;
                let late = taken.late.entry(event.route.channel).or_insert((0, received, received));
                *late = (late.0 + 1, late.1.min(received), late.2.max(received));
                if self.parts.heir.is_archived {
                    taken.receipt.archived.insert(at);
                }
                missing.push(record);
            } else if is_double && !is_stored {
                taken.receipt.doubles.insert(at);
            }
        }
        Ok(missing)
    }
}
