//! An interval that is asked for until its rows are complete, and written as a whole.

use bytes::Bytes;
use foldhash::fast::RandomState;
use hashbrown::HashSet;

use super::answer::{self, FetchedRow, Unfit};
use super::instant::Instant;
use super::outcome::FillReason;
use crate::calendar::{iso_date, session_date};
use crate::channel::fill::{Ask, FillSource, RowIdentity};
use crate::rest_query::RestQuery;

/// Maximum number of answers of a chunk: at 500 rows of 1.3 KB each some 10 MiB.
pub const MAX_PAGES: u32 = 16;
/// Maximum size of a chunk's answers, in bytes.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;
/// A limit that a server applies in place of the one asked for is a multiple of it: such an answer may not be the last.
const ROUND: usize = 50;

/// The interval and its rows so far.
#[derive(Debug)]
pub(super) struct Chunk {
    /// The first time in it.
    pub from_us: u64,
    /// The first time after it.
    pub to_us: u64,
    /// All rows from here on are there.
    older_us: u64,
    /// Answers so far.
    pub pages: u32,
    bytes: usize,
    rows: Vec<FetchedRow>,
    instant: Option<Instant>,
    flaw: Option<FillReason>,
}

/// What an answer has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// There is more to ask for.
    More,
    /// The chunk is complete, or as complete as it gets.
    Whole,
    /// The interval has more rows than a chunk may hold.
    TooLarge,
}

impl Chunk {
    pub(super) fn new(from_us: u64, to_us: u64) -> Chunk {
        Chunk {
            from_us,
            to_us,
            older_us: to_us,
            pages: 0,
            bytes: 0,
            rows: Vec::new(),
            instant: None,
            flaw: None,
        }
    }

    /// Returns the next request.
    pub(super) fn query(&self, source: &FillSource, symbol: Option<&str>) -> RestQuery {
        let mut query = RestQuery::new(source, symbol);
        match source.ask {
            Ask::Window { newer, older, .. } => {
                let (from_us, older_us) = match &self.instant {
                    Some(instant) => (instant.at_us, instant.at_us + source.unit_us),
                    None => (self.from_us, self.older_us),
                };
                // the earlier time may be exclusive
                query.set(newer, (from_us / 1000).saturating_sub(1).to_string());
                query.set(older, (older_us / 1000).to_string());
                if let Some(instant) = &self.instant {
                    instant.ask(&mut query);
                }
            }
            Ask::Pages { .. } | Ask::State { .. } => query.set("page", self.pages.to_string()),
            Ask::Day => query.set("date", iso_date(session_date(self.from_us / 1000))),
        }
        query
    }

    /// Takes an answer; one that is no evidence changes nothing.
    pub(super) fn take(
        &mut self,
        source: &FillSource,
        symbol: Option<&str>,
        body: &Bytes,
    ) -> Result<Progress, Unfit> {
        let rows = answer::rows(source, symbol, body)?;
        let progress = match source.ask {
            Ask::Window { .. } => self.take_window(source, rows)?,
            Ask::Pages { most } => self.take_page(source, most, rows),
            Ask::State { most } => self.take_state(source, most, rows),
            Ask::Day => {
                self.rows
                    .extend(rows.into_iter().filter(|row| (self.from_us..self.to_us).contains(&row.at_us)));
                Progress::Whole
            }
        };
        self.pages += u32::from(self.instant.is_none());
        self.bytes += body.len();
        let is_large = self.pages >= MAX_PAGES || self.bytes >= MAX_BYTES;
        if progress == Progress::Whole || !is_large {
            return Ok(progress);
        }
        Ok(match source.ask {
            Ask::Window { .. } if self.to_us - self.from_us > source.unit_us => Progress::TooLarge,
            Ask::Window { .. } => self.give_up(FillReason::InstantFull),
            _ => self.give_up(FillReason::Budget),
        })
    }

    /// Returns the rows, oldest first and each identity once, and what is missing among them.
    pub(super) fn end(self, source: &FillSource) -> (Vec<FetchedRow>, Option<FillReason>) {
        let mut rows = self.rows;
        rows.reverse();
        rows.sort_by_key(|row| row.at_us);
        if matches!(source.identity, RowIdentity::Unique(_)) {
            let mut seen: HashSet<u64, RandomState> = HashSet::default();
            rows.retain(|row| seen.insert(row.fingerprint));
        }
        (rows, self.flaw)
    }

    fn give_up(&mut self, reason: FillReason) -> Progress {
        self.flaw.get_or_insert(reason);
        Progress::Whole
    }

