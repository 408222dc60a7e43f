//! Compares a row per minute with the events.

use super::question::ReceivedEvents;
use super::series::{Point, Points};
use super::{AuditSubject, HOUR_US, MINUTE_US};

/// Difference of two volumes of a session that still agree: one in this many.
const VOLUME_WITHIN: u64 = 1_000;

/// The minutes of an hour, by their starts in Unix microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Minutes of which REST has a row that demands an event.
    pub checked: u64,
    /// Those of them without an event.
    pub lacking: Vec<u64>,
    /// Those whose newest event has less volume than REST had a minute before.
    pub stale: Vec<u64>,
    /// Whether any volume is not between those of its candle and the one before.
    pub is_strange: bool,
    /// Whether any volume was compared.
    pub has_volumes: bool,
    /// Points of the time of an event with other values.
    pub differing: u64,
    /// The least volume of a minute with an event.
    pub least: Option<u64>,
}

/// Returns the minutes of an hour in which events are expected and that may be judged.
#[must_use]
pub fn judged(subject: &AuditSubject, position: usize, hour_us: u64, known: ReceivedEvents<'_>) -> Vec<u64> {
    let tolerance = subject.tolerance_us();
    let minutes = (hour_us..hour_us + HOUR_US).step_by(MINUTE);
    let is_judged = |minute: &u64| {
        let (from_us, to_us) = (minute.saturating_sub(tolerance), minute + MINUTE_US + tolerance);
        subject.is_expected(from_us, to_us)
            && known.blind[position].sees(from_us, to_us)
            && known.kept.is_whole(position, from_us, to_us)
    };
    minutes.filter(is_judged).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "a minute fits any platform that runs this")]
const MINUTE: usize = MINUTE_US as usize;

/// Compares the rows of an hour; candles of less than `floor` demand no event.
#[must_use]
pub fn compare(
    subject: &AuditSubject,
    position: usize,
    (hour_us, floor): (u64, u64),
    points: &Points,
    known: ReceivedEvents<'_>,
) -> Compared {
    let mut compared = Compared::default();
    for minute in judged(subject, position, hour_us, known) {
        let Some(point) = points.get(&minute) else { continue };
        if matches!(subject, AuditSubject::Price(_)) {
            let before = points.get(&(minute - MINUTE_US));
            compared.candle(subject, position, (minute, point, before), floor, known);
        } else {
            compared.exposure(subject, position, (minute, point), known);
        }
    }
    compared
}

impl Compared {
    fn candle(
        &mut self,
        subject: &AuditSubject,
        position: usize,
        (minute, candle, before): (u64, &Point, Option<&Point>),
        floor: u64,
        known: ReceivedEvents<'_>,
    ) {
        if candle.volume < floor.max(1) {
            return;
        }
        self.checked += 1;
        let tolerance = subject.tolerance_us();
        let (from_us, to_us) = (minute.saturating_sub(tolerance), minute + MINUTE_US + tolerance);
        if !known.kept.has_any(position, from_us, to_us) {
            self.lacking.push(minute);
            return;
        }
        self.least = Some(self.least.map_or(candle.volume, |least| least.min(candle.volume)));
        let newest = known.kept.minute(position, minute).and_then(|kept| kept.newest);
        let (Some((_, volume)), Some(from), Some(to)) =
            (newest, before.and_then(|before| before.total), candle.total)
        else {
            return;
        };
        self.has_volumes = true;
        let is_stale = volume < from - from / VOLUME_WITHIN;
        self.is_strange |= is_stale || volume > to + to / VOLUME_WITHIN;
        if is_stale {
            self.stale.push(minute);
        }
    }

    fn exposure(
        &mut self,
        subject: &AuditSubject,
        position: usize,
        (minute, point): (u64, &Point),
        known: ReceivedEvents<'_>,
    ) {
        self.checked += 1;
        let (at_us, tolerance) = (point.at_us, subject.tolerance_us());
        if !known.kept.has_any(position, at_us.saturating_sub(tolerance), at_us + tolerance + 1) {
            self.lacking.push(minute);
            return;
        }
        let same_time = known.kept.hashes(position, at_us, at_us + 1);
        let is_other = point.values.is_some_and(|values| same_time.binary_search(&values).is_err());
        self.differing += u64::from(is_other && !same_time.is_empty());
    }
}

