//! The supervisor's escalation to its parent.

use std::fmt;

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
