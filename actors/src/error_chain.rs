//! Logs an error and its causes under the key `error`.

use std::error::Error;
use std::fmt;

use slog::{KV, Record, Serializer};

/// Maximum number of causes: more are a loop or irrelevant.
const MAX_CAUSES: usize = 8;

/// An error with all its causes: `warn!(log, "batch not written"; ErrorChain::new(&error))`.
///
/// Formatted as `outer: cause: cause of the cause`. A cause whose text already ends the previous one is not repeated.
#[derive(Clone, Copy)]
pub struct ErrorChain<'e>(&'e (dyn Error + 'static));

impl<'e> ErrorChain<'e> {
    /// Creates the chain that begins with `error`.
    #[must_use]
    pub fn new(error: &'e (dyn Error + 'static)) -> ErrorChain<'e> {
        ErrorChain(error)
    }
}

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.0.to_string();
        f.write_str(&last)?;
        let causes = std::iter::successors(self.0.source(), |&cause| cause.source());
        for cause in causes.take(MAX_CAUSES) {
            let text = cause.to_string();
            if !last.ends_with(&text) {
                write!(f, ": {text}")?;
                last = text;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl KV for ErrorChain<'_> {
    fn serialize(&self, _: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        serializer.emit_arguments("error", &format_args!("{self}"))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    #[error("cannot write the batch")]
    struct Outer(#[source] Middle);

    #[derive(Debug, Error)]
    #[error("the connection is gone: {0}")]
    struct Middle(#[source] io::Error);

    #[test]
    fn all_causes_are_shown_and_none_twice() {
        let error = Outer(Middle(io::Error::other("reset by peer")));
        assert_eq!(
            ErrorChain::new(&error).to_string(),
            "cannot write the batch: the connection is gone: reset by peer"
        );
    }

    #[test]
    fn an_error_without_a_cause_is_itself() {
        assert_eq!(ErrorChain::new(&io::Error::other("alone")).to_string(), "alone");
    }
}
