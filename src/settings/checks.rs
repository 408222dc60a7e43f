//! Collects all errors, so that they are reported together.

use std::collections::BTreeMap;

use super::mistake::{SettingsError, SettingsWarning};
use super::urls;
use super::variable::Secrecy;

/// The errors and warnings found so far.
pub(super) struct Checks {
    /// Whether the settings are for a command that connects to the feed.
    pub asks_feed: bool,
    pub mistakes: Vec<SettingsError>,
    pub warnings: Vec<SettingsWarning>,
    /// The texts read, as far as they may be shown.
    plain: BTreeMap<&'static str, String>,
}

impl Checks {
    pub(super) fn new(
        asks_feed: bool,
        mistakes: Vec<SettingsError>,
        warnings: Vec<SettingsWarning>,
    ) -> Checks {
        Checks { asks_feed, mistakes, warnings, plain: BTreeMap::new() }
    }

    /// Parses the text of a variable, if set. Also returns `None` after noting an error.
    pub(super) fn read<T>(
        &mut self,
        name: &'static str,
        secrecy: Secrecy,
        text: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = text?;
        if secrecy == Secrecy::Plain {
            self.plain.insert(name, text.to_owned());
        }
        let mistake = |reason| match secrecy {
            Secrecy::Plain => SettingsError::with_value(name, text, reason),
            Secrecy::Url | Secrecy::SecretUrl => SettingsError::with_value(name, &urls::masked(text), reason),
            Secrecy::Secret => SettingsError::new(name, reason),
        };
        parse(text).map_err(|reason| self.mistakes.push(mistake(reason))).ok()
    }

    /// Notes an error in a text that was read and may be shown.
    pub(super) fn mistake_in(&mut self, name: &str, reason: String) {
        let text = self.plain.get(name).map_or("", String::as_str);
        self.mistakes.push(SettingsError::with_value(name, text, reason));
    }

    /// Notes an error that is not visible in a single text.
    pub(super) fn mistake(&mut self, name: &str, reason: impl Into<String>) {
        self.mistakes.push(SettingsError::new(name, reason));
    }

    pub(super) fn warn(&mut self, variable: &str, advice: impl Into<String>) {
        self.warnings.push(SettingsWarning { variable: variable.to_owned(), advice: advice.into() });
    }
}
