//! A writer: the actor that owns one shard's way into Redis.
//!
//! The shell takes batches in, into its [`backlog`]; the [`keeper`] numbers them and brings them to the [`disk`], and the
//! [`drain`] writes them to Redis, each beside the others: neither a slow disk nor a hung Redis holds the mailbox.
//!
//! A writer that crashes loses what had just come in and was not on the disk yet, and that is counted. The disk queue, the
//! mailbox and what is known of crashes outlive it; its next life goes on with what is on the disk.

pub mod adoption;
pub mod backlog;
pub mod damages;
pub mod disk;
pub mod drain;
pub mod heal;
pub mod ids;
pub mod keeper;
mod lookup;
pub mod mailbox;
mod outage;
pub mod poison;
mod renumber;
pub mod replay;
pub mod snapshots;
pub mod spools;
pub mod store;
pub mod streams;
pub mod transaction;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use actix::prelude::*;
use adoption::{Adopted, Adoption, OldDisk};
use backlog::{Backlog, Range};
use disk::{Disk, DiskError};
use drain::{Drain, DrainState, READ_BYTES};
use futures_util::future::OptionFuture;
use heal::Healing;
use ids::Numbering;
use keeper::{Keeper, KeeperState};
use mailbox::Mailbox;
use poison::{Crashes, Poison};
use replay::Replay;
use slog::Logger;
use snapshots::{Flush, Snapshots};
use store::Store;
use store::link::Address;

use crate::connection::router::home_shard;
use crate::duplicates::Duplicates;
use crate::event::{ChannelIndex, EntryId, Symbol};
use crate::events;
use crate::fault::ChildFaults;
use crate::lease::gate::LeaseGate;
use crate::ledger::book::GapBook;
use crate::messages::EventBatch;
use crate::observation::{DropReason, Fate, Observations};
use crate::quarantine::Quarantine;
use crate::settings::{KeySettings, Retention, SpoolMode, SpoolSettings, WriterSettings};
use crate::supervisor::{Beat, Beats, ChildLife, Stop};

/// The ordinals of a channel's events begin above this: below it there is room for those of earlier lives.
pub const FIRST_ORDINAL: u64 = 1 << 32;
/// Records that are read to know duplicates over a restart: as many as the window has of each of the seven channels.
const REMEMBERED_RECORDS: u64 = 700_000;

/// The disk queues of one shard, and what goes with them. They outlive the writer.
#[derive(Clone)]
pub struct Spools {
    /// The shard's own, unless it is off.
    pub own: Option<Disk>,
    /// Old ones that this writer writes.
    pub adopted: Vec<OldDisk>,
    /// Old ones of all writers.
    pub old: Adopted,
    /// The highest ID that an earlier process gave.
    pub highest: EntryId,
    /// Events that nobody can write.
    pub quarantine: Arc<Mutex<Quarantine>>,
    /// What is known of crashes.
    pub crashes: Crashes,
    /// Whose turn it is to heal.
    pub healing: Healing,
}

/// What a writer is made of; its factory makes it anew at each start.
pub struct WriterParts {
    /// Which shard it writes.
    pub shard: usize,
    /// The mailbox that it serves.
    pub mailbox: Arc<Mailbox>,
    /// Itself, which it knows once it has started.
    pub shell: Option<Recipient<EventBatch>>,
    /// Where Redis is.
    pub address: Address,
    /// What it writes.
    pub keys: KeySettings,
    /// How long that stays.
    pub retention: Retention,
    /// How much at once.
    pub settings: WriterSettings,
    /// How the disk queue is used.
    pub spool: SpoolSettings,
    /// The disk queues.
    pub spools: Spools,
    /// Where losses are entered.
    pub gaps: GapBook,
    /// Whether anything may be written.
    pub gate: LeaseGate,
    /// What others see.
    pub observations: Arc<Observations>,
    /// Test-only faults.
    pub faults: ChildFaults,
    /// Names it.
    pub log: Logger,
}

/// The actor of a shard.
pub struct Writer {
    life: ChildLife,
    parts: Option<WriterParts>,
    /// To the keeper.
    backlog: Backlog,
    capacity: usize,
    log: Logger,
}

impl Writer {
    /// A writer with fresh state.
    #[must_use]
    pub fn new(parts: WriterParts, life: ChildLife) -> Writer {
        let (log, capacity) = (parts.log.clone(), parts.settings.mailbox_capacity);
        let backlog = Backlog::new(parts.settings.transaction_size());
        Writer { life, parts: Some(parts), backlog, capacity, log }
    }
}

