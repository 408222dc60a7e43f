//! What is wrong with the settings: all of it in one go, never a secret.

use std::fmt;

use thiserror::Error;

use crate::escape::escaped;
use crate::redact::Redactor;

/// Longest part of a value that is shown, and of a reason: reasons may repeat a value and give advice besides.
const VALUE_CHARS: usize = 200;
const REASON_CHARS: usize = 600;

/// One mistake: one line that names the variable, its value (unless secret) and what would be valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    /// The variable, or the file.
    pub subject: String,
    /// Its value as it may be shown.
    pub value: Option<String>,
    /// What is wrong and what would be valid.
    pub reason: String,
}

/// All mistakes: those of files first, the others in the order of the table of variables, what is only doubtful last. Shows
/// one line per mistake.
#[derive(Debug, Error, PartialEq, Eq)]
pub struct SettingsErrors(pub Vec<SettingsError>);

/// Something doubtful that does not stop the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsWarning {
    /// The variable as it was written.
    pub variable: String,
    /// What is doubtful and what to do.
    pub advice: String,
}

impl SettingsError {
    /// A mistake without a value to show.
    pub(super) fn new(subject: impl Into<String>, reason: impl Into<String>) -> SettingsError {
        SettingsError { subject: subject.into(), value: None, reason: reason.into() }
    }

    /// A mistake in a value that may be shown; it is cut and escaped only after it has been redacted, since a part of a
    /// secret could not be recognised.
    pub(super) fn with_value(subject: &str, value: &str, reason: impl Into<String>) -> SettingsError {
        SettingsError { value: Some(value.to_owned()), ..SettingsError::new(subject, reason) }
    }

    /// The mistake as it may be shown.
    pub(super) fn redacted(self, redactor: &Redactor) -> SettingsError {
        SettingsError {
            subject: self.subject,
            value: self.value.map(|value| shown(&redactor.redact(&value), VALUE_CHARS)),
            reason: shown(&redactor.redact(&self.reason), REASON_CHARS),
        }
    }
}

/// A text on one line: cut after `chars`, and escaped.
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
