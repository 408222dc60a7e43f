//! The members of a JSON object, found in one pass over a text that validates all of it.
//!
//! Own code because every event passes here and this was the largest part of the service's work: an option trade (805
//! bytes, 35 members) takes less than half of the time that serde needs for the same answer. What is not wanted is not
//! unescaped, converted or copied, and strings, two thirds of a payload, are passed eight bytes at a time.
//!
//! It accepts what `serde_json` accepts as a value to ignore (`IgnoredAny`, `RawValue`): RFC 8259, with numbers of any
//! size and `\u` escapes that name no character, for nobody may ever look at them. The one difference is the bound on
//! nesting. Nothing here recurses or panics, whatever the text.
//!
//! The functions named `after_…` take what is left of the text and return what is left behind something; `None` is
//! malformed JSON.
#![allow(
    clippy::inline_always,
    reason = "measured: calls in the pass over the members cost a third of its time"
)]

use std::borrow::Cow;

use super::envelope::MAX_DEPTH;

/// Deepest nesting inside of the object, which itself stands in the array of the frame.
const MAX_NESTED: usize = MAX_DEPTH - 2;

/// A value, not looked into more than it takes to validate it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'p> {
    /// A string.
    Text(Text<'p>),
    /// A number.
    Number(Part<'p>),
    /// An array, with its brackets.
    Array(Part<'p>),
    /// An object, `true`, `false` or `null`.
    Other,
}

/// A part of the text as it was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'p> {
    whole: &'p str,
    start: usize,
    end: usize,
}

/// What stands between the quotes of a string.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'p> {
    part: Part<'p>,
    has_escapes: bool,
}

impl<'p> Part<'p> {
    /// What is in `from` but not in `behind`, both of which go to the end of `whole`.
    #[inline(always)]
    fn between(whole: &'p str, from: &[u8], behind: &[u8]) -> Part<'p> {
        Part { whole, start: whole.len() - from.len(), end: whole.len() - behind.len() }
    }

    #[inline]
    pub(super) fn as_str(self) -> &'p str {
        self.whole.get(self.start..self.end).unwrap_or_default()
    }
}

impl<'p> Text<'p> {
    /// The string, borrowed unless it has escapes; `None` if one of them names half a character.
    #[inline]
    pub(super) fn decode(self) -> Option<Cow<'p, str>> {
        let raw = self.part.as_str();
        if self.has_escapes { unescape(raw).map(Cow::Owned) } else { Some(Cow::Borrowed(raw)) }
    }
}

#[cold]
fn unescape(raw: &str) -> Option<String> {
    serde_json::from_str(&format!("\"{raw}\"")).ok()
}

/// Calls `member` with name and value of every member in order; `None` unless the whole text is one object.
#[inline(always)]
pub(super) fn members<'p>(whole: &'p str, mut member: impl FnMut(Text<'p>, Value<'p>)) -> Option<()> {
    let mut rest = after(b'{', whole.as_bytes())?;
    if let [b'}', behind @ ..] = after_blanks(rest) {
        return after_blanks(behind).is_empty().then_some(());
    }
    loop {
        let (name, behind) = text(whole, after(b'"', rest)?)?;
        let (value, behind) = value(whole, after(b':', behind)?)?;
        member(name, value);
        match after_blanks(behind) {
            [b',', behind @ ..] => rest = behind,
            [b'}', behind @ ..] => return after_blanks(behind).is_empty().then_some(()),
            _ => return None,
        }
    }
}

/// Calls `item` with every item of an array that was found valid.
pub(super) fn items<'p>(array: Part<'p>, mut item: impl FnMut(Value<'p>)) {
    let whole = array.as_str();
    let mut rest = after(b'[', whole.as_bytes());
    while let Some((value, behind)) = rest.and_then(|rest| value(whole, rest)) {
        item(value);
        rest = after(b',', behind);
    }
}

#[inline(always)]
fn value<'p>(whole: &'p str, rest: &'p [u8]) -> Option<(Value<'p>, &'p [u8])> {
    let rest = after_blanks(rest);
    Some(match rest {
        [b'"', string @ ..] => {
            let (text, behind) = text(whole, string)?;
            (Value::Text(text), behind)
        }
        [b'-' | b'0'..=b'9', ..] => {
            let behind = after_number(rest)?;
            (Value::Number(Part::between(whole, rest, behind)), behind)
        }
        [b'[', ..] => {
            let behind = after_nested(rest)?;
            (Value::Array(Part::between(whole, rest, behind)), behind)
        }
        [b'{', ..] => (Value::Other, after_nested(rest)?),
        _ => (Value::Other, after_word(rest)?),
    })
}

/// A string, from behind its first quote.
#[inline(always)]
fn text<'p>(whole: &'p str, string: &'p [u8]) -> Option<(Text<'p>, &'p [u8])> {
    let (quote, has_escapes) = closing_quote(string)?;
    let part = Part::between(whole, string, quote);
    Some((Text { part, has_escapes }, quote.get(1..)?))
}

/// The text from the quote on that ends a string, and whether there were escapes before it.
#[inline(always)]
fn closing_quote(string: &[u8]) -> Option<(&[u8], bool)> {
    let rest = after_plain(string);
    match rest {
        [b'"', ..] => Some((rest, false)),
        [b'\\', ..] => Some((closing_quote_after_escapes(rest)?, true)),
        _ => None,
    }
}

