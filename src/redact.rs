//! Keeps secrets out of everything that people read: log lines, panics, mistakes in the settings.

use std::borrow::Cow;
use std::fmt;

use uw_websocket_core::settings::Secret;

/// What stands in a secret's place.
pub const MASK: &str = "***";

/// Secrets shorter than this are not looked for: they would blank out ordinary text, and whoever chose one has no
/// secret to lose. They still never get formatted, since they live in a [`Secret`].
const SHORTEST_SECRET: usize = 4;

/// The query parameter that carries the token in the feed's URL.
const TOKEN_PARAMETER: &str = "token=";

/// Replaces the registered secrets, and the value of every `token=`, wherever they stand.
#[derive(Default)]
pub struct Redactor {
    /// Every form in which a secret may appear, longest first so that no rest of a longer one remains.
    forms: Vec<String>,
}

impl Redactor {
    /// A redactor for these secrets, in their plain, percent-encoded and JSON-escaped forms.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Redactor {
        let mut forms: Vec<String> = Vec::new();
        for secret in secrets.into_iter().map(Secret::reveal).filter(|text| text.len() >= SHORTEST_SECRET) {
            forms.push(secret.to_owned());
            forms.push(url::form_urlencoded::byte_serialize(secret.as_bytes()).collect());
            let json = serde_json::Value::from(secret).to_string();
            forms.push(json.trim_matches('"').to_owned());
        }
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        Redactor { forms }
    }

    /// `text` without secrets.
    #[must_use]
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut clean = without_token_values(text);
        for form in &self.forms {
            if clean.contains(form.as_str()) {
                clean = Cow::Owned(clean.replace(form.as_str(), MASK));
            }
        }
        clean
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("forms", &self.forms.len()).finish()
    }
}

/// `text` with the value of each `token=` masked, up to the next character that cannot be part of one in a URL.
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

    #[test]
    fn debug_shows_no_secret() {
        assert!(!format!("{:?}", redactor("s3cr3t")).contains("s3cr3t"));
    }
}
