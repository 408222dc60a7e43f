//! Streams and routes that left a table because the feed names too many symbols.

use slog::{Logger, warn};

use crate::observation::{Observations, Table};

/// Counts what left a table, and logs it once per process.
pub(crate) fn note(observations: &Observations, log: &Logger, (table, entries): (Table, u64)) {
    if entries > 0 && observations.forgotten(table).add_first(entries) {
        warn!(log, "more symbols than are remembered"; "table" => table.label());
    }
}
