//! One instant with more rows than an answer can hold: its rows are divided by the values of parameters.

use super::answer::FetchedRow;
use crate::channel::fill::{FillSource, Split};
use crate::rest_query::RestQuery;

/// A part of the rows of an instant: a value for each of some parameters.
type Part = Vec<(&'static str, &'static str)>;

/// The rows of an instant, part by part.
#[derive(Debug)]
pub(super) struct Instant {
    /// The beginning of the instant, which is a unit of the row's time long.
    pub at_us: u64,
    splits: &'static [Split],
    pending: Vec<Part>,
    rows: Vec<FetchedRow>,
    /// Rows of the answer that was too small, which must all be found in a part.
    expected: Vec<u64>,
    is_full: bool,
}

impl Instant {
    /// Begins after a full answer with rows of this instant only.
    pub(super) fn new(at_us: u64, splits: &'static [Split], rows: Vec<FetchedRow>) -> Instant {
        let expected = rows.iter().map(|row| row.fingerprint).collect();
        let mut instant = Instant { at_us, splits, pending: Vec::new(), rows, expected, is_full: false };
        instant.divide(&Part::new());
        instant
    }

    /// Adds the next part to a query for the instant; `None` when there is none left.
    pub(super) fn ask(&self, query: &mut RestQuery) -> Option<()> {
        for (parameter, value) in self.pending.last()? {
            query.set(parameter, *value);
        }
        Some(())
    }

    /// Takes the rows of the part asked for.
    pub(super) fn take(&mut self, source: &FillSource, rows: Vec<FetchedRow>) {
        let Some(part) = self.pending.pop() else { return };
        let is_whole = rows.len() < source.limit;
        let instant = self.at_us..self.at_us + source.unit_us;
        for row in rows.into_iter().filter(|row| instant.contains(&row.at_us)) {
            self.expected.retain(|expected| *expected != row.fingerprint);
            self.rows.push(row);
        }
        if !is_whole {
            self.divide(&part);
        }
    }

    /// Whether all parts have been requested.
    pub(super) fn is_done(&self) -> bool {
        self.pending.is_empty()
    }

    /// Returns the rows, some of them twice, and whether some may be missing.
    pub(super) fn end(self) -> (Vec<FetchedRow>, bool) {
        let is_full = self.is_full || !self.expected.is_empty();
        (self.rows, is_full)
    }

    fn divide(&mut self, part: &Part) {
        match self.splits.get(part.len()) {
            Some(split) => {
                let parts =
                    split.values.iter().map(|value| [&part[..], &[(split.parameter, *value)]].concat());
                self.pending.extend(parts);
            }
            None => self.is_full = true,
        }
    }
}
