//! The `ws:map:` hash field of a row.

use crate::calendar;
use crate::calendar::SessionClock;
use crate::channel::{Channel, Frame, MapKey};
use crate::event::MapCell;
use crate::feed::routing_fields::RoutingFields;
use crate::time::hold_back;

/// Maximum length of a map field; strikes have about a dozen digits, an expiry adds ten characters.
pub const MAX_FIELD: usize = 64;

/// Returns the map field of a row of `channel` received at `received_us`. `None` if the channel's frames are no rows,
/// the row lacks its strike, expiry or days, the expiry was already past at the row's time, or the field is too long.
pub fn map_cell(
    channel: &Channel,
    facts: &RoutingFields<'_>,
    received_us: u64,
    sessions: &mut SessionClock,
) -> Option<Box<MapCell>> {
    let Frame::Row { key, .. } = channel.frame() else { return None };
    // a session date in the future would make the map reject all other rows
    let received = received_us / 1000;
    let (at_ms, _) = row_ms(facts, received_us);
    let session = session_of(facts, at_ms.min(received), sessions);
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

/// Returns the session of a row of this time: of a row with a day and no time, that day, unless it is in the future.
pub fn session_of(facts: &RoutingFields<'_>, at_ms: u64, sessions: &mut SessionClock) -> i32 {
    let session = sessions.session_date(at_ms);
    let stated = facts.date.as_deref().filter(|_| facts.timestamp.is_none()).and_then(calendar::day_of);
    stated.map_or(session, |day| day.min(session))
}

/// Returns the time of a row in Unix milliseconds, and whether it claimed to be in the future.
#[must_use]
pub fn row_ms(facts: &RoutingFields<'_>, received_us: u64) -> (u64, bool) {
    let stated = facts.timestamp.and_then(|ms| u64::try_from(ms).ok());
    let mut at_us = stated.map_or(received_us, |ms| ms.saturating_mul(1000));
    let is_ahead = hold_back(&mut at_us, received_us);
    (at_us / 1000, is_ahead)
}
