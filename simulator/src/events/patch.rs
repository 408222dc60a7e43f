//! Overwrites the varying fields of a sample in place: an event costs a few dozen bytes of formatting, one copy and no
//! allocation.

use std::ops::Range;

use serde_json::value::RawValue;

use super::moment::{Moment, decimal};

/// Overwrites bytes at the start or at the end of a field, for every event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patch {
    /// The event number as twelve hexadecimal digits at the end, of a UUID.
    NumberHex,
    /// The event number as twelve digits at the end, of a decimal or a text.
    Number,
    /// The event number plus [`CUMULATIVE_BASE`]: a session volume of twelve digits.
    Cumulative,
    /// The time in Unix milliseconds.
    Millis,
    /// The time in Unix milliseconds, truncated to seconds.
    SecondMillis,
    /// The time in Unix microseconds.
    Micros,
    /// The time as ISO 8601, UTC, whole seconds.
    Iso,
    /// Contracts of a trade, two digits.
    Size,
    /// US dollars of a trade at [`PRICE_CENTS`], five digits.
    Premium,
    /// Contracts of the session, eight digits.
    Volume,
    /// A strike of five characters, the next one for every event.
    Strike,
    /// An expiry, the next one after all strikes.
    Expiry,
    /// An expiry, the next one for every event.
    EachExpiry,
    /// A number of days of two digits, one of nine, the next one for every event.
    Days,
    /// The day in UTC, `YYYY-MM-DD`.
    Day,
    /// The time of a board of [`BOARD_FRAMES`] frames in Unix milliseconds, different for every board.
    BoardMillis,
    /// Whether more frames of the board follow.
    HasMore,
    /// This many random digits at the end.
    Chance(usize),
}

/// Added to the event number in a session volume, so that it always has twelve digits.
pub(super) const CUMULATIVE_BASE: u64 = 100_000_000_000;
/// Frames of a board; each has one row.
pub(super) const BOARD_FRAMES: u64 = 3;
/// Price of a contract in the samples of `option_trades` and `flow-alerts`, per share.
pub(super) const PRICE_CENTS: u64 = 650;

impl Patch {
    /// Number of bytes.
    pub(super) fn width(self) -> usize {
        match self {
            Patch::NumberHex | Patch::Number | Patch::Cumulative => 12,
            Patch::Millis | Patch::SecondMillis | Patch::BoardMillis => 13,
            Patch::Micros => 16,
            Patch::Iso => 20,
            Patch::Size | Patch::Days => 2,
            Patch::Premium | Patch::Strike | Patch::HasMore => 5,
            Patch::Volume => 8,
            Patch::Expiry | Patch::EachExpiry | Patch::Day => 10,
            Patch::Chance(digits) => digits,
        }
    }

    pub(super) fn is_at_end(self) -> bool {
        matches!(self, Patch::NumberHex | Patch::Number | Patch::Chance(_))
    }
}

/// Strikes per expiry: 100 to 999.5 in steps of a half.
const STRIKES: u64 = 1800;
/// First session volume: the smallest of eight digits.
const FIRST_VOLUME: u64 = 10_000_000;
/// Number of volumes of eight digits, after which they start over.
const VOLUMES: u64 = 90_000_000;

/// Values of an event.
#[derive(Debug)]
pub(super) struct Values<'a> {
    pub(super) number: u64,
    pub(super) moment: &'a Moment,
    pub(super) expiries: &'a [String],
    /// Contracts of the trade, 20 to 99.
    pub(super) size: u64,
    /// Contracts of all trades.
    pub(super) traded: u64,
    /// Position in the table of strikes and expiries.
    pub(super) row: u64,
    pub(super) chance: u64,
}

/// A payload and the ranges that every event overwrites.
#[derive(Debug)]
pub(super) struct PatchedPayload {
    bytes: Vec<u8>,
    patches: Vec<(Range<usize>, Patch)>,
}

