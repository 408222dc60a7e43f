//! Which field of a `ws:map:` hash a gex row sets.

use crate::calendar;
use crate::calendar::SessionClock;
use crate::channel::{Channel, MapKey};
use crate::event::MapCell;
use crate::feed::routing_fields::Facts;
use crate::time::hold_back;

/// Longest field of a map; strikes have a dozen digits, an expiry ten more characters.
pub const MAX_FIELD: usize = 64;

/// The field that a row of `channel`, received at `received_us`, sets in the channel's map, if the row names its place. A
/// row of an expiry that was past when it was made has none.
pub fn map_cell(
    channel: &Channel,
    facts: &Facts<'_>,
    received_us: u64,
    sessions: &mut SessionClock,
) -> Option<Box<MapCell>> {
    let (key, _) = channel.spec()?.map?;
    let strike = facts.strike.as_deref()?;
    // a row from the future would make the map refuse all others
    let received = received_us / 1000;
    let (at_ms, _) = row_ms(facts, received_us);
    let session = sessions.session_date(at_ms.min(received));
    let field = match key {
        MapKey::Strike => strike.to_owned(),
        MapKey::ExpiryAndStrike => {
            let expiry = facts.expiry.as_deref()?;
            if calendar::day_of(expiry).is_some_and(|day| day < session) {
                return None;
            }
            format!("{expiry}:{strike}")
        }
    };
    (field.len() <= MAX_FIELD).then(|| Box::new(MapCell { field: field.into(), session, at_ms }))
}

/// Of what time a row is, in Unix milliseconds, and whether it claims to be of the future.
#[must_use]
pub fn row_ms(facts: &Facts<'_>, received_us: u64) -> (u64, bool) {
    let stated = facts.timestamp.and_then(|ms| u64::try_from(ms).ok());
    let mut at_us = stated.map_or(received_us, |ms| ms.saturating_mul(1000));
    let is_ahead = hold_back(&mut at_us, received_us);
    (at_us / 1000, is_ahead)
}
