//! A JSON text with fields of fixed width that are written in place, so that an event costs a few dozen bytes of
//! formatting and one copy, and no allocation.

use std::ops::Range;

use super::moment::Moment;

/// What is different in every event. In the text of a template it stands as `<name>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    /// The number in hexadecimal: the end of a uuid.
    NumberHex,
    /// The number with leading zeros: the fraction of a decimal.
    Number,
    /// The number above [`CUMULATIVE_BASE`]: a session volume.
    Cumulative,
    /// The time in Unix milliseconds.
    Millis,
    /// The same, whole seconds.
    SecondMillis,
    /// The time in Unix microseconds.
    Micros,
    /// The time as ISO 8601, whole seconds.
    Iso,
    /// Contracts of a trade.
    Size,
    /// Whole dollars of a trade.
    Premium,
    /// Contracts since the start.
    Volume,
    /// The price of the underlying.
    Spot,
    /// The strike of a row.
    Strike,
    /// The expiry of a row.
    Expiry,
    /// Six digits of chance.
    Noise,
}

/// The session volume that the event number is added to: wide enough never to change its width.
pub(super) const CUMULATIVE_BASE: u64 = 100_000_000_000;
/// Strikes of one expiry: from 100 to 999.5 in steps of a half, always five characters.
const STRIKES: u64 = 1800;

impl Field {
    fn parse(name: &str) -> Option<(Field, usize)> {
        Some(match name {
            "number_hex" => (Field::NumberHex, 12),
            "number" => (Field::Number, 12),
            "cumulative" => (Field::Cumulative, 12),
            "ms" => (Field::Millis, 13),
            "second_ms" => (Field::SecondMillis, 13),
            "us" => (Field::Micros, 16),
            "iso" => (Field::Iso, 20),
            "size" => (Field::Size, 2),
            "premium" => (Field::Premium, 5),
            "volume" => (Field::Volume, 8),
            "close" => (Field::Spot, 6),
            "row_strike" => (Field::Strike, 5),
            "row_expiry" => (Field::Expiry, 10),
            "noise" => (Field::Noise, 6),
            _ => return None,
        })
    }
}

/// The contents of one event.
#[derive(Debug)]
pub(super) struct Values<'a> {
    pub(super) number: u64,
    pub(super) moment: &'a Moment,
    pub(super) expiries: &'a [String],
    /// 20 to 99.
    pub(super) size: u64,
    /// 10 000 to 99 999.
    pub(super) premium: u64,
    /// 10 000 000 to 99 999 999.
    pub(super) volume: u64,
    /// 10 000 to 99 999.
    pub(super) spot_cents: u64,
    /// Which row of the strike and expiry table it is.
    pub(super) row: u64,
    /// Chance.
    pub(super) noise: u64,
}

#[derive(Debug)]
struct Slot {
    field: Field,
    place: Range<usize>,
}

/// A payload with places that are written anew for every event.
#[derive(Debug)]
pub(super) struct Template {
    bytes: Vec<u8>,
    slots: Vec<Slot>,
}

impl Template {
    /// Reads a text whose `<name>`s are fields, or else texts that `bind` knows.
    pub(super) fn new(text: &str, bind: impl Fn(&str) -> Option<String>) -> Template {
        let (mut bytes, mut slots) = (Vec::with_capacity(text.len()), Vec::new());
        let mut rest = text;
        while let Some((before, tail)) = rest.split_once('<') {
            bytes.extend_from_slice(before.as_bytes());
            let (name, after) = tail.split_once('>').unwrap_or((tail, ""));
            if let Some((field, width)) = Field::parse(name) {
                let place = bytes.len()..bytes.len() + width;
                bytes.resize(place.end, b'0');
                slots.push(Slot { field, place });
            } else {
                bytes.extend_from_slice(bind(name).unwrap_or_default().as_bytes());
            }
            rest = after;
        }
        bytes.extend_from_slice(rest.as_bytes());
        Template { bytes, slots }
    }