/// Returns runs of minutes that follow each other: the first, the last, and how many.
#[must_use]
pub fn runs(minutes: impl Iterator<Item = u64>) -> Vec<(u64, u64, u64)> {
    let mut runs: Vec<(u64, u64, u64)> = Vec::new();
    for minute in minutes {
        match runs.last_mut() {
            Some((_, last, count)) if *last + MINUTE_US == minute => (*last, *count) = (minute, *count + 1),
            _ => runs.push((minute, minute, 1)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::blind::Blind;
    use crate::audit::kept::KeptIdentities;

    /// 15:00 UTC on 2026-10-05, in a session.
    const HOUR: u64 = 1_791_212_400_000_000;

    fn minute(n: u64) -> u64 {
        HOUR + n * MINUTE_US
    }

    fn price() -> AuditSubject {
        AuditSubject::Price("SPY".to_owned())
    }

    /// Events of a ticker with these times in milliseconds after the hour and these volumes.
    fn prices(events: &[(u64, u64)]) -> KeptIdentities {
        let mut kept = KeptIdentities::new(vec![price()]);
        for (ms, vol) in events {
            let payload = format!(r#"{{"close":"1","time":{},"vol":{vol}}}"#, HOUR / 1_000 + ms);
            kept.note(0, payload.as_bytes(), HOUR + HOUR_US);
        }
        kept
    }

    fn candle(n: u64, volume: u64, total: u64) -> (u64, Point) {
        (minute(n), Point { at_us: minute(n), volume, total: Some(total), values: None })
    }

    fn compared(
        subject: &AuditSubject,
        kept: &KeptIdentities,
        blind: Blind,
        floor: u64,
        points: &Points,
    ) -> Compared {
        let known = ReceivedEvents { kept, blind: &[blind], now_us: HOUR + 2 * HOUR_US };
        compare(subject, 0, (HOUR, floor), points, known)
    }

    #[test]
    fn a_candle_with_volume_demands_an_event_in_its_minute_or_seconds_beside_it() {
        // the second event is four seconds early, the third minute has none
        let kept = prices(&[(30_000, 100), (56_000, 105), (185_000, 120)]);
        let points = Points::from([
            candle(0, 9, 104),
            candle(1, 3, 107),
            candle(2, 5, 112),
            candle(3, 8, 120),
            candle(4, 0, 120),
        ]);
        let found = compared(&price(), &kept, Blind::default(), 1, &points);
        assert_eq!((found.checked, found.lacking, found.least), (4, vec![minute(2)], Some(3)));
        // what is thinner than what ever had an event demands none
        assert_eq!(compared(&price(), &kept, Blind::default(), 6, &points).lacking, [0; 0]);
        let mut blind = Blind::default();
        blind.note(minute(2), minute(2));
        assert_eq!(compared(&price(), &kept, blind, 1, &points).lacking, [0; 0], "a gap explains it");
    }

    #[test]
    fn a_volume_from_before_the_minute_is_stale() {
        let kept = prices(&[(30_000, 10_000), (90_000, 10_005), (150_000, 9_900)]);
        let points = Points::from([candle(0, 9, 10_000), candle(1, 9, 10_010), candle(2, 9, 10_020)]);
        let found = compared(&price(), &kept, Blind::default(), 1, &points);
        assert_eq!((found.stale, found.lacking, found.is_strange), (vec![minute(2)], vec![], true));
        // a volume of another meaning is strange and not stale
        let kept = prices(&[(90_000, 70_000)]);
        let found = compared(&price(), &kept, Blind::default(), 1, &points);
        assert_eq!((found.stale, found.is_strange, found.has_volumes), (vec![], true, true));
    }

    #[test]
    fn a_point_demands_an_exposure_within_a_minute_and_equal_times_are_compared() {
        let gex = AuditSubject::Gex("SPY".to_owned());
        let mut kept = KeptIdentities::new(vec![gex.clone()]);
        let event = |second: u64, charm: &str| {
            let names = ["gamma", "charm", "vanna"].map(|greek| {
                ["oi", "vol", "dir"]
                    .map(|kind| format!(r#""{greek}_per_one_percent_move_{kind}":"{charm}""#))
                    .join(",")
            });
            format!(r#"{{"timestamp":{},{}}}"#, HOUR / 1_000 + second * 1_000, names.join(","))
        };
        for (second, charm) in [(48, "1.50"), (108, "7")] {
            kept.note(0, event(second, charm).as_bytes(), HOUR + HOUR_US);
        }
        let values = |charm: &str| {
            let row = serde_json::from_str(&event(0, charm)).unwrap();
            crate::audit::kept::values(&row)
        };
        let point = |n: u64, second: u64, charm: &str| {
            (
                minute(n),
                Point { at_us: minute(n) + second * 1_000_000, values: values(charm), ..Point::default() },
            )
        };
        let points = Points::from([point(0, 48, "1.5"), point(1, 48, "8"), point(3, 9, "1")]);
        let found = compared(&gex, &kept, Blind::default(), 1, &points);
        assert_eq!((found.checked, found.lacking, found.differing), (3, vec![minute(3)], 1));
    }

    #[test]
    fn outside_of_the_hours_of_the_product_nothing_is_judged() {
        let kept = prices(&[]);
        let evening = HOUR + 6 * HOUR_US;
        let known = ReceivedEvents { kept: &kept, blind: &[Blind::default()], now_us: evening + 2 * HOUR_US };
        assert_eq!(judged(&price(), 0, evening, known), [0; 0]);
        // the first minute of the session is too near to its edge
        let morning = HOUR - 2 * HOUR_US;
        assert_eq!(judged(&price(), 0, morning, known).first(), Some(&(morning + 31 * MINUTE_US)));
    }

    #[test]
    fn minutes_that_follow_each_other_are_a_run() {
        let found = runs([minute(1), minute(2), minute(5)].into_iter());
        assert_eq!(found, [(minute(1), minute(2), 2), (minute(5), minute(5), 1)]);
    }
}
