//! Whether the disk of the archive has room for what the settings keep; logged at startup.

use std::path::{Path, PathBuf};

use rustix::fs::statvfs;
use slog::{Logger, info, warn};
use uw_websocket_actors::forecast::archive::ArchiveForecast;
use uw_websocket_actors::settings::ActorSettings;
use uw_websocket_core::archive::Days;

use crate::settings::units::shown_size;

/// The remedy if there is too little room.
pub(crate) const ADVICE: &str =
    "make room, or lower ARCHIVE_RETENTION; the oldest days go beyond ARCHIVE_MAX_BYTES";

/// The room that the archive will take, and the room available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) forecast: ArchiveForecast,
    /// Free bytes of the disk.
    pub(crate) free: u64,
    /// Size of the archive.
    pub(crate) used: u64,
    pub(crate) max_bytes: u64,
}

impl Room {
    /// Looks at the disk of an archive; `None` if there is none, or if it does not tell.
    pub(crate) fn of(settings: &ActorSettings) -> Option<Room> {
        let archive = settings.archive.as_ref()?;
        let disk = statvfs(nearest(&archive.dir)).ok()?;
        Some(Room {
            forecast: ArchiveForecast::new(&settings.plan, archive),
            free: disk.f_bavail.saturating_mul(disk.f_frsize),
            used: Days::read(&archive.dir).map_or(0, |days| days.bytes()),
            max_bytes: archive.max_bytes,
        })
    }

    /// Whether it holds all of the days that are kept, or at least a day and the next one.
    pub(crate) fn is_enough(&self) -> bool {
        let needed = self.forecast.kept_bytes.unwrap_or(self.forecast.day_bytes.saturating_mul(2));
        self.free.saturating_add(self.used).min(self.max_bytes) >= needed
    }
}

/// Returns the folder, or its nearest existing ancestor.
pub(crate) fn nearest(dir: &Path) -> PathBuf {
    let is_there = |dir: &&Path| !dir.as_os_str().is_empty() && dir.exists();
    dir.ancestors().find(is_there).map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// Logs what the archive will take.
pub(crate) fn announce(settings: &ActorSettings, log: &Logger) {
    let Some(room) = Room::of(settings) else { return };
    info!(log, "archive forecast"; "day" => shown_size(room.forecast.day_bytes),
        "kept" => room.forecast.kept_bytes.map(shown_size), "free" => shown_size(room.free),
        "used" => shown_size(room.used), "max" => shown_size(room.max_bytes));
    if !room.is_enough() {
        warn!(log, "archive may run out of room"; "advice" => ADVICE);
    }
}
