//! A JSON object in the order of its members, each as it was written.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::decimal::Decimal;

/// Longest string of an event that is carried. It bounds what a row of the feed can weigh.
const MAX_TEXT: usize = 128;

/// The members of an object, borrowed from its text.
#[derive(Debug)]
pub(super) struct Object<'j>(Vec<(Cow<'j, str>, &'j RawValue)>);

impl<'j> Object<'j> {
    /// Reads an object; `None` for anything else.
    pub(super) fn parse(text: &'j str) -> Option<Object<'j>> {
        serde_json::from_str(text).ok()
    }

    /// The members in their order.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &'j str)> {
        self.0.iter().map(|(name, value)| (&**name, value.get()))
    }

    /// A member as it was written; of a repeated name the last one, as most readers have it.
    pub(super) fn get(&self, name: &str) -> Option<&'j str> {
        self.0.iter().rev().find(|(found, _)| found == name).map(|(_, value)| value.get())
    }

    /// A member that is a string.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'j, str>> {
        string(self.get(name)?)
    }

    /// A member that is a number, or a string with one.
    pub(super) fn decimal(&self, name: &str) -> Option<Decimal> {
        decimal(self.get(name)?)
    }

    /// A member that is a whole number.
    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        self.decimal(name)?.to_string().parse().ok()
    }
}

/// What a value that is a string says.
pub(super) fn string(value: &str) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(value).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// The number that a value is, or that a string holds.
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

/// A member's name, borrowed unless it has escapes: serde's own `Cow` always copies.
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

/// Writes an object, member by member.
#[derive(Debug)]
pub(super) struct ObjectText(String);

impl ObjectText {
    pub(super) fn new() -> ObjectText {
        ObjectText("{".to_owned())
    }

    /// Adds a member with a value that is JSON already.
    pub(super) fn raw(&mut self, name: &str, value: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        push_string(&mut self.0, name);
        self.0.push(':');
        self.0.push_str(value);
    }

    /// Adds a member with a string.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.raw(name, &quoted(text));
    }

    pub(super) fn end(mut self) -> Box<str> {
        self.0.push('}');
        self.0.into()
    }
}

/// A text as a JSON string.
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

/// A decimal as REST has it: a string stays as it came, a number becomes the string of its digits. What is none (the feed
/// sends `""` for what it does not know) is not carried.
pub(super) fn decimal_value(value: &str) -> Option<Cow<'_, str>> {
    match string(value) {
        Some(text) => Decimal::is_number(&text).then_some(Cow::Borrowed(value)),
        None => Decimal::parse(value).map(|number| Cow::Owned(format!("\"{number}\""))),
    }
}

/// A count as REST has it: a number. `50.0` is `50`.
pub(super) fn count_value(value: &str) -> Option<Cow<'_, str>> {
    decimal(value).map(|number| Cow::Owned(number.to_string()))
}

/// `true` or `false`.
pub(super) fn flag_value(value: &str) -> Option<Cow<'_, str>> {
    matches!(value, "true" | "false").then_some(Cow::Borrowed(value))
}

/// A string.
pub(super) fn text_value(value: &str) -> Option<Cow<'_, str>> {
    string(value).filter(|_| value.len() <= MAX_TEXT).map(|_| Cow::Borrowed(value))
}

/// A string or `null`.
pub(super) fn nullable_text_value(value: &str) -> Option<Cow<'_, str>> {
    if value == "null" { Some(Cow::Borrowed(value)) } else { text_value(value) }
}

#[cfg(test)]
mod tests;
