//! Reads the number of an event back from its payload.

use serde::de::IgnoredAny;
use uw_websocket_core::event::Topic;

use super::patch::{CUMULATIVE_BASE, Patch, value_of};
use super::samples::Sample;

/// Reads the number of an event that a simulator made, from its channel or topic and its payload. Numbers start at 1 and rise
/// by 1 with every event of a simulator, over all channels. Returns `None` for any other event.
#[must_use]
pub fn event_number(topic: &str, payload: &[u8]) -> Option<u64> {
    let channel = Topic::split(topic).0;
    serde_json::from_slice::<IgnoredAny>(payload).ok()?;
    let payload = std::str::from_utf8(payload).ok()?;
    let (field, patch) = Sample::of(channel).number;
    let value = payload.get(value_of(payload, field)?)?.trim_matches('"');
    match patch {
        Patch::NumberHex => u64::from_str_radix(last_twelve(value)?, 16).ok(),
        Patch::Cumulative => value.parse::<u64>().ok()?.checked_sub(CUMULATIVE_BASE),
        _ => last_twelve(value)?.parse().ok(),
    }
}

fn last_twelve(text: &str) -> Option<&str> {
    text.get(text.len().checked_sub(12)?..)
}
