//! The members of a JSON object, found in one pass over a text that validates all of it.
//!
//! Own code because every event passes here and this was the largest part of the service's work: an option trade (805
//! bytes, 35 members) takes less than half of the time that serde needs for the same answer. What is not wanted is not
//! unescaped, converted or copied, and strings, two thirds of a payload, are passed eight bytes at a time.
//!
//! It accepts what `serde_json` accepts as a value to ignore (`IgnoredAny`, `RawValue`): RFC 8259, with numbers of any
//! size and `\u` escapes that name no character, for nobody may ever look at them. The one difference is the bound on
//! nesting. Nothing here recurses or panics, whatever the text.
#![allow(clippy::inline_always, reason = "measured: a pass takes a fifth longer without")]

mod skip;

use std::borrow::Cow;

use skip::{after, after_blanks, after_nested, after_number, after_word, closing_quote};

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

#[cfg(test)]
mod tests;
