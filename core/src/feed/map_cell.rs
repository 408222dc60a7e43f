//! The `ws:map:` hash field of a row.

use crate::calendar;
use crate::calendar::{Product, SessionClock};
use crate::channel::{Channel, Frame, MapKey};
use crate::event::MapCell;
use crate::feed::routing_fields::RoutingFields;
use crate::time::hold_back;

/// Maximum length of a map field; strikes have about a dozen digits, an expiry adds ten characters.
pub const MAX_FIELD: usize = 64;

/// Returns the map field of a row of `channel` and `symbol` received at `received_us`. `None` if the channel's frames are no rows,
/// the row lacks its strike, expiry or days, the expiry was already past at the row's time, or the field is too long.
pub fn map_cell(
    channel: &Channel,
    symbol: Option<&str>,
    facts: &RoutingFields<'_>,
    received_us: u64,
    sessions: &mut SessionClock,
) -> Option<Box<MapCell>> {
    let Frame::Row { key, .. } = channel.frame() else { return None };
    // a session date in the future would make the map reject all other rows
    let received = received_us / 1000;
    let (at_ms, _) = row_ms(facts, received_us);
    let session = session_of(channel.product(symbol), facts, at_ms.min(received), sessions);
    let expiry = || {
        let expiry = facts.expiry.as_deref()?;
        let is_past = calendar::day_of(expiry).is_some_and(|day| day < session);
        (!is_past).then_some(expiry)
    };
    let field = match key {
        MapKey::Strike => facts.strike.as_deref()?.to_owned(),
        MapKey::Expiry => expiry()?.to_owned(),
        MapKey::ExpiryAndStrike => format!("{}:{}", expiry()?, facts.strike.as_deref()?),
        MapKey::Days => facts.days.as_deref()?.to_owned(),
    };
    (field.len() <= MAX_FIELD).then(|| Box::new(MapCell { field: field.into(), session, at_ms }))
}

/// Returns the session of a product's row of this time: of a row with a day and no time, that day, unless it is in
/// the future.
pub fn session_of(
    product: Product,
    facts: &RoutingFields<'_>,
    at_ms: u64,
    sessions: &mut SessionClock,
) -> i32 {
    let session = sessions.session_of(product, at_ms);
    let stated = facts.date.as_deref().filter(|_| facts.timestamp.is_none()).and_then(calendar::day_of);
    stated.map_or(session, |day| day.min(session))
}

/// Whether a row has no field because it would be too long.
#[must_use]
pub fn is_too_long(facts: &RoutingFields<'_>) -> bool {
    let length = |text: Option<&str>| text.map_or(0, str::len);
    length(facts.strike.as_deref()) + length(facts.expiry.as_deref()) >= MAX_FIELD
}

/// Returns the time of a row in Unix milliseconds, and whether it claimed to be in the future.
#[must_use]
pub fn row_ms(facts: &RoutingFields<'_>, received_us: u64) -> (u64, bool) {
    let stated = facts.timestamp.and_then(|ms| u64::try_from(ms).ok());
    let mut at_us = stated.map_or(received_us, |ms| ms.saturating_mul(1000));
    let is_ahead = hold_back(&mut at_us, received_us);
    (at_us / 1000, is_ahead)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::RECEIVED_US;

    /// Sunday 2026-11-29, 20:30 in New York.
    const SUNDAY_MS: u64 = 1_796_002_200_000;

    fn cell(topic: &str, payload: &str, received_us: u64) -> Option<(String, i32)> {
        let (channel, symbol) = topic.split_once(':').unwrap();
        let facts = RoutingFields::read(payload).unwrap();
        let channel = Channel::parse(channel).unwrap();
        let cell = map_cell(&channel, Some(symbol), &facts, received_us, &mut SessionClock::default())?;
        Some((cell.field.into(), cell.session))
    }

    #[test]
    fn a_row_of_index_options_of_the_evening_belongs_to_the_next_session() {
        let row = format!(r#"{{"strike":"6500","timestamp":{SUNDAY_MS}}}"#);
        for (topic, date) in [
            ("gex_strike:SPX", "2026-11-30"),
            ("gex_strike:SPXW", "2026-11-30"),
            ("gex_strike:SPY", "2026-11-29"),
        ] {
            let expected = Some(("6500".to_owned(), calendar::day_of(date).unwrap()));
            assert_eq!(cell(topic, &row, SUNDAY_MS * 1000), expected, "{topic}");
        }
        // what expired on Friday is past on Sunday evening, and what expires on Monday is not
        let row =
            |expiry: &str| format!(r#"{{"strike":"6500","expiry":"{expiry}","timestamp":{SUNDAY_MS}}}"#);
        assert_eq!(cell("gex_strike_expiry:SPX", &row("2026-11-27"), SUNDAY_MS * 1000), None);
        assert!(cell("gex_strike_expiry:SPX", &row("2026-11-30"), SUNDAY_MS * 1000).is_some());
    }

    #[test]
    fn a_statement_with_a_day_and_no_time_belongs_to_that_day() {
        for (date, session) in
            [("2025-05-15", "2025-05-15"), ("2099-01-01", "2025-05-16"), ("soon", "2025-05-16")]
        {
            let payload = format!(r#"{{"ticker":"SPY","date":"{date}","days":30,"expiry":"2025-06-20"}}"#);
            let session = calendar::day_of(session).unwrap();
            assert_eq!(
                cell("interpolated_iv:SPY", &payload, RECEIVED_US),
                Some(("30".into(), session)),
                "{date}"
            );
            let expiry = Some(("2025-06-20".into(), session));
            assert_eq!(cell("iv_term_structure:SPY", &payload, RECEIVED_US), expiry, "{date}");
        }
    }

    #[test]
    fn what_is_no_row_has_no_field() {
        for topic in ["price:SPY", "periscope:SPX", "something_new:SPY"] {
            assert_eq!(cell(topic, r#"{"strike":"5","expiry":"2026-12-18","days":1}"#, RECEIVED_US), None);
        }
        assert_eq!(cell("interpolated_iv:SPY", "{}", RECEIVED_US), None);
    }
}
