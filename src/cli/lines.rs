//! The line of an event on standard output, of `spool export` and `archive cat`.

use std::io::{self, Write};

use uw_websocket_core::archive::Line;

use crate::escape::json_escaped;

/// Writes a line: byte for byte as in the archive, except that on a terminal what controls one is escaped.
pub(super) fn write_event(out: &mut impl Write, line: &Line<'_>, is_terminal: bool) -> io::Result<()> {
    let mut text = Vec::new();
    line.write(&mut text);
    if is_terminal {
        let shown = String::from_utf8_lossy(&text);
        return writeln!(out, "{}", json_escaped(shown.trim_end_matches('\n')));
    }
    out.write_all(&text)
}
