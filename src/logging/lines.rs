//! Assembles and writes lines.

use std::borrow::Cow;
use std::io::{self, Write};

/// Buffers a line and writes it in one piece, with the escapes of its format.
pub(super) struct WholeLines<W> {
    inner: W,
    line: Vec<u8>,
    escape: fn(&str) -> Cow<'_, str>,
}

impl<W: Write> WholeLines<W> {
    pub(super) fn new(inner: W, escape: fn(&str) -> Cow<'_, str>) -> WholeLines<W> {
        WholeLines { inner, line: Vec::new(), escape }
    }
}

impl<W: Write> Write for WholeLines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(end) = bytes.strip_suffix(b"\n") else {
            self.line.extend_from_slice(bytes);
            return Ok(bytes.len());
        };
        self.line.extend_from_slice(end);
        // taken first: a line that cannot be written must not be repeated with the next
        let line = std::mem::take(&mut self.line);
        let line = (self.escape)(&String::from_utf8_lossy(&line)).into_owned() + "\n";
        self.inner.write_all(line.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces received so far.
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
    fn a_line_in_pieces_is_escaped_and_written_in_one() {
        let mut lines = WholeLines::new(Pieces::default(), |line| line.replace('w', "W").into());
        for piece in ["on", "e", "\n", "two\n", "three"] {
            lines.write_all(piece.as_bytes()).unwrap();
        }
        assert_eq!(lines.inner.0, ["one\n", "tWo\n"]);
    }
}
