//! The settings: read once at startup from the environment and `.env`, validated as a whole.
//!
//! [`Sources`] → one flat struct of texts (envy) → one of values, checked against each other → the nested [`Settings`].
//! Either everything is valid, or [`SettingsErrors`] lists every error. A setting is a row of the table in
//! [`variables`].

mod archive;
mod channels;
mod checks;
mod dotenv;
mod effective;
mod files;
mod mistake;
mod needs;
mod proxies;
mod retention;
mod sections;
mod service;
mod sources;
mod spool;
mod suggestions;
pub mod units;
mod urls;
mod variable;
pub mod variables;
mod words;

use std::sync::Arc;
use std::time::Duration;

use uw_websocket_actors::settings::ActorSettings;
use uw_websocket_core::settings::Secret;

use crate::redact::Redactor;
use checks::Checks;
use sources::Merged;
use variables::VariableValues;

pub use effective::EffectiveValue;
pub use mistake::{SettingsError, SettingsErrors, SettingsWarning};
pub use service::{HttpSettings, LogFormat, LogSettings};
pub use sources::{SettingOrigin, Sources};
pub use variable::{Preset, Secrecy, Variable};
pub use variables::VARIABLES;
pub use words::log_level;

/// The token; the variable for its file begins with the same name.
const TOKEN: &str = "UNUSUAL_WHALES_API_TOKEN";

/// All settings of the process. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `ENABLE_WEBSOCKET`. If `false`, the token may be missing and nothing may be started.
    pub enabled: bool,
    /// `ENVIRONMENT`: label of every log line.
    pub environment: String,
    /// The settings of the actors.
    pub actors: ActorSettings,
    /// The HTTP server.
    pub http: HttpSettings,
    /// The log.
    pub log: LogSettings,
    /// `SHUTDOWN_TIMEOUT_SECONDS`: time limit of the drain.
    pub shutdown_timeout: Duration,
    /// Warnings, to be logged once the log is available.
    pub warnings: Vec<SettingsWarning>,
    /// The effective value of every variable, secrets masked, in the order of [`VARIABLES`].
    pub effective: Vec<EffectiveValue>,
    /// Removes the secrets from all output.
    pub redactor: Arc<Redactor>,
}

impl Settings {
    /// Reads and validates everything; all errors are reported together.
    pub fn load(sources: &Sources) -> Result<Settings, SettingsErrors> {
        let merged = Merged::read(sources);
        let redactor = Arc::new(Redactor::new(&secrets(&merged)));
        Settings::of(merged, &redactor, true)
    }

    /// Does the same for a command that does not connect to the feed: the token may be missing or invalid, and is
    /// omitted.
    pub fn load_without_token(sources: &Sources) -> Result<Settings, SettingsErrors> {
        let mut merged = Merged::read(sources);
        let redactor = Arc::new(Redactor::new(&secrets(&merged)));
        merged.values.remove(TOKEN);
        merged.mistakes.retain(|mistake| !mistake.subject.starts_with(TOKEN));
        Settings::of(merged, &redactor, false)
    }

    fn of(mut merged: Merged, redactor: &Arc<Redactor>, asks_feed: bool) -> Result<Settings, SettingsErrors> {
        let (mistakes, warnings) =
            (std::mem::take(&mut merged.mistakes), std::mem::take(&mut merged.warnings));
        let mut checks = Checks::new(asks_feed, mistakes, warnings);
        // fails only if the table and its texts disagree, which every test of the settings rules out
        let texts =
            envy::from_iter(merged.texts()).map_err(|error| checks.mistake("settings", error.to_string()));
        let values = texts.ok().map(|texts| VariableValues::read(&texts, &mut checks));
        match values.and_then(|values| settings(&values, &merged, Arc::clone(redactor))) {
            Some(settings) if checks.mistakes.is_empty() => {
                Ok(Settings { warnings: checks.warnings, ..settings })
            }
            _ => Err(errors(checks.mistakes, checks.warnings, redactor)),
        }
    }
}

/// Returns the errors as they may be shown: those of files first, the others in the order of the table, warnings last:
/// a misspelt name is often the reason why another one is missing.
fn errors(mistakes: Vec<SettingsError>, doubts: Vec<SettingsWarning>, redactor: &Redactor) -> SettingsErrors {
    let place =
        |mistake: &SettingsError| VARIABLES.iter().position(|variable| variable.name == mistake.subject);
    let mut mistakes: Vec<_> = mistakes.into_iter().map(|mistake| mistake.redacted(redactor)).collect();
    mistakes.sort_by_key(place);
    let doubts = doubts.into_iter().map(|doubt| SettingsError::new(doubt.variable, doubt.advice));
    mistakes.extend(doubts.map(|doubt| doubt.redacted(redactor)));
    SettingsErrors(mistakes)
}

fn settings(values: &VariableValues, merged: &Merged, redactor: Arc<Redactor>) -> Option<Settings> {
    Some(Settings {
        enabled: values.enable_websocket?,
        environment: values.environment.clone()?,
        actors: values.actors()?,
        http: values.http()?,
        log: values.log()?,
        shutdown_timeout: values.shutdown_timeout_seconds?,
        warnings: Vec::new(),
        effective: effective::values(merged),
        redactor,
    })
}

fn secrets(merged: &Merged) -> Vec<Secret> {
    let token = merged.text(TOKEN).map(|token| Secret::new(token.to_owned()));
    let redis = merged.text("REDIS_URL").map(urls::redis_secrets).unwrap_or_default();
    let proxy = merged.text("HTTPS_PROXY").map(urls::credentials).unwrap_or_default();
    let redis = redis.into_iter().chain(proxy);
    token.into_iter().chain(redis).collect()
}

#[cfg(test)]
mod tests;
