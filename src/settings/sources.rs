//! The sources of the settings: defaults < `.env` < process environment < command line, and files for the secrets.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use uw_websocket_core::settings::Secret;

use super::mistake::{SettingsError, SettingsWarning};
use super::variable::{Preset, Secrecy, Variable};
use super::variables::VARIABLES;
use super::{dotenv, files, suggestions};
use crate::escape::controls;

/// The sources of the settings. There are no others, so tests need no process environment.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The process environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The `.env` file, which need not exist.
    pub dotenv: Option<PathBuf>,
    /// `--log-level`.
    pub log_level: Option<String>,
    /// `--redis`, which replaces `REDIS_URL`.
    pub redis_url: Option<Secret>,
}

impl Sources {
    /// Returns the environment of this process and `.env` in its working directory.
    #[must_use]
    pub fn of_process(log_level: Option<String>) -> Sources {
        let environment = std::env::vars_os().collect();
        Sources { environment, dotenv: Some(PathBuf::from(".env")), log_level, redis_url: None }
    }

    /// Replaces the Redis, if one is given.
    #[must_use]
    pub fn with_redis(self, redis_url: Option<&Secret>) -> Sources {
        Sources { redis_url: redis_url.cloned(), ..self }
    }

    /// Returns a single variable, for commands that need no others. An unreadable `.env` counts as empty.
    #[must_use]
    pub fn value_of(&self, name: &str) -> Option<String> {
        Given::read(self, &mut Vec::new()).0.remove(name).and_then(|value| value.text)
    }
}

/// The origin of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingOrigin {
    /// The default.
    Default,
    /// The `.env` file.
    DotEnv,
    /// The process environment.
    Environment,
    /// The file named by the `_FILE` variable.
    File,
    /// The command line.
    CommandLine,
}

impl fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SettingOrigin::Default => "default",
            SettingOrigin::DotEnv => ".env",
            SettingOrigin::Environment => "environment",
            SettingOrigin::File => "file",
            SettingOrigin::CommandLine => "command line",
        })
    }
}

/// The text of a variable: trimmed, never empty.
pub(super) struct Sourced {
    pub text: String,
    pub origin: SettingOrigin,
}

/// All variables of the table that have a value, from any source.
pub(super) struct Merged {
    pub values: BTreeMap<&'static str, Sourced>,
    pub mistakes: Vec<SettingsError>,
    pub warnings: Vec<SettingsWarning>,
}

impl Merged {
    pub(super) fn read(sources: &Sources) -> Merged {
        let mut mistakes = Vec::new();
        let given = Given::read(sources, &mut mistakes);
        let mut values = BTreeMap::new();
        for variable in VARIABLES {
            let value = given.sourced(variable, &mut mistakes).or_else(|| default_of(variable));
            values.extend(value.map(|value| (variable.name, value)));
        }
        let url = sources.redis_url.as_ref().map(Secret::reveal);
        for (name, text) in [("LOG_LEVEL", sources.log_level.as_deref()), ("REDIS_URL", url)] {
            if let Some(text) = text {
                values.insert(name, Sourced { text: text.to_owned(), origin: SettingOrigin::CommandLine });
            }
        }
        let warnings = suggestions::unknown_names(given.0.keys().map(String::as_str));
        Merged { values, mistakes, warnings }
    }

    /// Every text with its variable.
    pub(super) fn texts(&self) -> impl Iterator<Item = (String, String)> {
        self.values.iter().map(|(name, sourced)| ((*name).to_owned(), sourced.text.clone()))
    }

    /// Returns the text of a variable, if it has one.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|sourced| sourced.text.as_str())
    }
}

fn default_of(variable: &Variable) -> Option<Sourced> {
    match variable.preset {
        Preset::Value(text) => Some(Sourced { text: text.to_owned(), origin: SettingOrigin::Default }),
        Preset::Unset(_) => None,
    }
}

/// The values given in the environment and in `.env`, by upper-case name, without empty ones: `VAR=` means unset.
struct Given(BTreeMap<String, Value>);

/// A given value; the text is `None` if it is not UTF-8.
struct Value {
    text: Option<String>,
    origin: SettingOrigin,
    /// How errors name its line of `.env`.
    place: Option<String>,
}

impl Value {
    fn of_environment(value: &OsString) -> Value {
        let text = value.to_str().map(str::to_owned);
        Value { text, origin: SettingOrigin::Environment, place: None }
    }
}

