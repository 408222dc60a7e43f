//! Follows the master under Sentinel: asks twice per second, ends the connections to a server that was replaced, and
//! reports each failover once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use slog::{Logger, info, warn};
use tokio::time::{MissedTickBehavior, interval};

use crate::cluster_watch;
use crate::log_throttle::LogThrottle;
use crate::observation::{MasterState, Observations};
use crate::sync::lock;
use crate::writer::store::address::Address;
use crate::writer::store::sentinel::votes::Master;
use crate::writer::store::sentinel::{MasterView, Patience, SentinelFault, SentinelLinks, Sentinels};

/// Interval at which the Sentinels are queried. For this long a server may still be written to after it was replaced;
/// what it got is on disk and written to its successor.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// Time without a majority that is not reported: a failover takes as long.
const QUIET_FOR: Duration = Duration::from_secs(5);

/// Follows the master, or those of a cluster, until the process ends; returns immediately if there is a single server.
pub async fn watch(address: Address, observations: Arc<Observations>, log: Logger) {
    if let Some(cluster) = address.cluster() {
        return cluster_watch::watch(Arc::clone(cluster), observations, log).await;
    }
    let Some(sentinels) = address.sentinels().cloned() else { return };
    let mut watch = MasterWatch {
        sentinels,
        observations,
        log,
        told: None,
        unnamed_since: None,
        unnamed: LogThrottle::default(),
        written: None,
    };
    let mut links = SentinelLinks::default();
    let mut ticks = interval(ASK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let asked = watch.sentinels.poll(&mut links, Patience::All).await;
        watch.tell(asked);
        watch.remember().await;
    }
}

struct MasterWatch {
    sentinels: Arc<Sentinels>,
    observations: Arc<Observations>,
    log: Logger,
    /// The master last reported.
    told: Option<Master>,
    unnamed_since: Option<Instant>,
    unnamed: LogThrottle,
    /// The epoch last written to disk.
    written: Option<u64>,
}

impl MasterWatch {
    fn tell(&mut self, asked: Result<Master, SentinelFault>) {
        let MasterView { agreeing, known, failovers, .. } = self.sentinels.view();
        let observed = &self.observations.redis.master;
        observed.agreeing.set(agreeing as u64);
        observed.sentinels.set(known as u64);
        observed.failovers.set(failovers);
        match asked {
            Ok(master) => {
                observed.state.set(MasterState::Named);
                *lock(&observed.address) = Some(format!("{}:{}", master.host, master.port));
                *lock(&observed.fault) = None;
                self.named(master);
            }
            Err(fault) => {
                observed.state.set(MasterState::Unnamed);
                *lock(&observed.fault) = Some(fault.to_string());
                self.unnamed(&fault);
            }
        }
    }

    fn named(&mut self, master: Master) {
        let unnamed_for = self.unnamed_since.take().map(|since| since.elapsed());
        if unnamed_for.is_some_and(|time| time >= QUIET_FOR) {
            info!(self.log, "sentinels agree again"; "after_s" => unnamed_for.map(|time| time.as_secs()));
        }
        match &self.told {
            Some(before) if *before == master => return,
            Some(before) if (&before.host, before.port) != (&master.host, master.port) => {
                warn!(self.log, "redis failover";
                    "from" => format!("{}:{}", before.host, before.port),
                    "to" => format!("{}:{}", master.host, master.port), "epoch" => master.epoch);
            }
            Some(_) => {}
            None => info!(self.log, "redis master named by sentinels";
                "master" => format!("{}:{}", master.host, master.port), "epoch" => master.epoch),
        }
        self.told = Some(master);
    }

    fn unnamed(&mut self, fault: &SentinelFault) {
        let now = Instant::now();
        let since = *self.unnamed_since.get_or_insert(now);
        if self.sentinels.doubt() {
            warn!(self.log, "redis not written to until sentinels agree"; "error" => %fault);
        } else if now.duration_since(since) >= QUIET_FOR && self.unnamed.is_due(now) {
            warn!(self.log, "sentinels name no master"; "error" => %fault);
        }
    }

    /// Keeps the epoch on disk.
    async fn remember(&mut self) {
        let Some((file, epoch)) = self.sentinels.to_remember() else { return };
        if let Err(error) = file.keep(epoch, &mut self.written).await
            && self.unnamed.is_due(Instant::now())
        {
            warn!(self.log, "epoch of sentinels not written"; "error" => %error);
        }
    }
}
