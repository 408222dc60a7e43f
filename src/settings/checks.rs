//! Reads texts and collects every mistake, so that all of them are reported in one go.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::mistake::{SettingsError, SettingsWarning};
use super::units;
use super::urls;

/// The mistakes and warnings found so far. A check answers `None` after it has noted a mistake.
#[derive(Default)]
pub(super) struct Checks {
    pub mistakes: Vec<SettingsError>,
    pub warnings: Vec<SettingsWarning>,
}

impl Checks {
    /// Reads a value that may be shown. `parse` fails with what would be valid.
    pub(super) fn read<T>(
        &mut self,
        name: &str,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        parse(text).map_err(|reason| self.mistakes.push(SettingsError::with_value(name, text, reason))).ok()
    }

    /// Reads a value that may be absent: the outer `None` is a mistake, the inner one an absent value.
    #[allow(clippy::option_option, reason = "a mistake and an absent value are two different things")]
    pub(super) fn read_optional<T>(
        &mut self,
        name: &str,
        text: Option<&String>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        text.map_or(Some(None), |text| self.read(name, text, parse).map(Some))
    }

    /// Reads a URL; its password is not shown.
    pub(super) fn url<T>(
        &mut self,
        name: &str,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let noted = |reason| SettingsError::with_value(name, &urls::masked(text), reason);
        parse(text).map_err(|reason| self.mistakes.push(noted(reason))).ok()
    }

    pub(super) fn boolean(&mut self, name: &str, text: &str) -> Option<bool> {
        self.read(name, text, units::boolean)
    }

    pub(super) fn count<N>(&mut self, name: &str, text: &str, range: RangeInclusive<N>) -> Option<N>
    where
        N: std::str::FromStr + PartialOrd + std::fmt::Display,
    {
        self.read(name, text, |text| units::count(text, &range))
    }

    pub(super) fn seconds(
        &mut self,
        name: &str,
        text: &str,
        range: &RangeInclusive<Duration>,
    ) -> Option<Duration> {
        self.read(name, text, |text| units::duration(text, range))
    }

    /// Notes a mistake that no single text shows.
    pub(super) fn mistake(&mut self, name: &str, reason: impl Into<String>) {
        self.mistakes.push(SettingsError::new(name, reason));
    }

    pub(super) fn warn(&mut self, variable: &str, advice: impl Into<String>) {
        self.warnings.push(SettingsWarning { variable: variable.to_owned(), advice: advice.into() });
    }
}
