//! The gaps, as the audit hears of them.

use crate::ledger::gap::{Gap, GapReason};
use crate::ledger::queue::GapQueue;

/// Gaps that are kept for the audit, which asks every few seconds. Beyond it the oldest two become one interval, in which
/// nothing is judged.
const MAX_HEARD: usize = 1_000;

/// Gaps of the feed.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Topics, or channels, with an interval in which they were not received, in Unix microseconds.
    pub closed: Vec<(Vec<String>, (u64, u64))>,
    /// Topics that are not received now, with the last moment before, in Unix microseconds.
    pub open: Vec<(String, u64)>,
}

impl Heard {
    /// Takes in closed gaps, but for those of events that were received.
    pub(super) fn take_in(&mut self, gaps: &GapQueue) {
        let of_feed = gaps.iter().map(|queued| &queued.gap).filter(|gap| is_of_feed(gap));
        self.closed.extend(of_feed.map(|gap| (gap.channels.clone(), (gap.from_us, gap.to_us))));
        while self.closed.len() > MAX_HEARD {
            let (topics, between) = self.closed.remove(0);
            let (others, next) = &mut self.closed[0];
            others.extend(topics);
            *next = (next.0.min(between.0), next.1.max(between.1));
        }
    }
}

fn is_of_feed(gap: &Gap) -> bool {
    matches!(
        gap.reason,
        GapReason::Disconnect
            | GapReason::Death
            | GapReason::Silence
            | GapReason::Unjoined
            | GapReason::Blocked
            | GapReason::Crash
            | GapReason::Shutdown
    )
}
