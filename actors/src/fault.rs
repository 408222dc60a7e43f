//! Fault injection for tests of the supervision: a chosen child panics, ends, freezes or blocks its thread, at a named
//! point of its work.
//!
//! Without the feature `fault-injection` a plan is empty, has no size and costs nothing, so that callers need no
//! conditions.

use std::future::pending;

use thiserror::Error;
use uw_websocket_core::labelled;

pub use self::plan::{ChildFaults, FaultPlan};

labelled! {
    /// The points at which a fault can strike a child.
    FaultPoint {
        /// A step of the child's loop is complete.
        Step = "step",
        /// A chunk was read from the socket, and none of it is decoded yet.
        FramesRead = "frames_read",
        /// In the middle of a chunk, a frame was decoded.
        FrameTaken = "frame_taken",
        /// All of a chunk is decoded, and none of it handed over.
        ChunkTaken = "chunk_taken",
        /// The decoded events are handed over to the inboxes of the writers.
        Delivered = "delivered",
        /// An inbox has no room, and the connection is waiting.
        NoRoom = "no_room",
        /// The writer was notified of a delivery.
        Delivery = "delivery",
        /// The queue has taken over events, and no append has been requested yet.
        Accepted = "accepted",
        /// An append was requested, and the disk has not answered.
        AppendSent = "append_sent",
        /// The disk has appended.
        Appended = "appended",
        /// The committer has prepared a transaction.
        Peeked = "peeked",
        /// Redis has answered a transaction, and nothing is acknowledged yet.
        Answered = "answered",
        /// The events confirmed by Redis are acknowledged.
        Acknowledged = "acknowledged",
        /// The outcome of an unanswered transaction is looked up.
        Reconciling = "reconciling",
        /// A new connection is checked for what Redis has lost.
        Restoring = "restoring",
        /// The latest snapshots are written to their hashes.
        SnapshotFlush = "snapshot_flush",
        /// The thread of a disk queue has a request.
        DiskRequest = "disk_request",
        /// The thread that syncs a disk queue has files.
        DiskSync = "disk_sync",
        /// The archive's thread looks for news.
        ArchiveTurn = "archive_turn",
    }
}

/// The effect on the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Its loop panics.
    Panic,
    /// Its loop ends without having been told to.
    End,
    /// Its loop never continues; its thread does.
    Freeze,
    /// Its loop blocks its thread forever.
    Block,
    /// The step that follows is left out, to show what it is for; possible when restoring.
    Omit,
}

impl FaultKind {
    /// Applies the fault of a step to the loop that awaits this. Returns for [`FaultKind::End`] only: the caller ends
    /// the loop.
    ///
    /// # Panics
    /// For [`FaultKind::Panic`].
    pub async fn strike(self) {
        self.strike_loop(FaultPoint::Step).await;
    }

    pub(crate) async fn strike_loop(self, point: FaultPoint) {
        match self {
            FaultKind::Freeze => pending().await,
            FaultKind::Panic | FaultKind::End | FaultKind::Block | FaultKind::Omit => {
                self.strike_thread(point);
            }
        }
    }

    /// Where nothing can be awaited, a freeze stops the thread, like [`FaultKind::Block`].
    fn strike_thread(self, point: FaultPoint) {
        match self {
            #[allow(clippy::panic, reason = "the fault that was asked for")]
            FaultKind::Panic => panic!("a panic that the fault plan asked for, at {point}"),
            FaultKind::End | FaultKind::Omit => {}
            FaultKind::Freeze | FaultKind::Block => loop {
                std::thread::park();
            },
        }
    }
}

/// An invalid fault plan.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidFault {
    /// A fault does not follow the syntax documented at [`FaultPlan::parse`].
    #[error(
        "`{0}` is not a fault: CHILD:panic|end|freeze|block|omit[:at=POINT][:after=N][:times=N][:on=TEXT]"
    )]
    Syntax(String),
    /// The service was built without the feature `fault-injection`.
    #[error("this build cannot inject faults")]
    NotBuiltIn,
}

