//! The retention of acknowledged records.

use std::time::{Duration, Instant};

/// How long acknowledged records are retained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retain {
    /// The least time.
    pub least: Duration,
    /// The longest time, whatever is safe.
    pub most: Duration,
    /// Only what was acknowledged until then is safe elsewhere; `None` if all of it is.
    pub safe_until: Option<Instant>,
}

impl From<Duration> for Retain {
    fn from(keep: Duration) -> Retain {
        Retain { least: keep, most: keep, safe_until: None }
    }
}

impl Retain {
    /// Whether a record acknowledged at that time need no longer be retained.
    pub(super) fn is_over(&self, acknowledged_at: Instant, now: Instant) -> bool {
        let age = now.saturating_duration_since(acknowledged_at);
        let is_safe = self.safe_until.is_none_or(|until| acknowledged_at <= until);
        age >= self.most || (age >= self.least && is_safe)
    }
}
