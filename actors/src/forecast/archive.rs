//! Forecasts what the archive takes on disk.

use uw_websocket_core::event::Scope;
use uw_websocket_core::routing::channels_of;
use uw_websocket_core::settings::PlanSettings;

use super::{SESSION, Streams, UNKNOWN_BYTES, UsualLoad};
use crate::settings::ArchiveSettings;

/// Bytes in the archive per byte of the entry in Redis. An assumption between what was measured: 0.02 for simulated
/// trades, which repeat most of their digits, and 0.27 for 60 frames of a real capture, too few to compress well.
const SHARE: f64 = 0.2;

/// What a day takes, and all of the days that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveForecast {
    /// Bytes of a day, at the usual rates of the busiest ticker.
    pub day_bytes: u64,
    /// Bytes of all days that are kept: those of the retention, and the current one; `None` without a limit of age.
    pub kept_bytes: Option<u64>,
}

impl ArchiveForecast {
    /// Forecasts for the settings. Channels without a usual rate are not counted.
    #[must_use]
    pub fn new(plan: &PlanSettings, settings: &ArchiveSettings) -> ArchiveForecast {
        let of_channel = |channel| {
            let Some(usual) = UsualLoad::of(&channel) else { return 0.0 };
            // an event is archived once, whatever the number of its streams
            let copies = if channel.scope() == Scope::Global { 2.0 } else { 1.0 };
            let events = usual.rate * Streams::of(&channel, plan).busiest / copies * SESSION.as_secs_f64();
            events * usual.bytes.min(UNKNOWN_BYTES * 4) as f64 * SHARE
        };
        let day: f64 = channels_of(plan).into_iter().map(of_channel).sum();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let day_bytes = day.ceil() as u64;
        let days = settings.sessions.map(|sessions| sessions as u64 + 1);
        ArchiveForecast { day_bytes, kept_bytes: days.map(|days| day_bytes.saturating_mul(days)) }
    }
}