impl Given {
    /// Names are accepted in any case, as by the REST fetcher; one in upper case takes precedence.
    fn read(sources: &Sources, mistakes: &mut Vec<SettingsError>) -> Given {
        let mut given = Given(BTreeMap::new());
        let file = sources.dotenv.as_deref().map(|path| dotenv::read(path, mistakes)).unwrap_or_default();
        for variable in file {
            let (text, place) = (Some(variable.value), Some(variable.place));
            given.put(&variable.name, Value { text, origin: SettingOrigin::DotEnv, place });
        }
        let environment =
            || sources.environment.iter().filter_map(|(name, value)| Some((name.to_str()?, value)));
        let is_upper = |name: &str| !name.bytes().any(|b| b.is_ascii_lowercase());
        for (name, value) in environment().filter(|(name, _)| !is_upper(name)) {
            given.put(name, Value::of_environment(value));
        }
        for (name, value) in environment().filter(|(name, _)| is_upper(name)) {
            given.put(name, Value::of_environment(value));
        }
        given
    }

    fn put(&mut self, name: &str, value: Value) {
        let text = value.text.map(|text| text.trim_start_matches('\u{feff}').trim().to_owned());
        if text.as_deref() != Some("") {
            self.0.insert(name.to_ascii_uppercase(), Value { text, ..value });
        }
    }

    fn sourced(&self, variable: &Variable, mistakes: &mut Vec<SettingsError>) -> Option<Sourced> {
        let name = variable.name;
        let twin = variable.file_twin().and_then(|twin| Some((self.0.get(&twin)?, twin)));
        match (self.0.get(name), twin) {
            (None, None) => None,
            (Some(_), Some((_, twin))) => {
                mistakes.push(SettingsError::new(
                    name,
                    format!("is set together with {twin}; remove one of them"),
                ));
                None
            }
            (Some(value), None) => {
                let text = utf8(name, value, mistakes)?;
                let text = cleaned(variable, text, value.place.as_ref(), mistakes)?;
                Some(Sourced { text, origin: value.origin })
            }
            (None, Some((value, twin))) => {
                let path = utf8(&twin, value, mistakes)?;
                match files::secret(Path::new(path)) {
                    Ok(text) => {
                        let text = cleaned(variable, &text, None, mistakes)?;
                        Some(Sourced { text, origin: SettingOrigin::File })
                    }
                    Err(reason) => {
                        mistakes.push(unreadable(&twin, path, reason, name));
                        None
                    }
                }
            }
        }
    }
}

/// Returns a value without the quotes that Docker keeps around it, or reports a character that no editor shows; `place` is
/// its line of `.env`.
fn cleaned(
    variable: &Variable,
    text: &str,
    place: Option<&String>,
    mistakes: &mut Vec<SettingsError>,
) -> Option<String> {
    let inner = ['"', '\''].into_iter().find_map(|quote| {
        let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
        (!inner.is_empty() && !inner.contains(quote)).then_some(inner)
    });
    let text = inner.map_or(text, str::trim);
    let is_unseen = |c: &char| controls(*c) || (c.is_whitespace() && *c != ' ');
    let unseen = text.chars().find(is_unseen);
    let stray = || text.chars().next().filter(|c| matches!(c, '"' | '\''));
    let stray = unseen
        .is_none()
        .then(stray)
        .flatten()
        .or_else(|| text.chars().last().filter(|c| matches!(c, '"' | '\'')).filter(|_| unseen.is_none()));
    let reason = match (unseen, stray) {
        (Some(unseen), _) => format!("has U+{:04X}, which is not visible: remove it", u32::from(unseen)),
        (None, Some(quote)) => format!("has a `{quote}` at one end only: remove it"),
        (None, None) => return Some(text.to_owned()),
    };
    mistakes.push(match (place, variable.secrecy) {
        (Some(place), _) => SettingsError::new(place, reason),
        (None, Secrecy::Plain) => SettingsError::with_value(variable.name, text, reason),
        (None, _) => SettingsError::new(variable.name, reason),
    });
    None
}

/// Reports an unreadable file; with its name only if that cannot be the secret itself, given instead of a path.
fn unreadable(twin: &str, path: &str, reason: String, name: &str) -> SettingsError {
    if files::is_path(Path::new(path)) {
        return SettingsError::with_value(twin, path, reason);
    }
    SettingsError::new(twin, format!("{reason}; a path belongs here, the secret itself in {name}"))
}

fn utf8<'v>(name: &str, value: &'v Value, mistakes: &mut Vec<SettingsError>) -> Option<&'v str> {
    if value.text.is_none() {
        mistakes.push(SettingsError::new(name, "must be UTF-8 text"));
    }
    value.text.as_deref()
}
