//! A channel, and all of them together, as the status shows them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::http::snapshot::{ChannelCounts, Snapshot};

/// A channel: `received + recovered = stored + duplicate + filtered + quarantined + the sum of dropped + pending`.
#[derive(Debug, Serialize)]
pub struct ChannelStatus<'a> {
    /// Its name.
    pub channel: &'a str,
    /// Events read from the feed.
    pub received: u64,
    /// Events found in the disk queue at the start.
    pub recovered: u64,
    /// Events whose every entry Redis has taken.
    pub stored: u64,
    /// Events that equal one of those shortly before.
    pub duplicate: u64,
    /// Events that were for no target.
    pub filtered: u64,
    /// Events in the quarantine file.
    pub quarantined: u64,
    /// Events that were read and lost, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Events that came and have not ended yet.
    pub pending: u64,
    /// Payloads off the documented shape.
    pub drifted: u64,
    /// Whether the channel is silent far beyond its own cadence, in market hours.
    pub silent: bool,
    /// Events received a second in the last whole step of [`STEP`](crate::http::history::STEP).
    pub rate_per_second: Option<f64>,
    /// The same for each of the last steps, oldest first.
    pub rates: Vec<Option<f64>>,
    /// Age of the newest event.
    pub last_event_age_seconds: Option<f64>,
    /// Whether the equation holds, and every pending event is in memory or on disk; false says that an event was
    /// counted twice or not at all.
    pub conserved: bool,
}

/// All channels together, under the same equation.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Events read from the feed.
    pub received: u64,
    /// Events found in the disk queue at the start.
    pub recovered: u64,
    /// Events whose every entry Redis has taken.
    pub stored: u64,
    /// Events that equal one of those shortly before.
    pub duplicate: u64,
    /// Events that were for no target.
    pub filtered: u64,
    /// Events in the quarantine file.
    pub quarantined: u64,
    /// Events that were read and lost.
    pub dropped: u64,
    /// Events that came and have not ended yet.
    pub pending: u64,
}

/// Whether an event of the channel was counted twice or not at all.
pub(super) fn is_conserved(counts: &ChannelCounts<'_>) -> bool {
    counts.conserved && counts.violations == 0
}

impl Totals {
    pub(super) fn of(channels: &[ChannelCounts<'_>]) -> Totals {
        channels.iter().fold(Totals::default(), |totals, counts| Totals {
            received: totals.received + counts.received,
            recovered: totals.recovered + counts.recovered,
            stored: totals.stored + counts.stored,
            duplicate: totals.duplicate + counts.duplicate,
            filtered: totals.filtered + counts.filtered,
            quarantined: totals.quarantined + counts.quarantined,
            dropped: totals.dropped + counts.dropped.iter().map(|(_, events)| events).sum::<u64>(),
            pending: totals.pending + counts.pending,
        })
    }
}

impl<'a> ChannelStatus<'a> {
    pub(super) fn of(
        counts: &ChannelCounts<'a>,
        rates: Vec<Option<f64>>,
        snapshot: &Snapshot<'_>,
    ) -> ChannelStatus<'a> {
        ChannelStatus {
            channel: counts.channel,
            received: counts.received,
            recovered: counts.recovered,
            stored: counts.stored,
            duplicate: counts.duplicate,
            filtered: counts.filtered,
            quarantined: counts.quarantined,
            dropped: counts.dropped.iter().map(|(reason, events)| (reason.label(), *events)).collect(),
            pending: counts.pending,
            drifted: counts.drifted,
            silent: counts.silent,
            rate_per_second: rates.last().copied().flatten(),
            rates,
            last_event_age_seconds: counts.last_event_at.map(|at| snapshot.seconds_since(at)),
            conserved: is_conserved(counts),
        }
    }
}
