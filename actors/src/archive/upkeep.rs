//! Removes old days, and observes what the archive has and how much room is left.

use std::path::Path;

use rustix::fs::statvfs;
use slog::{Logger, error, info};
use uw_websocket_core::archive::{ArchiveStore, Days, Surplus};
use uw_websocket_core::calendar::{first_kept_date, iso_date};

use crate::error_chain::ErrorChain;
use crate::observation::ArchiveObservation;
use crate::settings::ArchiveSettings;
use crate::sync::lock;
use crate::wall_clock::unix_micros;

/// Removes what is too old or too much. A failure is logged, and tried again at the next upkeep.
pub(super) fn keep_up(
    settings: &ArchiveSettings,
    store: &ArchiveStore,
    observed: &ArchiveObservation,
    log: &Logger,
) {
    let days = match Days::read(&settings.dir) {
        Ok(days) => days,
        Err(error) => return error!(log, "archive not looked through"; "error" => %error),
    };
    let first = settings.sessions.and_then(|sessions| first_kept_date(sessions, unix_micros() / 1000));
    let mut removed = 0;
    for Surplus { day, bytes, is_old } in days.surplus(first, Some(settings.max_bytes)) {
        match store.remove_day(&day) {
            Ok(()) => {
                let reason = if is_old { "retention" } else { "size" };
                info!(log, "archive day removed"; "day" => &day, "bytes" => bytes, "reason" => reason);
                observed.removed_days.add(1);
                removed += 1;
            }
            Err(error) => error!(log, "archive day not removed"; "day" => &day, ErrorChain::new(&error)),
        }
    }
    let days = if removed > 0 { Days::read(&settings.dir).unwrap_or(days) } else { days };
    observe(&days, settings, observed);
}

fn observe(days: &Days, settings: &ArchiveSettings, observed: &ArchiveObservation) {
    let (dates, bytes) = (days.dates(), days.bytes());
    let largest = dates.iter().map(|date| days.bytes_of(*date)).max().unwrap_or_default();
    observed.bytes.set(bytes);
    observed.days.set(dates.len() as u64);
    observed.largest_day_bytes.set(largest);
    observed.room.set(free_bytes(&settings.dir).min(settings.max_bytes.saturating_sub(bytes)));
    *lock(&observed.dates) =
        dates.first().zip(dates.last()).map(|(first, last)| (iso_date(*first), iso_date(*last)));
}

/// Returns the free bytes of a disk; 0 if it does not tell.
fn free_bytes(folder: &Path) -> u64 {
    statvfs(folder).map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}
