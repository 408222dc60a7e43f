//! What the requests to the vendor have in common: the client's name, the delay that a refusal asks for, and texts without
//! the token.

use std::time::{Duration, SystemTime};

use crate::excerpt::excerpt;

/// The vendor's edge rejects the default user agents of HTTP libraries.
pub(crate) const USER_AGENT: &str = concat!("uw-websocket/", env!("CARGO_PKG_VERSION"));

/// Bytes of a refusal's body that are read, and shown. Much less is shown than read, so that a token repeated in the body
/// is read completely and recognised.
pub(crate) const REFUSAL_READ: usize = 16 * 1024;
pub(crate) const REFUSAL_MAX: usize = 512;

/// Removes `token` from `text`, plain and URL-encoded.
pub(crate) fn redact(text: &str, token: &str) -> String {
    if token.is_empty() {
        return text.to_owned();
    }
    let encoded: String = url::form_urlencoded::byte_serialize(token.as_bytes()).collect();
    text.replace(token, "***").replace(&encoded, "***")
}

/// Shortens the redacted text of a refusal for display, on one line.
pub(crate) fn refusal_shown(text: &str) -> String {
    excerpt(text.split_whitespace().collect::<Vec<_>>().join(" "), REFUSAL_MAX)
}

/// Parses `Retry-After`: seconds or an HTTP date.
pub(crate) fn parse_retry_after(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(value.trim()).ok()?;
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(parse_retry_after("7"), Some(Duration::from_secs(7)));
        assert_eq!(parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        let wait = parse_retry_after(&soon).unwrap().as_secs();
        assert!((98..=100).contains(&wait), "{wait}");
        assert_eq!(parse_retry_after("soon"), None);
    }

    #[test]
    fn the_token_is_redacted_as_it_is_and_as_a_url_has_it() {
        assert_eq!(
            redact("GET /socket?token=a%2Fb failed for a/b", "a/b"),
            "GET /socket?token=*** failed for ***"
        );
        assert_eq!(redact("all of it", ""), "all of it");
    }
}
