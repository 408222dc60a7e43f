//! Formats records as lines.

use std::io::Write;

use jiff::Timestamp;
use slog::{FnValue, Level, PushFnValue, Record, o};
use slog_json::Json;
use slog_term::FullFormat;

use super::lines::WholeLines;
use super::ordered::Ordered;
use super::outputs::Output;
use super::people::Lines;
use crate::escape::json_escaped;

/// The format of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// One object per line: `ts`, `level`, `msg`, then the keys.
    Json,
    /// For people.
    Term { colours: bool },
}

impl Format {
    pub(super) fn without_colours(self) -> Format {
        match self {
            Format::Json => Format::Json,
            Format::Term { .. } => Format::Term { colours: false },
        }
    }

    /// Creates a drain that writes such lines to `out`.
    pub(super) fn output(self, out: impl Write + Send + 'static) -> Output {
        let output: Output = match self {
            Format::Json => Box::new(json(WholeLines::new(out, json_escaped))),
            Format::Term { colours } => Box::new(
                // escaped by value: the colours must stay
                FullFormat::new(Lines::new(WholeLines::new(out, |line| line.into()), colours))
                    .use_custom_timestamp(|out| write!(out, "{:.3}", Timestamp::now()))
                    .build(),
            ),
        };
        Box::new(Ordered::new(output, self == Format::Json))
    }
}

fn json<W: Write>(out: W) -> Json<W> {
    // one at a time: slog writes the keys of a single `o!` in reverse
    Json::new(out)
        .set_flush(true)
        .add_key_value(o!("ts" => FnValue(|_: &Record<'_>| format!("{:.6}", Timestamp::now()))))
        .add_key_value(o!("level" => FnValue(|record: &Record<'_>| level_name(record.level()))))
        .add_key_value(o!("msg" => PushFnValue(|record: &Record<'_>, value| value.emit(record.msg()))))
        .build()
}

/// Returns the level's name in `LOG_LEVEL`.
fn level_name(level: Level) -> &'static str {
    match level {
        Level::Critical => "critical",
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}
