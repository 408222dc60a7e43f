//! Faults on request, for tests of the supervision: a chosen child panics, ends, freezes or blocks its thread, at a named
//! point of its work.
//!
//! Without the feature `fault-injection` a plan is empty, has no size and costs nothing, so that callers look the same.

use std::future::pending;

use thiserror::Error;
use uw_websocket_core::labelled;

pub use self::plan::{ChildFaults, FaultPlan};

labelled! {
    /// Where in its work a child can be struck.
    FaultPoint {
        /// A step of the child's loop is done.
        Step = "step",
        /// A chunk was read from the socket, and nothing of it is taken in yet.
        FramesRead = "frames_read",
        /// In the middle of a chunk, a frame was taken in.
        FrameTaken = "frame_taken",
        /// All of a chunk is taken in, and nothing of it handed over.
        ChunkTaken = "chunk_taken",
        /// What was taken in is handed over to the inboxes of the writers.
        Delivered = "delivered",
        /// An inbox has no room, and the connection waits.
        NoRoom = "no_room",
        /// The writer got word of a delivery.
        Delivery = "delivery",
        /// The queue has taken events over, and nothing is asked of the disk yet.
        Accepted = "accepted",
        /// The disk was asked to append and has not answered.
        AppendSent = "append_sent",
        /// The disk has appended.
        Appended = "appended",
        /// The committer has what it will write.
        Peeked = "peeked",
        /// Redis has answered a transaction, and nothing is acknowledged.
        Answered = "answered",
        /// What Redis took is acknowledged.
        Acknowledged = "acknowledged",
        /// The outcome of an unanswered transaction is looked up.
        Reconciling = "reconciling",
        /// The latest snapshots are written to their hashes.
        SnapshotFlush = "snapshot_flush",
    }
}

/// What happens to the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Its loop panics.
    Panic,
    /// Its loop ends without having been asked to.
    End,
    /// Its loop never goes on; its thread does.
    Freeze,
    /// Its loop blocks the thread it runs on, for ever.
    Block,
}

impl FaultKind {
    /// Lets the fault of a step happen in the loop that awaits this. It returns for [`FaultKind::End`] only: ending is left
    /// to the caller.
    ///
    /// # Panics
    /// For [`FaultKind::Panic`].
    pub async fn strike(self) {
        self.strike_loop(FaultPoint::Step).await;
    }

    async fn strike_loop(self, point: FaultPoint) {
        match self {
            FaultKind::Freeze => pending().await,
            FaultKind::Panic | FaultKind::End | FaultKind::Block => self.strike_thread(point),
        }
    }

    /// Where nothing can be awaited a freeze takes the thread along, like [`FaultKind::Block`].
    fn strike_thread(self, point: FaultPoint) {
        match self {
            #[allow(clippy::panic, reason = "the fault that was asked for")]
            FaultKind::Panic => panic!("a panic that the fault plan asked for, at {point}"),
            FaultKind::End => {}
            FaultKind::Freeze | FaultKind::Block => loop {
                std::thread::park();
            },
        }
    }
}

/// A fault plan that cannot be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidFault {
    /// A fault is not in the form that is documented on [`FaultPlan::parse`].
    #[error("`{0}` is not a fault: CHILD:panic|end|freeze|block[:at=POINT][:after=N][:times=N][:on=TEXT]")]
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

    /// The faults that were asked for.
    #[derive(Clone, Debug, Default)]
    pub struct FaultPlan(Vec<Fault>);

    #[derive(Clone, Debug)]
    struct Fault {
        child: String,
        kind: FaultKind,
        trigger: Trigger,
        /// How often the fault still strikes, over all lives of the child.
        left: Arc<AtomicU64>,
    }

    #[derive(Clone, Debug)]
    enum Trigger {
        /// A life has passed the point so often before.
        Point(FaultPoint, u64),
        /// An event whose payload has this text is handled.
        Payload(String),
    }

    impl FaultPlan {
        /// Reads `CHILD:panic|end|freeze|block[:at=POINT][:after=N][:times=N][:on=TEXT]`, several separated by `;`.
        ///
        /// The fault strikes at the point with that label (`step`), after `N` passes of it in each life of the child (0),
        /// and so often over all its lives (1). To end is possible at a step only. With `on` a panic strikes when the child
        /// handles an event whose payload has that text, wherever it is: then there is neither `at` nor `after`.
        pub fn parse(text: &str) -> Result<FaultPlan, InvalidFault> {
            let faults = text.split(';').map(str::trim).filter(|fault| !fault.is_empty());
            faults.map(Fault::parse).collect::<Result<_, _>>().map(FaultPlan)
        }

        /// The faults of a new life of `child`.
        #[must_use]
        pub fn for_child(&self, child: &str) -> ChildFaults {
            let faults = self.0.iter().filter(|fault| fault.child == child);
            ChildFaults { passes: Arc::default(), faults: faults.cloned().collect() }
        }
    }

    impl Fault {
        /// Whether it strikes once more; counts it.
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
                (None, _, at) => Trigger::Point(at.unwrap_or(FaultPoint::Step), after.unwrap_or(0)),
            };
            Some(Fault { child, kind, trigger, left: Arc::new(AtomicU64::new(times)) })
        }
    }

    fn point_of(label: &str) -> Option<FaultPoint> {
        FaultPoint::ALL.iter().copied().find(|point| point.label() == label)
    }

    /// The faults of one life of a child; clones count together.
    #[derive(Clone, Debug)]
    pub struct ChildFaults {
        passes: Arc<[AtomicU64; FaultPoint::ALL.len()]>,
        faults: Arc<[Fault]>,
    }

    impl ChildFaults {
        /// Counts a pass of a point: the fault that strikes now.
        #[must_use]
        pub fn at(&self, point: FaultPoint) -> Option<FaultKind> {
            let passes = self.passes[point as usize].fetch_add(1, Relaxed);
            let mut due = self.faults.iter().filter(
                |fault| matches!(fault.trigger, Trigger::Point(at, after) if at == point && passes >= after),
            );
            due.find(|fault| fault.is_left()).map(|fault| fault.kind)
        }

        /// Called once a step of the child's loop (a chunk of frames, a batch): the fault that strikes now. The only place
        /// where [`FaultKind::End`] does.
        #[must_use]
        pub fn step(&self) -> Option<FaultKind> {
            self.at(FaultPoint::Step)
        }

        /// Counts a pass of a point, and lets the fault that strikes now happen in whoever awaits this.
        ///
        /// # Panics
        /// If a panic strikes.
        pub async fn reach(&self, point: FaultPoint) {
            if let Some(fault) = self.at(point) {
                fault.strike_loop(point).await;
            }
        }

        /// The same between awaits. A freeze blocks the thread there: code that awaits nothing cannot stand still without it.
        ///
        /// # Panics
        /// If a panic strikes.
        pub fn strike_at(&self, point: FaultPoint) {
            if let Some(fault) = self.at(point) {
                fault.strike_thread(point);
            }
        }

        /// Called with the payloads that the child is about to handle.
        ///
        /// # Panics
        /// If one of them has the text of a fault: that is what it is for.
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
        /// Refuses: this build has no faults.
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
