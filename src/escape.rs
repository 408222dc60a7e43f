//! Prevents text from the feed, Redis, HTTP clients and files from controlling a terminal: characters that move the
//! cursor, begin a new line or reorder text are escaped.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io;

use serde::Serialize;

/// Returns whether a character controls a terminal, reorders text or is invisible: C0, DEL and C1; bidirectional marks;
/// line separators; characters without a width.
#[must_use]
pub fn controls(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Escapes the characters matched by [`controls`] in Rust's notation: `\n`, `\u{1b}`. They include line breaks, so the
/// result is one line.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    replaced(text, |c, out| out.extend(c.escape_default()))
}

/// Escapes the same characters in JSON as `\u001b`, without changing its meaning; the result is one line.
#[must_use]
pub fn json_escaped(json: &str) -> Cow<'_, str> {
    replaced(json, |c, out| {
        if c < ' ' {
            // JSON allows these only between tokens, where a space is equivalent
            return out.push(' ');
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // writing to a `String` cannot fail
            write!(out, "\\u{unit:04x}").ok();
        }
    })
}

fn replaced(text: &str, replace: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if !text.contains(controls) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if controls(c) {
            replace(c, &mut out);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Writes a line for people.
pub fn write_line(out: &mut (impl io::Write + ?Sized), line: fmt::Arguments<'_>) -> io::Result<()> {
    writeln!(out, "{}", escaped(&line.to_string()))
}

/// Serializes a value as escaped JSON on one line.
pub fn json(value: &impl Serialize) -> serde_json::Result<String> {
    let json = serde_json::to_string(value)?;
    Ok(match json_escaped(&json) {
        Cow::Owned(escaped) => escaped,
        Cow::Borrowed(_) => json,
    })
}

/// Writes a line of JSON for programs.
pub fn write_json_line(out: &mut (impl io::Write + ?Sized), value: &impl Serialize) -> io::Result<()> {
    writeln!(out, "{}", json(value)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn what_controls_a_terminal_is_escaped() {
        let hostile = "é\u{1b}[2J\r\n\u{9b}31m\u{202e}\u{7f}\u{e0041}東";
        assert_eq!(escaped(hostile), r"é\u{1b}[2J\r\n\u{9b}31m\u{202e}\u{7f}\u{e0041}東");
        let mut line = Vec::new();
        write_json_line(&mut line, &hostile).unwrap();
        let expected = r#""é\u001b[2J\r\n\u009b31m\u202e\u007f\udb40\udc41東""#;
        assert_eq!(String::from_utf8(line).unwrap(), expected.to_owned() + "\n");
        assert!(matches!(escaped("plain"), Cow::Borrowed("plain")));
    }

    #[test]
    fn json_between_its_tokens_stays_json() {
        let raw = serde_json::from_str::<&RawValue>("{\"a\":\r1.50,\t\"b\u{9b}\":\n[ ]}").unwrap();
        assert_eq!(json_escaped(raw.get()), r#"{"a": 1.50, "b\u009b": [ ]}"#);
    }

    proptest! {
        #[test]
        fn no_text_controls_a_terminal_and_none_is_changed_otherwise(text: String) {
            let (shown, mut json) = (escaped(&text), Vec::new());
            prop_assert!(!shown.contains(controls));
            let harmless: String = text.chars().filter(|c| !controls(*c)).collect();
            if harmless == text {
                prop_assert_eq!(&shown, &text);
            }
            write_json_line(&mut json, &text).unwrap();
            let json = String::from_utf8(json).unwrap();
            prop_assert!(!json.trim_end_matches('\n').contains(controls));
            prop_assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), Value::from(text));
        }
    }
}
