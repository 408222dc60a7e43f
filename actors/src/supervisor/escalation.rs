//! How the supervisor says that it has given up.

use std::fmt;

/// Why the supervisor gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveUpReason {
    /// More crashes than the intensity within the period.
    TooManyCrashes,
    /// The data thread ran nothing for [`Timing::block_limit`](super::Timing::block_limit); a restarted child would not run either.
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

/// The supervisor has given up; its parent decides. Sent at most once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escalation {
    /// The child that crashed last; `None` when the thread of all of them is the reason.
    pub child: Option<String>,
    /// Crashes of all children in the period, with the last one.
    pub crashes: usize,
    /// Why it gave up.
    pub reason: GiveUpReason,
}
