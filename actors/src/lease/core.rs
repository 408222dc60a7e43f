//! The lease from the view of one instance: a state machine without Redis and without a clock.
//!
//! An instance may write for [`VALIDITY`] from the time at which its last successful claim was *sent*. That is far
//! less than [`TTL`], for which the claim excludes others: writes begun in time are finished before another
//! instance can own the lease.
//!
//! An absent key proves nothing: it may have expired or been released, and is free; or Redis lost it (a restart, an
//! eviction, a flush) while its owner continues to write until its next claim. An absent key is therefore taken
//!
//! 1. by an instance that may already write: that is the owner, which restores its key;
//! 2. by an instance that has just seen it expire (a released key is marked as such, see [`super::key`]);
//! 3. by a process on its first answered claim: otherwise every start would have to wait;
//! 4. else after it has been absent for [`ABSENCE`], when no instance can still assume to hold it.
//!
//! So two instances may both write, for at most [`VALIDITY`], only if Redis loses the key in the very seconds in
//! which it changes owner or another process starts.

use std::time::Duration;

use super::clock::Uptime;

/// Expiry of the key after a claim: a stand-by, which asks four times per second, takes over within 15 s of the
/// owner's death.
pub const TTL: Duration = Duration::from_millis(14_500);
/// Time after the sending of a claim during which writes may begin. Several claims may fail meanwhile; the rest of
/// [`TTL`] exceeds the time of a transaction with a new connection (3 s) and its reply (5 s).
pub const VALIDITY: Duration = Duration::from_secs(4);
/// Time after which an absent key is free: [`VALIDITY`] plus the time that a transaction is in flight.
pub const ABSENCE: Duration = Duration::from_secs(5);
/// Interval of the owner's claims: three may fail before it stops writing.
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// Interval of the claims of all others: a released lease is taken within a second.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// Maximum age of an observation that is relied on: another instance may have come and gone. The longest wait for
/// an answer is two seconds, followed by the next claim.
const FRESH: Duration = Duration::from_millis(2_500);

/// Redis' answer to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseAnswer {
    /// The key has our name and expires after [`TTL`].
    Ours,
    /// Another instance holds the key.
    Others {
        /// Its name.
        owner: String,
        /// Time to expiry; `None` if the key does not expire.
        left: Option<Duration>,
    },
    /// The key is absent, and the claim did not ask to take it.
    Absent,
}

/// The last observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// No claim yet.
    Nothing,
    /// No answer.
    Silence,
    /// Our key.
    Ours,
    /// Another's key, at `at` or later; it expires at `end` or later.
    Others { at: Uptime, end: Option<Uptime> },
    /// No key, in all answers since `since`; the last one was at `at` or later.
    Absent { since: Uptime, at: Uptime },
}

/// The lease from the view of one instance, which initially assumes to be the owner.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The owner that this instance stands by for.
    owner: Option<String>,
    valid_until: Uptime,
    seen: Seen,
}

impl Default for Lease {
    fn default() -> Lease {
        Lease { owner: None, valid_until: Uptime::ZERO, seen: Seen::Nothing }
    }
}

impl Lease {
    /// Returns the other instance that holds the lease as far as known; `None` if this instance is the owner, or
    /// presumes to be.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// Returns the time until which writes may begin.
    #[must_use]
    pub fn valid_until(&self) -> Uptime {
        self.valid_until
    }

    /// Whether Redis has confirmed that the lease is ours at `now`.
    #[must_use]
    pub fn is_held(&self, now: Uptime) -> bool {
        now < self.valid_until
    }

    /// Whether a claim sent at `now` may take an absent key.
    #[must_use]
    pub fn may_take_absent(&self, now: Uptime) -> bool {
        let is_fresh = |at: Uptime| now.saturating_sub(at) <= FRESH;
        self.is_held(now)
            || match self.seen {
                Seen::Nothing => true,
                Seen::Others { at, end } => is_fresh(at) && end.is_some_and(|end| now >= end),
                Seen::Absent { since, at } => is_fresh(at) && now.saturating_sub(since) >= ABSENCE,
                Seen::Silence | Seen::Ours => false,
            }
    }

    /// Whether the key is absent and has to remain so before it may be taken.
    #[must_use]
    pub fn awaits_absence(&self) -> bool {
        matches!(self.seen, Seen::Absent { .. })
    }

    /// Records the answer, received by `now`, to the claim sent at `sent`.
    pub fn answered(&mut self, sent: Uptime, now: Uptime, answer: LeaseAnswer) {
        self.seen = match answer {
            LeaseAnswer::Ours => {
                self.owner = None;
                self.valid_until = sent + VALIDITY;
                Seen::Ours
            }
            LeaseAnswer::Others { owner, left } => {
                self.owner = Some(owner);
                self.valid_until = Uptime::ZERO;
                Seen::Others { at: sent, end: left.map(|left| sent + left) }
            }
            LeaseAnswer::Absent => {
                let since = match self.seen {
                    Seen::Absent { since, at } if sent.saturating_sub(at) <= FRESH => since,
                    _ => now,
                };
                Seen::Absent { since, at: sent }
            }
        };
    }

    /// Records that a claim failed; the owner stays the same.
    pub fn unanswered(&mut self) {
        self.seen = Seen::Silence;
    }

    /// Returns the delay before the next claim.
    #[must_use]
    pub fn next_claim_in(&self) -> Duration {
        if self.seen == Seen::Ours { RENEW_EVERY } else { ASK_EVERY }
    }
}

#[cfg(test)]
mod tests;
