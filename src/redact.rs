//! Removes secrets from all output for people: log lines, panics, errors in the settings.

use std::borrow::Cow;
use std::fmt;

use uw_websocket_core::settings::Secret;

/// The replacement for a secret.
pub const MASK: &str = "***";

/// Minimum length of a secret that is searched for: a shorter one would mask ordinary text and offers no protection
/// anyway. It is still never formatted, since it is a [`Secret`].
const SHORTEST_SECRET: usize = 4;

/// The query parameter that carries the token in the feed's URL.
const TOKEN_PARAMETER: &str = "token=";

/// Replaces the registered secrets, and the value of every `token=`, anywhere in a text.
#[derive(Default)]
pub struct Redactor {
    /// Longest first, so that no part of a longer one remains.
    secrets: Vec<String>,
}

impl Redactor {
    /// Creates a redactor that finds these secrets verbatim, percent-encoded once or repeatedly, and escaped as in
    /// JSON.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Redactor {
        let secrets = secrets.into_iter().map(Secret::reveal).filter(|text| text.len() >= SHORTEST_SECRET);
        let mut secrets: Vec<String> = secrets.map(str::to_owned).collect();
        secrets.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        secrets.dedup();
        Redactor { secrets }
    }

    /// Returns `text` without secrets.
    #[must_use]
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let clean = without_token_values(text);
        match self.without_secrets(&clean) {
            Some(masked) => Cow::Owned(masked),
            None => clean,
        }
    }

    /// Returns `None` if the text contains no secret.
    fn without_secrets(&self, text: &str) -> Option<String> {
        let (mut masked, mut kept_from, mut at) = (None, 0, 0);
        while at < text.len() {
            let rest = &text.as_bytes()[at..];
            let Some(length) = self.secrets.iter().find_map(|secret| echo(secret, rest)) else {
                at += 1;
                continue;
            };
            let masked = masked.get_or_insert_with(String::new);
            // a secret never begins within a character; if it did, text would be lost but no secret shown
            masked.push_str(text.get(kept_from..at).unwrap_or_default());
            masked.push_str(MASK);
            at += length;
            kept_from = at;
        }
        masked.map(|masked| masked + text.get(kept_from..).unwrap_or_default())
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("secrets", &self.secrets.len()).finish()
    }
}

/// Returns the length of the secret at the beginning of `text`, each of whose bytes may be encoded.
fn echo(secret: &str, text: &[u8]) -> Option<usize> {
    if text.starts_with(secret.as_bytes()) {
        return Some(secret.len());
    }
    secret.bytes().try_fold(0, |at, byte| Some(at + encoded(byte, text.get(at..)?)?))
}

/// Returns the length of `byte` at the beginning of `text`: `%2B`, the same encoded again (`%252B`), `\u002b`, `\/`,
/// `+` for a space, or the byte itself.
fn encoded(byte: u8, text: &[u8]) -> Option<usize> {
    let plain = |text: &[u8]| (text.first() == Some(&byte)).then_some(1);
    match text {
        [b'%', rest @ ..] => percent(byte, rest).map(|length| 1 + length).or_else(|| plain(text)),
        [b'\\', b'u', rest @ ..] if hex(rest, 4) == Some(u32::from(byte)) => Some(6),
        [b'\\', rest @ ..] if matches!(byte, b'"' | b'\\' | b'/') => plain(rest).map(|length| 1 + length),
        [b'+', ..] if byte == b' ' => Some(1),
        _ => plain(text),
    }
}

/// Does the same after a `%`, which may itself be encoded as `%25`.
fn percent(byte: u8, text: &[u8]) -> Option<usize> {
    match hex(text, 2)? {
        value if value == u32::from(byte) => Some(2),
        0x25 => percent(byte, text.get(2..)?).map(|length| 2 + length),
        _ => None,
    }
}

/// Parses a number with this many hexadecimal digits.
fn hex(text: &[u8], digits: usize) -> Option<u32> {
    text.get(..digits)?
        .iter()
        .try_fold(0, |number, digit| Some(number * 16 + char::from(*digit).to_digit(16)?))
}

