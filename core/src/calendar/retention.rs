//! The cutoff of an age limit.
//!
//! The *current session* is the one that opened last; it remains current after its close, overnight and over
//! weekends and holidays, until the next one opens. The cutoff therefore moves only at an open, and in the evening
//! the whole day is still available, with the n sessions before it. At least the last n completed sessions are
//! always kept: during a session the n before it, afterwards one more.

use super::sessions::{session_date, session_hours};
use crate::settings::Retention;
use crate::time::millis;

/// Days searched for each session: on average one and a half.
const DAYS_PER_SESSION: i32 = 3;
/// Days searched in any case: longer than any closure.
const LEAST_DAYS: i32 = 14;
/// Days searched at most, whatever is asked for: a century.
const MOST_DAYS: i32 = 36_525;

/// Returns the time since which everything is kept, in Unix milliseconds; `None` if nothing may be removed.
#[must_use]
pub fn retention_cutoff(retention: Retention, now_ms: u64) -> Option<u64> {
    match retention {
        Retention::Off => None,
        Retention::Span(span) => now_ms.checked_sub(millis(span)),
        Retention::Sessions(before_present) => {
            first_kept_date(before_present, now_ms).and_then(session_hours).map(|hours| hours.start)
        }
    }
}

/// Returns the first date that is kept, in days since 1970-01-01: that of the session this many before the current one,
/// which is the one that opened last. At least the last `sessions` completed sessions and everything since are kept.
/// `None` if the calendar has fewer.
#[must_use]
pub fn first_kept_date(sessions: usize, now_ms: u64) -> Option<i32> {
    let today = session_date(now_ms);
    let wanted = i32::try_from(sessions).unwrap_or(i32::MAX);
    let days = wanted.saturating_mul(DAYS_PER_SESSION).saturating_add(LEAST_DAYS).min(MOST_DAYS);
    let dates = (0..days).map(|back| today.saturating_sub(back));
    let mut opened = dates.filter(|date| session_hours(*date).is_some_and(|hours| hours.start <= now_ms));
    opened.nth(sessions)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::sessions::iso_date;
    use super::super::sessions::tests::{at, recent};
    use super::*;
    use crate::time::parse_iso;

    #[track_caller]
    fn keeps(sessions: usize, now: &str, since: &str) {
        let cutoff = retention_cutoff(Retention::Sessions(sessions), at(now));
        assert_eq!(cutoff, Some(at(since)), "{sessions}d at {now}");
    }

    #[test]
    fn in_a_session_the_one_before_it_is_kept_from_its_open() {
        keeps(1, "2026-11-19T12:00-05:00", "2026-11-18T09:30-05:00");
        keeps(2, "2026-11-19T12:00-05:00", "2026-11-17T09:30-05:00");
    }

    #[test]
    fn the_limit_moves_at_the_open_and_at_no_other_moment() {
        keeps(1, "2026-11-20T09:29:59.999-05:00", "2026-11-18T09:30-05:00");
        for now in [
            "2026-11-20T09:30-05:00",
            "2026-11-20T15:59:59.999-05:00",
            "2026-11-20T16:00-05:00",
            "2026-11-21T00:00-05:00",
            "2026-11-22T12:00-05:00",
            "2026-11-23T09:29:59.999-05:00",
        ] {
            keeps(1, now, "2026-11-19T09:30-05:00");
        }
        keeps(1, "2026-11-23T09:30-05:00", "2026-11-20T09:30-05:00");
    }

    #[test]
    fn days_without_a_session_do_not_count() {
        // Good Friday, Independence Day on a Friday (observed the day before) and on a Sunday, a day of mourning
        keeps(1, "2024-04-01T10:00-04:00", "2024-03-28T09:30-04:00");
        keeps(1, "2025-04-21T10:00-04:00", "2025-04-17T09:30-04:00");
        keeps(1, "2026-04-06T10:00-04:00", "2026-04-02T09:30-04:00");
        keeps(1, "2027-03-29T10:00-04:00", "2027-03-25T09:30-04:00");
        keeps(1, "2026-07-06T10:00-04:00", "2026-07-02T09:30-04:00");
        keeps(1, "2027-07-06T10:00-04:00", "2027-07-02T09:30-04:00");
        keeps(1, "2025-01-10T10:00-05:00", "2025-01-08T09:30-05:00");
        keeps(2, "2024-06-20T10:00-04:00", "2024-06-17T09:30-04:00");
    }

    #[test]
    fn a_session_that_closes_early_counts_as_one() {
        keeps(1, "2024-07-05T10:00-04:00", "2024-07-03T09:30-04:00");
        keeps(1, "2025-07-07T10:00-04:00", "2025-07-03T09:30-04:00");
        keeps(1, "2024-11-30T12:00-05:00", "2024-11-27T09:30-05:00");
        keeps(1, "2025-12-01T10:00-05:00", "2025-11-28T09:30-05:00");
        keeps(1, "2024-12-26T10:00-05:00", "2024-12-24T09:30-05:00");
        keeps(1, "2026-11-27T13:00-05:00", "2026-11-25T09:30-05:00");
        keeps(1, "2026-12-28T10:00-05:00", "2026-12-24T09:30-05:00");
    }

    #[test]
    fn the_open_follows_new_yorks_clock() {
        keeps(1, "2024-03-11T10:00-04:00", "2024-03-08T09:30-05:00");
        keeps(1, "2025-11-03T10:00-05:00", "2025-10-31T09:30-04:00");
        keeps(2, "2026-03-09T09:30-04:00", "2026-03-05T09:30-05:00");
        keeps(1, "2027-11-08T10:00-05:00", "2027-11-05T09:30-04:00");
    }

    #[test]
    fn a_year_ends_as_a_month_does() {
        keeps(1, "2024-01-02T10:00-05:00", "2023-12-29T09:30-05:00");
        keeps(1, "2025-01-01T12:00-05:00", "2024-12-30T09:30-05:00");
        keeps(2, "2026-01-02T10:00-05:00", "2025-12-30T09:30-05:00");
        keeps(1, "2027-01-04T10:00-05:00", "2026-12-31T09:30-05:00");
    }

    #[test]
    fn thirty_days_are_six_weeks_and_the_holidays_in_them() {
        keeps(30, "2026-11-20T12:00-05:00", "2026-10-09T09:30-04:00");
        keeps(30, "2025-01-10T12:00-05:00", "2024-11-25T09:30-05:00");
    }

    #[test]
    fn plain_time_is_plain() {
        let hours = |hours: u64| Retention::Span(Duration::from_secs(3_600 * hours));
        let saturday = at("2026-11-21T12:00-05:00");
        assert_eq!(retention_cutoff(hours(6), saturday), Some(saturday - 6 * 3_600_000));
        assert_eq!(retention_cutoff(hours(6), 1_000), None, "there is nothing before 1970");
        assert_eq!(retention_cutoff(Retention::Off, saturday), None);
    }

    #[test]
    fn clocks_that_are_far_off_are_survived() {
        for now in [0, 1, 86_400_000, u64::MAX / 2, u64::MAX] {
            for sessions in [1, 30, usize::MAX] {
                let cutoff = retention_cutoff(Retention::Sessions(sessions), now);
                assert!(cutoff.is_none_or(|cutoff| cutoff <= now), "{sessions}d at {now}");
            }
        }
    }

    proptest! {
        #[test]
        fn at_least_the_last_n_completed_sessions_are_kept_and_at_most_one_more(
            now in recent(),
            n in 1_usize..=30,
        ) {
            let cutoff = retention_cutoff(Retention::Sessions(n), now).unwrap();
            let dates = session_date(cutoff)..=session_date(now);
            let sessions: Vec<_> = dates.filter_map(session_hours).collect();
            prop_assert_eq!(sessions[0].start, cutoff, "a session is kept from its open");
            let completed = sessions.iter().filter(|hours| hours.end <= now).count();
            let is_on = sessions.iter().any(|hours| hours.contains(&now));
            prop_assert_eq!(completed, if is_on { n } else { n + 1 });
        }

        #[test]
        fn the_limit_never_goes_back(now in recent(), later in 0_u64..10 * 86_400_000, n in 1_usize..=30) {
            let cutoff = |now| retention_cutoff(Retention::Sessions(n), now).unwrap();
            prop_assert!(cutoff(now) <= cutoff(now + later));
        }
    }

    #[track_caller]
    fn keeps_date(sessions: usize, now: &str, since: &str) {
        let first = first_kept_date(sessions, parse_iso(now).unwrap() / 1000).map(iso_date);
        assert_eq!(first.as_deref(), Some(since), "{sessions} at {now}");
    }

    #[test]
    fn trading_days_count_and_others_do_not() {
        keeps_date(5, "2026-11-20T17:00:00Z", "2026-11-13");
        keeps_date(5, "2026-11-22T17:00:00Z", "2026-11-13");
        keeps_date(1, "2026-11-27T17:00:00Z", "2026-11-25");
        keeps_date(1, "2026-11-27T14:00:00Z", "2026-11-24");
        keeps_date(250, "2026-11-20T17:00:00Z", "2025-11-21");
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
