//! Reads the number of an event back from its payload.

use serde_json::Value;

use super::patch::{CUMULATIVE_BASE, Patch};
use super::samples::Sample;

/// Reads the number of an event that a simulator made, from its channel or topic and its payload. Numbers start at 1 and rise
/// by 1 with every event of a simulator, over all channels. Returns `None` for any other event.
#[must_use]
pub fn event_number(topic: &str, payload: &[u8]) -> Option<u64> {
    let channel = topic.split_once(':').map_or(topic, |(channel, _)| channel);
    let payload: Value = serde_json::from_slice(payload).ok()?;
    let (field, patch) = Sample::of(channel).number;
    let value = payload.get(field)?;
    match patch {
        Patch::NumberHex => u64::from_str_radix(last_twelve(value)?, 16).ok(),
        Patch::Cumulative => value.as_u64()?.checked_sub(CUMULATIVE_BASE),
        _ => last_twelve(value)?.parse().ok(),
    }
}

fn last_twelve(value: &Value) -> Option<&str> {
    let text = value.as_str()?;
    text.get(text.len().checked_sub(12)?..)
}
