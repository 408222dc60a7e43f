//! Past one token after the other. Each function takes what is left of a text and returns what is left behind something;
//! `None` is malformed JSON.
#![allow(clippy::inline_always, reason = "measured: a pass takes a fifth longer without")]

use crate::feed::envelope::MAX_DEPTH;

/// Deepest nesting inside of the object, which itself stands in the array of the frame.
pub(super) const MAX_NESTED: usize = MAX_DEPTH - 2;

/// Whether a text has nothing but ASCII in its strings. It never has outside of them.
#[derive(Default)]
pub(super) struct Charset {
    /// All bytes that were seen.
    seen: u64,
}

impl Charset {
    pub(super) fn is_ascii(&self) -> bool {
        self.seen & (EACH * 0x80) == 0
    }
}

/// A word with each of its bytes 1.
const EACH: u64 = u64::MAX / 0xFF;

/// The text from the quote on that ends a string, and whether there were escapes before it.
#[inline(always)]
pub(super) fn closing_quote<'p>(string: &'p [u8], charset: &mut Charset) -> Option<(&'p [u8], bool)> {
    let rest = after_plain(string, charset);
    match rest {
        [b'"', ..] => Some((rest, false)),
        [b'\\', ..] => Some((closing_quote_after_escapes(rest, charset)?, true)),
        _ => None,
    }
}

#[cold]
fn closing_quote_after_escapes<'p>(mut rest: &'p [u8], charset: &mut Charset) -> Option<&'p [u8]> {
    loop {
        rest = match rest {
            [b'"', ..] => return Some(rest),
            [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', behind @ ..] => {
                after_plain(behind, charset)
            }
            [b'\\', b'u', a, b, c, d, behind @ ..]
                if [a, b, c, d].iter().all(|byte| byte.is_ascii_hexdigit()) =>
            {
                after_plain(behind, charset)
            }
            _ => return None,
        };
    }
}

/// The text from the first quote, backslash or control character on.
#[inline(always)]
fn after_plain<'p>(text: &'p [u8], charset: &mut Charset) -> &'p [u8] {
    let mut rest = text;
    while let Some((word, behind)) = rest.split_first_chunk() {
        let word = u64::from_le_bytes(*word);
        charset.seen |= word;
        let found = specials(word);
        if found != 0 {
            return rest.get(found.trailing_zeros() as usize / 8..).unwrap_or_default();
        }
        rest = behind;
    }
    while let [byte @ (b' '..=b'!' | b'#'..=b'[' | b']'..), behind @ ..] = rest {
        charset.seen |= u64::from(*byte);
        rest = behind;
    }
    rest
}

/// Sets the highest bit of the first byte that is a quote, a backslash or a control character, and none before it.
#[inline]
fn specials(word: u64) -> u64 {
    // to flip this bit puts the quote next to the control characters: these are all that are below 0x21 then
    let quote_or_control = (word ^ (EACH * 0x02)).wrapping_sub(EACH * 0x21);
    let backslash = (word ^ (EACH * 0x5C)).wrapping_sub(EACH);
    (quote_or_control | backslash) & !word & (EACH * 0x80)
}

#[inline(always)]
pub(super) fn after_number(text: &[u8]) -> Option<&[u8]> {
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
    let [(b'0'..=b'9'), behind @ ..] = text else { return None };
    let mut rest = behind;
    while let [(b'0'..=b'9'), behind @ ..] = rest {
        rest = behind;
    }
    Some(rest)
}

pub(super) fn after_word(rest: &[u8]) -> Option<&[u8]> {
    let [word, behind] = match rest.first()? {
        b'f' => rest.split_at_checked(5)?.into(),
        _ => rest.split_at_checked(4)?.into(),
    };
    matches!(word, b"true" | b"false" | b"null").then_some(behind)
}

/// An object or an array with all that is in it.
#[inline(never)]
pub(super) fn after_nested<'p>(mut rest: &'p [u8], charset: &mut Charset) -> Option<&'p [u8]> {
    let mut open = Nesting::default();
    loop {
        // here a value begins
        rest = after_blanks(rest);
        rest = match rest {
            [b'"', string @ ..] => closing_quote(string, charset)?.0.get(1..)?,
            [b'-' | (b'0'..=b'9'), ..] => after_number(rest)?,
            [bracket @ (b'{' | b'['), inside @ ..] => {
                let is_object = *bracket == b'{';
                open.enter(is_object)?;
                let inside = after_blanks(inside);
                if !matches!((is_object, inside), (true, [b'}', ..]) | (false, [b']', ..])) {
                    rest = if is_object { after_name(inside, charset)? } else { inside };
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
                rest = if open.is_object() { after_name(behind, charset)? } else { behind };
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
fn after_name<'p>(rest: &'p [u8], charset: &mut Charset) -> Option<&'p [u8]> {
    let (quote, _) = closing_quote(after(b'"', rest)?, charset)?;
    after(b':', quote.get(1..)?)
}

/// A byte, with the blanks before it.
#[inline(always)]
pub(super) fn after(wanted: u8, rest: &[u8]) -> Option<&[u8]> {
    match rest {
        [first, behind @ ..] if *first == wanted => Some(behind),
        _ => after_blanks_and(wanted, rest),
    }
}

#[cold]
fn after_blanks_and(wanted: u8, rest: &[u8]) -> Option<&[u8]> {
    after_blanks(rest).split_first().filter(|(first, _)| **first == wanted).map(|(_, behind)| behind)
}

#[inline(always)]
pub(super) fn after_blanks(rest: &[u8]) -> &[u8] {
    if let [(..=b' '), ..] = rest { after_some_blanks(rest) } else { rest }
}

#[cold]
fn after_some_blanks(mut rest: &[u8]) -> &[u8] {
    while let [b' ' | b'\n' | b'\r' | b'\t', behind @ ..] = rest {
        rest = behind;
    }
    rest
}
