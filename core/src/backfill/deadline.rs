//! What the vendor still has, by session, and the order of work that follows.

use std::cmp::Reverse;

use super::job::FillJob;
use crate::calendar::{midnight, session_date, session_hours};
use crate::channel::fill::{Ask, FillSource};
use crate::event::{EntryId, Family};

/// Days searched for a session: a long weekend has four.
const LOOK_BACK_DAYS: i32 = 10;
/// Time for which a failing endpoint is retried, in microseconds.
pub const PATIENCE_US: u64 = 6 * 3_600 * 1_000_000;

/// Returns the time before which an endpoint of the latest session has nothing, in Unix microseconds. When the vendor
/// turns to the next session is not known: rows that may still be available are requested.
#[must_use]
pub fn latest_session_us(now_us: u64) -> u64 {
    let today = session_date(now_us / 1000);
    let dates = (0..LOOK_BACK_DAYS).map(|days| today.saturating_sub(days));
    let mut begun =
        dates.filter(|date| session_hours(*date).is_some_and(|hours| hours.start <= now_us / 1000));
    begun.next().and_then(midnight).map_or(0, |ms| ms.saturating_mul(1000))
}

/// Returns the time by which an endpoint of the latest session forgets what is before `at_us`: the next open.
#[must_use]
pub fn forgotten_us(at_us: u64) -> Option<u64> {
    let date = session_date(at_us / 1000);
    let dates = (1..=LOOK_BACK_DAYS).map(|days| date.saturating_add(days));
    let opens = dates.filter_map(session_hours).map(|hours| hours.start.saturating_mul(1000));
    opens.into_iter().next()
}

/// Whether it is too late to continue with a failing job.
#[must_use]
pub fn is_over(source: &FillSource, job: &FillJob, now_us: u64) -> bool {
    let has_failed_long =
        job.failing_since_us > 0 && now_us.saturating_sub(job.failing_since_us) > PATIENCE_US;
    let is_forgotten = source.is_of_the_day && forgotten_us(job.to_us).is_some_and(|at| now_us >= at);
    has_failed_long || is_forgotten
}

/// Orders jobs: what the vendor forgets first, then by channel; the newest gap first.
#[must_use]
pub fn rank(job: &FillJob) -> (bool, Family, Reverse<EntryId>) {
    let source = job.source();
    let is_urgent =
        source.is_some_and(|source| source.is_of_the_day && matches!(source.ask, Ask::Window { .. }));
    let family = job.parts().map_or(Family::Other, |topic| topic.channel.family());
    // alerts and news before what is summed up
    (!is_urgent, family, Reverse(job.gap))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(iso: &str) -> u64 {
        crate::time::parse_iso(iso).unwrap()
    }

    #[test]
    fn the_latest_session_begins_at_midnight_and_turns_at_the_open() {
        for (now, since) in [
            ("2026-10-06T09:29:00-04:00", "2026-10-05T00:00:00-04:00"),
            ("2026-10-06T09:30:00-04:00", "2026-10-06T00:00:00-04:00"),
            ("2026-10-06T23:00:00-04:00", "2026-10-06T00:00:00-04:00"),
            ("2026-10-11T12:00:00-04:00", "2026-10-09T00:00:00-04:00"),
            ("2026-11-27T08:00:00-05:00", "2026-11-25T00:00:00-05:00"),
        ] {
            assert_eq!(latest_session_us(us(now)), us(since), "{now}");
        }
    }

    #[test]
    fn trades_are_forgotten_at_the_next_open() {
        assert_eq!(forgotten_us(us("2026-10-09T15:00:00-04:00")), Some(us("2026-10-12T09:30:00-04:00")));
        let job = FillJob::new(
            EntryId::default(),
            "option_trades:SPY".into(),
            (0, us("2026-10-09T15:00:00-04:00")),
        );
        let source = job.source().unwrap();
        assert!(!is_over(source, &job, us("2026-10-12T09:29:59-04:00")));
        assert!(is_over(source, &job, us("2026-10-12T09:30:00-04:00")));
    }

    #[test]
    fn trades_come_first_then_the_newest_gap() {
        let job = |topic: &str, ms| FillJob::new(EntryId { ms, seq: 0 }, topic.into(), (0, 1));
        let mut jobs = [
            job("price:SPY", 9),
            job("flow-alerts", 1),
            job("option_trades:SPY", 1),
            job("option_trades:SPY", 2),
            job("gex:SPY", 1),
        ];
        jobs.sort_by_key(rank);
        let order: Vec<_> = jobs.iter().map(|job| (job.topic.as_str(), job.gap.ms)).collect();
        assert_eq!(
            order,
            [
                ("option_trades:SPY", 2),
                ("option_trades:SPY", 1),
                ("flow-alerts", 1),
                ("price:SPY", 9),
                ("gex:SPY", 1)
            ]
        );
    }
}
