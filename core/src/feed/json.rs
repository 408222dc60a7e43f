//! The members of a JSON object, found in one pass over a text that validates all of it.
//!
//! Own code because every event passes here and this was the largest part of the service's work: an option trade (805
//! bytes, 35 members) takes less than half of the time that serde needs for the same answer. What is not wanted is not
//! unescaped, converted or copied, and strings, two thirds of a payload, are passed eight bytes at a time. Nearly every
//! payload is ASCII, which the pass sees by the way: only one that is not is read once more for its UTF-8.
//!
//! It accepts what `serde_json` accepts as a value to ignore (`IgnoredAny`, `RawValue`): RFC 8259, with numbers of any
//! size and `\u` escapes that name no character, for nobody may ever look at them. The one difference is the bound on
//! nesting. Nothing here recurses or panics, whatever the text.
#![allow(clippy::inline_always, reason = "measured: a pass takes a fifth longer without")]

mod skip;

use std::borrow::Cow;

use skip::{Charset, after, after_blanks, after_nested, after_number, after_word, closing_quote};

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
    whole: &'p [u8],
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
    fn between(whole: &'p [u8], from: &[u8], behind: &[u8]) -> Part<'p> {
        Part { whole, start: whole.len() - from.len(), end: whole.len() - behind.len() }
    }

    #[inline]
    fn as_bytes(self) -> &'p [u8] {
        self.whole.get(self.start..self.end).unwrap_or_default()
    }

    /// `None` if it is not UTF-8, which is known of the whole text at its end only.
    #[inline]
    pub(super) fn as_str(self) -> Option<&'p str> {
        std::str::from_utf8(self.as_bytes()).ok()
    }
}

impl<'p> Text<'p> {
    /// The string, borrowed unless it has escapes; `None` if one of them names half a character.
    #[inline]
    pub(super) fn decode(self) -> Option<Cow<'p, str>> {
        let raw = self.part.as_str()?;
        if self.has_escapes { unescape(raw).map(Cow::Owned) } else { Some(Cow::Borrowed(raw)) }
    }

    /// The same as bytes, which need not be UTF-8.
    #[inline(always)]
    pub(super) fn bytes(self) -> Option<Cow<'p, [u8]>> {
        if self.has_escapes {
            unescape(self.part.as_str()?).map(|text| Cow::Owned(text.into_bytes()))
        } else {
            Some(Cow::Borrowed(self.part.as_bytes()))
        }
    }
}

#[cold]
fn unescape(raw: &str) -> Option<String> {
    serde_json::from_str(&format!("\"{raw}\"")).ok()
}

/// Calls `member` with name and value of every member in order; `None` unless the whole text is one object.
#[inline(always)]
pub(super) fn members<'p>(whole: &'p [u8], mut member: impl FnMut(Text<'p>, Value<'p>)) -> Option<()> {
    let mut charset = Charset::default();
    let mut rest = after(b'{', whole)?;
    if let [b'}', behind @ ..] = after_blanks(rest) {
        return after_blanks(behind).is_empty().then_some(());
    }
    loop {
        let (name, behind) = text(whole, after(b'"', rest)?, &mut charset)?;
        let (value, behind) = value(whole, after(b':', behind)?, &mut charset)?;
        member(name, value);
        if let Some(behind) = after(b',', behind) {
            rest = behind;
        } else {
            let is_end = after_blanks(after(b'}', behind)?).is_empty();
            return (is_end && (charset.is_ascii() || std::str::from_utf8(whole).is_ok())).then_some(());
        }
    }
}

/// Calls `item` with every item of an array that was found valid.
pub(super) fn items<'p>(array: Part<'p>, mut item: impl FnMut(Value<'p>)) {
    let whole = array.as_bytes();
    let mut rest = after(b'[', whole);
    while let Some((value, behind)) = rest.and_then(|rest| value(whole, rest, &mut Charset::default())) {
        item(value);
        rest = after(b',', behind);
    }
}

#[inline(always)]
fn value<'p>(whole: &'p [u8], rest: &'p [u8], charset: &mut Charset) -> Option<(Value<'p>, &'p [u8])> {
    let rest = after_blanks(rest);
    Some(match rest {
        [b'"', string @ ..] => {
            let (text, behind) = text(whole, string, charset)?;
            (Value::Text(text), behind)
        }
        [b'-' | (b'0'..=b'9'), ..] => {
            let behind = after_number(rest)?;
            (Value::Number(Part::between(whole, rest, behind)), behind)
        }
        [b'[', ..] => {
            let behind = after_nested(rest, charset)?;
            (Value::Array(Part::between(whole, rest, behind)), behind)
        }
        [b'{', ..] => (Value::Other, after_nested(rest, charset)?),
        _ => (Value::Other, after_word(rest)?),
    })
}

/// A string, from behind its first quote.
#[inline(always)]
fn text<'p>(whole: &'p [u8], string: &'p [u8], charset: &mut Charset) -> Option<(Text<'p>, &'p [u8])> {
    let (quote, has_escapes) = closing_quote(string, charset)?;
    let part = Part::between(whole, string, quote);
    Some((Text { part, has_escapes }, quote.get(1..)?))
}

#[cfg(test)]
mod tests;
