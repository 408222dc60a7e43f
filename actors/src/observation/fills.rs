//! Observations of the filler.

use serde::Serialize;
use uw_websocket_core::backfill::outcome::FillStatus;

use super::cells::{Count, Flag, Gauge};
use super::metric::observed;

observed! {
    /// The fills of gaps. Without `ENABLE_BACKFILL` nothing is counted.
    #[derive(Debug, Default, Serialize)]
    pub struct FillObservation {
        /// Whether gaps are filled.
        #[serde(skip)]
        pub is_on: Flag,
        /// Fills that are planned or under way: topics of gaps.
        pub pending: Gauge = "uw_ws_fills_pending",
        /// Fills that ended complete.
        pub filled: Count,
        /// Fills that ended with something left out.
        pub partial: Count,
        /// Fills that could not be.
        pub impossible: Count,
    }
}

impl FillObservation {
    /// Returns the count of fills that ended so.
    #[must_use]
    pub fn ended(&self, status: FillStatus) -> &Count {
        match status {
            FillStatus::Complete => &self.filled,
            FillStatus::Partial => &self.partial,
            FillStatus::Impossible => &self.impossible,
        }
    }
}
