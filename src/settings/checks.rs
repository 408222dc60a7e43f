//! Collects every mistake, so that all of them are reported in one go.

use super::Secrecy;
use super::mistake::{SettingsError, SettingsWarning};
use super::urls;

/// The mistakes and warnings found so far.
pub(super) struct Checks {
    /// Whether the settings are for a command that asks the feed.
    pub asks_feed: bool,
    pub mistakes: Vec<SettingsError>,
    pub warnings: Vec<SettingsWarning>,
}

impl Checks {
    /// Reads the text of a variable, if there is one. Answers `None` after it has noted a mistake, too.
    pub(super) fn read<T>(
        &mut self,
        name: &str,
        secrecy: Secrecy,
        text: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = text?;
        let mistake = |reason| match secrecy {
            Secrecy::Plain => SettingsError::with_value(name, text, reason),
            Secrecy::Url | Secrecy::SecretUrl => SettingsError::with_value(name, &urls::masked(text), reason),
            Secrecy::Secret => SettingsError::new(name, reason),
        };
        parse(text).map_err(|reason| self.mistakes.push(mistake(reason))).ok()
    }

    /// Notes a mistake in a value that may be shown.
    pub(super) fn mistake_in(&mut self, name: &str, text: Option<&str>, reason: String) {
        self.mistakes.push(SettingsError::with_value(name, text.unwrap_or_default(), reason));
    }

    /// Notes a mistake that no single text shows.
    pub(super) fn mistake(&mut self, name: &str, reason: impl Into<String>) {
        self.mistakes.push(SettingsError::new(name, reason));
    }

    pub(super) fn warn(&mut self, variable: &str, advice: impl Into<String>) {
        self.warnings.push(SettingsWarning { variable: variable.to_owned(), advice: advice.into() });
    }
}
