//! Follows a cluster: asks for the map of its slots twice per second, and when a node has sent a command elsewhere; ends the
//! connections to masters that were replaced, and reports each failover once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use slog::{Logger, info, warn};
use tokio::time::timeout;
use uw_websocket_core::slots::SLOTS;

use crate::log_throttle::LogThrottle;
use crate::observation::{MasterState, Observations};
use crate::sync::lock;
use crate::writer::store::cluster::slots::SlotMap;
use crate::writer::store::cluster::{Cluster, NodeLinks};
use crate::writer::store::fault::StoreFault;

/// Interval at which the nodes are queried.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// Least time between two questions: each command of a batch may be sent elsewhere.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// Time without a map, or without a master of some slots, that is not reported: a failover takes as long.
const QUIET_FOR: Duration = Duration::from_secs(5);

/// Follows the cluster until the process ends.
pub(crate) async fn watch(cluster: Arc<Cluster>, observations: Arc<Observations>, log: Logger) {
    let mut watch = ClusterWatch {
        cluster,
        observations,
        log,
        told: None,
        broken_since: None,
        broken: LogThrottle::default(),
        written: None,
    };
    let mut links = NodeLinks::default();
    loop {
        let asked = watch.cluster.poll(&mut links).await;
        watch.tell(asked);
        watch.remember().await;
        tokio::time::sleep(ASK_AGAIN).await;
        drop(timeout(ASK_EVERY, watch.cluster.until_stale()).await);
    }
}

struct ClusterWatch {
    cluster: Arc<Cluster>,
    observations: Arc<Observations>,
    log: Logger,
    /// The map last reported.
    told: Option<Arc<SlotMap>>,
    /// Since when no map is known, or not every slot has a master.
    broken_since: Option<Instant>,
    broken: LogThrottle,
    /// The epoch last written to disk.
    written: Option<u64>,
}

impl ClusterWatch {
    fn tell(&mut self, asked: Result<Arc<SlotMap>, StoreFault>) {
        let observed = &self.observations.redis.master;
        observed.failovers.set(self.cluster.view().failovers);
        let fault = match asked {
            Ok(map) => {
                let masters: Vec<String> = map.masters().iter().map(ToString::to_string).collect();
                observed.masters.set(masters.len() as u64);
                observed.cluster_replicas.set(map.replicas().count() as u64);
                observed.slots.set(map.covered() as u64);
                *lock(&observed.address) = Some(masters.join(", "));
                let uncovered = usize::from(SLOTS) - map.covered();
                self.known(map);
                (uncovered > 0).then(|| format!("{uncovered} of {SLOTS} slots have no master"))
            }
            Err(fault) => Some(fault.to_string()),
        };
        let observed = &self.observations.redis.master;
        observed.state.set(if fault.is_none() { MasterState::Named } else { MasterState::Unnamed });
        lock(&observed.fault).clone_from(&fault);
        match fault {
            None => self.whole(),
            Some(fault) => self.broken(&fault),
        }
    }

    fn known(&mut self, map: Arc<SlotMap>) {
        match &self.told {
            Some(before) if Arc::ptr_eq(before, &map) => return,
            Some(before) => {
                for (from, to) in before.replaced_in(&map) {
                    warn!(self.log, "redis failover";
                        "from" => %from, "to" => %to, "epoch" => self.cluster.view().epoch);
                }
            }
            None => info!(self.log, "redis cluster known";
                "masters" => map.masters().len(), "replicas" => map.replicas().count(), "slots" => map.covered()),
        }
        self.told = Some(map);
    }

    fn whole(&mut self) {
        let broken_for = self.broken_since.take().map(|since| since.elapsed());
        if let Some(time) = broken_for.filter(|time| *time >= QUIET_FOR) {
            info!(self.log, "redis cluster whole again"; "after_s" => time.as_secs());
        }
    }

    fn broken(&mut self, fault: &str) {
        let now = Instant::now();
        let since = *self.broken_since.get_or_insert(now);
        if now.duration_since(since) >= QUIET_FOR && self.broken.is_due(now) {
            warn!(self.log, "redis cluster not whole"; "error" => fault);
        }
    }

    /// Keeps the epoch on disk.
    async fn remember(&mut self) {
        let Some((file, epoch)) = self.cluster.to_remember() else { return };
        if let Err(error) = file.keep(epoch, &mut self.written).await
            && self.broken.is_due(Instant::now())
        {
            warn!(self.log, "epoch of the cluster not written"; "error" => %error);
        }
    }
}
