//! The identity of rows and events, as a fingerprint of the fields that they have in common.

use serde_json::{Map, Value};
use xxhash_rust::xxh3::Xxh3Default;

use crate::channel::fill::{KeyField, KeyKind, RowIdentity};
use crate::time::parse_iso;

/// A JSON object.
pub type Object = Map<String, Value>;

/// Below this a number is a time in Unix seconds, above it in milliseconds: the year 5138, and 1973.
const MAX_SECONDS: u64 = 100_000_000_000;

/// Returns the fingerprint of a row; `None` if a field is missing, or if rows have no identity.
#[must_use]
pub fn of_row(identity: RowIdentity, row: &Object) -> Option<u64> {
    fingerprint(identity, row, |field| field.row)
}

/// Returns the fingerprint of an event's payload; `None` if it is not an object with the fields.
#[must_use]
pub fn of_event(identity: RowIdentity, payload: &[u8]) -> Option<u64> {
    let payload: Object = serde_json::from_slice(payload).ok()?;
    fingerprint(identity, &payload, |field| field.event)
}

/// Returns the time in a field, in Unix microseconds: an ISO 8601 text, or a number of seconds or milliseconds.
#[must_use]
pub fn time_us(row: &Object, field: &str) -> Option<u64> {
    match row.get(field)? {
        Value::String(text) => parse_iso(text),
        Value::Number(number) => {
            let number = number.as_u64()?;
            number.checked_mul(if number < MAX_SECONDS { 1_000_000 } else { 1_000 })
        }
        _ => None,
    }
}

fn fingerprint(identity: RowIdentity, object: &Object, name: fn(&KeyField) -> &'static str) -> Option<u64> {
    let (RowIdentity::Unique(fields) | RowIdentity::Shared(fields)) = identity else { return None };
    let mut hash = Xxh3Default::new();
    for field in fields {
        let name = name(field);
        let part = match field.kind {
            KeyKind::Text => text(object.get(name)?)?,
            KeyKind::Decimal => decimal(&text(object.get(name)?)?),
            KeyKind::Second => (time_us(object, name)? / 1_000_000).to_string(),
        };
        hash.update(part.as_bytes());
        hash.update(&[0]);
    }
    Some(hash.digest())
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Removes the zeros that do not count.
fn decimal(text: &str) -> String {
    let text = text.trim_start_matches('+');
    if !text.contains('.') {
        return text.to_owned();
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::others::OFF_LIT_TRADES;
    use crate::channel::table::{NEWS, OPTION_TRADES};

    fn object(json: &str) -> Object {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn an_event_and_its_row_have_one_fingerprint() {
        for (spec, event, row) in [
            (&OPTION_TRADES, r#"{"id":"a","executed_at":1}"#, r#"{"id":"a","price":"1"}"#),
            (&NEWS, r#"{"headline":"h","timestamp":"x"}"#, r#"{"headline":"h","created_at":"y"}"#),
            (
                &OFF_LIT_TRADES,
                r#"{"symbol":"SPY","executed_at":"2026-10-05T15:00:00Z","price":"1.50","size":3,"volume":7}"#,
                r#"{"ticker":"SPY","executed_at":"2026-10-05T15:00:00.000000Z","price":1.5,"size":"3","volume":7}"#,
            ),
        ] {
            let identity = spec.fill.unwrap().identity;
            let row = of_row(identity, &object(row));
            assert!(row.is_some());
            assert_eq!(of_event(identity, event.as_bytes()), row, "{}", spec.name);
        }
    }

    #[test]
    fn without_its_fields_nothing_has_an_identity() {
        let identity = OPTION_TRADES.fill.unwrap().identity;
        for payload in ["", "[]", "{}", r#"{"id":null}"#, r#"{"id":{}}"#, "\"id\""] {
            assert_eq!(of_event(identity, payload.as_bytes()), None, "{payload}");
        }
        assert_eq!(of_row(RowIdentity::None, &object(r#"{"id":"a"}"#)), None);
    }

    #[test]
    fn times_are_text_seconds_or_milliseconds() {
        for (json, expected) in [
            (r#"{"t":"2026-10-05T15:00:00.123456Z"}"#, Some(1_791_212_400_123_456)),
            (r#"{"t":1791212400123}"#, Some(1_791_212_400_123_000)),
            (r#"{"t":1791212400}"#, Some(1_791_212_400_000_000)),
            (r#"{"t":-1}"#, None),
            (r#"{"t":null}"#, None),
            ("{}", None),
        ] {
            assert_eq!(time_us(&object(json), "t"), expected, "{json}");
        }
    }
}
