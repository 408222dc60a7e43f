//! Changes to an input, drawn from a seed.

use fastrand::Rng;

/// Maximum length of an input: large enough for every size field of two bytes.
pub(crate) const MAX_INPUT: usize = 70_000;
/// Maximum number of changes to one input.
const MAX_CHANGES: u32 = 6;

/// Numbers about which parsers differ.
const NUMBERS: [&str; 18] = [
    "0",
    "-0",
    "-1",
    "1",
    "8",
    "64",
    "255",
    "256",
    "65535",
    "65536",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "-9223372036854775808",
    "1e400",
    "0.000000000000000000001",
];

/// Texts about which parsers differ.
const TEXTS: [&str; 16] = [
    "\"", "\\", "\\u0000", "\\ud800", "\u{feff}", "\u{2028}", "\u{202e}", "\0", "\r\n", "\n", "null", "{}",
    "[]", "{", "[", ",",
];

/// Draws a change of `input`; `others` may be spliced in.
pub(crate) fn mutate(rng: &mut Rng, input: &mut Vec<u8>, others: &[Vec<u8>], tokens: &[&str]) {
    for _ in 0..rng.u32(1..=MAX_CHANGES) {
        change(rng, input, others, tokens);
    }
    input.truncate(MAX_INPUT);
}

fn change(rng: &mut Rng, input: &mut Vec<u8>, others: &[Vec<u8>], tokens: &[&str]) {
    let at = rng.usize(0..=input.len());
    let (from, to) = range(rng, input.len());
    match rng.u32(0..14) {
        0 | 1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << rng.u32(0..8);
            }
        }
        2 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = rng.u8(..);
            }
        }
        3 => drop(input.drain(from..to)),
        4 => input.truncate(at),
        5 => {
            let copy = input[from..to].to_vec();
            insert(input, at, &copy);
        }
        6 => {
            let bytes: Vec<u8> = (0..rng.usize(1..8)).map(|_| rng.u8(..)).collect();
            insert(input, at, &bytes);
        }
        7 => {
            let token = pick(rng, tokens).or_else(|| pick(rng, &TEXTS));
            insert(input, at, token.unwrap_or_default().as_bytes());
        }
        8 => {
            let text = pick(rng, &TEXTS).unwrap_or_default();
            insert(input, at, text.repeat(rng.usize(1..4)).as_bytes());
        }
        9 => {
            let text = pick(rng, &["[", "{\"a\":", "*1\r\n", "x", "\\\"", " "]).unwrap_or_default();
            insert(input, at, text.repeat(1 << rng.u32(0..11)).as_bytes());
        }
        10 => replace_number(rng, input, at),
        11 => write_integer(rng, input, at),
        12 => splice(rng, input, at, others),
        _ => {
            let token = pick(rng, tokens).unwrap_or_default().as_bytes();
            let end = (from + token.len()).min(input.len());
            input.splice(from..end, token.iter().copied());
        }
    }
}

fn pick<'t>(rng: &mut Rng, texts: &[&'t str]) -> Option<&'t str> {
    (!texts.is_empty()).then(|| texts[rng.usize(0..texts.len())])
}

/// A range that is mostly short.
fn range(rng: &mut Rng, len: usize) -> (usize, usize) {
    let from = rng.usize(0..=len);
    let longest = if rng.u32(0..4) == 0 { len - from } else { (len - from).min(16) };
    (from, from + rng.usize(0..=longest))
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    input.splice(at..at, bytes.iter().copied());
}

/// Replaces the decimal number after a position.
fn replace_number(rng: &mut Rng, input: &mut Vec<u8>, at: usize) {
    let Some(begin) = input[at..].iter().position(u8::is_ascii_digit).map(|offset| at + offset) else {
        return;
    };
    let length = input[begin..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = pick(rng, &NUMBERS).unwrap_or_default();
    input.splice(begin..begin + length, number.bytes());
}

/// Overwrites an integer of a fixed size, as in the header of a record or of a WebSocket frame.
fn write_integer(rng: &mut Rng, input: &mut [u8], at: usize) {
    let number = match rng.u32(0..4) {
        0 => 1_u64 << rng.u32(0..64),
        1 => u64::MAX >> rng.u32(0..64),
        2 => rng.u64(0..64),
        _ => rng.u64(..),
    };
    let size = [1, 2, 4, 8][rng.usize(0..4)];
    let (little, big) = (number.to_le_bytes(), number.to_be_bytes());
    let bytes = if rng.bool() { &little[..size] } else { &big[8 - size..] };
    if let Some(target) = input.get_mut(at..at + size) {
        target.copy_from_slice(bytes);
    }
}

/// Continues with the end of another input.
fn splice(rng: &mut Rng, input: &mut Vec<u8>, at: usize, others: &[Vec<u8>]) {
    if others.is_empty() {
        return;
    }
    let other = &others[rng.usize(0..others.len())];
    let from = rng.usize(0..=other.len());
    input.truncate(at);
    input.extend_from_slice(&other[from..]);
}
