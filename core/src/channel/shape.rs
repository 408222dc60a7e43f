//! Checks whether an event has the documented fields of its channel.
//!
//! Payloads are stored unchanged, which requires no such check. Samples (the first event of a channel, then one now
//! and then) are checked to detect early that the vendor's format drifts from the table. Fields outside the table
//! are allowed: the vendor may add some at any time.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;
use thiserror::Error;

use super::Channel;
use super::field::{Field, FieldKind};

/// A payload without the documented shape of its channel.
#[derive(Debug, Error)]
#[error("an event of {channel} does not have the documented shape")]
pub struct ShapeError {
    /// Its channel.
    pub channel: Channel,
    /// The first difference found.
    #[source]
    pub drift: Drift,
}

/// A difference between a payload and the table.
#[derive(Debug, Error)]
pub enum Drift {
    /// The payload is not a JSON object or, for a channel outside the table, not JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A documented field is absent.
    #[error("missing field `{0}`")]
    Missing(&'static str),
    /// A field has another type.
    #[error("field `{field}`: `{value}` is not {expected}")]
    Retyped {
        /// The field.
        field: &'static str,
        /// Its full value. Redact secrets before truncating it for display.
        value: String,
        /// The expected type.
        expected: &'static str,
    },
}

/// Checks a payload, the second item of a data frame.
pub fn check(channel: &Channel, payload: &str) -> Result<(), ShapeError> {
    let checked = match channel {
        Channel::Known(spec) => members(payload).and_then(|members| {
            spec.fields().try_for_each(|field| check_field(field, members.get(field.name).copied()))
        }),
        Channel::Other(_) => serde_json::from_str::<&RawValue>(payload).map(drop).map_err(Drift::from),
    };
    checked.map_err(|drift| ShapeError { channel: channel.clone(), drift })
}

fn members(payload: &str) -> Result<HashMap<Cow<'_, str>, &RawValue>, Drift> {
    Ok(serde_json::from_str(payload)?)
}

fn check_field(field: &Field, value: Option<&RawValue>) -> Result<(), Drift> {
    let json = match value.map(RawValue::get) {
        None | Some("null") if field.is_optional => return Ok(()),
        None => return Err(Drift::Missing(field.name)),
        Some(json) => json,
    };
    let (is_expected, expected) = match field.kind {
        FieldKind::Text | FieldKind::Account => (text(json).is_some(), "a string"),
        FieldKind::OneOf(values) => {
            (text(json).is_some_and(|text| values.contains(&&*text)), "one of the known values")
        }
        FieldKind::Texts => (serde_json::from_str::<Vec<Cow<'_, str>>>(json).is_ok(), "an array of strings"),
        // the vendor has switched between the two ways of writing numbers before; both are accepted
        FieldKind::Decimal | FieldKind::Number => (is_decimal(json), "a decimal number"),
        FieldKind::Count | FieldKind::Millis => (json.parse::<u64>().is_ok(), "a whole number"),
        FieldKind::Integer => (json.parse::<i64>().is_ok(), "a whole number"),
        FieldKind::Flag => (matches!(json, "true" | "false"), "`true` or `false`"),
        FieldKind::Object => {
            (serde_json::from_str::<HashMap<Cow<'_, str>, &RawValue>>(json).is_ok(), "an object")
        }
        FieldKind::Objects => (
            serde_json::from_str::<Vec<HashMap<Cow<'_, str>, &RawValue>>>(json).is_ok(),
            "an array of objects",
        ),
    };
    if is_expected {
        return Ok(());
    }
    if matches!(field.kind, FieldKind::Account) {
        return Err(Drift::Retyped { field: field.name, value: "…".to_owned(), expected });
    }
    let value = text(json).map_or_else(|| json.to_owned(), Cow::into_owned);
    Err(Drift::Retyped { field: field.name, value, expected })
}

fn text(json: &str) -> Option<Cow<'_, str>> {
    serde_json::from_str(json).ok()
}

/// Accepts a JSON number, a string in that form (`+`, `.5` and `1.` were never observed), or a missing value.
fn is_decimal(json: &str) -> bool {
    let quoted = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match quoted.unwrap_or(json) {
        "" => true,
        "null" => quoted.is_none(),
        digits => {
            let bytes = digits.as_bytes();
            bytes.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'-')
                && bytes.last().is_some_and(u8::is_ascii_digit)
                && serde_json::from_str::<&RawValue>(digits).is_ok()
        }
    }
}

#[cfg(test)]
mod tests;
