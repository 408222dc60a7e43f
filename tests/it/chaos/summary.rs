//! What is told of a run that went well.

use std::collections::BTreeMap;
use std::fmt;

use super::plan::Plan;
use super::watch::Seen;

/// Events of a run.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) sent: u64,
    pub(crate) repeated: u64,
    /// In Redis; an event may be in several streams.
    pub(crate) entries: u64,
    /// Not read before their session ended.
    pub(crate) unread: u64,
    /// Forgotten by Redis beyond remedy.
    pub(crate) forgotten: u64,
}

/// The table at the end.
pub(crate) struct Summary<'r> {
    pub(crate) plan: &'r Plan,
    pub(crate) totals: Totals,
    pub(crate) seen: Seen,
    pub(crate) lives: usize,
    /// Of actors, by the point at which they struck.
    pub(crate) deaths: BTreeMap<String, u64>,
    pub(crate) counts: BTreeMap<String, u64>,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (totals, seen) = (&self.totals, &self.seen);
        let rows = [
            ("events sent", totals.sent),
            ("  stored", totals.sent.saturating_sub(totals.unread + totals.forgotten)),
            ("  not read", totals.unread),
            ("  forgotten by Redis, on record", totals.forgotten),
            ("entries compared", totals.entries),
            ("frames sent again", totals.repeated),
            ("duplicates dropped", seen.duplicates),
            ("events recovered at starts", seen.recovered),
            ("frames rejected", seen.rejected_frames),
            ("lives of the service", self.lives as u64),
            ("deaths of actors", self.deaths.values().sum()),
            ("looks at the books", seen.looks),
            ("worst memory, MiB", seen.worst_resident >> 20),
            ("longest recovery, ms", u64::try_from(seen.longest_recovery.as_millis()).unwrap_or(u64::MAX)),
        ];
        writeln!(f, "seed {} went well", self.plan.seed)?;
        for (name, value) in rows {
            writeln!(f, "  {name:<36}{value:>10}")?;
        }
        for (point, times) in &self.deaths {
            writeln!(f, "  death at {point:<27}{times:>10}")?;
        }
        for (kind, times) in &self.counts {
            writeln!(f, "  {kind:<36}{times:>10}")?;
        }
        Ok(())
    }
}
