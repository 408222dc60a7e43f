//! How often the supervisor looks, and how long it waits.

use std::time::Duration;

/// The supervisor's clockwork. The defaults are the service's; tests shorten them.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Between two rounds.
    pub tick: Duration,
    /// Whatever shows no progress for so long is shown as stuck.
    pub suspect_limit: Duration,
    /// A child without a beat for so long is frozen.
    pub freeze_limit: Duration,
    /// A data thread that did not run a probe for so long is blocked.
    pub block_limit: Duration,
    /// The delay before the first restart of a child.
    pub backoff_first: Duration,
    /// The longest delay before a restart.
    pub backoff_max: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            // `/healthz` and the status page show a supervisor that is a second old at most
            tick: Duration::from_secs(1),
            // twice the longest wait that a child makes without a beat
            suspect_limit: Duration::from_secs(10),
            // three times the longest wait that a child makes without a beat (5 s, a connect or a command of Redis)
            freeze_limit: Duration::from_secs(15),
            // longer than a healthy machine's worst stall, shorter than the freeze limit of the children behind it
            block_limit: Duration::from_secs(10),
            // short against what a feed forgives; the doubling keeps a child that dies at its start from busy work
            backoff_first: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
        }
    }
}

impl Timing {
    /// How many silent rounds make up `limit`.
    pub(super) fn rounds(&self, limit: Duration) -> u32 {
        let rounds = limit.as_nanos().div_ceil(self.tick.as_nanos().max(1));
        u32::try_from(rounds).unwrap_or(u32::MAX).max(1)
    }
}
