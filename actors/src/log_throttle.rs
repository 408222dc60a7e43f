//! Throttles log records about conditions that may occur for every event.

use std::time::{Duration, Instant};

/// Interval between two reports: frequent enough to show that the condition persists, rare enough for any log.
const EVERY: Duration = Duration::from_secs(60);

/// Decides when a report is due.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogThrottle {
    reported_at: Option<Instant>,
}

impl LogThrottle {
    /// Returns whether a report is due at `now`; if so, it counts as made.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.reported_at.is_none_or(|at| now.saturating_duration_since(at) >= EVERY);
        if is_due {
            self.reported_at = Some(now);
        }
        is_due
    }

    /// Returns whether a report was made before.
    #[must_use]
    pub fn was_reported(&self) -> bool {
        self.reported_at.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_reported_and_then_one_a_minute() {
        let (mut sampled, start) = (LogThrottle::default(), Instant::now());
        assert!(!sampled.was_reported());
        assert!(sampled.is_due(start));
        assert!(!sampled.is_due(start + Duration::from_secs(59)));
        assert!(sampled.is_due(start + Duration::from_secs(60)));
        assert!(!sampled.is_due(start + Duration::from_secs(61)));
    }
}
