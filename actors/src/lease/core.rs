//! What one instance knows of the lease, and what it may do: a state machine without Redis and without a clock.
//!
//! An instance may write for [`VALIDITY`] from the moment at which its last successful claim was *sent*. That is far less
//! than [`TTL`], for which the claim keeps others away: what was begun in time is over before anybody else owns.
//!
//! A key that is not there proves nothing: it may have run out or been given back, and then it is free; or Redis has lost
//! it (a restart, an eviction, a flush) while its owner goes on writing until its next claim. So an absent key is taken
//!
//! 1. by whoever may write already: that is the owner, which gets its key back;
//! 2. by whoever has just seen it run out (one that was given back says so itself, see [`super::key`]);
//! 3. by a process that asks for the first time, and is answered: otherwise every start would have to wait;
//! 4. else after it was absent for [`ABSENCE`], when nobody can believe any more to hold it.
//!
//! So two may both write, for [`VALIDITY`] at most, only if Redis loses the key in the very seconds in which it changes hands
//! or another process starts.

use std::time::Duration;

use super::clock::Uptime;

/// The key lives for so long after a claim: a stand-by, which asks four times a second, owns within 15 s of its owner's
/// death.
pub const TTL: Duration = Duration::from_millis(14_500);
/// Writes may begin until so long after a claim was sent. Several claims may fail meanwhile; and what is left of
/// [`TTL`] is more than a transaction takes, with a new connection (3 s) and its answer (5 s).
pub const VALIDITY: Duration = Duration::from_secs(4);
/// An absent key is free after so long: longer than [`VALIDITY`], by the time that a transaction is on its way.
pub const ABSENCE: Duration = Duration::from_secs(5);
/// The owner claims so often: three times may fail before it stops writing.
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// Whoever does not know itself to be the owner asks so often: a lease that was given back is held within a second.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// What was seen longer ago proves nothing: somebody may have come and gone. Two seconds are the longest wait for an
/// answer, and then comes the next question.
const FRESH: Duration = Duration::from_millis(2_500);

/// What Redis answered to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The key has our name, and [`TTL`] before it.
    Ours,
    /// The key has the name of another instance.
    Others {
        /// The name.
        owner: String,
        /// The life that is left to the key; `None`: it has no end.
        left: Option<Duration>,
    },
    /// There is no key, and we did not ask to take it.
    Absent,
}

/// What was seen last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Nothing was asked yet.
    Nothing,
    /// No answer.
    Silence,
    /// Our key.
    Ours,
    /// Another's key, at a moment not before `at`; it runs out at a moment not before `end`.
    Others { at: Uptime, end: Option<Uptime> },
    /// No key, at every look from `since` on; the last was not before `at`.
    Absent { since: Uptime, at: Uptime },
}

/// One instance's side of the lease. It begins as the owner that nobody has contradicted.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The instance that we stand by for.
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
    /// The other instance that holds the lease, as far as we know; with none we are, or presume to be, the owner.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// Until when writes may begin.
    #[must_use]
    pub fn valid_until(&self) -> Uptime {
        self.valid_until
    }

    /// Whether the lease is ours at `now`, confirmed by Redis.
    #[must_use]
    pub fn is_held(&self, now: Uptime) -> bool {
        now < self.valid_until
    }

    /// Whether a claim that is sent at `now` may take the key if it is absent.
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

    /// Whether the key is absent and must stay so for a while before it may be taken.
    #[must_use]
    pub fn awaits_absence(&self) -> bool {
        matches!(self.seen, Seen::Absent { .. })
    }

    /// The claim that was sent at `sent` has been answered by `now`.
    pub fn answered(&mut self, sent: Uptime, now: Uptime, answer: Answer) {
        self.seen = match answer {
            Answer::Ours => {
                self.owner = None;
                self.valid_until = sent + VALIDITY;
                Seen::Ours
            }
            Answer::Others { owner, left } => {
                self.owner = Some(owner);
                self.valid_until = Uptime::ZERO;
                Seen::Others { at: sent, end: left.map(|left| sent + left) }
            }
            Answer::Absent => {
                let since = match self.seen {
                    Seen::Absent { since, at } if sent.saturating_sub(at) <= FRESH => since,
                    _ => now,
                };
                Seen::Absent { since, at: sent }
            }
        };
    }

    /// A claim was not answered, or refused: whose the lease is stays as it is.
    pub fn unanswered(&mut self) {
        self.seen = Seen::Silence;
    }

    /// How long to wait before the next claim.
    #[must_use]
    pub fn next_claim_in(&self) -> Duration {
        if self.seen == Seen::Ours { RENEW_EVERY } else { ASK_EVERY }
    }
}

#[cfg(test)]
mod tests;
