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
}

impl Report {
    /// Judges the samples of processes that were ready for longer than `warm_up`.
    pub(crate) fn new(samples: &[Sample], warm_up: Duration) -> Report {
        let warm: Vec<&Sample> = samples.iter().filter(|sample| sample.age >= warm_up).collect();
        let row = |kind: &'static Kind| {
            let point = |sample: &&Sample| Point {
                at: sample.at.as_secs_f64() / 3600.0,
                life: sample.life,
                value: (kind.value)(sample),
            };
            let points: Vec<Point> = warm.iter().map(point).collect();
            let of = |scope| Trend::of(&points, scope, kind.allowed);
            Row { kind, life: of(Scope::Life), run: of(Scope::Run), points }
        };
        let lives = samples.last().map_or(0, |last| last.life + 1);
        Report { lives, samples: warm.len(), rows: KINDS.iter().map(row).collect() }
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
                None => Some(format!("{}: too few samples of the {scope:?}", self.kind.name)),
                Some(trend) => trend.is_growth().then(|| {
                    let (growth, allowed) = (trend.growth / self.kind.unit, trend.allowed / self.kind.unit);
                    format!(
                        "{}: grows by {growth:.1} within a {scope:?}, {allowed:.1} are allowed",
                        self.kind.name
                    )
                }),
            }
        };
        self.kind.judged.iter().filter_map(of).collect()
    }

    fn verdict(&self) -> &'static str {
        let grows = |trend: Option<Trend>| trend.is_some_and(|trend| trend.is_growth());
        match self.kind.judged {
            [] => "shown only",
            _ if grows(self.life) || grows(self.run) => "GROWS",
            _ if self.trends().is_empty() => "steady",
            _ => "too few samples",
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} samples of {} processes", self.samples, self.lives)?;
        writeln!(
            f,
            "{:<32}{:>10}{:>10}{:>10}{:>14}{:>14}{:>10}  verdict",
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
                trend.map_or_else(|| "–".to_owned(), |trend| format!("{:+.2}", trend.growth / row.kind.unit))
            };
            let allowed = row.life.or(row.run).map_or(0.0, |trend| trend.allowed / row.kind.unit);
            writeln!(
                f,
                "{:<32}{least:>10.1}{:>10.1}{most:>10.1}{:>14}{:>14}{allowed:>10.1}  {}",
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
