//! Lines on standard output: of events, by `spool export` and `archive cat`, and for people.

use std::io::{self, Write};

use uw_websocket_core::archive::ArchiveLine;

use crate::escape::{json_escaped, write_line};

/// Writes a line: byte for byte as in the archive, except that on a terminal what controls one is escaped.
pub(super) fn write_event(out: &mut impl Write, line: &ArchiveLine<'_>, is_terminal: bool) -> io::Result<()> {
    let mut text = Vec::new();
    line.write(&mut text);
    if is_terminal {
        let shown = String::from_utf8_lossy(&text);
        return writeln!(out, "{}", json_escaped(shown.trim_end_matches('\n')));
    }
    out.write_all(&text)
}

/// Prints lines and flushes; a closed pipe is not an error.
pub(super) fn print_lines(lines: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let written = lines
        .iter()
        .try_for_each(|line| write_line(&mut out, format_args!("{line}")))
        .and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}
