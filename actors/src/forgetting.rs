//! Streams and routes that left a table because the feed names too many symbols.

use slog::{Logger, warn};

use crate::observation::{Observations, Table};

/// Counts what left a table, and logs it once per process.
pub(crate) fn note(observations: &Observations, log: &Logger, (table, entries): (Table, u64)) {
    if entries == 0 {
        return;
    }
    let count = observations.forgotten(table);
    let is_first = count.get() == 0;
    count.add(entries);
    if is_first {
        warn!(log, "more symbols than are remembered"; "table" => table.label());
    }
}
