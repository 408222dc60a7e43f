//! The log: records pass through a bounded queue to a dedicated thread, which writes them to stdout and, if configured,
//! to a file.
//!
//! Logging never blocks: a record is lost, and counted, if the queue is full or the write fails. No secret is logged:
//! values are redacted before they are queued. Messages are constant lower-case texts, with values in keys; errors are
//! logged as [`ErrorChain`].

mod file;
mod format;
mod lines;
mod ordered;
mod outputs;
mod panics;
mod people;
mod redacted;
mod rotation;

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use slog::{Drain as _, Level, LevelFilter, Logger, o};
use slog_async::{AsyncCore, AsyncGuard};
use thiserror::Error;

use crate::redact::Redactor;
use crate::settings::{LogFormat, LogSettings};
use format::Format;
use outputs::{CountLost, Output, Outputs};
use redacted::Redacted;
use rotation::Rotation;

pub(crate) use file::{is_log, refuse_planted};
pub use panics::log_panics;
pub use uw_websocket_actors::error_chain::ErrorChain;

/// Maximum number of records waiting for the log's thread: a few MB, and seconds of the busiest moments. Beyond it,
/// records are lost and counted, and no caller waits.
const QUEUE_RECORDS: usize = 4_096;

/// Maximum wait at shutdown for queued records: a hanging reader of stdout must not keep the process alive. With the
/// other steps of the shutdown it must fit between the drain's deadline and Docker's kill.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(750);

/// The log cannot be set up.
#[derive(Debug, Error)]
pub enum LoggingError {
    /// `LOG_DIR`, or a file in it, cannot be created.
    #[error("LOG_DIR={dir}: no log file can be created there: {source}")]
    File {
        /// The folder.
        dir: String,
        /// The cause.
        source: io::Error,
    },
}

impl LoggingError {
    pub(crate) fn of_folder(dir: &Path, source: io::Error) -> LoggingError {
        LoggingError::File { dir: dir.display().to_string(), source }
    }
}

/// The running log. Dropping it writes the queued records, for at most 750 ms; later records are lost.
pub struct Logging {
    /// The root logger, labelled with the environment.
    pub log: Logger,
    /// The number of records lost because the queue was full or a write failed.
    pub lost: Arc<AtomicU64>,
    guard: Option<AsyncGuard>,
}

impl Logging {
    /// Starts the log on stdout, and in a new file of `LOG_DIR` if one is set.
    pub fn start(
        settings: &LogSettings,
        environment: &str,
        redactor: &Arc<Redactor>,
    ) -> Result<Logging, LoggingError> {
        let is_terminal = io::stdout().is_terminal();
        let format = match settings.format {
            LogFormat::Json => Format::Json,
            LogFormat::Auto if !is_terminal => Format::Json,
            LogFormat::Auto | LogFormat::Term => Format::Term { colours: is_terminal },
        };
        let mut outputs = vec![format.output(io::stdout())];
        if let Some(dir) = &settings.dir {
            let file = Rotation::begin(dir, jiff::Timestamp::now);
            let file = file.map_err(|source| LoggingError::of_folder(dir, source))?;
            outputs.push(format.without_colours().output(file));
        }
        Ok(Logging::over(outputs, settings.level, environment, redactor))
    }

    fn over(outputs: Vec<Output>, level: Level, environment: &str, redactor: &Arc<Redactor>) -> Logging {
        let lost = Arc::new(AtomicU64::new(0));
        let written = Outputs::new(outputs, &lost);
        let (queue, guard) = AsyncCore::custom(written)
            .chan_size(QUEUE_RECORDS)
            .blocking(false)
            .thread_name("log".to_owned())
            .build_with_guard();
        let clean = Redacted::new(CountLost::new(queue, lost.clone()), redactor.clone());
        let leveled = LevelFilter::new(clean, level);
        let environment = redactor.redact(environment).into_owned();
        let log = Logger::root(leveled.ignore_res(), o!("environment" => environment));
        Logging { log, lost, guard: Some(guard) }
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        let (done, is_done) = mpsc::channel::<()>();
        let guard = self.guard.take();
        // the guard's own drop waits without a limit; the channel closes when it is done
        let flusher = thread::Builder::new().name("log-flush".to_owned()).spawn(move || {
            drop(guard);
            drop(done);
        });
        if flusher.is_ok() {
            is_done.recv_timeout(FLUSH_TIMEOUT).ok();
        }
    }
}

#[cfg(test)]
mod tests;
