//! Bodies with one row per time or per strike: `spot_exposures` and `spot_exposures_strike`.
//!
//! The output is a function of the newest REST body and the events since, regardless of their order: replays,
//! repetitions and late writes of the fetcher all lead to the same text.

mod row;

use std::collections::BTreeMap;

use self::row::{Dated, Event, Key, Row, Since};
use super::object::Object;
use super::parts::{Receipt, UnreadableBody, Untranslatable};
use super::times::{self, Present};
use crate::calendar::products::ProductKind;
use crate::calendar::{Product, SessionClock};

/// Maximum number of rows in a body; the oldest events are evicted first. A session at ten seconds per row has 2
/// 340, a ticker some hundreds of strikes.
const MAX_ROWS: usize = 4_096;
/// A REST body has one row per minute and lags by seconds. Where REST has a series, event rows are shown this far
/// back from its newest row: longer than a pass of the fetcher (98.5 s), short enough that they do not dominate
/// REST's series.
const OVERLAP_US: i64 = 10 * 60 * 1_000_000;
/// Event rows are retained this far back: REST's next answer may come from a cache and be older than its last.
const KEPT_US: i64 = 2 * OVERLAP_US;
/// Memory of a row: map nodes are half empty when keys are inserted in order.
const ROW_BYTES: usize = 2 * size_of::<(Key, Row)>();

/// The key of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowKind {
    /// By time within one session, oldest first.
    Series,
    /// By strike, lowest first.
    Strikes,
}

#[derive(Debug)]
pub(super) struct Rows {
    kind: RowKind,
    ticker: Box<str>,
    /// Determines the sessions of rows.
    product: Product,
    by_key: BTreeMap<Key, Row>,
    /// Time of REST's answer.
    base_us: i64,
    /// Time of REST's newest row.
    base_newest_us: Option<i64>,
    session: i32,
    /// Heap memory of all texts, in bytes.
    text_bytes: usize,
    pub(super) present: Present,
}

impl Rows {
    pub(super) fn new(kind: RowKind, ticker: &str) -> Rows {
        Rows {
            kind,
            ticker: ticker.into(),
            product: Product::of(ProductKind::Options, Some(ticker)),
            by_key: BTreeMap::new(),
            base_us: 0,
            base_newest_us: None,
            session: i32::MIN,
            text_bytes: 0,
            present: Present::default(),
        }
    }

    /// Replaces REST's rows by those of the answer of `base_us`.
    pub(super) fn rebase(&mut self, texts: &[&str], base_us: i64) -> Result<(), UnreadableBody> {
        let mut sessions = SessionClock::default();
        let rows = texts.iter().map(|text| self.base_row(text, &mut sessions));
        let base = rows.collect::<Result<Vec<_>, _>>()?;
        let old = std::mem::take(&mut self.by_key);
        let newest = base.iter().map(|(_, row)| row).max_by_key(|row| row.at_us);
        self.base_us = base_us;
        self.base_newest_us = newest.map(|row| row.at_us);
        self.session = newest.map_or(i32::MIN, |row| row.session);
        self.by_key = base.into_iter().map(|(key, row)| (key, Row::of_rest(row))).collect();
        self.text_bytes = self.by_key.values().map(Row::text_bytes).sum();
        for (key, row) in old {
            if let Some(event) = row.event {
                self.place(key, event);
            }
        }
        Ok(())
    }

    /// Rows of a series are placed by their stated time; their recency is a separate matter
    fn base_row(&mut self, text: &str, sessions: &mut SessionClock) -> Result<(Key, Dated), UnreadableBody> {
        let object = Object::parse(text).ok_or(UnreadableBody("a row is not an object"))?;
        let at_us = object.text("time").and_then(|time| times::parse(&time));
        let (key, at_us) = match self.kind {
            RowKind::Series => {
                let at_us = at_us.ok_or(UnreadableBody("a row has no `time`"))?;
                (Key::Time(at_us), at_us)
            }
            RowKind::Strikes => {
                let strike = object.decimal("strike").ok_or(UnreadableBody("a row has no `strike`"))?;
                (Key::Strike(strike), at_us.unwrap_or_default())
            }
        };
        let at_us = self.present.hold_back(at_us);
        Ok((
            key,
            Dated { at_us, session: sessions.session_of(self.product, millis(at_us)), text: text.into() },
        ))
    }

