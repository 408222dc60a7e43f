//! Splits a frame into topic and payload, without a copy.
//!
//! Frames are `["<topic>",{…payload…}]`; a top-level object is a notice from the server. The usual form is split by
//! scanning for the quote that ends the topic (10 ns); anything else (blanks, escapes, other shapes) goes through a
//! full parse. A scanned payload is not validated here: [`super::routing_fields`] validates JSON, UTF-8 and depth
//! in the pass that reads it, and [`classify`] determines the reason if it fails.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::labelled;

/// Maximum nesting of brackets, those of the frame included; the feed's events nest three deep. Bounds the stack of
/// every later parser of the payload.
pub const MAX_DEPTH: usize = 64;

labelled! {
    /// The reason why a frame is not an event.
    Rejection {
        /// The frame is neither an array of channel and payload nor an object.
        WrongShape = "wrong_shape",
        /// The frame is not JSON.
        NotJson = "not_json",
        /// The frame is not valid UTF-8.
        InvalidUtf8 = "invalid_utf8",
        /// Brackets nest deeper than any event of the feed.
        TooDeep = "too_deep",
        /// The frame, or a message reassembled from fragments, is larger than the bound.
        TooLarge = "too_large",
        /// A binary frame; the feed uses text frames.
        Binary = "binary",
        /// An event of a channel absent from the settings.
        UnknownChannel = "unknown_channel",
        /// A top-level object from the server.
        ServerNotice = "server_notice",
        /// The acknowledgement of a join with a status other than `ok`.
        JoinRefused = "join_refused",
    }
}

/// A frame with the structure of the protocol.
#[derive(Debug, PartialEq, Eq)]
pub enum Envelope<'f> {
    /// An event, or the acknowledgement of a join.
    Message {
        /// The topic as joined.
        topic: Cow<'f, str>,
        /// The payload's bytes; an object if they are valid JSON in UTF-8.
        payload: &'f [u8],
    },
    /// A top-level object.
    Notice(&'f str),
}

/// Splits a frame. The payload is not validated until [`super::routing_fields`] reads it: neither UTF-8 nor JSON
/// nor depth.
pub fn split(frame: &[u8]) -> Result<Envelope<'_>, Rejection> {
    let utf8 = |bytes| std::str::from_utf8(bytes).map_err(|_| Rejection::InvalidUtf8);
    match scan(frame) {
        Some((topic, payload)) => Ok(Envelope::Message { topic: Cow::Borrowed(utf8(topic)?), payload }),
        None => parse(utf8(frame)?),
    }
}

/// Determines why a frame's payload failed to parse.
#[must_use]
pub fn classify(frame: &[u8]) -> Rejection {
    match std::str::from_utf8(frame).map(parse) {
        Err(_) => Rejection::InvalidUtf8,
        Ok(Err(rejection)) => rejection,
        // JSON accepted here that is not readable as an event
        Ok(Ok(_)) => Rejection::WrongShape,
    }
}

/// Matches `["topic",{…}]` without blanks and escapes outside the payload.
fn scan(frame: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = frame.strip_prefix(b"[\"")?;
    let quote = memchr::memchr2(b'"', b'\\', rest)?;
    let (topic, rest) = rest.split_at_checked(quote)?;
    let payload = rest.strip_prefix(b"\",")?.strip_suffix(b"]")?;
    (payload.starts_with(b"{") && payload.ends_with(b"}")).then_some((topic, payload))
}

fn parse(text: &str) -> Result<Envelope<'_>, Rejection> {
    if is_deeper_than(text.as_bytes(), MAX_DEPTH) {
        return Err(Rejection::TooDeep);
    }
    let text = text.trim_ascii();
    if text.starts_with('{') {
        return match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Ok(Envelope::Notice(text)),
            Err(_) => Err(Rejection::NotJson),
        };
    }
    match serde_json::from_str::<(Text<'_>, &RawValue)>(text) {
        Ok((Text(topic), payload)) if payload.get().starts_with('{') => {
            Ok(Envelope::Message { topic, payload: payload.get().as_bytes() })
        }
        Ok(_) => Err(Rejection::WrongShape),
        Err(_) if serde_json::from_str::<IgnoredAny>(text).is_ok() => Err(Rejection::WrongShape),
        Err(_) => Err(Rejection::NotJson),
    }
}