#[cold]
fn closing_quote_after_escapes(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        rest = match rest {
            [b'"', ..] => return Some(rest),
            [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', behind @ ..] => {
                after_plain(behind)
            }
            [b'\\', b'u', a, b, c, d, behind @ ..]
                if [a, b, c, d].iter().all(|byte| byte.is_ascii_hexdigit()) =>
            {
                after_plain(behind)
            }
            _ => return None,
        };
    }
}

/// The text from the first quote, backslash or control character on.
#[inline(always)]
fn after_plain(text: &[u8]) -> &[u8] {
    let mut rest = text;
    while let Some((word, behind)) = rest.split_first_chunk() {
        let found = specials(u64::from_le_bytes(*word));
        if found != 0 {
            return rest.get(found.trailing_zeros() as usize / 8..).unwrap_or_default();
        }
        rest = behind;
    }
    while let [b' '..=b'!' | b'#'..=b'[' | b']'.., behind @ ..] = rest {
        rest = behind;
    }
    rest
}

/// Sets the highest bit of the first byte that is a quote, a backslash or a control character, and none before it.
#[inline]
fn specials(word: u64) -> u64 {
    const EACH: u64 = u64::MAX / 0xFF;
    // to flip this bit puts the quote next to the control characters: these are all that are below 0x21 then
    let quote_or_control = (word ^ (EACH * 0x02)).wrapping_sub(EACH * 0x21);
    let backslash = (word ^ (EACH * 0x5C)).wrapping_sub(EACH);
    (quote_or_control | backslash) & !word & (EACH * 0x80)
}

#[inline(always)]
fn after_number(text: &[u8]) -> Option<&[u8]> {
    let mut rest = match text {
        [b'-', digits @ ..] | digits => match digits {
            [b'0', behind @ ..] => behind,
            _ => after_digits(digits)?,
        },
    };
    if let [b'.', digits @ ..] = rest {
        rest = after_digits(digits)?;
    }
    if let [b'e' | b'E', b'+' | b'-', digits @ ..] | [b'e' | b'E', digits @ ..] = rest {
        rest = after_digits(digits)?;
    }
    Some(rest)
}

/// One digit or more.
#[inline(always)]
fn after_digits(text: &[u8]) -> Option<&[u8]> {
    let [b'0'..=b'9', behind @ ..] = text else { return None };
    let mut rest = behind;
    while let [b'0'..=b'9', behind @ ..] = rest {
        rest = behind;
    }
    Some(rest)
}

fn after_word(rest: &[u8]) -> Option<&[u8]> {
    let [word, behind] = match rest.first()? {
        b'f' => rest.split_at_checked(5)?.into(),
        _ => rest.split_at_checked(4)?.into(),
    };
    matches!(word, b"true" | b"false" | b"null").then_some(behind)
}

/// An object or an array with all that is in it.
#[inline(never)]
fn after_nested(mut rest: &[u8]) -> Option<&[u8]> {
    let mut open = Nesting::default();
    loop {
        // here a value begins
        rest = after_blanks(rest);
        rest = match rest {
            [b'"', string @ ..] => closing_quote(string)?.0.get(1..)?,
            [b'-' | b'0'..=b'9', ..] => after_number(rest)?,
            [bracket @ (b'{' | b'['), inside @ ..] => {
                let is_object = *bracket == b'{';
                open.enter(is_object)?;
                let inside = after_blanks(inside);
                if !matches!((is_object, inside), (true, [b'}', ..]) | (false, [b']', ..])) {
                    rest = if is_object { after_name(inside)? } else { inside };
                    continue;
                }
                inside
            }
            _ => after_word(rest)?,
        };
        // here one has ended, and with it perhaps some around it
        loop {
            rest = after_blanks(rest);
            if let [b',', behind @ ..] = rest {
                rest = if open.is_object() { after_name(behind)? } else { behind };
                break;
            }
            rest = after(if open.is_object() { b'}' } else { b']' }, rest)?;
            if open.leave() {
                return Some(rest);
            }
        }
    }
}

/// The objects and arrays around a place.
#[derive(Default)]
struct Nesting {
    depth: usize,
    /// A bit for each, the innermost lowest: whether it is an object.
    objects: u64,
}

const _: () = assert!(MAX_NESTED <= u64::BITS as usize);

impl Nesting {
    fn enter(&mut self, object: bool) -> Option<()> {
        self.depth += 1;
        self.objects = self.objects << 1 | u64::from(object);
        (self.depth <= MAX_NESTED).then_some(())
    }

    fn is_object(&self) -> bool {
        self.objects & 1 == 1
    }

    /// Leaves the innermost; whether it was the last.
    fn leave(&mut self) -> bool {
        self.depth = self.depth.saturating_sub(1);
        self.objects >>= 1;
        self.depth == 0
    }
}

/// The name of a member with its colon.
#[inline(always)]
fn after_name(rest: &[u8]) -> Option<&[u8]> {
    let (quote, _) = closing_quote(after(b'"', rest)?)?;
    after(b':', quote.get(1..)?)
}

/// A byte, with the blanks before it.
#[inline(always)]
fn after(wanted: u8, rest: &[u8]) -> Option<&[u8]> {
    match after_blanks(rest) {
        [first, behind @ ..] if *first == wanted => Some(behind),
        _ => None,
    }
}

#[inline(always)]
fn after_blanks(rest: &[u8]) -> &[u8] {
    if let [..=b' ', ..] = rest { after_some_blanks(rest) } else { rest }
}

#[cold]
fn after_some_blanks(mut rest: &[u8]) -> &[u8] {
    while let [b' ' | b'\n' | b'\r' | b'\t', behind @ ..] = rest {
        rest = behind;
    }
    rest
}

#[cfg(test)]
mod tests;