/// Masks the value of each `token=`, up to the next character that cannot be part of it in a URL.
fn without_token_values(text: &str) -> Cow<'_, str> {
    let ends_value = |c: char| {
        c.is_whitespace() || matches!(c, '&' | '#' | '"' | '\'' | '<' | '>' | '`' | ')' | ',' | ';' | '\\')
    };
    let mut rest = text;
    let mut clean = String::new();
    while let Some((before, after)) = rest.split_once(TOKEN_PARAMETER) {
        let value_len = after.find(ends_value).unwrap_or(after.len());
        let (value, tail) = after.split_at(value_len);
        clean.push_str(before);
        clean.push_str(TOKEN_PARAMETER);
        clean.push_str(if value.is_empty() { "" } else { MASK });
        rest = tail;
    }
    if clean.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(clean + rest) }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn redactor(secret: &str) -> Redactor {
        Redactor::new(&[Secret::new(secret.to_owned())])
    }

    #[test]
    fn a_secret_is_masked_wherever_it_stands() {
        assert_eq!(redactor("s3cr3t").redact("as3cr3tb s3cr3t"), "a***b ***");
    }

    #[test]
    fn a_secret_is_masked_in_its_encoded_forms() {
        let redactor = redactor("a+b/\"c\\d");
        assert_eq!(redactor.redact("a%2Bb%2F%22c%5Cd"), MASK);
        assert_eq!(redactor.redact(r#"{"msg":"a+b/\"c\\d"}"#), r#"{"msg":"***"}"#);
    }

    #[test]
    fn an_echo_is_masked_however_it_is_encoded() {
        let redactor = redactor("a+b/~c=d&e");
        for echo in [
            "a+b/~c=d&e",
            "a%2Bb%2F%7Ec%3Dd%26e",
            "a%2bb%2f%7ec%3dd%26e",
            "a%2Bb/~c%3Dd&e",
            "%61%2B%62%2F%7E%63%3D%64%26%65",
            "a%252Bb%252F~c%253Dd%2526e",
            r"a\u002bb\/~c=d\u0026e",
        ] {
            assert_eq!(redactor.redact(&format!("<{echo}>")), format!("<{MASK}>"), "{echo}");
        }
        assert_eq!(redactor.redact("a+b/~c=d%2"), "a+b/~c=d%2");
    }

    #[test]
    fn a_token_parameter_is_masked_without_being_registered() {
        let redactor = Redactor::default();
        assert_eq!(redactor.redact("wss://h/s?token=abc&x=1 token=d"), "wss://h/s?token=***&x=1 token=***");
        assert_eq!(redactor.redact("no `token=` here"), "no `token=` here");
        assert_eq!(redactor.redact(r#"{"url":"ws://h?token=abc"}"#), r#"{"url":"ws://h?token=***"}"#);
    }

    #[test]
    fn the_longer_of_two_secrets_goes_first() {
        let redactor = Redactor::new(&[Secret::new("abcd".into()), Secret::new("abcdefg".into())]);
        assert_eq!(redactor.redact("abcdefg"), MASK);
    }

    #[test]
    fn text_without_secrets_is_not_copied() {
        assert!(matches!(redactor("s3cr3t").redact("plain"), Cow::Borrowed("plain")));
    }

    proptest! {
        #[test]
        fn no_encoding_of_single_bytes_hides_a_secret(
            secret in "[!-$&-\\[\\]-~]{8,40}", encodings in vec(0..6, 40), around in "[é x]{0,5}"
        ) {
            let encode = |(byte, encoding): (u8, &i32)| match encoding {
                0 => format!("%{byte:02X}"),
                1 => format!("%{byte:02x}"),
                2 => format!("%25{byte:02x}"),
                3 => format!("%2525{byte:02X}"),
                4 => format!("\\u{byte:04x}"),
                _ => char::from(byte).to_string(),
            };
            let echo: String = secret.bytes().zip(&encodings).map(encode).collect();
            let redacted = redactor(&secret).redact(&format!("{around}{echo}{around}")).into_owned();
            prop_assert!(redacted.contains(MASK) && !redacted.contains(&echo), "{}", redacted);
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        assert!(!format!("{:?}", redactor("s3cr3t")).contains("s3cr3t"));
    }
}
