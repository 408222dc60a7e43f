//! Whether a series of samples rises: the median of the slopes of all pairs (Theil and Sen). Up to a third of the samples may
//! be anything, such as those beside a restart, and the median stays.
//!
//! Processes differ, by what they had to catch up with: the error of a trend follows from what they differ by, and only what
//! exceeds it counts.

use std::collections::BTreeMap;

/// Pairs of samples below which nothing is judged.
const LEAST_PAIRS: usize = 100;
/// Processes below which it is not known what they differ by.
const LEAST_LIVES: usize = 3;
/// Standard deviations that a trend has to exceed: by chance one of forty does.
const CONFIDENCE: f64 = 2.0;
/// The standard deviation of normal noise, in medians of its absolute values.
const DEVIATION: f64 = 1.4826;

/// One value of a series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    /// Hours since the beginning.
    pub(crate) at: f64,
    /// The life of the process that it is of.
    pub(crate) life: usize,
    pub(crate) value: f64,
}

/// Which pairs of samples are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Of the same process: what it does not give back until it ends.
    Life,
    /// Of different processes: what outlives them, on disk or in Redis.
    Run,
}

/// What is allowed to a kind of sample: the larger of the two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowed {
    /// In the unit of the sample: what a process that leaks nothing is seen to vary by.
    pub(crate) growth: f64,
    /// Of the median of the samples.
    pub(crate) share: f64,
}

/// What a series does in a scope.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Trend {
    pub(crate) per_hour: f64,
    /// The slope over the time between the first and the last sample that are compared.
    pub(crate) growth: f64,
    /// Standard deviation of the growth, by what the processes differ by; 0 if they are too few.
    pub(crate) error: f64,
    pub(crate) allowed: f64,
}

impl Trend {
    /// Judges a series; `None` if it has too few samples.
    pub(crate) fn of(points: &[Point], scope: Scope, allowed: Allowed) -> Option<Trend> {
        let mut slopes = Vec::new();
        let mut span: f64 = 0.0;
        for (at, one) in points.iter().enumerate() {
            for other in &points[at + 1..] {
                let hours = other.at - one.at;
                if hours > 0.0 && (one.life == other.life) == (scope == Scope::Life) {
                    slopes.push((other.value - one.value) / hours);
                    span = span.max(hours);
                }
            }
        }
        if slopes.len() < LEAST_PAIRS {
            return None;
        }
        let per_hour = median(&mut slopes);
        let typical = median(&mut points.iter().map(|point| point.value).collect::<Vec<_>>());
        let allowed = allowed.growth.max(allowed.share * typical);
        let error = error_of(points, scope, (per_hour, span));
        Some(Trend { per_hour, growth: per_hour * span, error, allowed })
    }

    /// Whether it grows by more than is allowed, beyond its error.
    pub(crate) fn is_growth(&self) -> bool {
        self.growth - CONFIDENCE * self.error > self.allowed
    }
}

/// Estimates the standard deviation of a growth, `per_hour` over `span` hours.
fn error_of(points: &[Point], scope: Scope, (per_hour, span): (f64, f64)) -> f64 {
    let mut lives: BTreeMap<usize, Vec<Point>> = BTreeMap::new();
    for point in points {
        lives.entry(point.life).or_default().push(*point);
    }
    let count = lives.len() as f64;
    match scope {
        // of a median of as many growths
        Scope::Life => deviation(lives.values().filter_map(|life| Some(slope(life)? * span))) / count.sqrt(),
        // of a slope through as many levels at equal distances
        Scope::Run => {
            let level = |life: &Vec<Point>| {
                median(&mut life.iter().map(|point| point.value - per_hour * point.at).collect::<Vec<_>>())
            };
            deviation(lives.values().map(level)) * (12.0 / count).sqrt()
        }
    }
}

/// The slope of the samples of a process.
fn slope(life: &[Point]) -> Option<f64> {
    let later = |(at, one): (usize, &Point)| {
        let one = *one;
        life[at + 1..].iter().filter(move |other| other.at > one.at).map(move |other| (one, *other))
    };
    let pairs = life.iter().enumerate().flat_map(later);
    let mut slopes: Vec<f64> =
        pairs.map(|(one, other)| (other.value - one.value) / (other.at - one.at)).collect();
    (!slopes.is_empty()).then(|| median(&mut slopes))
}

