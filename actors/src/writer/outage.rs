//! When Redis cannot be written to: waiting for the lease, for a connection, for its refusals to end, and saying so.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::drain::{BEAT, Drain, Left};
use super::store::fault::StoreFault;
use crate::events;
use crate::observation::{WriterState, lock};

/// Between tries while Redis is away: soon enough that a restart of Redis is hardly noticed, and seldom enough that a
/// long outage costs nothing.
pub(super) const RETRY_FIRST: Duration = Duration::from_millis(50);
pub(super) const RETRY_MAX: Duration = Duration::from_secs(2);
/// A lasting outage is logged again after this long.
const OUTAGE_LOG_EVERY: Duration = Duration::from_secs(30);
/// Without events, Redis is asked this often whether it takes writes.
const PROBE_EVERY: Duration = Duration::from_secs(2);

/// An outage of Redis.
pub(super) struct Outage {
    pub(super) since: Instant,
    pub(super) logged_at: Instant,
    pub(super) tries: u64,
    pub(super) label: &'static str,
}

impl Drain {
    /// Waits for the lease, and for a connection over which Redis has all that it had.
    pub(super) async fn make_ready(&mut self) -> Result<(), Left> {
        loop {
            self.beat.beat();
            self.wait_for_lease().await?;
            match self.heal().await {
                // that may have taken longer than the lease is confirmed for
                Ok(is_healed) if is_healed && self.gate.may_write() => return Ok(()),
                Ok(_) => {}
                Err(fault) => self.retry_later(&fault).await?,
            }
        }
    }

    /// Waits until the lease is confirmed, and meanwhile tells whether Redis would take writes. When it is lost, what is
    /// written here belongs to a later term.
    pub(super) async fn wait_for_lease(&mut self) -> Result<(), Left> {
        if self.gate.may_write() {
            return Ok(());
        }
        while !self.gate.may_write() {
            self.observed().state.set(WriterState::AwaitingLease);
            self.pause(Duration::ZERO).await?;
            tokio::select! {
                held = self.gate.wait_until_held() => held.map_err(|_| Left)?,
                () = sleep(BEAT / 10) => self.probe_when_due().await,
            }
        }
        self.observed().state.set(WriterState::Writing);
        Ok(())
    }

    pub(super) async fn probe_when_due(&mut self) {
        if self.state.asked_at.is_none_or(|asked| asked.elapsed() >= PROBE_EVERY) {
            self.probe().await;
        }
    }

    /// Asks once whether Redis takes writes, and sees to it that it has what it had.
    pub(super) async fn probe(&mut self) {
        self.state.asked_at = Some(Instant::now());
        let asked = match self.store.probe(&self.keys.prefix).await {
            Ok(()) if self.gate.may_write() => self.heal().await.map(drop),
            Ok(()) => Ok(()),
            Err(fault) => Err(fault),
        };
        match asked {
            Ok(()) => self.is_up(),
            Err(fault) => self.is_down(&fault),
        }
    }

    pub(super) fn is_up(&mut self) {
        self.state.backoff.reset();
        self.backlog.set_in_trouble(false);
        let observed = self.observed();
        observed.redis_up.store(true, Relaxed);
        if let Some(outage) = self.state.outage.take() {
            *lock(&self.observed().last_error) = None;
            events::redis_back(&self.log, outage.since.elapsed(), outage.tries);
        }
    }

    pub(super) fn is_down(&mut self, fault: &StoreFault) {
        let now = Instant::now();
        self.backlog.set_in_trouble(true);
        let observed = self.observed();
        observed.redis_up.store(false, Relaxed);
        *lock(&observed.last_error) = Some(fault.to_string());
        let outage =
            self.state.outage.get_or_insert(Outage { since: now, logged_at: now, tries: 0, label: "" });
        outage.tries += 1;
        let is_news = outage.label != fault.label();
        if is_news || now.duration_since(outage.logged_at) >= OUTAGE_LOG_EVERY {
            (outage.label, outage.logged_at) = (fault.label(), now);
            events::redis_unavailable(&self.log, fault, now.duration_since(outage.since), outage.tries);
        }
    }

    /// Redis failed: waits before the next try, unless the service ends and nothing is lost by leaving.
    pub(super) async fn retry_later(&mut self, fault: &StoreFault) -> Result<(), Left> {
        self.is_down(fault);
        let observed = self.observed();
        observed.retries.add(1);
        observed.state.set(WriterState::Retrying);
        let wait = self.state.backoff.next(&mut self.state.rng);
        self.pause(wait).await?;
        self.observed().state.set(WriterState::Writing);
        Ok(())
    }

    /// Waits, unless the service ends and nothing is lost by leaving.
    pub(super) async fn pause(&mut self, wait: Duration) -> Result<(), Left> {
        let until = Instant::now() + wait;
        loop {
            self.beat.beat();
            if self.may_leave() {
                return Err(Left);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            sleep(left.min(BEAT / 10)).await;
        }
    }
}