#[cfg(feature = "fault-injection")]
mod plan {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::{FaultKind, FaultPoint, InvalidFault};

    /// The requested faults.
    #[derive(Clone, Debug, Default)]
    pub struct FaultPlan(Vec<Fault>);

    #[derive(Clone, Debug)]
    struct Fault {
        child: String,
        kind: FaultKind,
        trigger: Trigger,
        /// Remaining number of strikes, across all lives of the child.
        left: Arc<AtomicU64>,
    }

    #[derive(Clone, Debug)]
    enum Trigger {
        /// A life has passed the point this many times.
        Point(FaultPoint, u64),
        /// An event whose payload contains this text is handled.
        Payload(String),
    }

    impl FaultPlan {
        /// Parses `CHILD:panic|end|freeze|block|omit[:at=POINT][:after=N][:times=N][:on=TEXT]`, several separated by `;`.
        ///
        /// The fault strikes at the point with the label `at` (default `step`), after that many passes in each life of
        /// the child (default 0), and `times` times across all its lives (default 1). `end` is possible at a step only.
        /// With `on`, a panic strikes when the child handles an event whose payload contains the text, at any point;
        /// `at` and `after` are then not allowed.
        pub fn parse(text: &str) -> Result<FaultPlan, InvalidFault> {
            let faults = text.split(';').map(str::trim).filter(|fault| !fault.is_empty());
            faults.map(Fault::parse).collect::<Result<_, _>>().map(FaultPlan)
        }

        /// Returns the faults for a new life of `child`.
        #[must_use]
        pub fn for_child(&self, child: &str) -> ChildFaults {
            let faults = self.0.iter().filter(|fault| fault.child == child);
            ChildFaults { passes: Arc::default(), faults: faults.cloned().collect() }
        }
    }

    impl Fault {
        /// Returns whether the fault strikes once more, and counts the strike.
        fn is_left(&self) -> bool {
            self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
        }

        fn parse(text: &str) -> Result<Fault, InvalidFault> {
            Fault::read(text).ok_or_else(|| InvalidFault::Syntax(text.to_owned()))
        }

        fn read(text: &str) -> Option<Fault> {
            let mut parts = text.split(':');
            let child = parts.next().filter(|child| !child.is_empty())?.to_owned();
            let kind = match parts.next()? {
                "panic" => FaultKind::Panic,
                "end" => FaultKind::End,
                "freeze" => FaultKind::Freeze,
                "block" => FaultKind::Block,
                "omit" => FaultKind::Omit,
                _ => return None,
            };
            let (mut at, mut after, mut times, mut on) = (None, None, 1, None);
            for option in parts {
                match option.split_once('=')? {
                    ("at", label) => at = Some(point_of(label)?),
                    ("after", passes) => after = Some(passes.parse().ok()?),
                    ("times", count) => times = count.parse().ok()?,
                    ("on", text) => on = Some(text.to_owned()),
                    _ => return None,
                }
            }
            let trigger = match (on, kind, at) {
                (Some(text), FaultKind::Panic, None) if after.is_none() => Trigger::Payload(text),
                (Some(_), ..) => return None,
                (None, FaultKind::End, Some(point)) if point != FaultPoint::Step => return None,
                (None, FaultKind::Omit, point) if point != Some(FaultPoint::Restoring) => return None,
                (None, _, at) => Trigger::Point(at.unwrap_or(FaultPoint::Step), after.unwrap_or(0)),
            };
            Some(Fault { child, kind, trigger, left: Arc::new(AtomicU64::new(times)) })
        }
    }

    fn point_of(label: &str) -> Option<FaultPoint> {
        FaultPoint::ALL.iter().copied().find(|point| point.label() == label)
    }

    /// The faults of one life of a child; clones share their counts.
    #[derive(Clone, Debug)]
    pub struct ChildFaults {
        passes: Arc<[AtomicU64; FaultPoint::ALL.len()]>,
        faults: Arc<[Fault]>,
    }

