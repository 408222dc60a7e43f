//! The table at the end, and what fails the run.

use std::fmt;
use std::time::Duration;

use super::kind::{KINDS, Kind};
use super::sample::Sample;
use super::trend::{Point, Scope, Trend, median};

/// What the samples say.
pub(crate) struct Report {
    lives: usize,
    samples: usize,
    rows: Vec<Row>,
}

struct Row {
    kind: &'static Kind,
    points: Vec<Point>,
    life: Option<Trend>,
    run: Option<Trend>,
    /// Whether no process was old enough to be judged by itself.
    is_young: bool,
}

/// A process that is to be judged by itself lives for so many times [`Kind::grown_up`].
const LEAST_OF_GROWN_UP: f64 = 1.5;

impl Report {
    /// Judges the samples of processes that were ready for longer than `warm_up`.
    pub(crate) fn new(samples: &[Sample], warm_up: Duration) -> Report {
        let oldest = samples.iter().map(|sample| sample.age).max().unwrap_or_default();
        let row = |kind: &'static Kind| {
            let points_from = |age: Duration| -> Vec<Point> {
                let warm = samples.iter().filter(|sample| sample.age >= age);
                let point = |sample: &Sample| Point {
                    at: sample.at.as_secs_f64() / 3600.0,
                    life: sample.life,
                    value: (kind.value)(sample),
                };
                warm.map(point).collect()
            };
            let points = points_from(warm_up);
            let life = Trend::of(&points_from(warm_up.max(kind.grown_up)), Scope::Life, kind.allowed);
            let is_young = oldest < kind.grown_up.mul_f64(LEAST_OF_GROWN_UP);
            Row { kind, life, run: Trend::of(&points, Scope::Run, kind.allowed), points, is_young }
        };
        let warm = samples.iter().filter(|sample| sample.age >= warm_up).count();
        let lives = samples.last().map_or(0, |last| last.life + 1);
        Report { lives, samples: warm, rows: KINDS.iter().map(row).collect() }
    }

    /// What grows, and what has too few samples to be judged.
    pub(crate) fn trends(&self) -> Vec<String> {
        self.rows.iter().flat_map(Row::trends).collect()
    }
}

impl Row {
    fn trends(&self) -> Vec<String> {
        let of = |scope: &Scope| {
            let trend = if *scope == Scope::Life { self.life } else { self.run };
            match trend {
                _ if *scope == Scope::Life && self.is_young => None,
                None => Some(format!("{}: too few samples of the {scope:?}", self.kind.name)),
                Some(trend) => trend.is_growth().then(|| {
                    let [growth, error, allowed] =
                        [trend.growth, trend.error, trend.allowed].map(|value| value / self.kind.unit);
                    format!(
                        "{}: grows by {growth:.1} ± {error:.1} within a {scope:?}, {allowed:.1} are allowed",
                        self.kind.name
                    )
                }),
            }
        };
        self.kind.judged.iter().filter_map(of).collect()
    }

    fn verdict(&self) -> &'static str {
        let is_growth = |trend: Option<Trend>| trend.is_some_and(|trend| trend.is_growth());
        match self.kind.judged {
            [] => "shown only",
            _ if is_growth(self.life) && !self.is_young || is_growth(self.run) => "GROWS",
            _ if !self.trends().is_empty() => "too few samples",
            _ if self.is_young => "steady; the processes are too young to be judged alone",
            _ => "steady",
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} samples of {} processes", self.samples, self.lives)?;
        writeln!(
            f,
            "{:<32}{:>10}{:>10}{:>10}{:>18}{:>18}{:>10}  verdict",
            "", "least", "median", "most", "growth, life", "growth, run", "allowed"
        )?;
        for row in &self.rows {
            let mut values: Vec<f64> = row.points.iter().map(|point| point.value / row.kind.unit).collect();
            if values.is_empty() {
                writeln!(f, "{:<32}no samples", row.kind.name)?;
                continue;
            }
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = values.iter().copied().fold(0.0, f64::max);
            let growth = |trend: Option<Trend>| {
                trend.map_or_else(
                    || "–".to_owned(),
                    |trend| {
                        format!("{:+.2} ±{:.2}", trend.growth / row.kind.unit, trend.error / row.kind.unit)
                    },
                )
            };
            let allowed = row.life.or(row.run).map_or(0.0, |trend| trend.allowed / row.kind.unit);
            writeln!(
                f,
                "{:<32}{least:>10.1}{:>10.1}{most:>10.1}{:>18}{:>18}{allowed:>10.1}  {}",
                row.kind.name,
                median(&mut values),
                growth(row.life),
                growth(row.run),
                row.verdict()
            )?;
        }
        Ok(())
    }
}
