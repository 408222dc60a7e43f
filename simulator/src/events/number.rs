//! The event number: what a test finds in every made event again.

use serde_json::Value;

use super::shapes::Shape;
use super::template::CUMULATIVE_BASE;

/// Where a payload holds the number of its event.
#[derive(Clone, Copy, Debug)]
pub(super) enum NumberPlace {
    /// The last twelve hexadecimal digits of a uuid.
    Uuid(&'static str),
    /// The twelve digits after the point of a decimal.
    Fraction(&'static str),
    /// Above a base in an integer.
    Cumulative(&'static str),
    /// The twelve digits at the end of a text.
    Tail(&'static str),
}

/// The number of an event that a [`Simulator`](crate::Simulator) made, from the channel's name (or its topic) and the payload.
/// Numbers begin at 1 and rise by 1 with every event of a simulator, over all its channels.
/// `None` for anything else.
#[must_use]
pub fn event_number(topic: &str, payload: &[u8]) -> Option<u64> {
    let channel = topic.split_once(':').map_or(topic, |(channel, _)| channel);
    let payload: Value = serde_json::from_slice(payload).ok()?;
    match Shape::of(channel).number {
        NumberPlace::Uuid(field) => u64::from_str_radix(last_twelve(payload.get(field)?)?, 16).ok(),
        NumberPlace::Fraction(field) | NumberPlace::Tail(field) => {
            last_twelve(payload.get(field)?)?.parse().ok()
        }
        NumberPlace::Cumulative(field) => payload.get(field)?.as_u64()?.checked_sub(CUMULATIVE_BASE),
    }
}

fn last_twelve(value: &Value) -> Option<&str> {
    let text = value.as_str()?;
    text.get(text.len().checked_sub(12)?..)
}