impl WriterParts {
    /// Works until the backlog is closed, and written or safe on the disk.
    pub async fn work(self, backlog: Backlog, beats: Beats) -> Result<(), DiskError> {
        let beat = beats.beat();
        let mut numbering = Numbering::above(self.spools.highest);
        let channels = self.observations.channels.iter().map(|channel| &channel.channel);
        let mut duplicates = Duplicates::new(fastrand::u64(..), channels);
        let mut state = DrainState::default();
        let mut next = 0;
        let mut remembered = Remembered::new(&self.observations);
        let snapshots = self
            .keys
            .snapshots
            .then(|| Snapshots::new(self.keys.snapshot_interval, Arc::clone(&self.observations), self.shard));
        // in the other modes what is on the disk says little of what is newest
        remembered.snapshots = snapshots.clone().filter(|_| self.spool.mode == SpoolMode::Always);
        for old in self.spools.old.disks() {
            // one that has ended is empty
            if let Ok(standing) = beat.during(old.disk.standing()).await {
                remembered.acknowledged = standing.acknowledged;
                let range = Range { disk: old.disk.clone(), from: standing.kept_from, to: standing.next };
                match self.remember(range, &mut remembered, (&duplicates, &mut numbering), &beat).await {
                    Err(DiskError::Ended) => {}
                    done => done?,
                }
            }
        }
        if let Some(disk) = &self.spools.own {
            let standing = beat.during(disk.standing()).await?;
            next = standing.next;
            remembered.acknowledged = standing.acknowledged;
            let range = Range { disk: disk.clone(), from: standing.kept_from, to: next };
            self.remember(range, &mut remembered, (&duplicates, &mut numbering), &beat).await?;
            backlog.ready_on_disk(Range { disk: disk.clone(), from: standing.acknowledged, to: next });
            state.may_have_written(disk, next);
        }
        remembered.tell(&mut duplicates, &self.observations);
        if let Some(shell) = self.shell {
            // not before: what came meanwhile would be in memory alone
            self.mailbox.serve(shell);
        }
        // from here on each loop proves its own progress
        drop(beat);
        let numbering = Rc::new(RefCell::new(numbering));
        let size = self.settings.transaction_size();
        let keeper = Keeper {
            backlog: backlog.clone(),
            disk: self.spools.own.clone(),
            settings: self.spool,
            numbering: Rc::clone(&numbering),
            duplicates,
            observations: Arc::clone(&self.observations),
            gaps: self.gaps.clone(),
            shard: self.shard,
            beat: beats.beat(),
            log: self.log.clone(),
            state: KeeperState::from(next),
        };
        let poison =
            Poison::new(self.spools.crashes.clone(), self.spools.quarantine, Arc::clone(&self.observations));
        let left = backlog.clone();
        let flush = snapshots.clone().map(|snapshots| {
            let beat = beats.beat();
            let store = Store::new(self.address.clone()).with_beat(beat.clone());
            let shards = self.settings.shards;
            Flush::new(snapshots, (store, self.gate.clone()), shards, beat, self.log.clone())
        });
        let beat = beats.beat();
        let drain = Drain {
            snapshots: snapshots.clone(),
            backlog,
            disk: self.spools.own.clone(),
            healing: self.spools.healing,
            adoption: Adoption::new(self.spools.adopted, self.spools.old),
            replay: Replay::new(self.keys.clone(), self.shard, size, Arc::clone(&self.observations)),
            numbering,
            store: Store::new(self.address).with_beat(beat.clone()),
            keys: self.keys,
            retention: self.retention,
            gate: self.gate,
            observations: self.observations,
            gaps: self.gaps,
            poison,
            shard: self.shard,
            beat,
            faults: self.faults,
            log: self.log,
            state,
        };
        let drained = async {
            drain.run().await;
            if let Some(snapshots) = snapshots {
                snapshots.close();
            }
        };
        tokio::join!(keeper.run(), drained, OptionFuture::from(flush.map(Flush::run)));
        // a lease that was lost: what is in memory alone ends with the term
        for batch in left.take_unsafe(usize::MAX) {
            batch.settle(|_| Fate::Dropped(DropReason::Shutdown));
        }
        match self.spools.own {
            Some(disk) => beats.beat().during(disk.flush()).await,
            None => Ok(()),
        }
    }

