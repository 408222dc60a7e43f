//! The last step before a line is written: no secret passes.

use std::io::{self, Write};
use std::sync::Arc;

use crate::redact::Redactor;

/// Collects a line, redacts it, and writes it in one piece.
pub(super) struct RedactedLines<W> {
    inner: W,
    redactor: Arc<Redactor>,
    line: Vec<u8>,
}

impl<W: Write> RedactedLines<W> {
    pub(super) fn new(inner: W, redactor: Arc<Redactor>) -> RedactedLines<W> {
        RedactedLines { inner, redactor, line: Vec::new() }
    }
}

impl<W: Write> Write for RedactedLines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        if bytes.ends_with(b"\n") {
            // taken first: a line that cannot be written must not come again with the next
            let line = std::mem::take(&mut self.line);
            let text = String::from_utf8_lossy(&line);
            self.inner.write_all(self.redactor.redact(&text).as_bytes())?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use uw_websocket_actors::settings::Secret;

    use super::*;

    #[test]
    fn a_secret_in_pieces_is_still_masked() {
        let redactor = Arc::new(Redactor::new(&[Secret::new("hidden".to_owned())]));
        let mut lines = RedactedLines::new(Vec::new(), redactor);
        for piece in ["a hid", "den b", "\n", "open hidden"] {
            lines.write_all(piece.as_bytes()).unwrap();
        }
        assert_eq!(lines.inner, b"a *** b\n");
    }
}
