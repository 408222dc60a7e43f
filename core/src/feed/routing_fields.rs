//! The few facts of a payload that decide where it goes, read in the one parse that also validates it.
//!
//! Lenient on purpose: the vendor adds fields and has changed types before, and an event is kept as it came. A fact of
//! an unexpected type counts as absent; of a repeated name the last one wins, as in most JSON readers.

use std::borrow::Cow;

use thiserror::Error;

use super::json::{self, Text, Value};

/// The payload is not one JSON object, or nests too deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a JSON object of bounded depth")]
pub struct NotAnObject;

/// What the way of an event needs to know of its payload.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Facts<'p> {
    ticker: Option<Cow<'p, str>>,
    underlying_symbol: Option<Cow<'p, str>>,
    symbol: Option<Cow<'p, str>>,
    /// `news`: the tickers a headline is about.
    pub tickers: Vec<Cow<'p, str>>,
    /// gex rows: the strike as the payload writes it.
    pub strike: Option<Cow<'p, str>>,
    /// gex rows by expiry: the expiry, `YYYY-MM-DD`.
    pub expiry: Option<Cow<'p, str>>,
    /// gex rows: Unix milliseconds.
    pub timestamp: Option<i64>,
    status: Option<Cow<'p, str>>,
    has_status: bool,
    has_response: bool,
}

impl<'p> Facts<'p> {
    /// Parses and validates a payload, its UTF-8 included.
    pub fn read(payload: &'p (impl AsRef<[u8]> + ?Sized)) -> Result<Facts<'p>, NotAnObject> {
        let mut facts = Facts::default();
        json::members(payload.as_ref(), |name, value| facts.take(name, value))
            .map(|()| facts)
            .ok_or(NotAnObject)
    }

    /// Takes a member in, if it is a fact. A name with half a character in it is none.
    #[inline]
    fn take(&mut self, name: Text<'p>, value: Value<'p>) {
        match name.bytes().as_deref().unwrap_or_default() {
            b"ticker" => self.ticker = text(value),
            b"underlying_symbol" => self.underlying_symbol = text(value),
            b"symbol" => self.symbol = text(value),
            b"tickers" => self.tickers = texts(value),
            b"strike" => self.strike = text(value),
            b"expiry" => self.expiry = text(value),
            b"timestamp" => self.timestamp = integer(value),
            b"status" => (self.status, self.has_status) = (text(value), true),
            b"response" => self.has_response = true,
            _ => {}
        }
    }

    /// The symbol that the payload names, unchecked.
    #[must_use]
    pub fn symbol(&self) -> Option<&str> {
        self.ticker.as_deref().or(self.underlying_symbol.as_deref()).or(self.symbol.as_deref())
    }

    /// The status, if this is no event but the answer to a join: no event has both `status` and `response`. A status
    /// that is no text is an empty one.
    #[must_use]
    pub fn join_status(&self) -> Option<&str> {
        (self.has_status && self.has_response).then(|| self.status.as_deref().unwrap_or_default())
    }
}

/// A string, or an integer as it was written.
fn text(value: Value<'_>) -> Option<Cow<'_, str>> {
    match value {
        Value::Text(text) => text.decode(),
        Value::Number(number) => integer(value).and(number.as_str()).map(Cow::Borrowed),
        Value::Array(_) | Value::Other => None,
    }
}

/// A number without fraction and exponent that fits; negative zero is no integer.
fn integer(value: Value<'_>) -> Option<i64> {
    let Value::Number(number) = value else { return None };
    number.as_str().filter(|digits| *digits != "-0")?.parse().ok()
}

/// The strings of an array.
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
