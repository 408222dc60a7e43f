//! One row: REST's version, the event's version, and both merged.

use std::borrow::Cow;

use super::super::decimal::Decimal;
use super::super::object::{Object, ObjectText, decimal_value, quoted, text_value};
use super::super::parts::{Receipt, heap_bytes};
use super::super::times;

/// Identifies a row within a body.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Time(i64),
    Strike(Decimal),
}

/// Maximum age of REST's row, relative to the event's, for its other values to be shown under the event's time:
/// several passes of the fetcher (98.5 s).
const KEPT_US: i64 = 10 * 60 * 1_000_000;

#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) base: Option<Dated>,
    /// The newest event.
    pub(super) event: Option<Event>,
    /// Both merged, if the event is newer.
    merged: Option<Box<str>>,
}

/// The earliest session and time of event rows shown where REST has none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Since {
    pub(super) session: i32,
    pub(super) at_us: i64,
}

#[derive(Debug)]
pub(super) struct Dated {
    pub(super) at_us: i64,
    pub(super) session: i32,
    pub(super) text: Box<str>,
}

#[derive(Debug)]
pub(super) struct Event {
    pub(super) row: Dated,
    pub(super) receipt: Receipt,
}

impl Row {
    pub(super) fn of_rest(base: Dated) -> Row {
        Row { base: Some(base), event: None, merged: None }
    }

    /// Merges the event's row into REST's, answered at `base_us`, if it is newer.
    pub(super) fn merge(&mut self, base_us: i64) {
        self.merged = match (&self.base, &self.event) {
            (Some(base), Some(event)) if event.is_newer_than(base, base_us) => {
                let of_base_us = if base.at_us == 0 { base_us } else { base.at_us };
                let is_stale = event.row.at_us.saturating_sub(of_base_us) > KEPT_US;
                Some(overlaid(&base.text, &event.row.text, is_stale))
            }
            _ => None,
        };
    }

    pub(super) fn is_merged(&self) -> bool {
        self.merged.is_some()
    }

    /// Whether the output includes the event.
    pub(super) fn is_news(&self, since: Since) -> bool {
        let is_recent = |row: &Dated| row.session >= since.session && row.at_us >= since.at_us;
        self.is_merged()
            || self.base.is_none() && self.event.as_ref().is_some_and(|event| is_recent(&event.row))
    }

    /// Whether REST's row is of an earlier session.
    pub(super) fn is_before(&self, session: i32) -> bool {
        self.base.as_ref().is_some_and(|base| base.session < session)
    }

    /// Returns the output of a body that includes events.
    pub(super) fn shown(&self, since: Since) -> Option<&str> {
        match (&self.merged, &self.base, &self.event) {
            (Some(merged), ..) => Some(merged),
            (None, Some(base), _) => Some(&base.text),
            (None, None, Some(event)) => self.is_news(since).then_some(&event.row.text),
            (None, None, None) => None,
        }
    }

    /// Returns REST's row.
    pub(super) fn of_base(&self) -> Option<&str> {
        self.base.as_ref().map(|base| &*base.text)
    }

    pub(super) fn text_bytes(&self) -> usize {
        self.base.as_ref().map_or(0, Dated::heap_bytes)
            + self.event.as_ref().map_or(0, |event| event.row.heap_bytes())
            + self.merged.as_ref().map_or(0, |text| heap_bytes(text.len()))
    }
}

impl Dated {
    pub(super) fn heap_bytes(&self) -> usize {
        heap_bytes(self.text.len())
    }
}

impl Event {
    /// Sort key: a newer event is greater.
    pub(super) fn order(&self) -> (i64, Receipt) {
        (self.row.at_us, self.receipt)
    }

    /// Whether the event is newer than REST's row of the same key, answered at `base_us`.
    fn is_newer_than(&self, base: &Dated, base_us: i64) -> bool {
        (self.row.at_us, self.receipt.received_us) > (base.at_us, base_us)
    }
}

