//! The two kinds of values that are kept as they were written.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, Error};
use serde_json::value::RawValue;

/// A decimal number with the digits it was sent with, never rounded through binary. The feed writes most of them as
/// strings of any length, with `""` for a missing value, and those of `flow-alerts` as JSON numbers; both are read, and
/// `null` counts as missing. A string must have the form of a JSON number (`+`, `.5` and `1.` were never seen).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decimal<'a>(&'a str);

impl<'a> Decimal<'a> {
    /// The number as it was written, without quotes; `None` when the value is missing.
    #[must_use]
    pub fn digits(self) -> Option<&'a str> {
        Some(self.0).filter(|digits| !digits.is_empty())
    }
}

impl fmt::Display for Decimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Decimal<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Decimal<'a>, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?.get();
        let quoted = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        match quoted.unwrap_or(json) {
            "" => Ok(Decimal("")),
            "null" if quoted.is_none() => Ok(Decimal("")),
            digits if is_number(digits) => Ok(Decimal(digits)),
            other => {
                let start: String = other.chars().take(32).collect();
                Err(D::Error::custom(format_args!("`{start}` is not a decimal number")))
            }
        }
    }
}

fn is_number(text: &str) -> bool {
    let first = text.as_bytes().first();
    first.is_some_and(|byte| byte.is_ascii_digit() || *byte == b'-')
        && text.as_bytes().last().is_some_and(u8::is_ascii_digit)
        && serde_json::from_str::<&RawValue>(text).is_ok()
}

/// A text, borrowed from the payload unless it had escapes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
pub struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(json: &str) -> Result<Option<&str>, serde_json::Error> {
        serde_json::from_str::<Decimal<'_>>(json).map(Decimal::digits)
    }

    #[test]
    fn a_decimal_keeps_its_digits() {
        for (json, digits) in [
            (r#""0.000002508438316242667""#, "0.000002508438316242667"),
            (r#""-1677926539943.05""#, "-1677926539943.05"),
            (r#""25.0000000000""#, "25.0000000000"),
            ("11571.0", "11571.0"),
            ("36466", "36466"),
            ("1e-7", "1e-7"),
        ] {
            assert_eq!(decimal(json).unwrap(), Some(digits), "{json}");
        }
    }

    #[test]
    fn an_empty_string_and_null_are_missing_values() {
        assert_eq!(decimal(r#""""#).unwrap(), None);
        assert_eq!(decimal("null").unwrap(), None);
    }

    #[test]
    fn anything_else_is_no_decimal() {
        for json in [
            r#""abc""#,
            r#""1 ""#,
            r#"" 1""#,
            r#""NaN""#,
            r#""\u0031""#,
            r#""null""#,
            r#""-""#,
            "true",
            "[1]",
            "{}",
            r#""[1]""#,
        ] {
            assert!(decimal(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_text_is_borrowed_unless_it_has_escapes() {
        let plain: Text<'_> = serde_json::from_str(r#""LNG deals""#).unwrap();
        assert!(matches!(plain, Text(Cow::Borrowed("LNG deals"))));
        let escaped: Text<'_> = serde_json::from_str(r#""a \"deal\" \u00e9""#).unwrap();
        assert_eq!(&*escaped, "a \"deal\" \u{e9}");
    }
}
