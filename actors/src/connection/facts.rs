//! The few facts of a payload that decide where it goes, read in the one parse that also validates it.
//!
//! Lenient on purpose: the vendor adds fields and has changed types before, and an event is kept as it came. A fact of
//! an unexpected type counts as absent; of a repeated name the last one wins, as in most JSON readers.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

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
    has_response: bool,
}

impl<'p> Facts<'p> {
    /// Parses and validates a payload.
    pub fn read(payload: &'p str) -> serde_json::Result<Facts<'p>> {
        serde_json::from_str(payload)
    }

    /// The symbol that the payload names, unchecked.
    #[must_use]
    pub fn symbol(&self) -> Option<&str> {
        self.ticker.as_deref().or(self.underlying_symbol.as_deref()).or(self.symbol.as_deref())
    }

    /// The status, if this is no event but the answer to a join: no event has both `status` and `response`.
    #[must_use]
    pub fn join_status(&self) -> Option<&str> {
        self.status.as_deref().filter(|_| self.has_response)
    }
}

impl<'de: 'p, 'p> Deserialize<'de> for Facts<'p> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FactsVisitor)
    }
}

struct FactsVisitor;

impl<'de> Visitor<'de> for FactsVisitor {
    type Value = Facts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Facts<'de>, A::Error> {
        let mut facts = Facts::default();
        while let Some(name) = map.next_key::<Name>()? {
            match name {
                Name::Unneeded => {
                    map.next_value::<IgnoredAny>()?;
                }
                Name::Ticker => facts.ticker = map.next_value::<Value<'de>>()?.text(),
                Name::UnderlyingSymbol => facts.underlying_symbol = map.next_value::<Value<'de>>()?.text(),
                Name::Symbol => facts.symbol = map.next_value::<Value<'de>>()?.text(),
                Name::Tickers => facts.tickers = map.next_value::<Value<'de>>()?.texts(),
                Name::Strike => facts.strike = map.next_value::<Value<'de>>()?.text(),
                Name::Expiry => facts.expiry = map.next_value::<Value<'de>>()?.text(),
                Name::Timestamp => facts.timestamp = map.next_value::<Value<'de>>()?.integer(),
                Name::Status => facts.status = map.next_value::<Value<'de>>()?.text(),
                Name::Response => {
                    map.next_value::<IgnoredAny>()?;
                    facts.has_response = true;
                }
            }
        }
        Ok(facts)
    }
}

enum Name {
    Ticker,
    UnderlyingSymbol,
    Symbol,
    Tickers,
    Strike,
    Expiry,
    Timestamp,
    Status,
    Response,
    Unneeded,
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                Ok(match name {
                    "ticker" => Name::Ticker,
                    "underlying_symbol" => Name::UnderlyingSymbol,
                    "symbol" => Name::Symbol,
                    "tickers" => Name::Tickers,
                    "strike" => Name::Strike,
                    "expiry" => Name::Expiry,
                    "timestamp" => Name::Timestamp,
                    "status" => Name::Status,
                    "response" => Name::Response,
                    _ => Name::Unneeded,
                })
            }
        }
        deserializer.deserialize_identifier(NameVisitor)
    }
}

/// A value of whatever type, kept as far as a fact can be one.
enum Value<'p> {
    Text(Cow<'p, str>),
    Integer(i64),
    Texts(Vec<Cow<'p, str>>),
    Unneeded,
}

impl<'p> Value<'p> {
    fn text(self) -> Option<Cow<'p, str>> {
        match self {
            Value::Text(text) => Some(text),
            Value::Integer(integer) => Some(Cow::Owned(integer.to_string())),
            Value::Texts(_) | Value::Unneeded => None,
        }
    }

    fn integer(self) -> Option<i64> {
        if let Value::Integer(integer) = self { Some(integer) } else { None }
    }

    fn texts(self) -> Vec<Cow<'p, str>> {
        if let Value::Texts(texts) = self { texts } else { Vec::new() }
    }
}

impl<'de: 'p, 'p> Deserialize<'de> for Value<'p> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_i64<E>(self, integer: i64) -> Result<Value<'de>, E> {
        Ok(Value::Integer(integer))
    }

    fn visit_u64<E>(self, integer: u64) -> Result<Value<'de>, E> {
        Ok(i64::try_from(integer).map_or(Value::Unneeded, Value::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value<'de>, E> {
        Ok(Value::Unneeded)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value<'de>, E> {
        Ok(Value::Unneeded)
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Unneeded)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value<'de>, A::Error> {
        let mut texts = Vec::new();
        while let Some(item) = seq.next_element::<Value<'de>>()? {
            if let Value::Text(text) = item {
                texts.push(text);
            }
        }
        Ok(Value::Texts(texts))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Unneeded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_symbol_is_ticker_then_underlying_then_symbol() {
        let symbol = |payload: &str| Facts::read(payload).unwrap().symbol().map(str::to_owned);
        assert_eq!(symbol(r#"{"symbol":"C","underlying_symbol":"B","ticker":"A"}"#).as_deref(), Some("A"));
        assert_eq!(symbol(r#"{"symbol":"C","underlying_symbol":"B"}"#).as_deref(), Some("B"));
        assert_eq!(symbol(r#"{"symbol":"C"}"#).as_deref(), Some("C"));
        assert_eq!(symbol("{}"), None);
    }

    #[test]
    fn a_fact_of_another_type_is_absent_and_nothing_is_refused_for_it() {
        let payload =
            r#"{"ticker":{"a":[1,{"b":null}]},"tickers":["A",1,null,"B"],"strike":290,"timestamp":"x"}"#;
        let facts = Facts::read(payload).unwrap();
        assert_eq!(facts.symbol(), None);
        assert_eq!(facts.tickers, ["A", "B"]);
        assert_eq!(facts.strike.as_deref(), Some("290"));
        assert_eq!(facts.timestamp, None);
    }

    #[test]
    fn an_answer_to_a_join_has_status_and_response() {
        let status = |payload: &str| Facts::read(payload).unwrap().join_status().map(str::to_owned);
        assert_eq!(status(r#"{"response":{},"status":"ok"}"#).as_deref(), Some("ok"));
        assert_eq!(status(r#"{"status":"error","response":{"reason":"plan"}}"#).as_deref(), Some("error"));
        assert_eq!(status(r#"{"status":"ok"}"#), None);
    }

    #[test]
    fn validates_the_whole_payload() {
        for broken in [r#"{"a":1"#, r#"{"a":1}}"#, r#"{"a":nul}"#, r#"{"a":"\x"}"#, "[]", r#"{"a":1},{}"#] {
            assert!(Facts::read(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn reads_escaped_text_and_keeps_plain_text_borrowed() {
        let facts = Facts::read(r#"{"ticker":"A\u0042","strike":"1.5"}"#).unwrap();
        assert_eq!(facts.symbol(), Some("AB"));
        assert!(matches!(facts.strike, Some(Cow::Borrowed("1.5"))));
    }
}
