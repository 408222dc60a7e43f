//! The supervisor's intervals and limits.

use std::time::Duration;

/// Intervals and limits of the supervisor. The defaults are the service's; tests shorten them.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Interval between rounds.
    pub tick: Duration,
    /// Time without progress after which a child is shown as stuck.
    pub suspect_limit: Duration,
    /// Time without a heartbeat after which a child counts as frozen.
    pub freeze_limit: Duration,
    /// Time without a probe after which the data thread counts as blocked.
    pub block_limit: Duration,
    /// Delay before the first restart of a child.
    pub backoff_first: Duration,
    /// Maximum delay before a restart.
    pub backoff_max: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            // `/healthz` and the status page show a supervisor state at most one second old
            tick: Duration::from_secs(1),
            // twice the longest wait of a child without a heartbeat
            suspect_limit: Duration::from_secs(10),
            // three times the longest wait of a child without a heartbeat (5 s: a connect or a command of Redis)
            freeze_limit: Duration::from_secs(15),
            // longer than the worst stall of a healthy machine, shorter than the freeze limit of the children
            // behind it
            block_limit: Duration::from_secs(10),
            // short compared to what a feed tolerates; the doubling keeps a child that dies on start from busy
            // looping
            backoff_first: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
        }
    }
}

impl Timing {
    /// Returns the number of silent rounds in `limit`.
    pub(super) fn rounds(&self, limit: Duration) -> u32 {
        let rounds = limit.as_nanos().div_ceil(self.tick.as_nanos().max(1));
        u32::try_from(rounds).unwrap_or(u32::MAX).max(1)
    }
}
