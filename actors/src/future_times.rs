//! Times from outside that claim to be of the future.

use slog::{Logger, warn};

use crate::observation::{Distrust, Observations};

/// Counts `times` of them, met at `place`, and logs them if `is_due`.
pub(crate) fn note(
    observations: &Observations,
    log: &Logger,
    (place, times): (&str, u64),
    is_due: impl FnOnce() -> bool,
) {
    observations.distrusted(Distrust::Future).add(times);
    if times > 0 && is_due() {
        warn!(log, "time of the future"; "place" => place, "times" => times);
    }
}
