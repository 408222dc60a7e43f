//! A writer: the actor that writes one shard to Redis.
//!
//! It holds no events: delivered ones are in the shard's [inbox](crate::queue::inbox), accepted ones in its
//! [queue](crate::queue). Its loops are independent:
//!
//! 1. [`ingest`] accepts deliveries, even if Redis is slow;
//! 2. [`committer`] writes the next batch, even if the disk is slow: [`session`] restricts what may be done with
//!    Redis now, [`reconciler`] knows what Redis has, [`restore`] rewrites what it has lost, [`transaction`] encodes
//!    commands, [`poison`] quarantines events that cannot be written, [`outage`] delays retries;
//! 3. [`snapshots`] keeps the hashes fresh.
//!
//! A restarted writer continues from the state of the shard.

mod ahead;
pub mod attempt;
pub mod committer;
pub mod ingest;
pub mod late;
pub mod outage;
pub mod overlap;
pub mod poison;
pub mod reconciler;
pub mod replicas;
pub mod restore;
pub mod scope;
pub mod session;
pub mod snapshots;
pub mod store;
pub mod streams;
pub mod transaction;

use std::sync::Arc;

use actix::prelude::*;
use futures_util::future::OptionFuture;
use slog::{Logger, error};
use tokio::sync::Notify;
use uw_websocket_core::settings::{KeySettings, Retention};

use self::attempt::Work;
use self::committer::Committer;
use self::ingest::Ingest;
use self::outage::RedisOutage;
use self::poison::Poison;
use self::reconciler::Reconciler;
use self::scope::WriterScope;
use self::session::RedisSession;
use self::snapshots::flush::Flush;
use self::snapshots::table::Snapshots;
use self::store::Store;
use self::store::address::Address;
use self::transaction::Transaction;
use crate::error_chain::ErrorChain;
use crate::fault::ChildFaults;
use crate::lease::gate::LeaseGate;
use crate::ledger::tracker::GapTracker;
use crate::messages::Delivery;
use crate::observation::Observations;
use crate::queue::disk::DiskError;
use crate::queue::shard::Shard;
use crate::supervisor::{ChildLife, Heartbeats, Stop};

/// Parts of a writer; its factory builds them anew for each start.
pub struct WriterParts {
    /// The shard to write.
    pub shard: Shard,
    /// Address of Redis.
    pub address: Address,
    /// Keys and their bounds.
    pub keys: KeySettings,
    /// The age limit of keys.
    pub retention: Retention,
    /// Records losses.
    pub gaps: GapTracker,
    /// Permission to write, by the lease.
    pub gate: LeaseGate,
    /// State and counters, also read by HTTP and the status page.
    pub observations: Arc<Observations>,
    /// Test-only faults.
    pub faults: ChildFaults,
    /// Logger with the writer's name.
    pub log: Logger,
}

/// The actor that writes one shard.
pub struct Writer {
    life: ChildLife,
    parts: Option<WriterParts>,
    shard: Shard,
    deliveries: Arc<Notify>,
    log: Logger,
}

impl Writer {
    /// Creates a writer that has not started.
    #[must_use]
    pub fn new(parts: WriterParts, life: ChildLife) -> Writer {
        let (shard, log) = (parts.shard.clone(), parts.log.clone());
        Writer { life, parts: Some(parts), shard, deliveries: Arc::default(), log }
    }
}

impl WriterParts {
    /// Runs until no more events come and all are written or safe on disk. `writer` is notified of deliveries and
    /// then notifies `deliveries`.
    // long, because the three loops borrow what is made here and end together
    pub async fn work(
        self,
        writer: Recipient<Delivery>,
        deliveries: Arc<Notify>,
        beats: Heartbeats,
    ) -> Result<(), DiskError> {
        let WriterParts { shard, address, keys, retention, gaps, gate, observations, faults, log } = self;
        let snapshots = keys
            .snapshots
            .then(|| Snapshots::new(keys.snapshot_interval, Arc::clone(&observations), shard.position));
        let scope = || WriterScope {
            shard: shard.position,
            gate: gate.clone(),
            gaps: gaps.clone(),
            snapshots: snapshots.clone(),
            observations: Arc::clone(&observations),
            beat: beats.beat(),
            faults: faults.clone(),
            log: log.clone(),
        };
        let poison = || {
            let (suspects, quarantine) = (Arc::clone(&shard.suspects), Arc::clone(&shard.quarantine));
            Poison::new(suspects, quarantine, Arc::clone(&observations))
        };
        let knows_hashes = shard.has_learnt();
        let beat = beats.beat();
        let enter = |event: &_| {
            if let Some(snapshots) = &snapshots {
                snapshots.kept(std::iter::once(event));
            }
        };
        // not served before: the events of earlier processes have to be known first
        shard.learn(&observations, &beat, enter).await?;
        shard.inbox.serve(writer);
        let ingest = Ingest { shard: shard.clone(), deliveries, poison: poison(), scope: scope() };
        let of_committer = scope();
        let committer = Committer {
            address: address.clone(),
            session: RedisSession::default(),
            reconciler: Reconciler::new(shard.clone(), keys, retention, &address, of_committer.clone()),
            poison: poison(),
            outage: RedisOutage::new(shard.position, Arc::clone(&observations), log.clone()),
            scope: of_committer,
            work: Work { transaction: Transaction::new(address.cluster().is_some()), ..Work::default() },
            shard: shard.clone(),
        };
        let commits = async {
            committer.run().await;
            if let Some(snapshots) = &snapshots {
                snapshots.close();
            }
        };
        let hashes = async {
            let mut entered = Ok(());
            if knows_hashes && snapshots.is_some() {
                // the entries of the previous writer were lost with it
                entered = shard.visit(&observations, &beat, false, |event, _| enter(event)).await;
            }
            // its loop owes no heartbeats before it runs
            let flush = snapshots.clone().map(|snapshots| {
                let scope = scope();
                let store = Store::new(address).with_beat(scope.beat.clone());
                Flush::new(snapshots, store, shard.shards, scope)
            });
            drop(beat);
            OptionFuture::from(flush.map(Flush::run)).await;
            entered
        };
        let ((), (), entered) = tokio::join!(ingest.run(), commits, hashes);
        entered?;
        match shard.queue.disk() {
            Some(disk) => beats.beat().during(disk.flush()).await,
            None => Ok(()),
        }
    }
}

impl Actor for Writer {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        let Some(parts) = self.parts.take() else { return context.stop() };
        self.shard.open();
        // the inbox is bounded; actix must not apply a lower bound
        context.set_mailbox_capacity(self.shard.inbox.capacity() + 1);
        let writer = context.address().recipient();
        let work = parts.work(writer, Arc::clone(&self.deliveries), self.life.beats().clone());
        let ended = work.into_actor(self).map(|worked, writer, context| {
            if let Err(error) = worked {
                error!(writer.log, "disk queue ended"; ErrorChain::new(&error));
            }
            if writer.shard.inbox.is_exhausted() {
                writer.life.finish();
            }
            context.stop();
        });
        context.spawn(ended);
    }
}

impl Handler<Delivery> for Writer {
    type Result = ();

    fn handle(&mut self, _: Delivery, _: &mut Context<Self>) {
        self.deliveries.notify_one();
    }
}

impl Handler<Stop> for Writer {
    type Result = ();

    fn handle(&mut self, stop: Stop, context: &mut Context<Self>) {
        match stop {
            Stop::Drain => {
                self.shard.inbox.close();
                self.shard.queue.hurry();
                self.deliveries.notify_one();
            }
            Stop::Terminate => {
                self.life.finish();
                context.terminate();
            }
        }
    }
}
