//! Reads answers, and refuses those that prove nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use super::screen::Sums;
use super::{AuditSubject, MINUTE_US};
use crate::rest_query::RestQuery;
use crate::time::parse_iso;

/// Pages of one interval. The longest is a minute of trades: 20 000 of them.
const MAX_PAGES: usize = 40;

/// Why an answer proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoEvidence {
    /// Not an object with an array of rows.
    #[error("the answer has no rows")]
    NoRows,
    /// A row without identity or time.
    #[error("a row has no identity or no time")]
    Unreadable,
    /// A row of another time: the parameter was not understood.
    #[error("a row is of another time than asked for")]
    Outside,
    /// A row of another ticker.
    #[error("a row is of another ticker than asked for")]
    OtherTicker,
    /// The pages do not go back, or are too many.
    #[error("the pages do not reach the beginning of the interval")]
    Endless,
    /// No row of an interval in which events were received.
    #[error("the answer is empty")]
    Empty,
    /// A refusal.
    #[error("the request is refused")]
    Refused,
    /// Without the headers of a success.
    #[error("the answer has no usage headers")]
    NoUsage,
}

/// Rows by identity with their times in Unix microseconds. Cancelled ones are left out.
pub type Rows = BTreeMap<String, u64>;

/// Collects the rows of an interval, page by page.
#[derive(Clone, Debug)]
pub struct Pages {
    subject: AuditSubject,
    from_us: u64,
    to_us: u64,
    cursor_ms: u64,
    taken: usize,
    rows: Rows,
    seen: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Body {
    data: Vec<Map<String, Value>>,
}

pub(super) fn data(body: &[u8]) -> Result<Vec<Map<String, Value>>, NoEvidence> {
    serde_json::from_slice::<Body>(body).map(|body| body.data).map_err(|_| NoEvidence::NoRows)
}

fn text<'r>(row: &'r Map<String, Value>, field: &str) -> Option<&'r str> {
    row.get(field).and_then(Value::as_str)
}

impl Pages {
    /// Begins with the newest page of the interval from `from_us` to before `to_us`, in Unix microseconds.
    #[must_use]
    pub fn new(subject: &AuditSubject, from_us: u64, to_us: u64) -> Pages {
        Pages {
            subject: subject.clone(),
            from_us,
            to_us,
            cursor_ms: to_us.div_ceil(1_000),
            taken: 0,
            rows: Rows::new(),
            seen: BTreeSet::new(),
        }
    }

    /// Returns the documented maximum of rows per page.
    fn limit(&self) -> usize {
        match self.subject {
            AuditSubject::Trades(_) => 500,
            AuditSubject::Alerts(_) => 200,
            _ => 100,
        }
    }

    /// Returns the request for the next page.
    #[must_use]
    pub fn query(&self) -> RestQuery {
        let limit = ("limit", self.limit().to_string());
        let window = || {
            let newer = ("newer_than", (self.from_us / 1_000).to_string());
            vec![newer, ("older_than", self.cursor_ms.to_string()), limit.clone()]
        };
        let (path, mut parameters, tickers) = match &self.subject {
            AuditSubject::Trades(ticker) => ("/api/option-trades", window(), ticker.clone()),
            AuditSubject::Alerts(tickers) => ("/api/option-trades/flow-alerts", window(), tickers.join(",")),
            // of other channels no interval is drawn
            _ => ("/api/news/headlines", vec![limit, ("page", self.taken.to_string())], String::new()),
        };
        if !tickers.is_empty() {
            parameters.push(("ticker_symbol", tickers));
        }
        RestQuery { path: path.to_owned(), pairs: parameters }
    }

    /// Takes the body of a page. Returns the rows after the last one.
    pub fn take(&mut self, body: &[u8]) -> Result<Option<Rows>, NoEvidence> {
        let data = data(body)?;
        let mut oldest_us = u64::MAX;
        let mut is_new = false;
        for row in &data {
            let (id, at_us) = self.read(row)?;
            oldest_us = oldest_us.min(at_us);
            is_new |= self.seen.insert(id.clone());
            let is_canceled = row.get("canceled").and_then(Value::as_bool).unwrap_or_default();
            if (self.from_us..self.to_us).contains(&at_us) && !is_canceled {
                self.rows.insert(id, at_us);
            }
        }
        self.taken += 1;
        if data.len() < self.limit() || oldest_us < self.from_us {
            return Ok(Some(std::mem::take(&mut self.rows)));
        }
        if !is_new || self.taken == MAX_PAGES {
            return Err(NoEvidence::Endless);
        }
        self.cursor_ms = oldest_us / 1_000 + 1;
        Ok(None)
    }