    impl ChildFaults {
        /// Counts a pass of a point; returns the fault that strikes now.
        #[must_use]
        pub fn at(&self, point: FaultPoint) -> Option<FaultKind> {
            let passes = self.passes[point as usize].fetch_add(1, Relaxed);
            let mut due = self.faults.iter().filter(
                |fault| matches!(fault.trigger, Trigger::Point(at, after) if at == point && passes >= after),
            );
            due.find(|fault| fault.is_left()).map(|fault| fault.kind)
        }

        /// To be called once per step of the child's loop (a chunk of frames, a batch); returns the fault that strikes
        /// now. The only place where [`FaultKind::End`] strikes.
        #[must_use]
        pub fn step(&self) -> Option<FaultKind> {
            self.at(FaultPoint::Step)
        }

        /// Counts a pass of a point, and applies the fault that strikes now to the task that awaits this.
        ///
        /// # Panics
        /// If a panic strikes.
        pub async fn reach(&self, point: FaultPoint) {
            if let Some(fault) = self.at(point) {
                fault.strike_loop(point).await;
            }
        }

        /// Does the same between awaits. A freeze then blocks the thread: synchronous code cannot be suspended
        /// otherwise.
        ///
        /// # Panics
        /// If a panic strikes.
        pub fn strike_at(&self, point: FaultPoint) {
            if let Some(fault) = self.at(point) {
                fault.strike_thread(point);
            }
        }

        /// To be called with the payloads that the child is about to handle.
        ///
        /// # Panics
        /// If one of them contains the text of a fault, by design.
        pub fn strike_on<'p>(&self, payloads: impl Iterator<Item = &'p [u8]>) {
            let poisons = || {
                self.faults.iter().filter_map(|fault| match &fault.trigger {
                    Trigger::Payload(text) => Some((fault, text)),
                    Trigger::Point(..) => None,
                })
            };
            if poisons().next().is_none() {
                return;
            }
            for payload in payloads {
                let struck = poisons().find(|(fault, text)| {
                    payload.windows(text.len()).any(|part| part == text.as_bytes()) && fault.is_left()
                });
                if let Some((_, text)) = struck {
                    #[expect(clippy::panic, reason = "this is what the tests ask for")]
                    {
                        panic!("fault injected on {text}");
                    }
                }
            }
        }
    }
}

#[cfg(not(feature = "fault-injection"))]
mod plan {
    use std::future::{Ready, ready};

    use super::{FaultKind, FaultPoint, InvalidFault};

    /// No faults: the feature `fault-injection` is off.
    #[derive(Clone, Debug, Default)]
    pub struct FaultPlan(());

    impl FaultPlan {
        /// Returns an error: this build has no faults.
        pub fn parse(_: &str) -> Result<FaultPlan, InvalidFault> {
            Err(InvalidFault::NotBuiltIn)
        }

        /// No faults.
        #[must_use]
        pub fn for_child(&self, _: &str) -> ChildFaults {
            ChildFaults
        }
    }

    /// No faults.
    #[derive(Clone, Debug)]
    pub struct ChildFaults;

    impl ChildFaults {
        /// No fault.
        #[inline]
        #[must_use]
        pub fn at(&self, _: FaultPoint) -> Option<FaultKind> {
            None
        }

        /// No fault.
        #[inline]
        #[must_use]
        pub fn step(&self) -> Option<FaultKind> {
            None
        }

        /// No fault.
        #[inline]
        pub fn reach(&self, _: FaultPoint) -> Ready<()> {
            ready(())
        }

        /// No fault.
        #[inline]
        pub fn strike_at(&self, _: FaultPoint) {}

        /// No fault.
        #[inline]
        pub fn strike_on<'p>(&self, _: impl Iterator<Item = &'p [u8]>) {}
    }
}

#[cfg(all(test, feature = "fault-injection"))]
mod tests;
