//! `uw-websocket settings`.

use std::io::{self, Write};

use crate::escape::write_line;
use crate::exit::Exit;
use crate::settings::Settings;

/// Prints every setting as a line of a `.env` file, with its origin.
pub(super) fn run(settings: &Settings) -> Exit {
    for warning in &settings.warnings {
        super::complain(&settings.redactor.redact(&format!("{}: {}", warning.variable, warning.advice)));
    }
    // a reader such as `head` may close the pipe when it has seen enough
    print(settings, &mut io::stdout().lock()).ok();
    Exit::Clean
}

fn print(settings: &Settings, out: &mut impl Write) -> io::Result<()> {
    for value in &settings.effective {
        write_line(out, format_args!("{}", settings.redactor.redact(&value.to_string())))?;
    }
    out.flush()
}
