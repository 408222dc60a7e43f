//! What a supervisor and a child know of each other.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use actix::{Message, Recipient};

/// How to start a child, any number of times.
pub struct ChildSpec {
    /// Names it in logs, counts and drain reports.
    pub name: String,
    /// When it is stopped: the highest stage first, so that producers end before their consumers.
    pub stage: u8,
    /// Starts a *new* actor, with fresh state, on the data arbiter (`Actor::start_in_arbiter`), gives it the life to
    /// keep until its end, and returns its address. It is called on the supervisor's thread and must not block.
    pub start: Box<dyn Fn(ChildLife) -> Recipient<Stop> + Send>,
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ChildSpec { name, stage, start: _ } = self;
        f.debug_struct("ChildSpec").field("name", name).field("stage", stage).finish_non_exhaustive()
    }
}

/// How a child is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Accept nothing new, finish what was accepted, then [`ChildLife::finish`] and stop.
    Drain,
    /// Stop at once.
    Terminate,
}

impl Message for Stop {
    type Result = ();
}

/// Why a child's life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The child had called [`ChildLife::finish`].
    Wished,
    /// The actor ended without having been asked to: children are permanent.
    Early,
    /// The actor's task panicked.
    Panic,
}

impl Ending {
    /// The ending as logs name it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Ending::Wished => "wished",
            Ending::Early => "early end",
            Ending::Panic => "panic",
        }
    }
}

/// A child's life ended. Sent by the drop of its [`ChildLife`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChildEnded {
    /// Position of the child in the supervisor's list.
    pub child: usize,
    /// Which start of it.
    pub generation: u64,
    /// How it ended.
    pub ending: Ending,
}

impl Message for ChildEnded {
    type Result = ();
}

/// Proves progress. Cheap: one relaxed store, no clock, so a loop may beat at every step. Set by the child, taken by the
/// supervisor at each round.
#[derive(Clone, Debug, Default)]
pub struct Beat(Arc<AtomicBool>);

impl Beat {
    /// Says that the child got on, or that it waits on purpose (for Redis, for the feed) and knows it.
    pub fn beat(&self) {
        self.0.store(true, Relaxed);
    }

    /// Whether there was a beat since the last call.
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Relaxed)
    }
}

/// A child's side of the bond. The child's actor owns it: when the actor is dropped, for whatever reason, this tells
/// the supervisor. That holds for a stop, for a panic in a handler or in a future given to `ctx.spawn` or `ctx.wait`
/// (the actor is dropped while its task unwinds), and for the end of its arbiter. A panic in a task of its own
/// (`actix::spawn`) does not reach the actor: a child does its work in futures of its context.
#[derive(Debug)]
pub struct ChildLife {
    child: usize,
    generation: u64,
    beat: Beat,
    finished: bool,
    ends: Recipient<ChildEnded>,
}

impl ChildLife {
    pub(super) fn new(child: usize, generation: u64, ends: Recipient<ChildEnded>) -> (ChildLife, Beat) {
        let beat = Beat::default();
        (ChildLife { child, generation, beat: beat.clone(), finished: false, ends }, beat)
    }

    /// A handle that beats for this life, for the child's loops.
    #[must_use]
    pub fn beater(&self) -> Beat {
        self.beat.clone()
    }

    /// Marks the coming end as wished: after a [`Stop`], or because the child has nothing left to do. Everything else
    /// is a crash. The loss of a network connection is no end at all.
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
        // one message a life, and it must not be lost: the capacity of the mailbox does not apply to it
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
        let beat = Beat::default();
        assert!(!beat.take());
        beat.clone().beat();
        beat.beat();
        assert!(beat.take());
        assert!(!beat.take());
    }
}
