//! The errors in the settings: all of them together, without secrets.

use std::fmt;

use thiserror::Error;

use crate::escape::escaped;
use crate::redact::Redactor;

/// Maximum length shown of a value, and of a reason, which may repeat the value and add advice.
const VALUE_CHARS: usize = 200;
const REASON_CHARS: usize = 600;

/// An error: one line with the variable, its value (unless secret) and the valid form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    /// The variable, or the file.
    pub subject: String,
    /// The value as it may be shown.
    pub value: Option<String>,
    /// The problem and the valid form.
    pub reason: String,
}

/// All errors: those of files first, the others in the order of the table of variables, warnings last. Displayed as one
/// line per error.
#[derive(Debug, Error, PartialEq, Eq)]
pub struct SettingsErrors(pub Vec<SettingsError>);

/// A warning, which does not prevent startup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsWarning {
    /// The variable as it was written.
    pub variable: String,
    /// The problem and the remedy.
    pub advice: String,
}

impl SettingsError {
    /// Creates an error without a value.
    pub(super) fn new(subject: impl Into<String>, reason: impl Into<String>) -> SettingsError {
        SettingsError { subject: subject.into(), value: None, reason: reason.into() }
    }

    /// Creates an error in a value that may be shown; it is truncated and escaped only after redaction, since a
    /// truncated secret could not be recognised.
    pub(super) fn with_value(subject: &str, value: &str, reason: impl Into<String>) -> SettingsError {
        SettingsError { value: Some(value.to_owned()), ..SettingsError::new(subject, reason) }
    }

    /// Returns the error as it may be shown.
    pub(super) fn redacted(self, redactor: &Redactor) -> SettingsError {
        SettingsError {
            subject: self.subject,
            value: self.value.map(|value| shown(&redactor.redact(&value), VALUE_CHARS)),
            reason: shown(&redactor.redact(&self.reason), REASON_CHARS),
        }
    }
}

/// Returns a text on one line: truncated after `chars`, and escaped.
pub(super) fn shown(value: &str, chars: usize) -> String {
    match value.char_indices().nth(chars) {
        Some((end, _)) => escaped(value.split_at(end).0).into_owned() + "…",
        None => escaped(value).into_owned(),
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}: {}", self.subject, self.reason),
            None => write!(f, "{}: {}", self.subject, self.reason),
        }
    }
}

impl fmt::Display for SettingsErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}
