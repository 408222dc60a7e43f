//! The channels, and their sums, in the status.

use std::collections::BTreeMap;

use serde::Serialize;
use uw_websocket_actors::observation::ChannelObservation;

use crate::http::snapshot::Snapshot;

/// A channel: `received + recovered = stored + duplicate + filtered + quarantined + the sum of dropped + pending`.
#[derive(Debug, Serialize)]
pub(super) struct ChannelStatus<'s> {
    channel: &'s str,
    #[serde(flatten)]
    counts: &'s ChannelObservation,
    pending: u64,
    /// Events received per second in the last complete step of [`STEP`](crate::http::history::STEP).
    rate_per_second: Option<f64>,
    /// The same for each of the last steps, oldest first.
    rates: Vec<Option<f64>>,
    /// Age of the latest event.
    last_event_age_seconds: Option<f64>,
    /// Whether the equation holds and every pending event is in memory or on disk; `false` means that an event was
    /// counted twice or not at all.
    conserved: bool,
}

/// The sums over all channels, which satisfy the same equation, by the names of [`ChannelObservation::books`].
pub(super) fn totals(channels: &[ChannelObservation]) -> BTreeMap<&'static str, u64> {
    let mut totals = BTreeMap::new();
    for (name, events) in channels.iter().flat_map(ChannelObservation::books) {
        *totals.entry(name).or_default() += events;
    }
    totals
}

impl<'s> ChannelStatus<'s> {
    pub(super) fn of(
        counts: &'s ChannelObservation,
        rates: Vec<Option<f64>>,
        snapshot: &Snapshot<'_>,
    ) -> ChannelStatus<'s> {
        ChannelStatus {
            channel: counts.channel.name(),
            counts,
            pending: counts.pending(),
            rate_per_second: rates.last().copied().flatten(),
            rates,
            last_event_age_seconds: snapshot.age(&counts.last_event_at),
            conserved: counts.is_conserved(),
        }
    }
}
