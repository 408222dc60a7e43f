//! `uw-websocket run`: settings → log → service → exit code.

use slog::warn;

use super::complain;
use crate::exit::Exit;
use crate::exposed;
use crate::logging::{Logging, log_panics};
use crate::settings::Settings;

/// Runs the service until it ends; the log is complete when this returns.
pub(super) fn run(settings: Settings) -> Exit {
    let logging = match Logging::start(&settings.log, &settings.environment, &settings.redactor) {
        Ok(logging) => logging,
        Err(error) => {
            complain(&error.to_string());
            return Exit::BadSettings;
        }
    };
    let log = logging.log.clone();
    log_panics(log.clone(), settings.redactor.clone());
    for warning in &settings.warnings {
        warn!(log, "doubtful setting"; "variable" => &warning.variable, "advice" => &warning.advice);
    }
    if !settings.enabled {
        warn!(log, "disabled: set ENABLE_WEBSOCKET to true to run the service");
        return Exit::Clean;
    }
    for exposure in exposed::of_all(&settings) {
        warn!(log, "files open to other users"; "path" => %exposure.path.display(),
            "mode" => format!("{:o}", exposure.mode), "entries" => exposure.entries, "advice" => exposed::ADVICE);
    }
    crate::service::run(settings, log, logging.lost.clone())
}
