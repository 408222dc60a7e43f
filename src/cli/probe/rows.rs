//! Identity and time of a row of a page, or of an event.

use serde_json::Value;
use uw_websocket_core::event::{Channel, Symbol, Topic};
use uw_websocket_core::time::parse_iso;

/// A row's identity and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) id: Option<String>,
    /// The time as written.
    pub(super) time: String,
    /// In Unix microseconds.
    pub(super) at_us: u64,
}

/// Reads the rows of `{"data":[…]}` with their time in this field; `None` if it is no such page. A row without a readable time
/// is left out, and counted by the difference of the two numbers.
pub(super) fn page(body: &[u8], time: &str) -> Option<(Vec<Row>, usize)> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let data = body.get("data")?.as_array()?;
    let row = |row: &Value| {
        let written = row.get(time)?;
        let (time, at_us) = match written {
            Value::String(text) => (text.clone(), parse_iso(text)?),
            number => (number.to_string(), number.as_u64()?.checked_mul(1_000)?),
        };
        Some(Row { id: row.get("id").and_then(Value::as_str).map(str::to_owned), time, at_us })
    };
    Some((data.iter().filter_map(row).collect(), data.len()))
}

/// The time of an event in Unix microseconds: the execution of a trade, the end of an alert.
pub(super) fn event(payload: &[u8]) -> Option<(String, u64)> {
    let event: Value = serde_json::from_slice(payload).ok()?;
    let id = event.get("id")?.as_str()?.to_owned();
    let at = match event.get("executed_at")? {
        Value::String(text) => parse_iso(text)?,
        number => number.as_u64()?.checked_mul(1_000)?,
    };
    Some((id, at))
}

/// Parses a topic, if the product knows such a one.
pub(super) fn topic_of(text: &str) -> Option<Topic> {
    let (channel, symbol) =
        text.split_once(':').map_or((text, None), |(channel, symbol)| (channel, Some(symbol)));
    let symbol = symbol.map(Symbol::parse).transpose().ok()?;
    Some(Topic { channel: Channel::parse(channel).ok()?, symbol })
}

/// Returns whether times fall, or stay equal, from row to row.
pub(super) fn order(rows: &[Row]) -> &'static str {
    let falls = rows.is_sorted_by(|a, b| a.at_us >= b.at_us);
    let rises = rows.is_sorted_by(|a, b| a.at_us <= b.at_us);
    match (falls, rises) {
        (true, true) => "of one time",
        (true, false) => "newest first",
        (false, true) => "oldest first",
        (false, false) => "in no order of time",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_an_identity_and_a_time_as_text_or_number() {
        let body =
            br#"{"data":[{"id":"a","t":"2026-10-05T15:00:00.000002Z"},{"t":1791212400000},{"id":"b"}]}"#;
        let (rows, count) = page(body, "t").unwrap();
        let seen: Vec<_> = rows.iter().map(|row| (row.id.as_deref(), row.at_us)).collect();
        assert_eq!(
            (seen, count),
            (vec![(Some("a"), 1_791_212_400_000_002), (None, 1_791_212_400_000_000)], 3)
        );
        assert_eq!((order(&rows), order(&rows[..1])), ("newest first", "of one time"));
        assert_eq!([page(b"[]", "t"), page(b"{\"data\":{}}", "t"), page(b"x", "t")], [None, None, None]);
    }

    #[test]
    fn an_event_with_an_id_has_the_time_of_its_execution() {
        let trade = br#"{"id":"a","executed_at":1791212400001}"#;
        assert_eq!(event(trade), Some(("a".to_owned(), 1_791_212_400_001_000)));
        assert_eq!(event(br#"{"id":"a"}"#), None);
    }

    #[test]
    fn a_topic_that_nobody_knows_has_no_endpoint() {
        assert!(topic_of("price:SPY").is_some() && topic_of("price:").is_none());
    }
}
