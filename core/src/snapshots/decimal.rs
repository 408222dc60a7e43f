//! Decimal numbers as text; no digit passes through binary floating point.

use std::cmp::Ordering;
use std::fmt;

use super::parts::heap_bytes;

/// Largest exponent that is expanded: prices, greeks and volumes have at most some twenty digits.
const MAX_EXPONENT: u32 = 64;
/// Longest text that is parsed as a number; bounds the memory of a row.
const MAX_TEXT: usize = 128;

/// A decimal number in canonical form: no exponent, no redundant zeros, no plus sign, no negative zero.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    is_negative: bool,
    /// Without leading zeros; empty means zero.
    whole: Box<str>,
    /// Without trailing zeros.
    fraction: Box<str>,
}

impl Decimal {
    /// Parses a JSON number or the content of a string with a number. `11571.0` and `11571` are equal.
    #[must_use]
    pub fn parse(text: &str) -> Option<Decimal> {
        let Parts { is_negative, whole, fraction, exponent } = Parts::of(text)?;
        if exponent == 0 {
            return Some(Decimal::plain(is_negative, whole, fraction));
        }
        let (whole, fraction) = shifted(whole, fraction, exponent);
        Some(Decimal::plain(is_negative, &whole, &fraction))
    }

    /// Whether [`Decimal::parse`] accepts the text.
    #[must_use]
    pub fn is_number(text: &str) -> bool {
        Parts::of(text).is_some()
    }

    fn plain(is_negative: bool, whole: &str, fraction: &str) -> Decimal {
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        let is_zero = whole.is_empty() && fraction.is_empty();
        Decimal { is_negative: is_negative && !is_zero, whole: whole.into(), fraction: fraction.into() }
    }

    /// Returns heap memory in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        heap_bytes(self.whole.len()) + heap_bytes(self.fraction.len())
    }

    fn cmp_size(&self, other: &Decimal) -> Ordering {
        let by_length = self.whole.len().cmp(&other.whole.len());
        by_length.then_with(|| self.whole.cmp(&other.whole)).then_with(|| self.fraction.cmp(&other.fraction))
    }
}

/// The parts of a number as written.
struct Parts<'t> {
    is_negative: bool,
    whole: &'t str,
    fraction: &'t str,
    exponent: i32,
}

impl Parts<'_> {
    fn of(text: &str) -> Option<Parts<'_>> {
        let (is_negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (digits, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some((whole, fraction)) => (whole, fraction),
            None => (mantissa, ""),
        };
        let is_number = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit());
        let is_legal = text.len() <= MAX_TEXT
            && !whole.is_empty()
            && is_number(whole)
            && is_number(fraction)
            && exponent.unsigned_abs() <= MAX_EXPONENT;
        is_legal.then_some(Parts { is_negative, whole, fraction, exponent })
    }
}

/// Moves the decimal point right by `exponent` digits.
fn shifted(whole: &str, fraction: &str, exponent: i32) -> (String, String) {
    let zeros = |count: usize| "0".repeat(count);
    let by = exponent.unsigned_abs() as usize;
    if exponent >= 0 {
        let fraction = format!("{fraction}{}", zeros(by.saturating_sub(fraction.len())));
        let (moved, fraction) = fraction.split_at(by);
        (format!("{whole}{moved}"), fraction.to_owned())
    } else {
        let whole = format!("{}{whole}", zeros(by.saturating_sub(whole.len())));
        let (whole, moved) = whole.split_at(whole.len() - by);
        (whole.to_owned(), format!("{moved}{fraction}"))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Decimal) -> Ordering {
        match (self.is_negative, other.is_negative) {
            (false, false) => self.cmp_size(other),
            (true, true) => other.cmp_size(self),
            (is_negative, _) => {
                if is_negative {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_negative { "-" } else { "" };
        let whole = if self.whole.is_empty() { "0" } else { &self.whole };
        let point = if self.fraction.is_empty() { "" } else { "." };
        write!(f, "{sign}{whole}{point}{}", self.fraction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Option<String> {
        Some(Decimal::parse(text)?.to_string())
    }

    #[test]
    fn floats_become_what_rest_shows() {
        for (float, shown) in [
            ("11571.0", "11571"),
            ("0.19", "0.19"),
            ("36466", "36466"),
            ("0", "0"),
            ("0.0", "0"),
            ("-0.0", "0"),
            ("1.5e3", "1500"),
            ("1E-3", "0.001"),
            ("12.5e-1", "1.25"),
            ("0.1e1", "1"),
            ("-2.50", "-2.5"),
            ("25.0000000000", "25"),
            ("8.46381958089369", "8.46381958089369"),
            (
                "123456789012345678901234.000000000000000000001",
                "123456789012345678901234.000000000000000000001",
            ),
        ] {
            assert_eq!(plain(float).as_deref(), Some(shown), "{float}");
        }
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in [
            "",
            "-",
            ".",
            ".5",
            "5.",
            "1e",
            "e5",
            "1e999",
            "1e-2147483648",
            "1e99999999999",
            "+1",
            "1 ",
            "NaN",
            "Infinity",
            "0x1",
            "1,5",
            "--1",
            "\u{663}",
        ] {
            assert_eq!(plain(text), None, "{text}");
            assert!(!Decimal::is_number(text), "{text}");
        }
        assert!(Decimal::is_number(&"9".repeat(MAX_TEXT)));
        assert!(!Decimal::is_number(&"9".repeat(MAX_TEXT + 1)));
    }

    #[test]
    fn order_is_that_of_the_numbers() {
        let texts = ["-10", "-9.5", "-9.25", "-0.1", "0", "0.05", "0.5", "9", "9.99", "10", "10.001", "100"];
        let mut numbers: Vec<Decimal> = texts.iter().rev().filter_map(|text| Decimal::parse(text)).collect();
        numbers.sort();
        assert_eq!(numbers.iter().map(ToString::to_string).collect::<Vec<_>>(), texts);
        assert_eq!(Decimal::parse("25.000"), Decimal::parse("25"));
    }
}