    fn take_window(&mut self, source: &FillSource, rows: Vec<FetchedRow>) -> Result<Progress, Unfit> {
        let (count, unit_us) = (rows.len(), source.unit_us);
        let (from_us, older_us) = match &self.instant {
            Some(instant) => (instant.at_us, instant.at_us + unit_us),
            None => (self.from_us, self.older_us),
        };
        // whether the edges belong to the interval is not known for every endpoint, and times are cut to milliseconds
        let may_be = from_us.saturating_sub(2 * unit_us)..=older_us.saturating_add(unit_us);
        if rows.iter().any(|row| !may_be.contains(&row.at_us)) {
            return Err(Unfit::OutsideWindow);
        }
        if let Some(mut instant) = self.instant.take() {
            instant.take(source, rows);
            if !instant.is_done() {
                self.instant = Some(instant);
                return Ok(Progress::More);
            }
            return Ok(self.end_instant(instant));
        }
        let is_full = count >= source.limit;
        if is_full && rows.first().map(|row| row.at_us) < rows.last().map(|row| row.at_us) {
            return Err(Unfit::NotDescending);
        }
        if is_full && rows.iter().all(|row| row.at_us == self.older_us) {
            // the edge belongs to the interval, and its rows hide those before it
            self.flaw.get_or_insert(FillReason::InstantFull);
            self.older_us = self.older_us.saturating_sub(unit_us);
            return Ok(if self.older_us > self.from_us { Progress::More } else { Progress::Whole });
        }
        // as the newest come first, a row before the interval says that what is in it has come
        let has_passed = rows.iter().any(|row| row.at_us < self.from_us);
        let rows: Vec<FetchedRow> =
            rows.into_iter().filter(|row| (self.from_us..self.older_us).contains(&row.at_us)).collect();
        let Some(oldest) = rows.iter().map(|row| row.at_us).min() else {
            // a full answer of later rows alone: the same one for ever
            return if is_full && !has_passed { Err(Unfit::OutsideWindow) } else { Ok(Progress::Whole) };
        };
        // the rest of the oldest instant is in the next answer, with what is here of it
        let instant_us = oldest - oldest % unit_us;
        let moves = instant_us + unit_us < self.older_us;
        let may_be_limited = is_round(count) && moves;
        if !is_full && !may_be_limited {
            self.rows.extend(rows);
            return Ok(Progress::Whole);
        }
        if moves {
            self.older_us = instant_us + unit_us;
            self.rows.extend(rows.into_iter().filter(|row| row.at_us >= self.older_us));
            return Ok(Progress::More);
        }
        Ok(self.begin_instant(source, instant_us, rows))
    }

    fn begin_instant(&mut self, source: &FillSource, at_us: u64, rows: Vec<FetchedRow>) -> Progress {
        let Ask::Window { splits, .. } = source.ask else { return Progress::Whole };
        let instant = Instant::new(at_us, splits, rows);
        if instant.is_done() {
            return self.end_instant(instant);
        }
        self.instant = Some(instant);
        Progress::More
    }

    fn end_instant(&mut self, instant: Instant) -> Progress {
        self.older_us = instant.at_us;
        let (rows, is_full) = instant.end();
        self.rows.extend(rows.into_iter().filter(|row| (self.from_us..self.to_us).contains(&row.at_us)));
        if is_full {
            self.flaw.get_or_insert(FillReason::InstantFull);
        }
        if self.older_us > self.from_us { Progress::More } else { Progress::Whole }
    }

    fn take_page(&mut self, source: &FillSource, most: u32, rows: Vec<FetchedRow>) -> Progress {
        let is_last = rows.len() < source.limit && !is_round(rows.len());
        let has_passed = rows.iter().any(|row| row.at_us < self.from_us);
        self.rows.extend(rows.into_iter().filter(|row| (self.from_us..self.to_us).contains(&row.at_us)));
        if is_last || has_passed {
            Progress::Whole
        } else if self.pages + 1 >= most {
            self.give_up(FillReason::Budget)
        } else {
            Progress::More
        }
    }

    fn take_state(&mut self, source: &FillSource, most: u32, rows: Vec<FetchedRow>) -> Progress {
        let is_last = rows.len() < source.limit;
        self.rows.extend(rows);
        if is_last || self.pages + 1 >= most { Progress::Whole } else { Progress::More }
    }
}

fn is_round(rows: usize) -> bool {
    rows > 0 && rows.is_multiple_of(ROUND)
}
