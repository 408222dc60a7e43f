//! Observations of the archive.

use std::sync::Mutex;

use serde::Serialize;

use super::cells::{Count, Flag, Gauge, Moment, unlocked};
use super::metric::observed;

observed! {
    /// The archive. Without one nothing is counted.
    #[derive(Debug, Default, Serialize)]
    pub struct ArchiveObservation {
        /// Whether there is one.
        #[serde(skip)]
        pub is_on: Flag,
        /// Events written to the archive.
        pub events: Count = "uw_ws_archive_events_total",
        /// Rows fetched over REST that were written to the archive.
        pub fetched_rows: Count = "uw_ws_archive_fetched_rows_total",
        /// Events and fetched rows that Redis has, or has had, and the archive has not, because the disk queue needed their room
        /// or could not hold them, or because they left Redis first.
        pub skipped: Count = "uw_ws_archive_skipped_total",
        /// Events that Redis has and that wait in the disk queue for the archive.
        #[serde(rename = "waiting_events")]
        pub waiting: Gauge = "uw_ws_archive_waiting_events",
        /// Rows fetched over REST that wait for the archive's next write.
        pub waiting_rows: Gauge = "uw_ws_archive_waiting_rows",
        /// Bytes of the lines written to the archive, before they are compressed.
        pub line_bytes: Count = "uw_ws_archive_line_bytes_total",
        /// Bytes written to the files of the archive.
        pub file_bytes: Count = "uw_ws_archive_file_bytes_total",
        /// Size of the archive.
        pub bytes: Gauge = "uw_ws_archive_bytes",
        /// Days in the archive.
        pub days: Gauge = "uw_ws_archive_days",
        /// Days removed from the archive because of their age or of its size.
        pub removed_days: Count = "uw_ws_archive_removed_days_total",
        /// Room left for the archive: on its disk, and below its limit.
        #[serde(rename = "room_bytes")]
        pub room: Gauge = "uw_ws_archive_room_bytes",
        /// Size of the largest day in the archive.
        pub largest_day_bytes: Gauge,
        /// The oldest and the newest day.
        #[serde(serialize_with = "unlocked")]
        pub dates: Mutex<Option<(String, String)>>,
        /// Time of the last write.
        #[serde(skip)]
        pub written_at: Moment,
        /// Why it cannot be written; `None` while it can.
        #[serde(rename = "error", serialize_with = "unlocked")]
        pub fault: Mutex<Option<String>>,
    }
}