/// The standard deviation of values of which some may be anything; 0 if they are too few.
fn deviation(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    if values.len() < LEAST_LIVES {
        return 0.0;
    }
    let middle = median(&mut values);
    DEVIATION * median(&mut values.iter().map(|value| (value - middle).abs()).collect::<Vec<_>>())
}

/// The middle one, or the upper of the two.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: f64 = 1024.0 * 1024.0;
    const ALLOWED: Allowed = Allowed { growth: 4.0 * MIB, share: 0.1 };
    /// Samples of a life, one every five seconds.
    const OF_LIFE: usize = 60;

    /// An hour of 12 lives, whose values are noisy and every tenth of which is far off.
    fn hour(value: impl Fn(f64, f64) -> f64) -> Vec<Point> {
        let mut chance = fastrand::Rng::with_seed(1);
        let points = (0..12 * OF_LIFE).map(|n| {
            let (at, in_life) = (n as f64 / 720.0, (n % OF_LIFE) as f64 / 720.0);
            let noise = (chance.f64() - 0.5) * 2.0 * MIB;
            let outlier = if n % 10 == 3 { 60.0 * MIB } else { 0.0 };
            Point { at, life: n / OF_LIFE, value: 30.0 * MIB + noise + outlier + value(at, in_life) }
        });
        points.collect()
    }

    #[track_caller]
    fn judges(points: &[Point], grows: (bool, bool)) {
        let of = |scope| Trend::of(points, scope, ALLOWED).unwrap();
        let (life, run) = (of(Scope::Life), of(Scope::Run));
        assert_eq!((life.is_growth(), run.is_growth()), grows, "{life:?} {run:?}");
    }

    #[test]
    fn noise_and_outliers_are_no_trend() {
        judges(&hour(|_, _| 0.0), (false, false));
    }

    #[test]
    fn what_a_process_gives_back_at_its_end_only_is_a_trend_of_its_life() {
        judges(&hour(|_, in_life| 80.0 * MIB * in_life), (true, false));
    }

    #[test]
    fn what_outlives_the_processes_is_a_trend_of_the_run() {
        judges(&hour(|at, in_life| 8.0 * MIB * (at - in_life)), (false, true));
        judges(&hour(|at, _| 200.0 * MIB * at), (true, true));
    }

    #[test]
    fn what_shrinks_or_grows_by_less_than_is_allowed_is_no_trend() {
        judges(&hour(|at, _| -100.0 * MIB * at), (false, false));
        judges(&hour(|at, _| 2.0 * MIB * at), (false, false));
    }

    #[test]
    fn processes_that_differ_are_no_trend_and_do_not_hide_one() {
        // 0, 12, 4, 17, 9, 1 …
        let level = |at: f64, in_life: f64| ((at - in_life) * 7.3).fract() * 20.0 * MIB;
        judges(&hour(level), (false, false));
        // by chance the later ones are higher
        let rises = |at, in_life| level(at, in_life) * if at < 0.5 { 0.6 } else { 1.0 };
        judges(&hour(rises), (false, false));
        judges(&hour(|at, in_life| level(at, in_life) + 80.0 * MIB * in_life), (true, false));
        judges(&hour(|at, in_life| level(at, in_life) + 60.0 * MIB * (at - in_life)), (false, true));
    }

    #[test]
    fn a_slope_is_that_of_most_pairs() {
        let points: Vec<Point> =
            (0..30).map(|n| Point { at: f64::from(n), life: 0, value: f64::from(n) * 2.0 + 7.0 }).collect();
        let trend = Trend::of(&points, Scope::Life, Allowed { growth: 1.0, share: 0.0 }).unwrap();
        assert_eq!(trend, Trend { per_hour: 2.0, growth: 58.0, error: 0.0, allowed: 1.0 });
        assert_eq!(Trend::of(&points, Scope::Run, ALLOWED), None, "there is one life");
        assert_eq!(Trend::of(&points[..10], Scope::Life, ALLOWED), None, "too few");
    }
}