/// Overlays the values of the event's row on REST's; the spelling of ticker and strike stays. Values that the feed
/// does not carry stay too, unless they are stale: no fresh `time` stands over a stale value.
fn overlaid(base: &str, event: &str, is_stale: bool) -> Box<str> {
    let (Some(base), Some(event)) = (Object::parse(base), Object::parse(event)) else { return event.into() };
    let mut row = ObjectText::new();
    for (name, value) in base.members() {
        let value = match event.get(name) {
            _ if matches!(name, "ticker" | "strike") => value,
            Some(of_event) => of_event,
            None if is_stale => "null",
            None => value,
        };
        row.raw(name, value);
    }
    for (name, value) in event.members().filter(|(name, _)| base.get(name).is_none()) {
        row.raw(name, value);
    }
    row.end()
}

/// Converts an event of `gex` to a row of `spot_exposures`.
pub(super) fn of_series(ticker: &str, object: &Object<'_>, at_us: i64) -> Box<str> {
    let mut row = ObjectText::new();
    row.text("time", &times::micros(at_us));
    row.raw("ticker", &name(ticker, object));
    for column in SERIES_COLUMNS {
        decimal(&mut row, column, object, column);
    }
    row.end()
}

/// Converts an event of `gex_strike` to a row of `spot_exposures_strike`.
pub(super) fn of_strikes(ticker: &str, object: &Object<'_>, at_us: i64, session: i32) -> Box<str> {
    let mut row = ObjectText::new();
    row.raw("ticker", &name(ticker, object));
    row.text("date", &times::date(session));
    row.text("time", &times::micros(at_us));
    for (rest, feed) in STRIKE_COLUMNS {
        decimal(&mut row, rest, object, feed);
    }
    row.end()
}

fn name<'o>(ticker: &str, object: &Object<'o>) -> Cow<'o, str> {
    object.get("ticker").and_then(text_value).unwrap_or_else(|| Cow::Owned(quoted(ticker)))
}

fn decimal(row: &mut ObjectText, rest: &str, object: &Object<'_>, feed: &str) {
    if let Some(value) = object.get(feed).and_then(decimal_value) {
        row.raw(rest, &value);
    }
}

/// The decimals of `spot_exposures` in REST's order; their names on the feed are the same.
const SERIES_COLUMNS: [&str; 10] = [
    "price",
    "charm_per_one_percent_move_dir",
    "charm_per_one_percent_move_oi",
    "charm_per_one_percent_move_vol",
    "gamma_per_one_percent_move_dir",
    "gamma_per_one_percent_move_oi",
    "gamma_per_one_percent_move_vol",
    "vanna_per_one_percent_move_dir",
    "vanna_per_one_percent_move_oi",
    "vanna_per_one_percent_move_vol",
];

/// The decimals of `spot_exposures_strike` in REST's order, with their names on the feed. The deltas are not mapped:
/// the feed's examples have another scale than REST's (0.45 and 2 × 10^8), and a capture had zeros.
const STRIKE_COLUMNS: [(&str, &str); 26] = [
    ("strike", "strike"),
    ("price", "price"),
    ("call_gamma_oi", "call_gamma_oi"),
    ("put_gamma_oi", "put_gamma_oi"),
    ("call_gamma_vol", "call_gamma_vol"),
    ("put_gamma_vol", "put_gamma_vol"),
    ("call_gamma_ask", "call_gamma_ask_vol"),
    ("put_gamma_ask", "put_gamma_ask_vol"),
    ("call_gamma_bid", "call_gamma_bid_vol"),
    ("put_gamma_bid", "put_gamma_bid_vol"),
    ("call_charm_oi", "call_charm_oi"),
    ("put_charm_oi", "put_charm_oi"),
    ("call_charm_vol", "call_charm_vol"),
    ("put_charm_vol", "put_charm_vol"),
    ("call_charm_ask", "call_charm_ask_vol"),
    ("put_charm_ask", "put_charm_ask_vol"),
    ("call_charm_bid", "call_charm_bid_vol"),
    ("put_charm_bid", "put_charm_bid_vol"),
    ("call_vanna_oi", "call_vanna_oi"),
    ("put_vanna_oi", "put_vanna_oi"),
    ("call_vanna_vol", "call_vanna_vol"),
    ("put_vanna_vol", "put_vanna_vol"),
    ("call_vanna_ask", "call_vanna_ask_vol"),
    ("put_vanna_ask", "put_vanna_ask_vol"),
    ("call_vanna_bid", "call_vanna_bid_vol"),
    ("put_vanna_bid", "put_vanna_bid_vol"),
];
