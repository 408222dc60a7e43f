//! The settings: read once at start from the environment and `.env`, checked as a whole.
//!
//! [`Sources`] → one flat struct of texts (envy) → the checked, nested [`Settings`]. Either everything is right, or
//! [`SettingsErrors`] names every mistake. Adding a setting is a line in [`variables`], a field in `raw` and a check in
//! `sections`.

mod channels;
mod checks;
mod dotenv;
mod effective;
mod files;
mod mistake;
mod raw;
mod retention;
mod sections;
mod sources;
mod spool;
mod suggestions;
pub mod units;
mod urls;
pub mod variables;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use slog::Level;
use uw_websocket_actors::settings::ActorSettings;
use uw_websocket_core::settings::Secret;

use crate::redact::Redactor;
use checks::Checks;
use raw::RawSettings;
use sources::Merged;

pub use effective::EffectiveValue;
pub use mistake::{SettingsError, SettingsErrors, SettingsWarning};
pub use sections::log_level;
pub use sources::{Origin, Sources};
pub use variables::{Kind, Preset, VARIABLES, Variable};

/// The token; its twin for a file begins with the same name.
const TOKEN: &str = "UNUSUAL_WHALES_API_TOKEN";

/// Everything the process is told. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `ENABLE_WEBSOCKET`. When false the token may be missing and nothing may be started.
    pub enabled: bool,
    /// `ENVIRONMENT`: label on every log line.
    pub environment: String,
    /// What the actors are told.
    pub actors: ActorSettings,
    /// The HTTP side.
    pub http: HttpSettings,
    /// The log.
    pub log: LogSettings,
    /// `SHUTDOWN_TIMEOUT_SECONDS`: longest drain.
    pub shutdown_timeout: Duration,
    /// What is doubtful; to be logged once the log is there.
    pub warnings: Vec<SettingsWarning>,
    /// Every variable as it took effect, secrets masked, in the order of [`VARIABLES`].
    pub effective: Vec<EffectiveValue>,
    /// Knows the secrets, to keep them out of whatever is shown.
    pub redactor: Arc<Redactor>,
}

/// The HTTP side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpSettings {
    /// `HTTP_ADDR`; `None` is `off`.
    pub addr: Option<SocketAddr>,
    /// `PROBE_ADDR`; `None` is `off`.
    pub probe_addr: Option<SocketAddr>,
    /// `HTTP_ALLOWED_HOSTS`: names that may be asked for, in lower case, besides `localhost` and addresses.
    pub allowed_hosts: Vec<String>,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// `LOG_FORMAT`.
    pub format: LogFormat,
    /// `LOG_LEVEL` or `--log-level`.
    pub level: Level,
    /// `LOG_DIR`: the folder of the log file, if there is to be one.
    pub dir: Option<PathBuf>,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people on a terminal, else JSON.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Term,
}

impl Settings {
    /// Reads and checks everything; all mistakes are reported together.
    pub fn load(sources: &Sources) -> Result<Settings, SettingsErrors> {
        let merged = Merged::read(sources);
        let redactor = Arc::new(Redactor::new(&secrets(&merged)));
        Settings::of(merged, &redactor, true)
    }

    /// The same for a command that does not ask the feed: the token may be missing or wrong, and is left out.
    pub fn load_without_token(sources: &Sources) -> Result<Settings, SettingsErrors> {
        let mut merged = Merged::read(sources);
        let redactor = Arc::new(Redactor::new(&secrets(&merged)));
        merged.values.remove(TOKEN);
        merged.mistakes.retain(|mistake| !mistake.subject.starts_with(TOKEN));
        Settings::of(merged, &redactor, false)
    }

    fn of(mut merged: Merged, redactor: &Arc<Redactor>, asks_feed: bool) -> Result<Settings, SettingsErrors> {
        let mut checks = Checks {
            mistakes: std::mem::take(&mut merged.mistakes),
            warnings: std::mem::take(&mut merged.warnings),
        };
        let settings = match RawSettings::read(&merged) {
            Ok(raw) => check(&raw, &merged, Arc::clone(redactor), asks_feed, &mut checks),
            Err(error) => {
                checks.mistake("settings", error.to_string());
                None
            }
        };
        match settings {
            Some(settings) if checks.mistakes.is_empty() => Ok(settings),
            settings => {
                let doubts = settings.map_or(checks.warnings, |settings| settings.warnings);
                Err(errors(checks.mistakes, doubts, redactor))
            }
        }
    }
}

/// The mistakes as they may be shown: those of files first, the others in the order of the table. What is only doubtful
/// comes last: a misspelt name is often the reason why another one is missing.
fn errors(mistakes: Vec<SettingsError>, doubts: Vec<SettingsWarning>, redactor: &Redactor) -> SettingsErrors {
    let place =
        |mistake: &SettingsError| VARIABLES.iter().position(|variable| variable.name == mistake.subject);
    let mut mistakes: Vec<_> = mistakes.into_iter().map(|mistake| mistake.redacted(redactor)).collect();
    mistakes.sort_by_key(place);
    let doubts = doubts.into_iter().map(|doubt| SettingsError::new(doubt.variable, doubt.advice));
    mistakes.extend(doubts.map(|doubt| doubt.redacted(redactor)));
    SettingsErrors(mistakes)
}

fn check(
    raw: &RawSettings,
    merged: &Merged,
    redactor: Arc<Redactor>,
    asks_feed: bool,
    checks: &mut Checks,
) -> Option<Settings> {
    let enabled = checks.boolean("ENABLE_WEBSOCKET", &raw.enable_websocket);
    let actors = sections::actors(raw, asks_feed && enabled == Some(true), checks);
    let shutdown_timeout = sections::shutdown_timeout(raw, checks);
    let http = sections::http(raw, checks);
    let log = sections::log(raw, checks);
    let environment = sections::environment(raw, checks);
    Some(Settings {
        enabled: enabled?,
        environment: environment?,
        actors: actors?,
        http: http?,
        log: log?,
        shutdown_timeout: shutdown_timeout?,
        warnings: std::mem::take(&mut checks.warnings),
        effective: effective::values(merged),
        redactor,
    })
}

fn secrets(merged: &Merged) -> Vec<Secret> {
    let token = merged.text(TOKEN).map(|token| Secret::new(token.to_owned()));
    let redis = merged.text("REDIS_URL").map(urls::redis_secrets).unwrap_or_default();
    token.into_iter().chain(redis).collect()
}

#[cfg(test)]
mod tests;
