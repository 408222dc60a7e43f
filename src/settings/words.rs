//! Words, names and paths. An error states the valid form.

use std::path::PathBuf;

use slog::Level;
use uw_websocket_core::settings::Secret;

use super::service::LogFormat;

/// Maximum length of `KEY_PREFIX` and `ENVIRONMENT`, in bytes: they are repeated in every key and log line.
const MAX_NAME: usize = 64;

/// Parses the token, which is sent in a URL.
pub(super) fn token(text: &str) -> Result<Secret, String> {
    if text.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(Secret::new(text.to_owned()))
    } else {
        Err("must be printable ASCII without blanks".to_owned())
    }
}

/// Accepts any path: it is checked when used.
#[allow(clippy::unnecessary_wraps, reason = "the signature of every parser")]
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    Ok(PathBuf::from(text))
}

/// Returns the value with this label, in any case.
pub(super) fn one_of<T: Copy>(text: &str, all: &[T], label: impl Fn(T) -> &'static str) -> Result<T, String> {
    let found = all.iter().find(|value| label(**value).eq_ignore_ascii_case(text));
    found.copied().ok_or_else(|| {
        let labels: Vec<_> = all.iter().map(|value| label(*value)).collect();
        format!("must be one of {}", labels.join(", "))
    })
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text.to_ascii_lowercase().as_str() {
        "auto" => Ok(LogFormat::Auto),
        "json" => Ok(LogFormat::Json),
        "term" => Ok(LogFormat::Term),
        _ => Err("must be auto, json or term".to_owned()),
    }
}

/// Parses a log level, in any case.
pub fn log_level(text: &str) -> Result<Level, String> {
    match text.to_ascii_lowercase().as_str() {
        "trace" => Ok(Level::Trace),
        "debug" => Ok(Level::Debug),
        "info" => Ok(Level::Info),
        "warning" | "warn" => Ok(Level::Warning),
        "error" => Ok(Level::Error),
        "critical" | "crit" => Ok(Level::Critical),
        _ => Err("must be trace, debug, info, warning, error or critical".to_owned()),
    }
}

/// Parses the first part of all keys. A part in braces keeps all keys in one slot of a Redis Cluster.
pub(super) fn key_prefix(text: &str) -> Result<String, String> {
    let is_plain =
        |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    let is_legal = match text.split_once('{') {
        None => is_plain(text),
        Some((before, rest)) => rest
            .split_once('}')
            .is_some_and(|(tag, after)| !tag.is_empty() && [before, tag, after].into_iter().all(is_plain)),
    };
    if text.len() > MAX_NAME || !is_legal {
        return Err(format!(
            "must be 1 to {MAX_NAME} of a-z A-Z 0-9 _ - . with at most one {{tag}} in braces"
        ));
    }
    Ok(text.to_owned())
}

pub(super) fn environment(text: &str) -> Result<String, String> {
    if text.len() > MAX_NAME || text.chars().any(char::is_control) {
        return Err(format!("must be 1 to {MAX_NAME} bytes of text without control characters"));
    }
    Ok(text.to_owned())
}