    fn read(&self, row: &Map<String, Value>) -> Result<(String, u64), NoEvidence> {
        let (id, time, ticker) = match &self.subject {
            AuditSubject::Trades(_) => ("id", "executed_at", "underlying_symbol"),
            AuditSubject::Alerts(_) => ("id", "created_at", "ticker"),
            _ => ("headline", "created_at", ""),
        };
        let id = text(row, id).filter(|id| !id.is_empty()).ok_or(NoEvidence::Unreadable)?;
        let at_us = text(row, time).and_then(parse_iso).ok_or(NoEvidence::Unreadable)?;
        let is_of_window = (self.from_us / 1_000 * 1_000..self.to_us.saturating_add(1_000)).contains(&at_us);
        if !is_of_window && self.subject != AuditSubject::News {
            return Err(NoEvidence::Outside);
        }
        let is_asked = match &self.subject {
            AuditSubject::Trades(asked) => text(row, ticker) == Some(asked),
            AuditSubject::Alerts(asked) => {
                asked.is_empty()
                    || text(row, ticker).is_some_and(|ticker| asked.iter().any(|one| one == ticker))
            }
            _ => true,
        };
        if is_asked { Ok((id.to_owned(), at_us)) } else { Err(NoEvidence::OtherTicker) }
    }
}

/// Returns the request for the sums of a ticker, by minute.
#[must_use]
pub fn sums_query(ticker: &str) -> RestQuery {
    RestQuery { path: format!("/api/stock/{ticker}/net-prem-ticks"), pairs: Vec::new() }
}

/// Reads the sums of a ticker.
pub fn sums(body: &[u8]) -> Result<Sums, NoEvidence> {
    let mut sums = Sums::new();
    for row in data(body)? {
        let minute = text(&row, "tape_time").and_then(parse_iso).ok_or(NoEvidence::Unreadable)?;
        let volume = |field: &str| row.get(field).and_then(Value::as_u64).ok_or(NoEvidence::Unreadable);
        sums.insert(minute - minute % MINUTE_US, [volume("call_volume")?, volume("put_volume")?]);
    }
    if sums.is_empty() { Err(NoEvidence::Empty) } else { Ok(sums) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON_US: u64 = 1_791_212_400_000_000;

    fn pages() -> Pages {
        Pages::new(&AuditSubject::Trades("SPY".to_owned()), NOON_US, NOON_US + 5_000_000)
    }

    fn row(id: &str, second: u32, more: &str) -> String {
        format!(
            r#"{{"id":"{id}","underlying_symbol":"SPY","executed_at":"2026-10-05T15:00:{second:02}.000500Z"{more}}}"#
        )
    }

    fn body(rows: &[String]) -> Vec<u8> {
        format!(r#"{{"data":[{}]}}"#, rows.join(",")).into_bytes()
    }

    #[test]
    fn a_short_page_ends_an_interval_and_a_full_one_moves_the_cursor() {
        let mut pages = pages();
        let full: Vec<String> = (0..500).map(|n| row(&format!("a{n}"), 3, "")).collect();
        assert_eq!(pages.take(&body(&full)), Ok(None));
        let query = pages.query();
        assert_eq!(query.path, "/api/option-trades");
        let older = ("older_than", (NOON_US / 1_000 + 3_001).to_string());
        assert!(query.pairs.contains(&older), "{query:?}");
        let last = [row("a499", 3, ""), row("b", 1, ""), row("c", 1, r#","canceled":true"#)];
        assert_eq!(pages.take(&body(&last)).unwrap().unwrap().len(), 501);
    }

    #[test]
    fn what_is_not_as_asked_for_is_no_evidence() {
        for (answer, why) in [
            (b"null".to_vec(), NoEvidence::NoRows),
            (b"{}".to_vec(), NoEvidence::NoRows),
            (b"[1]".to_vec(), NoEvidence::NoRows),
            (body(&[row("a", 9, "")]), NoEvidence::Outside),
            (body(&[row("a", 1, "").replace("SPY", "QQQ")]), NoEvidence::OtherTicker),
            (body(&[row("a", 1, "").replace("id", "no")]), NoEvidence::Unreadable),
            (body(&[row("", 1, "")]), NoEvidence::Unreadable),
        ] {
            assert_eq!(pages().take(&answer), Err(why));
        }
        let mut pages = pages();
        let full: Vec<String> = (0..500).map(|n| row(&format!("a{n}"), 3, "")).collect();
        assert_eq!(pages.take(&body(&full)), Ok(None));
        assert_eq!(pages.take(&body(&full)), Err(NoEvidence::Endless));
        assert_eq!(sums(br#"{"data":[]}"#), Err(NoEvidence::Empty));
    }

    #[test]
    fn sums_are_read_by_minute() {
        let answer = br#"{"data":[{"tape_time":"2026-10-05T15:00:00Z","call_volume":3,"put_volume":4}]}"#;
        assert_eq!(sums(answer), Ok(Sums::from([(NOON_US, [3, 4])])));
    }
}
