//! A JSON object that preserves the order and the text of its members.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::decimal::Decimal;

/// Longest string copied from an event; bounds the memory of a row.
const MAX_TEXT: usize = 128;

/// An object's members, borrowed from its text.
#[derive(Debug)]
pub(super) struct Object<'j>(Vec<(Cow<'j, str>, &'j RawValue)>);

impl<'j> Object<'j> {
    /// Parses an object; `None` for anything else.
    pub(super) fn parse(text: &'j str) -> Option<Object<'j>> {
        serde_json::from_str(text).ok()
    }

    /// Iterates over the members in order.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &'j str)> {
        self.0.iter().map(|(name, value)| (&**name, value.get()))
    }

    /// Returns a member's raw text; of a repeated name the last one, as in most JSON readers.
    pub(super) fn get(&self, name: &str) -> Option<&'j str> {
        self.0.iter().rev().find(|(found, _)| found == name).map(|(_, value)| value.get())
    }

    /// Returns a member that is a string.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'j, str>> {
        string(self.get(name)?)
    }

    /// Returns a member that is a number, or a string with one.
    pub(super) fn decimal(&self, name: &str) -> Option<Decimal> {
        decimal(self.get(name)?)
    }

    /// Returns a member that is an integer.
    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        self.decimal(name)?.to_string().parse().ok()
    }
}

/// Decodes a JSON string.
pub(super) fn string(value: &str) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(value).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// Parses a number, or a string with one.
pub(super) fn decimal(value: &str) -> Option<Decimal> {
    match string(value) {
        Some(text) => Decimal::parse(&text),
        None => Decimal::parse(value),
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<'de>, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut members = Vec::with_capacity(32);
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A member's name, borrowed unless it has escapes; serde's `Cow` always copies.
struct Name<'j>(Cow<'j, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name<'de>, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Builds an object member by member.
#[derive(Debug)]
pub(super) struct ObjectText(String);

impl ObjectText {
    pub(super) fn new() -> ObjectText {
        ObjectText("{".to_owned())
    }

    /// Adds a member with a raw JSON value.
    pub(super) fn raw(&mut self, name: &str, value: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        push_string(&mut self.0, name);
        self.0.push(':');
        self.0.push_str(value);
    }

    /// Adds a string member.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.raw(name, &quoted(text));
    }

    pub(super) fn end(mut self) -> Box<str> {
        self.0.push('}');
        self.0.into()
    }
}

/// Encodes a JSON string.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    push_string(&mut quoted, text);
    quoted
}

fn push_string(out: &mut String, text: &str) {
    if text.bytes().all(|b| b >= b' ' && b != b'"' && b != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// Converts to REST's form of a decimal: a string stays as it is, a number becomes a string of its digits. Anything
/// else is dropped (the feed sends `""` for unknown values).
pub(super) fn decimal_value(value: &str) -> Option<Cow<'_, str>> {
    match string(value) {
        Some(text) => Decimal::is_number(&text).then_some(Cow::Borrowed(value)),
        None => Decimal::parse(value).map(|number| Cow::Owned(format!("\"{number}\""))),
    }
}

/// Converts to REST's form of a count, a number: `50.0` becomes `50`.
pub(super) fn count_value(value: &str) -> Option<Cow<'_, str>> {
    decimal(value).map(|number| Cow::Owned(number.to_string()))
}

/// Accepts `true` or `false`.
pub(super) fn flag_value(value: &str) -> Option<Cow<'_, str>> {
    matches!(value, "true" | "false").then_some(Cow::Borrowed(value))
}

/// Accepts a string of at most [`MAX_TEXT`] bytes.
pub(super) fn text_value(value: &str) -> Option<Cow<'_, str>> {
    string(value).filter(|_| value.len() <= MAX_TEXT).map(|_| Cow::Borrowed(value))
}

/// Accepts `null` or a string of at most [`MAX_TEXT`] bytes.
pub(super) fn nullable_text_value(value: &str) -> Option<Cow<'_, str>> {
    if value == "null" { Some(Cow::Borrowed(value)) } else { text_value(value) }
}

#[cfg(test)]
mod tests;
