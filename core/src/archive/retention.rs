//! Which days the archive keeps.

use crate::calendar::{session_date, session_hours};

/// Days searched for each session: on average one and a half.
const DAYS_PER_SESSION: usize = 3;
/// Days searched in any case: longer than any closure.
const LEAST_DAYS: usize = 14;

/// Returns the first date that is kept, in days since 1970-01-01: that of the session this many before the current one,
/// which is the one that opened last. At least the last `sessions` completed sessions and everything since are kept.
/// `None` if the calendar has fewer.
#[must_use]
pub fn first_kept_date(sessions: usize, now_ms: u64) -> Option<i32> {
    let today = session_date(now_ms);
    let days = sessions.saturating_mul(DAYS_PER_SESSION).saturating_add(LEAST_DAYS);
    let dates = (0..days).map(|back| today.saturating_sub(i32::try_from(back).unwrap_or(i32::MAX)));
    let opened = dates.filter(|date| session_hours(*date).is_some_and(|hours| hours.start <= now_ms));
    opened.take(sessions.saturating_add(1)).nth(sessions)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::calendar::{iso_date, retention_cutoff};
    use crate::settings::Retention;
    use crate::time::parse_iso;

    #[track_caller]
    fn keeps(sessions: usize, now: &str, since: &str) {
        let first = first_kept_date(sessions, parse_iso(now).unwrap() / 1000).map(iso_date);
        assert_eq!(first.as_deref(), Some(since), "{sessions} at {now}");
    }

    #[test]
    fn trading_days_count_and_others_do_not() {
        keeps(5, "2026-11-20T17:00:00Z", "2026-11-13");
        keeps(5, "2026-11-22T17:00:00Z", "2026-11-13");
        keeps(1, "2026-11-27T17:00:00Z", "2026-11-25");
        keeps(1, "2026-11-27T14:00:00Z", "2026-11-24");
        keeps(250, "2026-11-20T17:00:00Z", "2025-11-21");
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_age_limit_of_streams(now in 1_420_070_400_000_u64..2_366_841_600_000, n in 1_usize..=30) {
            let cutoff = retention_cutoff(Retention::Sessions(n), now).map(session_date);
            prop_assert_eq!(first_kept_date(n, now), cutoff);
        }

        #[test]
        fn it_never_goes_back(now in 1_420_070_400_000_u64..2_366_841_600_000, n in 1_usize..=400, days in 0_u64..9) {
            let later = now + days * u64::try_from(Duration::from_secs(86_400).as_millis()).unwrap();
            prop_assert!(first_kept_date(n, now).unwrap() <= first_kept_date(n, later).unwrap());
        }
    }
}