    /// Writes the event's values in place.
    #[inline]
    pub(super) fn render(&mut self, values: &Values<'_>) -> &[u8] {
        for slot in &self.slots {
            write(slot.field, &mut self.bytes[slot.place.clone()], values);
        }
        &self.bytes
    }

    /// The payload as it was last rendered.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[inline]
fn write(field: Field, out: &mut [u8], values: &Values<'_>) {
    match field {
        Field::NumberHex => hex(out, values.number),
        Field::Number => decimal(out, values.number),
        Field::Cumulative => decimal(out, CUMULATIVE_BASE + values.number),
        Field::Millis => out.copy_from_slice(&values.moment.millis),
        Field::SecondMillis => out.copy_from_slice(&values.moment.second_millis),
        Field::Micros => out.copy_from_slice(&values.moment.micros),
        Field::Iso => out.copy_from_slice(&values.moment.iso),
        Field::Size => decimal(out, values.size),
        Field::Premium => decimal(out, values.premium),
        Field::Volume => decimal(out, values.volume),
        Field::Spot => point(out, values.spot_cents, 2),
        Field::Strike => point(out, 1000 + values.row % STRIKES * 5, 1),
        Field::Expiry => expiry(out, values),
        Field::Noise => decimal(out, values.noise),
    }
}

/// The last digits of `value`, as many as there is room for.
#[inline]
pub(super) fn decimal(out: &mut [u8], mut value: u64) {
    for place in out.iter_mut().rev() {
        *place = b'0' + u8::try_from(value % 10).unwrap_or_default();
        value /= 10;
    }
}

#[inline]
fn hex(out: &mut [u8], mut value: u64) {
    for place in out.iter_mut().rev() {
        *place = b"0123456789abcdef"[usize::try_from(value & 15).unwrap_or_default()];
        value >>= 4;
    }
}

/// A decimal with `places` digits after its point.
fn point(out: &mut [u8], value: u64, places: usize) {
    let (whole, fraction) = out.split_at_mut(out.len() - places);
    let scale = if places == 1 { 10 } else { 100 };
    decimal(fraction, value % scale);
    if let Some((point, whole)) = whole.split_last_mut() {
        *point = b'.';
        decimal(whole, value / scale);
    }
}

fn expiry(out: &mut [u8], values: &Values<'_>) {
    let index = usize::try_from(values.row / STRIKES).unwrap_or_default() % values.expiries.len().max(1);
    if let Some(expiry) = values.expiries.get(index).filter(|expiry| expiry.len() == out.len()) {
        out.copy_from_slice(expiry.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<'a>(moment: &'a Moment, expiries: &'a [String]) -> Values<'a> {
        Values {
            number: 0x1A2B,
            moment,
            expiries,
            size: 42,
            premium: 27_300,
            volume: 10_000_042,
            spot_cents: 56_282,
            row: STRIKES + 3,
            noise: 123_456_789,
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let moment = Moment::at(1_747_419_592_926_815);
        let expiries = ["2025-05-16".to_owned(), "2025-05-23".to_owned()];
        let mut template = Template::new(text, |name| (name == "symbol").then(|| "SPY".to_owned()));
        assert_eq!(template.render(&values(&moment, &expiries)), expected.as_bytes());
    }

    #[test]
    fn fields_are_written_in_their_width() {
        check("x<number_hex>y", "x000000001a2by");
        check("<number>", "000000006699");
        check("<cumulative>", "100000006699");
        check("<ms> <second_ms> <us>", "1747419592926 1747419592000 1747419592926815");
        check("<iso>", "2025-05-16T18:19:52Z");
        check("<size> <premium> <volume> <close>", "42 27300 10000042 562.82");
        check("<row_strike> <row_expiry>", "101.5 2025-05-23");
        check("<noise>", "456789");
    }

    #[test]
    fn other_names_are_bound_once() {
        check("{\"ticker\":\"<symbol>\"}", "{\"ticker\":\"SPY\"}");
    }
}
