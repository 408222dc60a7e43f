//! Reads answers that have a row per minute, or the newest state.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::evidence::{self, NoEvidence};
use super::{AuditSubject, HOUR_US, MINUTE_US, kept};
use crate::backfill::key::{self, Object};
use crate::calendar::{iso_date, session_date};
use crate::rest_query::RestQuery;

/// Time around the hour asked for within which a day's rows lie: a day in New York time, of which the answer may carry the
/// evening before.
const DAY_US: u64 = 36 * HOUR_US;
/// Documented maximum of candles, and of strikes: without it some endpoints answer with fewer.
const CANDLES: &str = "2500";
const STRIKES: &str = "500";

/// A row of a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// The time that it states, in Unix microseconds.
    pub at_us: u64,
    /// Of a candle: the volume of its minute.
    pub volume: u64,
    /// Of a candle: the volume of the session at its end.
    pub total: Option<u64>,
    /// Of an exposure: a hash of its values.
    pub values: Option<u64>,
}

/// Rows by the start of their minute, in Unix microseconds.
pub type Points = BTreeMap<u64, Point>;

#[derive(Deserialize)]
struct QuoteBody {
    data: Quote,
}

#[derive(Deserialize)]
struct Quote {
    last_trade: Option<Object>,
}

/// Returns the request for the rows of the day that holds an hour; `None` if the channel has none.
#[must_use]
pub fn day_query(subject: &AuditSubject, hour_us: u64) -> Option<RestQuery> {
    let date = ("date", iso_date(session_date(hour_us / 1_000)));
    let (path, parameters) = match subject {
        AuditSubject::Price(ticker) => {
            (format!("/api/stock/{ticker}/ohlc/1m"), vec![date, ("limit", CANDLES.to_owned())])
        }
        AuditSubject::Gex(ticker) => (format!("/api/stock/{ticker}/spot-exposures"), vec![date]),
        _ => return None,
    };
    Some(RestQuery { path, pairs: parameters })
}

/// Reads the rows of the day that holds an hour.
pub fn day(subject: &AuditSubject, hour_us: u64, body: &[u8]) -> Result<Points, NoEvidence> {
    let is_price = matches!(subject, AuditSubject::Price(_));
    let mut points = Points::new();
    for row in evidence::data(body)? {
        check_ticker(subject, &row)?;
        let at_us = time(&row, if is_price { "start_time" } else { "time" })?;
        if at_us.abs_diff(hour_us) > DAY_US {
            return Err(NoEvidence::Outside);
        }
        let count = |field: &str| row.get(field).and_then(Value::as_u64);
        let point = if is_price {
            let volume = count("volume").ok_or(NoEvidence::Unreadable)?;
            Point { at_us, volume, total: count("total_volume"), values: None }
        } else {
            Point { at_us, values: kept::values(&row), ..Point::default() }
        };
        points.insert(at_us - at_us % MINUTE_US, point);
    }
    if points.is_empty() { Err(NoEvidence::Empty) } else { Ok(points) }
}

/// Returns the request for the newest state; `None` if the channel has none.
#[must_use]
pub fn newest_query(subject: &AuditSubject) -> Option<RestQuery> {
    let (path, parameters) = match subject {
        AuditSubject::Price(ticker) => (format!("/api/stock/{ticker}/quote"), Vec::new()),
        AuditSubject::Strikes(ticker) | AuditSubject::StrikesByExpiry(ticker) => (
            format!("/api/stock/{ticker}/spot-exposures/strike"),
            vec![("page", "0".to_owned()), ("limit", STRIKES.to_owned())],
        ),
        _ => return None,
    };
    Some(RestQuery { path, pairs: parameters })
}

/// Reads the time of the newest state, in Unix microseconds.
pub fn newest(subject: &AuditSubject, body: &[u8]) -> Result<u64, NoEvidence> {
    if matches!(subject, AuditSubject::Price(_)) {
        let body: QuoteBody = serde_json::from_slice(body).map_err(|_| NoEvidence::NoRows)?;
        return time(&body.data.last_trade.ok_or(NoEvidence::Empty)?, "time");
    }
    let mut newest_us = None;
    for row in evidence::data(body)? {
        check_ticker(subject, &row)?;
        newest_us = newest_us.max(Some(time(&row, "time")?));
    }
    newest_us.ok_or(NoEvidence::Empty)
}

