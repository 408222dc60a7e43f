//! The `ws:map:` hash field of a gex row.

use crate::calendar;
use crate::calendar::SessionClock;
use crate::channel::{Channel, MapKey};
use crate::event::MapCell;
use crate::feed::routing_fields::RoutingFields;
use crate::time::hold_back;

/// Maximum length of a map field; strikes have about a dozen digits, an expiry adds ten characters.
pub const MAX_FIELD: usize = 64;

/// Returns the map field of a row of `channel` received at `received_us`. `None` if the channel has no map, the row
/// lacks its strike or expiry, the expiry was already past at the row's time, or the field is too long.
pub fn map_cell(
    channel: &Channel,
    facts: &RoutingFields<'_>,
    received_us: u64,
    sessions: &mut SessionClock,
) -> Option<Box<MapCell>> {
    let (key, _) = channel.spec()?.map?;
    let strike = facts.strike.as_deref()?;
    // a session date in the future would make the map reject all other rows
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
