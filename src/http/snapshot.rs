//! A reading of the observations, from which a response is rendered.
//!
//! Counts keep growing while they are read. A [`Snapshot`] reads those of the channels once, so that they are
//! consistent and the conservation of events holds in the response.

use uw_websocket_actors::observation::{ChannelObservation, Moment, Observations};

/// The observations at one moment.
#[derive(Debug)]
pub struct Snapshot<'a> {
    /// The observations, for values that need not be consistent with others.
    pub observations: &'a Observations,
    /// The time of the reading, in Unix microseconds.
    pub now: u64,
    /// Copies of the counts of the channels, in the order of the settings.
    pub channels: Vec<ChannelObservation>,
}

impl Snapshot<'_> {
    /// Reads the observations; `now` is in Unix microseconds.
    #[must_use]
    pub fn take(observations: &Observations, now: u64) -> Snapshot<'_> {
        Snapshot {
            observations,
            now,
            channels: observations.channels.iter().map(ChannelObservation::reading).collect(),
        }
    }

    /// Returns the seconds from a moment to this snapshot; zero if the clock was set back in between.
    #[must_use]
    pub fn age(&self, moment: &Moment) -> Option<f64> {
        moment.get().map(|at| self.now.saturating_sub(at) as f64 / 1e6)
    }
}

/// Returns the resident memory of this process in bytes, if available in `/proc`.
pub(super) fn resident_bytes() -> Option<u64> {
    parse_resident(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// Parses `VmRSS` of `/proc/<pid>/status`; unlike `statm` it does not require the page size.
fn parse_resident(status: &str) -> Option<u64> {
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    kibibytes.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use uw_websocket_actors::observation::DropReason;
    use uw_websocket_core::event::Channel;

    use super::*;

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
        assert_eq!((counts.pending(), counts.is_conserved()), (5, true));
    }

    #[test]
    fn more_ended_than_came_is_not_conserved() {
        let observations = observations();
        observations.channels[0].stored.add(1);
        let counts = &Snapshot::take(&observations, 0).channels[0];
        assert_eq!((counts.pending(), counts.is_conserved()), (0, false));
    }

    #[test]
    fn resident_memory_is_read_in_kibibytes() {
        assert_eq!(parse_resident("Name:\tx\nVmRSS:\t    8 kB\nVmData:\t 9 kB\n"), Some(8192));
        assert_eq!(parse_resident("VmRSS:\t many kB\n"), None);
        assert_eq!(parse_resident(""), None);
    }
}
