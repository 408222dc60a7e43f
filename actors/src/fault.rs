//! Faults on request, for tests of the supervision: a chosen child panics, ends, freezes or blocks its thread.
//!
//! Without the feature `fault-injection` a plan is empty, has no size and costs nothing, so that callers look the same.

use std::future::pending;

use thiserror::Error;

pub use self::plan::{ChildFaults, FaultPlan};

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
    /// Lets the fault happen in the loop that awaits this. It returns for [`FaultKind::End`] only: ending is left to the
    /// caller.
    ///
    /// # Panics
    /// For [`FaultKind::Panic`].
    pub async fn strike(self) {
        match self {
            #[allow(clippy::panic, reason = "the fault that was asked for")]
            FaultKind::Panic => panic!("a panic that the fault plan asked for"),
            FaultKind::End => {}
            FaultKind::Freeze => pending().await,
            FaultKind::Block => loop {
                std::thread::park();
            },
        }
    }
}

/// A fault plan that cannot be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidFault {
    /// A fault is not in the form that is documented on [`FaultPlan::parse`].
    #[error("`{0}` is not a fault: CHILD:panic|end|freeze|block[:after=N][:times=N]")]
    Syntax(String),
    /// The service was built without the feature `fault-injection`.
    #[error("this build cannot inject faults")]
    NotBuiltIn,
}

#[cfg(feature = "fault-injection")]
mod plan {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::{FaultKind, InvalidFault};

    /// The faults that were asked for.
    #[derive(Clone, Debug, Default)]
    pub struct FaultPlan(Vec<Fault>);

    #[derive(Clone, Debug)]
    struct Fault {
        child: String,
        kind: FaultKind,
        /// Steps that a life makes before the fault.
        after: u64,
        /// Strikes not at a step but at an event whose payload has this text.
        on: Option<String>,
        /// How often the fault still strikes, over all lives of the child.
        left: Arc<AtomicU64>,
    }

    impl FaultPlan {
        /// Reads `CHILD:panic|end|freeze|block[:after=N][:times=N][:on=TEXT]`, several separated by `;`. The fault strikes
        /// after `N` steps of each life of the child (0), and so often over all its lives (1). With `on` it strikes when the
        /// child handles an event whose payload has that text, and is a panic.
        pub fn parse(text: &str) -> Result<FaultPlan, InvalidFault> {
            let faults = text.split(';').map(str::trim).filter(|fault| !fault.is_empty());
            faults.map(Fault::parse).collect::<Result<_, _>>().map(FaultPlan)
        }

        /// The faults of a new life of `child`.
        #[must_use]
        pub fn for_child(&self, child: &str) -> ChildFaults {
            let faults = self.0.iter().filter(|fault| fault.child == child);
            ChildFaults { steps: 0, faults: faults.cloned().collect() }
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
            let (mut after, mut times, mut on) = (0, 1, None);
            for option in parts {
                match option.split_once('=')? {
                    ("after", steps) => after = steps.parse().ok()?,
                    ("times", count) => times = count.parse().ok()?,
                    ("on", text) => on = Some(text.to_owned()),
                    _ => return None,
                }
            }
            Some(Fault { child, kind, after, on, left: Arc::new(AtomicU64::new(times)) })
        }
    }

    /// The faults of one life of a child.
    #[derive(Debug)]
    pub struct ChildFaults {
        steps: u64,
        faults: Vec<Fault>,
    }

    impl ChildFaults {
        /// Called once a step of the child's loop (a chunk of frames, a batch): the fault that strikes now.
        pub fn step(&mut self) -> Option<FaultKind> {
            let steps = self.steps;
            self.steps += 1;
            let mut due = self.faults.iter().filter(|fault| fault.on.is_none() && steps >= fault.after);
            due.find(|fault| fault.is_left()).map(|fault| fault.kind)
        }

        /// Called with the payloads that the child is about to handle.
        ///
        /// # Panics
        /// If one of them has the text of a fault: that is what it is for.
        pub fn strike_on<'p>(&self, payloads: impl Iterator<Item = &'p [u8]>) {
            let poisons = || self.faults.iter().filter_map(|fault| Some((fault, fault.on.as_ref()?)));
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
    use super::{FaultKind, InvalidFault};

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
    #[derive(Clone, Copy, Debug)]
    pub struct ChildFaults;

    impl ChildFaults {
        /// No fault.
        #[inline]
        pub fn step(&mut self) -> Option<FaultKind> {
            None
        }

        /// No fault.
        #[inline]
        pub fn strike_on<'p>(&self, _: impl Iterator<Item = &'p [u8]>) {}
    }
}

#[cfg(all(test, feature = "fault-injection"))]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_after_its_steps_in_each_life_and_so_often_in_all() {
        let plan = FaultPlan::parse("trades:panic:after=2:times=2").unwrap();
        let life = || {
            let mut faults = plan.for_child("trades");
            (0..4).map(|_| faults.step()).collect::<Vec<_>>()
        };
        assert_eq!(life(), [None, None, Some(FaultKind::Panic), Some(FaultKind::Panic)]);
        assert_eq!(life(), [None; 4], "used up in the first life");
    }

    #[test]
    fn a_plan_reaches_only_its_children() {
        let plan = FaultPlan::parse("trades:end; writer-0:freeze:after=1").unwrap();
        assert_eq!(plan.for_child("prices").step(), None);
        assert_eq!(plan.for_child("trades").step(), Some(FaultKind::End));
        let mut writer = plan.for_child("writer-0");
        assert_eq!([writer.step(), writer.step(), writer.step()], [None, Some(FaultKind::Freeze), None]);
    }

    #[test]
    fn what_is_not_a_fault_is_refused() {
        for text in [
            "trades",
            "trades:burn",
            ":panic",
            "trades:panic:after",
            "trades:panic:after=x",
            "trades:end:at=1",
        ] {
            assert_eq!(FaultPlan::parse(text).unwrap_err(), InvalidFault::Syntax(text.to_owned()));
        }
        assert!(FaultPlan::parse("").is_ok());
    }
}
