//! The rows of an answer, after every check that one answer allows.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use super::key::{self, Object};
use crate::channel::fill::{FillSource, FillSubject, RowIdentity};

/// A row of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedRow {
    /// Its time, in Unix microseconds; zero if it states none and needs none.
    pub at_us: u64,
    /// Its identity; zero if it has none.
    pub fingerprint: u64,
    /// Whether the vendor calls it cancelled.
    pub is_canceled: bool,
    /// Its JSON, byte for byte.
    pub bytes: Bytes,
}

/// Why an answer is no evidence of anything.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unfit {
    /// Not JSON, or cut off.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// JSON without an array of rows.
    #[error("the body is not an object with an array `data`")]
    NoData,
    /// A row is not an object.
    #[error("a row is not an object")]
    NoRow,
    /// A row without a time.
    #[error("a row has no time in `{0}`")]
    NoTime(&'static str),
    /// A row without an identity.
    #[error("a row has no identity")]
    NoIdentity,
    /// A row of another symbol.
    #[error("a row is of another symbol than the one asked for")]
    OtherSymbol,
    /// A row outside of the interval: the vendor did not understand the parameters.
    #[error("a row lies outside of the interval asked for")]
    OutsideWindow,
    /// A full answer that does not begin with its newest row: a cursor would skip rows.
    #[error("the rows are not in descending order")]
    NotDescending,
}

#[derive(Deserialize)]
struct Body<'b> {
    #[serde(borrow)]
    data: Vec<&'b RawValue>,
}

/// Reads the rows of a body in the order of the answer.
pub fn rows(source: &FillSource, symbol: Option<&str>, body: &Bytes) -> Result<Vec<FetchedRow>, Unfit> {
    // serde takes an array for a struct as well
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        return Err(Unfit::NoData);
    }
    let parsed: Body<'_> = serde_json::from_slice(body).map_err(|error| {
        // the whole is JSON, but of another shape
        if error.is_data() { Unfit::NoData } else { Unfit::NotJson(error.to_string()) }
    })?;
    parsed.data.into_iter().map(|raw| row(source, symbol, body, raw)).collect()
}

fn row(source: &FillSource, symbol: Option<&str>, body: &Bytes, raw: &RawValue) -> Result<FetchedRow, Unfit> {
    let object: Object = serde_json::from_str(raw.get()).map_err(|_| Unfit::NoRow)?;
    let field = match source.subject {
        FillSubject::PathAndField(field) | FillSubject::Parameter { field, .. } => Some(field),
        FillSubject::All | FillSubject::Path => None,
    };
    if let (Some(field), Some(symbol)) = (field, symbol)
        && object.get(field).and_then(|ticker| ticker.as_str()) != Some(symbol)
    {
        return Err(Unfit::OtherSymbol);
    }
    let fingerprint = match source.identity {
        RowIdentity::None => 0,
        identity => key::of_row(identity, &object).ok_or(Unfit::NoIdentity)?,
    };
    Ok(FetchedRow {
        at_us: key::time_us(&object, source.time).ok_or(Unfit::NoTime(source.time))?,
        fingerprint,
        is_canceled: object.get("canceled").and_then(serde_json::Value::as_bool) == Some(true),
        bytes: body.slice_ref(raw.get().as_bytes()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::table::OPTION_TRADES;

    fn read(body: &str) -> Result<Vec<FetchedRow>, Unfit> {
        rows(OPTION_TRADES.fill.unwrap(), Some("SPY"), &Bytes::copy_from_slice(body.as_bytes()))
    }

    const ROW: &str =
        r#"{ "id":"a", "underlying_symbol":"SPY","executed_at":"2026-10-05T15:00:00.000001Z","x":[1, 2] }"#;

    #[test]
    fn rows_keep_their_bytes() {
        let rows =
            read(&format!(r#"{{"data":[{ROW} , {}],"more":1}}"#, ROW.replace("\"a\"", "\"b\""))).unwrap();
        assert_eq!(rows[0].bytes, ROW.as_bytes());
        assert_eq!(rows[0].at_us, 1_791_212_400_000_001);
        assert_ne!(rows[0].fingerprint, rows[1].fingerprint);
    }

    #[test]
    fn an_answer_that_is_not_what_was_asked_for_is_no_evidence() {
        let with = |row: &str| format!(r#"{{"data":[{row}]}}"#);
        for (body, expected) in [
            ("[]".to_owned(), Unfit::NoData),
            ("{}".to_owned(), Unfit::NoData),
            ("null".to_owned(), Unfit::NoData),
            (r#"{"data":null}"#.to_owned(), Unfit::NoData),
            (r#"{"data":{}}"#.to_owned(), Unfit::NoData),
            (with("1"), Unfit::NoRow),
            (with(&ROW.replace("\"a\"", "null")), Unfit::NoIdentity),
            (with(&ROW.replace("SPY", "QQQ")), Unfit::OtherSymbol),
            (with(&ROW.replace("executed_at", "at")), Unfit::NoTime("executed_at")),
        ] {
            assert_eq!(read(&body), Err(expected), "{body}");
        }
        let whole = with(ROW);
        for cut in 0..whole.len() {
            assert!(matches!(read(&whole[..cut]), Err(Unfit::NotJson(_))), "{cut}");
        }
        assert!(read("{\"data\":[]}").unwrap().is_empty());
        let invalid = Bytes::from_static(b"{\"data\":[{\"id\":\"\xff\"}]}");
        assert!(rows(OPTION_TRADES.fill.unwrap(), None, &invalid).is_err());
    }

    #[test]
    fn cancelled_rows_are_known_as_such() {
        let rows =
            read(&format!(r#"{{"data":[{}]}}"#, ROW.replace("\"x\":[1, 2]", "\"canceled\":true"))).unwrap();
        assert!(rows[0].is_canceled);
    }
}
