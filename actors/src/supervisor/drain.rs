//! The request to drain all children, and its answer.

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
