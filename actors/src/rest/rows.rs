//! Bodies with one row for each time or each strike: `spot_exposures` and `spot_exposures_strike`.
//!
//! What is shown is a function of the newest REST body and of the events since, in whatever order they came: so a
//! replay, a repetition and a late write of the fetcher all come to the same.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::decimal::Decimal;
use super::object::{Object, ObjectText, decimal_value, text_value};
use super::{Unreadable, Untranslatable, times};
use crate::calendar::session_date;

/// Rows of a body at most; the least recent events go first. A session at ten seconds a row has 2 340, a ticker some
/// hundreds of strikes.
const MAX_ROWS: usize = 4_096;
/// A body of REST has one row a minute and is some seconds behind. Where REST has gone on, rows of events are shown as
/// far back as this from its newest row: longer than a pass of the fetcher takes (98.5 s), and short enough that its
/// series is not filled up with ours.
const OVERLAP_US: i64 = 10 * 60 * 1_000_000;
/// How far ahead of its receipt a row may be dated. Clocks differ by seconds; a row from the far future would be the
/// newest for ever.
const MAX_AHEAD_US: i64 = 3_600 * 1_000_000;

/// Which rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// By time, of one session, oldest first.
    Series,
    /// By strike, lowest first.
    Strikes,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Time(i64),
    Strike(Decimal),
}

/// The rows of a body.
#[derive(Debug)]
pub(super) struct Rows {
    kind: Kind,
    ticker: Box<str>,
    by_key: BTreeMap<Key, Row>,
    /// When REST answered.
    base_us: i64,
    /// The newest row of REST.
    base_newest_us: Option<i64>,
    /// The session of the newest row.
    session: i32,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Row {
    base: Option<Dated>,
    event: Option<Event>,
    /// Both in one, where the event is newer.
    merged: Option<Box<str>>,
}

#[derive(Debug)]
struct Dated {
    at_us: i64,
    text: Box<str>,
}

#[derive(Debug)]
struct Event {
    row: Dated,
    received_us: i64,
}

impl Rows {
    pub(super) fn new(kind: Kind, ticker: &str) -> Rows {
        Rows {
            kind,
            ticker: ticker.into(),
            by_key: BTreeMap::new(),
            base_us: 0,
            base_newest_us: None,
            session: i32::MIN,
            bytes: 0,
        }
    }

    /// Takes these rows of REST, answered at `base_us`, in place of earlier ones.
    pub(super) fn rebase(&mut self, texts: &[&str], base_us: i64) -> Result<(), Unreadable> {
        let mut base = BTreeMap::new();
        for text in texts {
            let (key, at_us) = self.base_key(text)?;
            base.insert(key, Dated { at_us, text: (*text).into() });
        }
        self.base_us = base_us;
        self.base_newest_us = base.values().map(|row| row.at_us).max();
        let session = self.base_newest_us.map_or(i32::MIN, session_of);
        self.session = match self.kind {
            Kind::Series => self.session.max(session),
            Kind::Strikes => session,
        };
        let old = std::mem::take(&mut self.by_key);
        self.bytes = 0;
        for (key, row) in base {
            self.put(key, Row { base: Some(row), ..Row::default() });
        }
        for (key, row) in old {
            if let Some(event) = row.event
                && session_of(event.row.at_us) >= session
            {
                self.place(key, event);
            }
        }
        Ok(())
    }

    fn base_key(&self, text: &str) -> Result<(Key, i64), Unreadable> {
        let object = Object::parse(text).ok_or(Unreadable("a row is not an object"))?;
        let at_us = object.text("time").and_then(|time| times::parse(&time));
        match self.kind {
            Kind::Series => {
                let at_us = at_us.ok_or(Unreadable("a row has no `time`"))?;
                Ok((Key::Time(at_us), at_us))
            }
            Kind::Strikes => {
                let strike = object.decimal("strike").ok_or(Unreadable("a row has no `strike`"))?;
                Ok((Key::Strike(strike), at_us.unwrap_or_default()))
            }
        }
    }

    /// Takes the row of an event in.
    pub(super) fn add(&mut self, payload: &str, received_us: i64) -> Result<(), Untranslatable> {
        let object = Object::parse(payload).ok_or(Untranslatable("it is not an object"))?;
        let at_us = object
            .integer("timestamp")
            .and_then(|ms| ms.checked_mul(1000))
            .filter(|at_us| *at_us > 0 && *at_us <= received_us + MAX_AHEAD_US)
            .ok_or(Untranslatable("its `timestamp` is missing or far from its receipt"))?;
        let key = match self.kind {
            Kind::Series => Key::Time(at_us),
            Kind::Strikes => {
                Key::Strike(object.decimal("strike").ok_or(Untranslatable("its `strike` is no number"))?)
            }
        };
        let text = translate(self.kind, &self.ticker, &object, at_us);
        self.place(key, Event { row: Dated { at_us, text }, received_us });
        Ok(())
    }

    /// Puts an event's row where it belongs, if it belongs anywhere.
    fn place(&mut self, key: Key, event: Event) {
        let at_us = event.row.at_us;
        if self.kind == Kind::Series {
            let session = session_of(at_us);
            if session < self.session || self.is_covered(&key, at_us) {
                return;
            }
            if session > self.session {
                self.session = session;
                self.drop_earlier_sessions();
            }
        }
        let base_us = self.base_us;
        let mut row = self.take(&key).unwrap_or_default();
        let is_late = row.event.as_ref().is_some_and(|known| known.order() > event.order());
        if !is_late {
            match &row.base {
                Some(base) if !event.is_newer_than(base, base_us) => row.event = None,
                Some(base) => {
                    row.merged = Some(overlaid(&base.text, &event.row.text));
                    row.event = Some(event);
                }
                None => row.event = Some(event),
            }
        }
        self.put(key, row);
        if self.by_key.len() > MAX_ROWS {
            self.drop_oldest_event();
        }
    }