fn time(row: &Object, field: &str) -> Result<u64, NoEvidence> {
    key::time_us(row, field).ok_or(NoEvidence::Unreadable)
}

/// Candles do not name their ticker.
fn check_ticker(subject: &AuditSubject, row: &Object) -> Result<(), NoEvidence> {
    let stated = row.get("ticker").and_then(Value::as_str);
    if stated.is_none_or(|stated| Some(stated) == subject.ticker()) {
        Ok(())
    } else {
        Err(NoEvidence::OtherTicker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 15:00 UTC on 2026-10-05.
    const HOUR: u64 = 1_791_212_400_000_000;

    fn price() -> AuditSubject {
        AuditSubject::Price("SPY".to_owned())
    }

    fn gex() -> AuditSubject {
        AuditSubject::Gex("SPY".to_owned())
    }

    #[test]
    fn a_day_is_asked_for_by_its_date_in_new_york() {
        let query = day_query(&price(), HOUR).unwrap();
        assert_eq!(query.path, "/api/stock/SPY/ohlc/1m");
        assert_eq!(query.pairs[0], ("date", "2026-10-05".to_owned()));
        // the evening of the day before
        let night = day_query(&gex(), HOUR - 14 * HOUR_US).unwrap();
        assert_eq!(night.pairs, [("date", "2026-10-04".to_owned())]);
        assert_eq!((day_query(&AuditSubject::News, HOUR), newest_query(&gex())), (None, None));
    }

    #[test]
    fn candles_and_points_are_read_by_minute() {
        let candles =
            br#"{"data":[{"start_time":"2026-10-05T15:01:00Z","volume":7,"total_volume":107,"close":"1"},
            {"start_time":"2026-10-05T15:00:00Z","volume":0}]}"#;
        let points = day(&price(), HOUR, candles).unwrap();
        assert_eq!(points[&HOUR], Point { at_us: HOUR, ..Point::default() });
        let second = points[&(HOUR + MINUTE_US)];
        assert_eq!((second.volume, second.total), (7, Some(107)));
        let points =
            day(&gex(), HOUR, br#"{"data":[{"ticker":"SPY","time":"2026-10-05T15:00:48Z"}]}"#).unwrap();
        assert_eq!(points[&HOUR], Point { at_us: HOUR + 48_000_000, ..Point::default() });
    }

    #[test]
    fn the_newest_time_is_that_of_the_last_trade_or_of_the_newest_strike() {
        let quote =
            br#"{"data":{"last_trade":{"price":"1","time":"2026-10-05T15:00:01.5Z","total_volume":3}}}"#;
        assert_eq!(newest(&price(), quote), Ok(HOUR + 1_500_000));
        let strikes =
            br#"{"data":[{"time":"2026-10-05T15:00:09Z","strike":"1"},{"time":"2026-10-05T15:00:03Z"}]}"#;
        assert_eq!(newest(&AuditSubject::Strikes("SPY".to_owned()), strikes), Ok(HOUR + 9_000_000));
    }

    #[test]
    fn what_is_not_as_asked_for_is_no_evidence() {
        for (body, why) in [
            (r#"{"data":[]}"#, NoEvidence::Empty),
            ("null", NoEvidence::NoRows),
            (r#"{"data":[{"time":"2020-01-02T15:00:00Z"}]}"#, NoEvidence::Outside),
            (r#"{"data":[{"time":"2026-10-05T15:00:00Z","ticker":"QQQ"}]}"#, NoEvidence::OtherTicker),
            (r#"{"data":[{"price":"1"}]}"#, NoEvidence::Unreadable),
        ] {
            assert_eq!(day(&gex(), HOUR, body.as_bytes()), Err(why), "{body}");
        }
        for (body, why) in [
            (r#"{"data":{"last_trade":null}}"#, NoEvidence::Empty),
            (r#"{"data":[]}"#, NoEvidence::NoRows),
            (r#"{"data":{"last_trade":{"price":"1"}}}"#, NoEvidence::Unreadable),
        ] {
            assert_eq!(newest(&price(), body.as_bytes()), Err(why), "{body}");
        }
    }
}
