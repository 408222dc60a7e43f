//! What ends a comparison.

use std::io;

use deadpool_redis::redis::RedisError;
use thiserror::Error;

/// Why the comparison was given up.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// By a signal.
    #[error("interrupted")]
    Interrupted,
    /// A condition did not come true in time.
    #[error("gave up after {seconds} s: {waiting_for}")]
    TooLate {
        /// What was waited for, and how far it came.
        waiting_for: String,
        /// How long nothing moved.
        seconds: u64,
    },
    /// A process ended that should have gone on.
    #[error("{name} ended ({status}); its last output:\n{output}")]
    Ended {
        /// The process.
        name: String,
        /// How it ended.
        status: String,
        /// The end of its output.
        output: String,
    },
    /// Redis does not hold what the client was to store.
    #[error("wrong result in redis: {0}")]
    WrongResult(String),
    /// The operating system refused something.
    #[error("{doing}: {source}")]
    Io {
        /// What was tried.
        doing: String,
        /// Why it failed.
        source: io::Error,
    },
    /// Redis refused something.
    #[error("asking redis: {0}")]
    Redis(#[from] RedisError),
}

/// Says what was tried when the operating system refuses.
pub(crate) trait Doing<T> {
    /// Adds what was tried.
    fn doing(self, what: impl Into<String>) -> Result<T, Failure>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl Into<String>) -> Result<T, Failure> {
        self.map_err(|source| Failure::Io { doing: what.into(), source })
    }
}
