//! The wiring of the hand-over: what a stand-by offers, what the owner takes, and the disk queues of peers.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use slog::Logger;
use uw_websocket_actors::handover::adoption::Heir;
use uw_websocket_actors::handover::offer::Offers;
use uw_websocket_actors::handover::peers::Peers;
use uw_websocket_actors::handover::slot::HandoverSlot;
use uw_websocket_actors::handover::taker::TakerParts;
use uw_websocket_actors::lease::gate::LeaseGate;
use uw_websocket_actors::ledger::tracker::GapTracker;
use uw_websocket_actors::log_throttle::LogThrottle;
use uw_websocket_actors::observation::Observations;
use uw_websocket_actors::queue::shard::Shard;
use uw_websocket_actors::settings::{ActorSettings, SpoolMode};
use uw_websocket_actors::writer::store::address::Address;

/// The hand-over between this instance and others.
#[derive(Clone)]
pub struct Handover {
    heir: Heir,
    address: Address,
    /// The disk queue; `None` with `SPOOL_MODE=off`.
    spool: Option<PathBuf>,
    max_bytes: u64,
    peer_dirs: Vec<PathBuf>,
    log: Logger,
}

impl Handover {
    /// Collects the parts that do not change.
    #[must_use]
    pub fn new(
        settings: &ActorSettings,
        shards: &[Shard],
        address: &Address,
        observations: &Arc<Observations>,
        log: Logger,
    ) -> Handover {
        let heir = Heir {
            shards: shards.to_vec(),
            keys: settings.keys.clone(),
            size: settings.writers.transaction_size(),
            is_archived: settings.archive.is_some(),
            observations: Arc::clone(observations),
        };
        Handover {
            heir,
            address: address.clone(),
            spool: (settings.spool.mode != SpoolMode::Off).then(|| settings.spool.dir.clone()),
            max_bytes: settings.spool.max_bytes,
            peer_dirs: settings.peer_dirs.clone(),
            log,
        }
    }

    fn slot(&self) -> HandoverSlot {
        HandoverSlot::new(self.address.clone(), &self.heir.keys.prefix)
    }

    /// Returns the parts of the taker of a term; `ours` are the processes whose disk queue is ours.
    #[must_use]
    pub fn taker(&self, gate: &LeaseGate, gaps: &GapTracker, ours: BTreeSet<String>) -> TakerParts {
        let (gate, gaps, log) = (gate.clone(), gaps.clone(), self.log.clone());
        TakerParts { heir: self.heir.clone(), slot: self.slot(), gate, gaps, ours, log }
    }

    /// Returns the offers of a stand-by period.
    #[must_use]
    pub fn offers(&self) -> Offers {
        Offers {
            shards: self.heir.shards.clone(),
            slot: self.slot(),
            folder: self.spool.as_ref().map(|spool| spool.join("ledger")),
            observations: Arc::clone(&self.heir.observations),
            log: self.log.clone(),
            failures: LogThrottle::default(),
        }
    }

    /// Moves the disk queues of peers that have ended to ours; returns the folders with their ledgers' states.
    pub async fn take_over_peers(&self, gate: &LeaseGate) -> Vec<PathBuf> {
        // without the lease their instance may come back as the owner; in memory they would not survive
        let Some(own) = self.spool.as_ref().filter(|_| gate.may_write()) else { return Vec::new() };
        let others: Vec<PathBuf> = self.peer_dirs.iter().filter(|dir| *dir != own).cloned().collect();
        let peers = Peers::lock(&others, &self.log);
        let drained = peers.drain(&self.heir, self.max_bytes, &self.log).await;
        drained.into_iter().map(|dir| dir.join("ledger")).collect()
    }
}
