//! The last step before a line is written.

use std::io::{self, Write};

/// Collects a line and writes it in one piece.
pub(super) struct WholeLines<W> {
    inner: W,
    line: Vec<u8>,
}

impl<W: Write> WholeLines<W> {
    pub(super) fn new(inner: W) -> WholeLines<W> {
        WholeLines { inner, line: Vec::new() }
    }
}

impl<W: Write> Write for WholeLines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        if bytes.ends_with(b"\n") {
            // taken first: a line that cannot be written must not come again with the next
            let line = std::mem::take(&mut self.line);
            self.inner.write_all(&line)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it is given, piece by piece.
    #[derive(Default)]
    struct Pieces(Vec<String>);

    impl Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_in_pieces_is_written_in_one() {
        let mut lines = WholeLines::new(Pieces::default());
        for piece in ["on", "e", "\n", "two\n", "three"] {
            lines.write_all(piece.as_bytes()).unwrap();
        }
        assert_eq!(lines.inner.0, ["one\n", "two\n"]);
    }
}