    /// Adds the row of an event.
    pub(super) fn add(&mut self, payload: &str, receipt: Receipt) -> Result<(), Untranslatable> {
        let object = Object::parse(payload).ok_or(Untranslatable("it is not an object"))?;
        let at_us = object
            .integer("timestamp")
            .and_then(|ms| self.present.event_us(ms, receipt.received_us))
            .ok_or(Untranslatable("its `timestamp` is missing or far from its receipt"))?;
        let key = match self.kind {
            RowKind::Series => Key::Time(at_us),
            RowKind::Strikes => {
                Key::Strike(object.decimal("strike").ok_or(Untranslatable("its `strike` is not a number"))?)
            }
        };
        let session = SessionClock::default().session_of(self.product, millis(at_us));
        let text = match self.kind {
            RowKind::Series => row::of_series(&self.ticker, &object, at_us),
            RowKind::Strikes => row::of_strikes(&self.ticker, &object, at_us, session),
        };
        self.place(key, Event { row: Dated { at_us, session, text }, receipt });
        Ok(())
    }

    /// Inserts an event's row, unless it is obsolete.
    fn place(&mut self, key: Key, event: Event) {
        let is_over = self.is_over(&event.row);
        if is_over && self.by_key.get(&key).is_none_or(|row| row.of_base().is_none()) {
            return;
        }
        if event.row.session > self.session {
            self.turn_to(event.row.session);
        }
        let row = self.by_key.entry(key).or_default();
        if row.event.as_ref().is_some_and(|known| known.order() > event.order()) {
            return;
        }
        self.text_bytes -= row.text_bytes();
        row.event = Some(event);
        row.merge(self.base_us);
        if is_over && !row.is_merged() {
            row.event = None;
        }
        self.text_bytes += row.text_bytes();
        if self.by_key.len() > MAX_ROWS {
            self.drop_oldest_event();
        }
    }

    /// Whether the series has advanced so far that an event's row can no longer be shown.
    fn is_over(&self, row: &Dated) -> bool {
        let is_far_behind = self.base_newest_us.is_some_and(|newest| row.at_us < newest - KEPT_US);
        self.kind == RowKind::Series && (row.session < self.session || is_far_behind)
    }

    /// Returns the earliest session and time of event rows that REST lacks.
    fn since(&self) -> Since {
        let at_us = match self.kind {
            RowKind::Series => self.base_newest_us.map_or(i64::MIN, |newest| newest - OVERLAP_US),
            RowKind::Strikes => i64::MIN,
        };
        Since { session: self.session, at_us }
    }

    /// Starts a new session; a series drops the events of the previous one.
    fn turn_to(&mut self, session: i32) {
        self.session = session;
        if self.kind == RowKind::Series {
            let rest =
                std::mem::take(&mut self.by_key).into_iter().filter_map(|(key, row)| Some((key, row.base?)));
            self.by_key = rest.map(|(key, row)| (key, Row::of_rest(row))).collect();
            self.text_bytes = self.by_key.values().map(Row::text_bytes).sum();
        }
    }

    fn drop_oldest_event(&mut self) {
        let of_events = self.by_key.iter().filter(|(_, row)| row.base.is_none());
        let oldest = of_events.min_by_key(|(_, row)| row.event.as_ref().map(Event::order));
        if let Some(key) = oldest.map(|(key, _)| key.clone())
            && let Some(row) = self.by_key.remove(&key)
        {
            self.text_bytes -= row.text_bytes();
        }
    }

    /// Iterates over the merged rows, in order. Without events they are REST's; with events a series has no rows of
    /// an earlier session.
    pub(super) fn shown(&self) -> impl Iterator<Item = &str> {
        let (has_news, since) = (self.has_news(), self.since());
        let is_over = move |row: &Row| self.kind == RowKind::Series && row.is_before(since.session);
        self.by_key.values().filter_map(move |row| match has_news {
            true if is_over(row) => None,
            true => row.shown(since),
            false => row.of_base(),
        })
    }

    /// Whether the merged rows include events.
    pub(super) fn has_news(&self) -> bool {
        let since = self.since();
        self.by_key.values().any(|row| row.is_news(since))
    }

    /// Returns heap memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.text_bytes + self.by_key.len() * ROW_BYTES
    }
}

fn millis(at_us: i64) -> u64 {
    u64::try_from(at_us / 1000).unwrap_or_default()
}

#[cfg(test)]
mod tests;