impl PatchedPayload {
    /// Locates the fields in the payload. A field that an alteration removed or emptied is not overwritten.
    pub(super) fn new(
        payload: String,
        fields: impl IntoIterator<Item = (&'static str, Patch)>,
    ) -> PatchedPayload {
        let place = |(field, patch): (&str, Patch)| Some((place_of(&payload, field, patch)?, patch));
        let patches = fields.into_iter().filter_map(place).collect();
        PatchedPayload { patches, bytes: payload.into_bytes() }
    }

    /// Overwrites the varying fields.
    #[inline]
    pub(super) fn render(&mut self, values: &Values<'_>) -> &[u8] {
        for (place, patch) in &self.patches {
            write(*patch, &mut self.bytes[place.clone()], values);
        }
        &self.bytes
    }

    /// The payload as it was last rendered.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Locates the JSON value of a top-level field.
pub(super) fn value_of(payload: &str, field: &str) -> Option<Range<usize>> {
    let key = format!("\"{field}\":");
    let start = payload.find(&key)? + key.len();
    let rest = payload.get(start..)?;
    let value = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>().next()?.ok()?;
    Some(start..start + value.get().len())
}

/// Locates the bytes that a patch overwrites; `None` if the field is absent or too short.
pub(super) fn place_of(payload: &str, field: &str, patch: Patch) -> Option<Range<usize>> {
    let value = value_of(payload, field)?;
    let quotes = usize::from(payload.as_bytes().get(value.start) == Some(&b'"'));
    let (start, end) = (value.start + quotes, value.end - quotes);
    let width = patch.width();
    let place = if patch.is_at_end() { end.checked_sub(width)?..end } else { start..start + width };
    (start <= place.start && place.end <= end).then_some(place)
}

#[inline]
fn write(patch: Patch, out: &mut [u8], values: &Values<'_>) {
    match patch {
        Patch::NumberHex => hex(out, values.number),
        Patch::Number => decimal(out, values.number),
        Patch::Cumulative => decimal(out, CUMULATIVE_BASE + values.number),
        Patch::Millis => out.copy_from_slice(&values.moment.millis),
        Patch::SecondMillis => out.copy_from_slice(&values.moment.second_millis),
        Patch::Micros => out.copy_from_slice(&values.moment.micros),
        Patch::Iso => out.copy_from_slice(&values.moment.iso),
        Patch::Size => decimal(out, values.size),
        Patch::Premium => decimal(out, values.size * PRICE_CENTS),
        Patch::Volume => decimal(out, FIRST_VOLUME + values.traded % VOLUMES),
        Patch::Strike => strike(out, values.row % STRIKES),
        Patch::Expiry => expiry(out, values, values.row / STRIKES),
        Patch::EachExpiry => expiry(out, values, values.row),
        Patch::Days => decimal(out, 10 * (1 + values.row % 9)),
        Patch::Day => out.copy_from_slice(&values.moment.iso[..10]),
        Patch::BoardMillis => board_millis(out, values),
        Patch::HasMore => out.copy_from_slice(if is_last_frame(values) { b"false" } else { b"true " }),
        Patch::Chance(_) => decimal(out, values.chance >> 16),
    }
}

/// Writes a strike as `DDD.D`; the point is already in the sample.
fn strike(out: &mut [u8], halves: u64) {
    let (whole, fraction) = out.split_at_mut(3);
    decimal(whole, 100 + halves / 2);
    decimal(&mut fraction[1..], halves % 2 * 5);
}

fn expiry(out: &mut [u8], values: &Values<'_>, number: u64) {
    let index = usize::try_from(number).unwrap_or_default() % values.expiries.len().max(1);
    if let Some(expiry) = values.expiries.get(index).filter(|expiry| expiry.len() == out.len()) {
        out.copy_from_slice(expiry.as_bytes());
    }
}

/// Events are numbered from 1.
fn is_last_frame(values: &Values<'_>) -> bool {
    values.row.is_multiple_of(BOARD_FRAMES)
}

/// Writes the time with the first frame of a board, later than that of the board before; the other frames keep it.
fn board_millis(out: &mut [u8], values: &Values<'_>) {
    if values.row % BOARD_FRAMES != 1 {
        return;
    }
    let digits = |bytes: &[u8]| std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<u64>().ok());
    let (before, now) = (digits(out).unwrap_or_default(), digits(&values.moment.millis).unwrap_or_default());
    decimal(out, now.max(before + 1));
}

/// Writes the last hexadecimal digits of `value`, as many as there is room for.
#[inline]
fn hex(out: &mut [u8], mut value: u64) {
    for place in out.iter_mut().rev() {
        *place = b"0123456789abcdef"[usize::try_from(value & 15).unwrap_or_default()];
        value >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(payload: &str, patch: Patch, expected: &str) {
        let expiries = ["2025-05-16".to_owned(), "2025-05-23".to_owned()];
        let values = Values {
            number: 0x1A2B,
            moment: &Moment::at(1_747_419_592_926_815),
            expiries: &expiries,
            size: 42,
            traded: VOLUMES + 42,
            row: STRIKES + 3,
            chance: 123_456_789 << 16,
        };
        let mut patched = PatchedPayload::new(payload.to_owned(), [("x", patch)]);
        assert_eq!(patched.render(&values), expected.as_bytes());
    }

    #[test]
    fn patches_are_written_in_their_width_and_leave_the_rest() {
        check(r#"{"x":"ab-ffffffffffff"}"#, Patch::NumberHex, r#"{"x":"ab-000000001a2b"}"#);
        check(r#"{"x":"-7.310000000000","y":1}"#, Patch::Number, r#"{"x":"-7.000000006699","y":1}"#);
        check(r#"{"x":100000000000}"#, Patch::Cumulative, r#"{"x":100000006699}"#);
        check(r#"{"x":1600000000000}"#, Patch::Millis, r#"{"x":1747419592926}"#);
        check(r#"{"x":1600000000000}"#, Patch::SecondMillis, r#"{"x":1747419592000}"#);
        check(r#"{"x":1600000000000000}"#, Patch::Micros, r#"{"x":1747419592926815}"#);
        check(r#"{"x":"2024-09-22T14:30:00Z"}"#, Patch::Iso, r#"{"x":"2025-05-16T18:19:52Z"}"#);
        check(r#"{"x":20.0}"#, Patch::Size, r#"{"x":42.0}"#);
        check(r#"{"x":"13000.00"}"#, Patch::Premium, r#"{"x":"27300.00"}"#);
        check(r#"{"x":10000000}"#, Patch::Volume, r#"{"x":10000042}"#);
        check(r#"{"x":"290.0"}"#, Patch::Strike, r#"{"x":"101.5"}"#);
        check(r#"{"x":"2025-01-24"}"#, Patch::Expiry, r#"{"x":"2025-05-23"}"#);
        check(r#"{"x":"562.82"}"#, Patch::Chance(2), r#"{"x":"562.89"}"#);
    }

    #[test]
    fn a_field_that_is_absent_or_too_short_is_left_alone() {
        for payload in [r#"{"y":"562.82"}"#, r#"{"x":"","y":"562.82"}"#, r#"{"x":null,"y":5}"#] {
            check(payload, Patch::Strike, payload);
            check(payload, Patch::NumberHex, payload);
        }
    }
}
