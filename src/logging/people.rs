//! Lines for people: colours on a terminal, and external text escaped.

use std::cell::RefCell;
use std::io::{self, Write};

use slog::{Level, OwnedKVList, Record};
use slog_term::{Decorator, RecordDecorator};

use crate::escape::escaped;

const RESET: &str = "\x1b[0m";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";

/// Decorates the lines of slog-term.
pub(super) struct Lines<W> {
    out: RefCell<W>,
    colours: bool,
}

impl<W: Write> Lines<W> {
    pub(super) fn new(out: W, colours: bool) -> Lines<W> {
        Lines { out: RefCell::new(out), colours }
    }
}

impl<W: Write> Decorator for Lines<W> {
    fn with_record<F>(&self, record: &Record<'_>, _: &OwnedKVList, write: F) -> io::Result<()>
    where
        F: FnOnce(&mut dyn RecordDecorator) -> io::Result<()>,
    {
        let out = &mut *self.out.borrow_mut();
        write(&mut Line { out, level: record.level(), colours: self.colours, is_foreign: false })
    }
}

/// A line being written.
struct Line<'l, W> {
    out: &'l mut W,
    level: Level,
    colours: bool,
    /// Whether the current text may be external.
    is_foreign: bool,
}

impl<W: Write> Line<'_, W> {
    fn begin(&mut self, style: &str, is_foreign: bool) -> io::Result<()> {
        self.is_foreign = is_foreign;
        if self.colours {
            self.out.write_all(RESET.as_bytes())?;
            self.out.write_all(style.as_bytes())?;
        }
        Ok(())
    }
}

impl<W: Write> Write for Line<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_foreign {
            self.out.write_all(escaped(&String::from_utf8_lossy(bytes)).as_bytes())?;
        } else {
            self.out.write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write> RecordDecorator for Line<'_, W> {
    fn reset(&mut self) -> io::Result<()> {
        self.begin("", false)
    }

    fn start_timestamp(&mut self) -> io::Result<()> {
        self.begin(DIM, false)
    }

    fn start_level(&mut self) -> io::Result<()> {
        let colour = match self.level {
            Level::Critical => "\x1b[1;35m",
            Level::Error => "\x1b[31m",
            Level::Warning => "\x1b[33m",
            Level::Info => "\x1b[32m",
            Level::Debug => "\x1b[36m",
            Level::Trace => "\x1b[34m",
        };
        self.begin(colour, false)
    }

    fn start_msg(&mut self) -> io::Result<()> {
        self.begin(BOLD, true)
    }

    fn start_key(&mut self) -> io::Result<()> {
        self.begin(DIM, true)
    }

    fn start_value(&mut self) -> io::Result<()> {
        self.begin("", true)
    }
}