    /// Learns from a disk queue which events of this shard came before and which IDs they got.
    async fn remember(
        &self,
        mut range: Range,
        remembered: &mut Remembered,
        (duplicates, numbering): (&Duplicates, &mut Numbering),
        beat: &Beat,
    ) -> Result<(), DiskError> {
        range.from = range.from.max(range.to.saturating_sub(REMEMBERED_RECORDS));
        let (size, shards) = (self.settings.transaction_size(), self.settings.shards);
        let mut replay = Replay::new(self.keys.clone(), self.shard, size, Arc::clone(&self.observations));
        while range.from < range.to {
            beat.beat();
            let chunk = beat.during(range.disk.read(range.from, drain::READ_EVENTS, READ_BYTES)).await?;
            damages::settle(&chunk.damages, range.disk.folder(), &self.observations, &self.gaps, &self.log);
            let mut stored = Vec::new();
            for record in chunk.records {
                let is_stored = record.seq < remembered.acknowledged;
                let Some(event) = replay.event(record) else { continue };
                let channel = &self.observations.channel(event.route.channel).channel;
                let symbol = event.route.outlets.first().and_then(|outlet| outlet.symbol.as_ref());
                if home_shard(channel, symbol.map(Symbol::as_str), shards) != self.shard {
                    continue;
                }
                for (outlet, id) in event.route.outlets.iter().zip(event.ids.as_slice()) {
                    numbering.raise(&outlet.stream, *id);
                }
                remembered
                    .add(event.route.channel, duplicates.fingerprint(event.route.symbol(), &event.payload));
                if is_stored && remembered.snapshots.is_some() {
                    stored.push(event);
                }
            }
            if let Some(snapshots) = &remembered.snapshots {
                snapshots.kept(stored.iter());
            }
            range.from = if chunk.next_seq > range.from { chunk.next_seq } else { range.to };
        }
        Ok(())
    }
}

/// The fingerprints of earlier lives' events, in their order.
struct Remembered {
    /// How many of each channel.
    counts: Vec<u64>,
    /// Channel, number within it, fingerprint.
    events: Vec<(ChannelIndex, u64, u64)>,
    /// Which of them were stored: those before this record.
    acknowledged: u64,
    /// Where these are entered for the hashes: the earlier life may not have come to it.
    snapshots: Option<Snapshots>,
}

impl Remembered {
    fn new(observations: &Observations) -> Remembered {
        let counts = vec![0; observations.channels.len()];
        Remembered { counts, events: Vec::new(), acknowledged: 0, snapshots: None }
    }

    fn add(&mut self, channel: ChannelIndex, fingerprint: u64) {
        if let Some(count) = self.counts.get_mut(usize::from(channel.0)) {
            *count += 1;
            self.events.push((channel, *count, fingerprint));
        }
    }

    /// Puts them right before the first event of this life, which may be a late one of its process.
    fn tell(self, duplicates: &mut Duplicates, observations: &Observations) {
        for (channel, number, fingerprint) in self.events {
            let count = self.counts.get(usize::from(channel.0)).copied().unwrap_or_default();
            let next = observations.channel(channel).next_ordinal();
            duplicates.remember(channel, next.saturating_sub(1 + count - number), fingerprint);
        }
    }
}

impl Actor for Writer {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        let Some(mut parts) = self.parts.take() else { return context.stop() };
        // credits bound the mailbox; actix must not bound it earlier
        context.set_mailbox_capacity(self.capacity + 1);
        parts.shell = Some(context.address().recipient());
        let work = parts.work(self.backlog.clone(), self.life.beats().clone());
        let ended = work.into_actor(self).map(|worked, writer, context| {
            if let Err(error) = worked {
                events::spool_ended(&writer.log, &error);
            }
            if writer.backlog.is_closed() {
                writer.life.finish();
            }
            context.stop();
        });
        context.spawn(ended);
    }
}

impl Handler<EventBatch> for Writer {
    type Result = ();

    fn handle(&mut self, batch: EventBatch, _: &mut Context<Self>) {
        // a batch that comes after the end counts itself as lost
        if self.backlog.push(batch).is_err() {
            events::batch_came_late(&self.log);
        }
    }
}

impl Handler<Stop> for Writer {
    type Result = ();

    fn handle(&mut self, stop: Stop, context: &mut Context<Self>) {
        match stop {
            Stop::Drain => self.backlog.close(),
            Stop::Terminate => {
                self.life.finish();
                context.terminate();
            }
        }
    }
}
