//! The effective settings, for people.

use std::fmt;

use super::mistake::shown;
use super::sources::{Merged, SettingOrigin};
use super::urls;
use super::variable::{Preset, Secrecy, Variable};
use super::variables::VARIABLES;
use crate::redact::MASK;

/// The effective value of a variable. Displayed as a line of a `.env` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveValue {
    /// The variable.
    pub name: &'static str,
    /// The value, secrets masked; `None` if it is unset and has no default.
    pub value: Option<String>,
    /// The origin.
    pub origin: SettingOrigin,
}

pub(super) fn values(merged: &Merged) -> Vec<EffectiveValue> {
    VARIABLES.iter().map(|variable| value(variable, merged)).collect()
}

fn value(variable: &Variable, merged: &Merged) -> EffectiveValue {
    let sourced = merged.values.get(variable.name);
    let value = sourced.map(|sourced| match variable.secrecy {
        Secrecy::Secret => MASK.to_owned(),
        Secrecy::Url | Secrecy::SecretUrl => urls::masked(&sourced.text),
        // a misplaced URL may contain a secret
        Secrecy::Plain if sourced.text.contains("://") => urls::masked(&sourced.text),
        Secrecy::Plain => shown(&sourced.text, usize::MAX),
    });
    EffectiveValue {
        name: variable.name,
        value,
        origin: sourced.map_or(SettingOrigin::Default, |sourced| sourced.origin),
    }
}

impl fmt::Display for EffectiveValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EffectiveValue { name, value, origin } = self;
        match value {
            Some(value) => write!(f, "{name}={value} # {origin}"),
            None => write!(f, "{name}= # {origin}: {}", absent(name)),
        }
    }
}

/// Describes the meaning of a variable without a value.
fn absent(name: &str) -> &'static str {
    let variable = VARIABLES.iter().find(|variable| variable.name == name);
    match variable.map(|variable| variable.preset) {
        Some(Preset::Unset(meaning)) => meaning,
        _ => "empty",
    }
}
