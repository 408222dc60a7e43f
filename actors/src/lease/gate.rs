//! The lease as seen by writers: whether they may write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use thiserror::Error;
use tokio::sync::Notify;

use super::clock::{self, Uptime};

/// The lease was lost for the rest of this leadership term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("another instance holds the lease")]
pub struct LeaseLost;

/// The lease of one leadership term, for its writers; cheap to clone and to check before every transaction. It
/// closes by the clock alone, and permanently when the lease is lost; a later term has its own gate.
#[derive(Clone, Debug)]
pub struct LeaseGate(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// In microseconds of [`clock::now`].
    valid_until: AtomicU64,
    is_lost: AtomicBool,
    changed: Notify,
}

impl LeaseGate {
    /// Creates a gate that is closed until the lease is confirmed.
    pub(super) fn closed() -> LeaseGate {
        LeaseGate::until(0)
    }

    /// Creates a gate without a lease, always open: for a writer that has its Redis to itself.
    #[must_use]
    pub fn unguarded() -> LeaseGate {
        LeaseGate::until(u64::MAX)
    }

    fn until(valid_until: u64) -> LeaseGate {
        LeaseGate(Arc::new(Shared {
            valid_until: AtomicU64::new(valid_until),
            is_lost: AtomicBool::new(false),
            changed: Notify::new(),
        }))
    }

    /// Whether a write may begin now.
    #[must_use]
    pub fn may_write(&self) -> bool {
        micros(clock::now()) < self.0.valid_until.load(Relaxed)
    }

    /// Whether the gate is closed permanently.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.0.is_lost.load(Relaxed)
    }

    /// Waits until a write may begin; an error if the lease is lost.
    pub async fn wait_until_held(&self) -> Result<(), LeaseLost> {
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            // from here on changes are not missed
            changed.as_mut().enable();
            if self.is_lost() {
                return Err(LeaseLost);
            }
            if self.may_write() {
                return Ok(());
            }
            changed.await;
        }
    }

    /// Allows writes to begin until `valid_until`.
    pub(super) fn confirm(&self, valid_until: Uptime) {
        self.0.valid_until.store(micros(valid_until), Relaxed);
        self.0.changed.notify_waiters();
    }

    /// Closes the gate permanently.
    pub(super) fn lose(&self) {
        self.0.is_lost.store(true, Relaxed);
        self.confirm(Uptime::ZERO);
    }
}

fn micros(at: Uptime) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_gate_is_closed_until_it_is_confirmed_and_closes_by_the_clock() {
        let gate = LeaseGate::closed();
        assert!(!gate.may_write());
        gate.confirm(clock::now() + Duration::from_secs(60));
        assert!(gate.may_write());
        gate.confirm(clock::now());
        assert!(!gate.may_write());
        assert!(!gate.is_lost());
    }

    #[test]
    fn who_waits_goes_on_when_the_lease_is_confirmed() {
        let gate = LeaseGate::closed();
        let mut waits = pin!(gate.wait_until_held());
        assert_eq!(waits.as_mut().now_or_never(), None);
        gate.confirm(clock::now());
        assert_eq!(waits.as_mut().now_or_never(), None, "it was confirmed too late");
        gate.confirm(clock::now() + Duration::from_secs(60));
        assert_eq!(waits.now_or_never(), Some(Ok(())));
    }

    #[test]
    fn who_waits_hears_that_the_lease_is_lost() {
        let gate = LeaseGate::closed();
        let mut waits = pin!(gate.wait_until_held());
        assert_eq!(waits.as_mut().now_or_never(), None);
        gate.lose();
        assert_eq!(waits.now_or_never(), Some(Err(LeaseLost)));
        assert!(gate.is_lost() && !gate.may_write());
    }

    #[test]
    fn an_unguarded_gate_is_always_open() {
        let gate = LeaseGate::unguarded();
        assert!(gate.may_write());
        assert_eq!(gate.wait_until_held().now_or_never(), Some(Ok(())));
    }
}
