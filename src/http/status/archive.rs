//! The archive in the status.

use serde::Serialize;
use uw_websocket_actors::observation::ArchiveObservation;

use crate::http::snapshot::Snapshot;

/// The archive.
#[derive(Debug, Serialize)]
pub(super) struct ArchiveStatus<'s> {
    #[serde(flatten)]
    archive: &'s ArchiveObservation,
    /// Time since the last write.
    written_seconds: Option<f64>,
    /// How many more days like its largest one have room; `null` before there is one.
    room_days: Option<f64>,
}

impl<'s> ArchiveStatus<'s> {
    pub(super) fn of(snapshot: &'s Snapshot<'_>) -> Option<ArchiveStatus<'s>> {
        let archive = &snapshot.observations.archive;
        let largest = archive.largest_day_bytes.get();
        archive.is_on.get().then(|| ArchiveStatus {
            archive,
            written_seconds: snapshot.age(&archive.written_at),
            room_days: (largest > 0).then(|| archive.room.get() as f64 / largest as f64),
        })
    }
}
