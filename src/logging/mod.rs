//! The log: records go through a bounded queue to a thread of their own, which writes them to stdout and, if wanted, to
//! a file.
//!
//! Logging never blocks: a record that finds the queue full, or that cannot be written, is lost and counted. No secret
//! leaves through here: values are redacted before they are queued. Messages are constant lower-case texts and
//! values are keys; errors are logged as [`ErrorChain`].

mod file;
mod format;
mod lines;
mod outputs;
mod panics;
mod people;
mod redacted;

use std::io::{self, IsTerminal as _};
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

pub(crate) use file::is_log;
pub use panics::log_panics;
pub use uw_websocket_actors::error_chain::ErrorChain;

/// Records that may wait for the log's thread: a few MB, and seconds of the busiest moments. Nobody waits when it is
/// full; the record is counted as lost.
const QUEUE_RECORDS: usize = 4_096;

/// Longest wait at the end for what is still queued: a reader of our stdout that hangs must not keep the process alive.
/// With the rest of the end of the process it has to fit between the drain's deadline and Docker's kill.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(750);

/// The log cannot be set up.
#[derive(Debug, Error)]
pub enum LoggingError {
    /// `LOG_DIR` cannot be created, or no file in it.
    #[error("LOG_DIR={dir}: no log file can be created there: {source}")]
    File {
        /// The folder.
        dir: String,
        /// Why.
        source: io::Error,
    },
}

/// The running log. Dropping it writes what is still queued, for 750 ms at most; records that come later are lost.
pub struct Logging {
    /// The root logger, labelled with the environment.
    pub log: Logger,
    /// Records that were lost, because the queue was full or because they could not be written.
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
            LogFormat::Auto | LogFormat::LeadershipTerm => Format::LeadershipTerm { colours: is_terminal },
        };
        let mut outputs = vec![format.output(io::stdout())];
        if let Some(dir) = &settings.dir {
            let failed = |source| LoggingError::File { dir: dir.display().to_string(), source };
            let file = file::create(dir, jiff::Timestamp::now()).map_err(failed)?;
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
        // the guard's own drop waits without a limit; the channel closes when it is through
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
