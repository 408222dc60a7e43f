//! The protocol between the supervisor and a child.

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use actix::{Message, Recipient};
use tokio::time::timeout;

use crate::sync::lock;

/// Starts a child, any number of times.
pub struct ChildSpec {
    /// Its name in logs, counters and drain reports.
    pub name: String,
    /// Drain order: the highest stage first, so that producers end before their consumers.
    pub stage: u8,
    /// Starts a *new* actor, with fresh state, on the data arbiter (`Actor::start_in_arbiter`), hands it the life
    /// to keep until its end, and returns its address. Called on the supervisor's thread; must not block.
    pub start: Box<dyn Fn(ChildLife) -> Recipient<Stop> + Send>,
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ChildSpec { name, stage, start: _ } = self;
        f.debug_struct("ChildSpec").field("name", name).field("stage", stage).finish_non_exhaustive()
    }
}

/// A request to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Accept nothing new, finish pending work, then call [`ChildLife::finish`] and stop.
    Drain,
    /// Stop immediately.
    Terminate,
}

impl Message for Stop {
    type Result = ();
}

/// The reason why a child's life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The child called [`ChildLife::finish`].
    Wished,
    /// The actor ended unasked: children are permanent.
    Early,
    /// The actor's task panicked.
    Panic,
}

impl Ending {
    /// Returns the name used in logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Ending::Wished => "wished",
            Ending::Early => "early end",
            Ending::Panic => "panic",
        }
    }
}

/// A child's life ended. Sent when its [`ChildLife`] is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChildEnded {
    /// Index of the child in the supervisor's list.
    pub child: usize,
    /// Number of the start.
    pub generation: u64,
    /// The reason.
    pub ending: Ending,
}

impl Message for ChildEnded {
    type Result = ();
}

/// Interval between proofs of progress during a long wait; well below the supervisor's limit.
const WAITING_BEAT: Duration = Duration::from_secs(1);

/// Proves the progress of one loop of a child. Cheap (one relaxed store, no clock), so a loop may beat at every
/// step. Set by the child, reset by the supervisor in each round. A loop that has ended, and dropped this and all
/// clones, is no longer checked.
#[derive(Clone, Debug, Default)]
pub struct Heartbeat {
    own: Arc<AtomicBool>,
}

/// The heartbeats of all loops of a child, which makes progress only if each of them does. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Heartbeats(Arc<Mutex<Vec<Weak<AtomicBool>>>>);

impl Heartbeat {
    /// Reports that the loop made progress, or waits deliberately (for Redis, for the feed).
    pub fn beat(&self) {
        self.own.store(true, Relaxed);
    }

    /// Awaits something that reports no progress itself, such as the disk.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            match timeout(WAITING_BEAT, &mut work).await {
                Ok(done) => {
                    // many short waits add up to a long one
                    self.beat();
                    return done;
                }
                Err(_) => self.beat(),
            }
        }
    }
}

impl Heartbeats {
    /// Registers another loop and returns its heartbeat.
    #[must_use]
    pub fn beat(&self) -> Heartbeat {
        let own = Arc::new(AtomicBool::new(false));
        lock(&self.0).push(Arc::downgrade(&own));
        Heartbeat { own }
    }

    /// Whether every loop has beaten since this last returned true.
    pub(super) fn take(&self) -> bool {
        let mut loops = lock(&self.0);
        let living: Vec<Arc<AtomicBool>> = loops.iter().filter_map(Weak::upgrade).collect();
        loops.retain(|own| own.strong_count() > 0);
        let all = !living.is_empty() && living.iter().all(|own| own.load(Relaxed));
        if all {
            for own in &living {
                own.store(false, Relaxed);
            }
        }
        all
    }
}

/// The child's end of the supervision link. The child's actor owns it: dropping the actor, for whatever reason,
/// notifies the supervisor. That covers a stop, a panic in a handler or in a future given to `ctx.spawn` or
/// `ctx.wait` (the actor is dropped while its task unwinds), and the end of its arbiter. A panic in a separate task
/// (`actix::spawn`) does not reach the actor, so a child does its work in futures of its context.
#[derive(Debug)]
pub struct ChildLife {
    child: usize,
    generation: u64,
    beats: Heartbeats,
    finished: bool,
    ends: Recipient<ChildEnded>,
}

impl ChildLife {
    pub(super) fn new(child: usize, generation: u64, ends: Recipient<ChildEnded>) -> (ChildLife, Heartbeats) {
        let beats = Heartbeats::default();
        (ChildLife { child, generation, beats: beats.clone(), finished: false, ends }, beats)
    }

    /// Returns the heartbeats of this life's loops.
    #[must_use]
    pub fn beats(&self) -> &Heartbeats {
        &self.beats
    }

    /// Marks the coming end as intended: after a [`Stop`], or because nothing is left to do. Any other end is a
    /// crash. Loss of a network connection is not an end.
    pub fn finish(&mut self) {
        self.finished = true;
    }
}

impl Drop for ChildLife {
    fn drop(&mut self) {
        let ending = match (self.finished, std::thread::panicking()) {
            (_, true) => Ending::Panic,
            (true, false) => Ending::Wished,
            (false, false) => Ending::Early,
        };
        // one message per life, and it must not be lost: the mailbox's capacity does not apply
        #[allow(
            clippy::disallowed_methods,
            reason = "an end that the supervisor does not hear of hides a dead child"
        )]
        self.ends.do_send(ChildEnded { child: self.child, generation: self.generation, ending });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_is_taken_once() {
        let beats = Heartbeats::default();
        assert!(!beats.take(), "nobody proves progress yet");
        let beat = beats.beat();
        assert!(!beats.take());
        beat.clone().beat();
        beat.beat();
        assert!(beats.take());
        assert!(!beats.take());
    }

    #[test]
    fn a_loop_that_gets_on_does_not_hide_one_that_does_not() {
        let beats = Heartbeats::default();
        let (committer, ingest) = (beats.beat(), beats.beat());
        committer.beat();
        assert!(!beats.take());
        committer.beat();
        ingest.beat();
        assert!(beats.take());
        committer.beat();
        assert!(!beats.take());
        drop(ingest);
        assert!(beats.take(), "a loop that has ended owes nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_on_purpose_is_progress() {
        let beats = Heartbeats::default();
        let beat = beats.beat();
        let waited = async {
            beat.during(tokio::time::sleep(Duration::from_secs(60))).await;
        };
        let watched = async {
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_millis(2_500)).await;
                assert!(beats.take());
            }
        };
        tokio::join!(waited, watched);
    }

    #[tokio::test(start_paused = true)]
    async fn many_short_waits_are_progress_like_a_long_one() {
        let beats = Heartbeats::default();
        let beat = beats.beat();
        let waited = async {
            for _ in 0..120 {
                beat.during(tokio::time::sleep(Duration::from_millis(500))).await;
            }
        };
        let watched = async {
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_millis(2_500)).await;
                assert!(beats.take());
            }
        };
        tokio::join!(waited, watched);
    }
}
