//! The payload fields that determine routing, read in the same pass that validates the payload.
//!
//! Deliberately lenient: the vendor adds fields and has changed types before, and events are stored unchanged. A
//! field of an unexpected type counts as absent; of a repeated name the last one wins, as in most JSON readers.

use std::borrow::Cow;

use thiserror::Error;

use super::json::{self, Text, Value};

/// The payload is not a single JSON object, or nests too deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a JSON object of bounded depth")]
pub struct NotAnObject;

/// The routing fields of a payload.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RoutingFields<'p> {
    ticker: Option<Cow<'p, str>>,
    underlying_symbol: Option<Cow<'p, str>>,
    symbol: Option<Cow<'p, str>>,
    /// `news`: the tickers of a headline.
    pub tickers: Vec<Cow<'p, str>>,
    /// gex rows: the strike, as written.
    pub strike: Option<Cow<'p, str>>,
    /// gex rows by expiry: the expiry, `YYYY-MM-DD`.
    pub expiry: Option<Cow<'p, str>>,
    /// IV rows: the number of days, as written.
    pub days: Option<Cow<'p, str>>,
    /// IV rows: the day of the statement, `YYYY-MM-DD`.
    pub date: Option<Cow<'p, str>>,
    /// The contract of an event without a ticker.
    pub option_symbol: Option<Cow<'p, str>>,
    /// Rows: Unix milliseconds.
    pub timestamp: Option<i64>,
    status: Option<Cow<'p, str>>,
    has_status: bool,
    has_response: bool,
}

impl<'p> RoutingFields<'p> {
    /// Parses and validates a payload, including its UTF-8.
    pub fn read(payload: &'p (impl AsRef<[u8]> + ?Sized)) -> Result<RoutingFields<'p>, NotAnObject> {
        let mut facts = RoutingFields::default();
        json::members(payload.as_ref(), |name, value| facts.take(name, value))
            .map(|()| facts)
            .ok_or(NotAnObject)
    }

    /// Records a member if it is a routing field; a name with a lone surrogate is not.
    #[inline]
    fn take(&mut self, name: Text<'p>, value: Value<'p>) {
        match name.bytes().as_deref().unwrap_or_default() {
            b"ticker" => self.ticker = text(value),
            b"underlying_symbol" => self.underlying_symbol = text(value),
            b"symbol" => self.symbol = text(value),
            b"tickers" => self.tickers = texts(value),
            b"strike" => self.strike = text(value),
            b"expiry" => self.expiry = text(value),
            b"days" => self.days = text(value),
            b"date" => self.date = text(value),
            b"option_symbol" => self.option_symbol = text(value),
            b"timestamp" => self.timestamp = integer(value),
            b"status" => (self.status, self.has_status) = (text(value), true),
            b"response" => self.has_response = true,
            _ => {}
        }
    }

    /// Returns the payload's symbol, not validated.
    #[must_use]
    pub fn symbol(&self) -> Option<&str> {
        self.ticker.as_deref().or(self.underlying_symbol.as_deref()).or(self.symbol.as_deref())
    }

    /// Returns the status if this is the answer to a join, not an event: only answers have both `status` and
    /// `response`. A status that is not a string reads as empty.
    #[must_use]
    pub fn join_status(&self) -> Option<&str> {
        (self.has_status && self.has_response).then(|| self.status.as_deref().unwrap_or_default())
    }
}

/// Accepts a string, or an integer in its original form.
fn text(value: Value<'_>) -> Option<Cow<'_, str>> {
    match value {
        Value::Text(text) => text.decode(),
        Value::Number(number) => integer(value).and(number.as_str()).map(Cow::Borrowed),
        Value::Array(_) | Value::Other => None,
    }
}

/// Accepts a number without fraction or exponent that fits an `i64`; negative zero is rejected.
fn integer(value: Value<'_>) -> Option<i64> {
    let Value::Number(number) = value else { return None };
    number.as_str().filter(|digits| *digits != "-0")?.parse().ok()
}

/// Collects the strings of an array.
fn texts(value: Value<'_>) -> Vec<Cow<'_, str>> {
    let mut texts = Vec::new();
    if let Value::Array(array) = value {
        json::items(array, |item| {
            if let Value::Text(text) = item {
                texts.extend(text.decode());
            }
        });
    }
    texts
}

#[cfg(test)]
mod tests;
