//! The request to end all children, and the answer.

use actix::Message;
use tokio::time::Instant;

/// Ends all children: those of the highest stage first, the next stage when they have ended. From now on nothing is
/// started. Answers when all have ended, or at the deadline, after the rest was told to terminate. A second `Drain`
/// waits for the same end; the earliest deadline holds.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// When waiting ends.
    pub deadline: Instant,
}

impl Message for Drain {
    type Result = DrainReport;
}

/// How a drain ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// The children that had not ended in time, in the order of their start.
    pub unfinished: Vec<String>,
}