/// A string, borrowed unless it has escapes.
#[derive(serde::Deserialize)]
struct Text<'f>(#[serde(borrow)] Cow<'f, str>);

/// Whether brackets nest deeper than `limit`.
fn is_deeper_than(text: &[u8], limit: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::routing_fields::RoutingFields;

    /// Classifies a frame including its payload, as the decoder does.
    fn verdict(frame: impl AsRef<[u8]>) -> Result<(), Rejection> {
        let frame = frame.as_ref();
        match split(frame)? {
            Envelope::Message { payload, .. } => {
                RoutingFields::read(payload).map(drop).map_err(|_| classify(frame))
            }
            Envelope::Notice(_) => Ok(()),
        }
    }

    fn message<'f>(topic: &'f str, payload: &'f str) -> Envelope<'f> {
        Envelope::Message { topic: Cow::Borrowed(topic), payload: payload.as_bytes() }
    }

    #[test]
    fn splits_the_usual_form_without_touching_the_payload() {
        let frame = br#"["option_trades:SPY",{"a":"x]y","b":[1,2]}]"#;
        assert_eq!(split(frame).unwrap(), message("option_trades:SPY", r#"{"a":"x]y","b":[1,2]}"#));
    }

    #[test]
    fn accepts_what_json_allows_around_topic_and_payload() {
        assert_eq!(split(b" [ \"news\" , {\"a\": 1} ] ").unwrap(), message("news", "{\"a\": 1}"));
        assert_eq!(split(br#"["ne\u0077s",{"a":1}]"#).unwrap(), message("news", r#"{"a":1}"#));
    }

    #[test]
    fn a_top_level_object_is_a_notice() {
        assert_eq!(split(br#"{"error":"limit"}"#), Ok(Envelope::Notice(r#"{"error":"limit"}"#)));
        assert_eq!(split(br#"{"error":"#), Err(Rejection::NotJson));
    }

    #[test]
    fn names_what_is_wrong() {
        assert_eq!(split(b"hello"), Err(Rejection::NotJson));
        assert_eq!(split(b""), Err(Rejection::NotJson));
        for not_utf8 in [
            &b"[\"a\",{\"x\":\"\xff\"}]"[..],
            b"[\"a\",{\"\xff\":1}]",
            b"[\"a\",{\"x\":\xff}]",
            b"[\"a\",{\"x\":[\"\xff\",}]",
            b"[\"\xff\",{\"x\":1}]",
            b"[\"\xff\",{\"x\"}]",
            b"[\"a\",\"\xff\"]",
            b"{\"error\":\"\xff\"}",
            b"\xff",
        ] {
            assert_eq!(verdict(not_utf8), Err(Rejection::InvalidUtf8), "{}", not_utf8.escape_ascii());
        }
        for wrong in ["[]", "42", r#"["a",[1]]"#, r#"["a",{},{}]"#, r#"["a","{}"]"#, "[1,{}]"] {
            assert_eq!(verdict(wrong), Err(Rejection::WrongShape), "{wrong}");
        }
    }

    #[test]
    fn bounds_the_nesting_but_not_the_number_of_brackets() {
        let nested = |depth: usize| format!("[\"a\",{{\"x\":{}{}}}]", "[".repeat(depth), "]".repeat(depth));
        let blank = |depth| nested(depth).replace(",{", ", {");
        for depth in [MAX_DEPTH - 1, 100_000] {
            assert_eq!(verdict(nested(depth)), Err(Rejection::TooDeep));
            assert_eq!(verdict(blank(depth)), Err(Rejection::TooDeep));
            assert_eq!(split("[".repeat(depth + 2).as_bytes()), Err(Rejection::TooDeep));
            assert_eq!(split("{\"a\":".repeat(depth + 2).as_bytes()), Err(Rejection::TooDeep));
        }
        assert_eq!(verdict(nested(MAX_DEPTH - 2)), Ok(()));
        assert_eq!(verdict(blank(MAX_DEPTH - 2)), Ok(()));
        let flat = format!("[\"a\",{{\"x\":\"{}\",\"y\":[{}[]]}}]", "[{\\\"".repeat(200), "[],".repeat(200));
        assert_eq!(verdict(&flat), Ok(()));
    }
}