    /// Whether the series of REST has gone on so far that a row of ours beside its own is no news.
    fn is_covered(&self, key: &Key, at_us: i64) -> bool {
        self.base_newest_us.is_some_and(|newest| at_us < newest - OVERLAP_US)
            && self.by_key.get(key).is_none_or(|row| row.base.is_none())
    }

    fn drop_earlier_sessions(&mut self) {
        let session = self.session;
        let (kept, gone) =
            std::mem::take(&mut self.by_key).into_iter().partition::<BTreeMap<_, _>, _>(|(_, row)| {
                row.at_us().is_some_and(|at| session_of(at) >= session)
            });
        self.bytes -= gone.values().map(Row::bytes).sum::<usize>();
        self.by_key = kept;
    }

    fn drop_oldest_event(&mut self) {
        let of_events = self.by_key.iter().filter(|(_, row)| row.base.is_none());
        let oldest = of_events.min_by_key(|(_, row)| row.at_us()).map(|(key, _)| key.clone());
        if let Some(key) = oldest {
            self.take(&key);
        }
    }

    fn take(&mut self, key: &Key) -> Option<Row> {
        let row = self.by_key.remove(key)?;
        self.bytes -= row.bytes();
        Some(row)
    }

    fn put(&mut self, key: Key, row: Row) {
        self.bytes += row.bytes();
        self.by_key.insert(key, row);
    }

    /// The rows as they are shown, in their order.
    pub(super) fn shown(&self) -> impl Iterator<Item = &str> {
        self.by_key.values().filter_map(Row::shown)
    }

    /// When the newest event that is shown was received; `None` when REST's rows are shown as they are.
    pub(super) fn newest_event_us(&self) -> Option<i64> {
        self.by_key.values().filter_map(|row| Some(row.event.as_ref()?.received_us)).max()
    }

    /// Memory that they hold.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Row {
    fn shown(&self) -> Option<&str> {
        let event = self.event.as_ref().map(|event| &event.row);
        self.merged.as_deref().or(event.or(self.base.as_ref()).map(|row| &*row.text))
    }

    fn at_us(&self) -> Option<i64> {
        self.event.as_ref().map(|event| event.row.at_us).or(self.base.as_ref().map(|base| base.at_us))
    }

    fn bytes(&self) -> usize {
        let base = self.base.as_ref().map_or(0, |row| row.text.len());
        let event = self.event.as_ref().map_or(0, |event| event.row.text.len());
        base + event + self.merged.as_ref().map_or(0, |text| text.len()) + size_of::<(Key, Row)>()
    }
}

impl Event {
    fn order(&self) -> (i64, i64) {
        (self.row.at_us, self.received_us)
    }

    /// Whether it is newer than REST's row of the same key, in a body answered at `base_us`.
    fn is_newer_than(&self, base: &Dated, base_us: i64) -> bool {
        (self.row.at_us, self.received_us) > (base.at_us, base_us)
    }
}

fn session_of(at_us: i64) -> i32 {
    session_date(u64::try_from(at_us / 1000).unwrap_or_default())
}

/// REST's row with what the event's row has in place of its own; the rest, and the names of ticker and strike, stay.
fn overlaid(base: &str, event: &str) -> Box<str> {
    let (Some(base), Some(event)) = (Object::parse(base), Object::parse(event)) else { return event.into() };
    let mut row = ObjectText::new();
    for (name, value) in base.members() {
        let is_name = matches!(name, "ticker" | "strike");
        row.raw(name, event.get(name).filter(|_| !is_name).unwrap_or(value));
    }
    for (name, value) in event.members().filter(|(name, _)| base.get(name).is_none()) {
        row.raw(name, value);
    }
    row.end()
}

/// An event as a row of REST.
fn translate(kind: Kind, ticker: &str, object: &Object<'_>, at_us: i64) -> Box<str> {
    let mut row = ObjectText::new();
    let ticker =
        object.get("ticker").and_then(text_value).unwrap_or_else(|| Cow::Owned(format!("\"{ticker}\"")));
    let decimal = |row: &mut ObjectText, rest: &str, feed: &str| {
        if let Some(value) = object.get(feed).and_then(decimal_value) {
            row.raw(rest, &value);
        }
    };
    match kind {
        Kind::Series => {
            row.text("time", &times::micros(at_us));
            row.raw("ticker", &ticker);
            decimal(&mut row, "price", "price");
            for greek in ["charm", "gamma", "vanna"] {
                for side in ["dir", "oi", "vol"] {
                    let name = format!("{greek}_per_one_percent_move_{side}");
                    decimal(&mut row, &name, &name);
                }
            }
        }
        Kind::Strikes => {
            row.raw("ticker", &ticker);
            row.text("date", &times::date(session_of(at_us)));
            row.text("time", &times::micros(at_us));
            decimal(&mut row, "strike", "strike");
            decimal(&mut row, "price", "price");
            for greek in ["gamma", "charm", "vanna"] {
                for (side, feed) in [("oi", "oi"), ("vol", "vol"), ("ask", "ask_vol"), ("bid", "bid_vol")] {
                    for kind in ["call", "put"] {
                        decimal(
                            &mut row,
                            &format!("{kind}_{greek}_{side}"),
                            &format!("{kind}_{greek}_{feed}"),
                        );
                    }
                }
            }
        }
    }
    row.end()
}
