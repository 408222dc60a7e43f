//! One reading of the observations, from which an answer is made.
//!
//! Counts go on growing while they are read. A [`Snapshot`] reads each of them once, so that all the numbers of one
//! answer belong together and the conservation of events holds in it.

use std::sync::atomic::{Ordering, fence};

use uw_websocket_actors::observation::{ChannelObservation, Count, DropReason, Observations};

/// The observations at one moment.
#[derive(Debug)]
pub struct Snapshot<'a> {
    /// Where it was read, for what needs no second number to agree with.
    pub observations: &'a Observations,
    /// When it was read, in Unix microseconds.
    pub now: u64,
    /// The counts of the channels, in the order of the settings.
    pub channels: Vec<ChannelCounts<'a>>,
    /// Resident memory of the process in bytes; `None` where the system does not tell.
    pub resident_bytes: Option<u64>,
}

/// The counts of a channel at one moment:
/// `received + recovered = stored + duplicate + filtered + quarantined + dropped + pending`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelCounts<'a> {
    /// The channel's name.
    pub channel: &'a str,
    /// Events read from the feed.
    pub received: u64,
    /// Events found in the disk queue at the start.
    pub recovered: u64,
    /// Events whose every entry Redis has taken.
    pub stored: u64,
    /// Events that equal one of those shortly before.
    pub duplicate: u64,
    /// Events that had no target.
    pub filtered: u64,
    /// Events in the quarantine file.
    pub quarantined: u64,
    /// Events dropped, in the order of [`DropReason::ALL`].
    pub dropped: Vec<(DropReason, u64)>,
    /// Events that have not ended yet.
    pub pending: u64,
    /// Times that the books were found not to balance.
    pub violations: u64,
    /// Payloads that did not fit the documented shape.
    pub drifted: u64,
    /// Whether the channel is silent far beyond its own cadence.
    pub silent: bool,
    /// When the newest event came, in Unix microseconds.
    pub last_event_at: Option<u64>,
    /// Whether no more events have ended than came.
    pub conserved: bool,
}

// === impl Snapshot ===

impl Snapshot<'_> {
    /// Reads the observations; `now` is in Unix microseconds.
    #[must_use]
    pub fn take(observations: &Observations, now: u64) -> Snapshot<'_> {
        Snapshot {
            observations,
            now,
            channels: observations.channels.iter().map(ChannelCounts::read).collect(),
            resident_bytes: resident_bytes(),
        }
    }

    /// Seconds from `at`, in Unix microseconds, to this snapshot; zero when the clock was set back in between.
    #[must_use]
    pub fn seconds_since(&self, at: u64) -> f64 {
        self.now.saturating_sub(at) as f64 / 1e6
    }
}

/// Reads the two counts of a queue; their difference is its depth.
pub(crate) fn depth(entered: &Count, left: &Count) -> u64 {
    let left = left.get();
    fence(Ordering::Acquire); // what left had entered: read in this order, no depth is below zero
    entered.get().saturating_sub(left)
}

// === impl ChannelCounts ===

impl ChannelCounts<'_> {
    fn read(channel: &ChannelObservation) -> ChannelCounts<'_> {
        let (stored, duplicate) = (channel.stored.get(), channel.duplicate.get());
        let (filtered, quarantined) = (channel.filtered.get(), channel.quarantined.get());
        let dropped: Vec<_> =
            DropReason::ALL.iter().map(|reason| (*reason, channel.dropped(*reason).get())).collect();
        // an event comes before it ends: read in the other order, no event ends that did not come
        fence(Ordering::Acquire);
        let (received, recovered) = (channel.received.get(), channel.recovered.get());
        let dropped_in_all = dropped.iter().map(|(_, events)| events).sum::<u64>();
        let ended = stored + duplicate + filtered + quarantined + dropped_in_all;
        ChannelCounts {
            channel: channel.channel.name(),
            received,
            recovered,
            stored,
            duplicate,
            filtered,
            quarantined,
            dropped,
            pending: (received + recovered).saturating_sub(ended),
            violations: channel.violations.get(),
            drifted: channel.drifted.get(),
            silent: channel.silent.load(Ordering::Relaxed),
            last_event_at: channel.last_event_at.get(),
            conserved: ended <= received + recovered,
        }
    }
}

/// Resident memory of this process in bytes, where the kernel tells it in `/proc`.
fn resident_bytes() -> Option<u64> {
    parse_resident(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// `VmRSS` of a `/proc/<pid>/status`; unlike `statm` it does not need the size of a page.
fn parse_resident(status: &str) -> Option<u64> {
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    kibibytes.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uw_websocket_core::event::Channel;

    fn observations() -> Observations {
        Observations::new(
            "test".to_owned(),
            "0",
            &[Channel::parse("price").unwrap()],
            &[],
            0,
            std::sync::Arc::default(),
        )
    }

    #[test]
    fn what_has_not_ended_is_pending() {
        let observations = observations();
        let channel = &observations.channels[0];
        channel.received.add(10);
        channel.recovered.add(5);
        channel.stored.add(4);
        channel.duplicate.add(2);
        channel.filtered.add(2);
        channel.quarantined.add(1);
        channel.dropped(DropReason::Crash).add(1);
        let counts = &Snapshot::take(&observations, 0).channels[0];
        assert_eq!((counts.pending, counts.conserved), (5, true));
    }

    #[test]
    fn more_ended_than_came_is_not_conserved() {
        let observations = observations();
        observations.channels[0].stored.add(1);
        let counts = &Snapshot::take(&observations, 0).channels[0];
        assert_eq!((counts.pending, counts.conserved), (0, false));
    }

    #[test]
    fn resident_memory_is_read_in_kibibytes() {
        assert_eq!(parse_resident("Name:\tx\nVmRSS:\t    8 kB\nVmData:\t 9 kB\n"), Some(8192));
        assert_eq!(parse_resident("VmRSS:\t many kB\n"), None);
        assert_eq!(parse_resident(""), None);
    }
}
