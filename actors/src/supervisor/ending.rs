//! How a supervisor ends: by a drain that its parent requests, or by giving up.

use std::fmt;

use actix::Message;
use tokio::time::Instant;

/// Drains all children: the highest stage first, each following stage when the previous has ended. No child is
/// started afterwards. Answers when all have ended, or at the deadline after terminating the rest. A second `Drain`
/// joins the first; the earliest deadline applies.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// Time at which the remaining children are terminated.
    pub deadline: Instant,
}

impl Message for Drain {
    type Result = DrainReport;
}

/// The result of a drain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Children that had not ended in time, in start order.
    pub unfinished: Vec<String>,
}

/// The reason for giving up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveUpReason {
    /// More crashes than the intensity within the period.
    TooManyCrashes,
    /// The data thread ran no task for [`Timing::block_limit`](super::Timing::block_limit); a restarted child would
    /// not run either.
    ThreadBlocked,
    /// The data thread has ended.
    ThreadEnded,
}

impl fmt::Display for GiveUpReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GiveUpReason::TooManyCrashes => "too many crashes",
            GiveUpReason::ThreadBlocked => "data thread blocked",
            GiveUpReason::ThreadEnded => "data thread ended",
        })
    }
}

/// The supervisor has given up; the parent decides. Sent at most once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escalation {
    /// The child that crashed last; `None` if the data thread is the cause.
    pub child: Option<String>,
    /// Crashes of all children within the period, the last one included.
    pub crashes: usize,
    /// The reason.
    pub reason: GiveUpReason,
}
