//! The folder of a recording, for its user alone. Nothing that is written has the token.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use uw_websocket_actors::wall_clock::unix_micros;
use uw_websocket_core::private;
use uw_websocket_core::time::iso_utc;

use crate::escape::{escaped, write_line};
use crate::event_lines::EventLine;
use crate::redact::Redactor;

/// Maximum size of all recorded frames: an hour of three busy symbols.
const MAX_FRAMES: u64 = 2 << 30;
/// Width of the column of subjects.
const SUBJECT: usize = 38;

/// An open recording. Its first write error is reported at the end.
pub(super) struct Folder {
    path: PathBuf,
    redactor: Arc<Redactor>,
    frames: BufWriter<File>,
    timeline: BufWriter<File>,
    report: BufWriter<File>,
    written: u64,
    /// Frames beyond the bound.
    beyond: u64,
    answers: u32,
    error: Option<io::Error>,
}

impl Folder {
    /// Creates the folder, which must not exist.
    pub(super) fn create(path: &Path, redactor: Arc<Redactor>) -> io::Result<Folder> {
        if path.exists() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "exists already"));
        }
        private::create_folder(&path.join("rest"))?;
        let file = |name: &str| private::create_file(&path.join(name)).map(BufWriter::new);
        Ok(Folder {
            path: path.to_owned(),
            redactor,
            frames: file("frames.jsonl")?,
            timeline: file("timeline.jsonl")?,
            report: file("report.txt")?,
            written: 0,
            beyond: 0,
            answers: 0,
            error: None,
        })
    }

    /// Begins a section of the report.
    pub(super) fn section(&mut self, title: &str) {
        self.line("");
        self.line(title);
    }

    /// Reports a finding.
    pub(super) fn say(&mut self, subject: &str, text: &str) {
        self.line(&format!("  {subject:<SUBJECT$}  {text}"));
    }

    fn line(&mut self, text: &str) {
        let clean = self.redactor.redact(text);
        let clean = escaped(&clean);
        // a reader that closed the pipe finds the report in the folder
        write_line(&mut io::stdout().lock(), format_args!("{clean}")).ok();
        let written = writeln!(self.report, "{clean}");
        self.note(written);
    }

    /// Records a text frame as it came. One that is neither an event nor an acknowledgement, or has a line break, goes to the
    /// timeline, where it is escaped.
    pub(super) fn frame(&mut self, frame: &[u8]) {
        self.written += frame.len() as u64;
        if self.written > MAX_FRAMES {
            self.beyond += 1;
            return;
        }
        match std::str::from_utf8(frame) {
            Ok(text) if !text.contains(['\n', '\r']) && EventLine::read(text).is_ok() => {
                let clean = self.redactor.redact(text);
                let written = writeln!(self.frames, "{clean}");
                self.note(written);
            }
            _ => self.event("frame", &String::from_utf8_lossy(frame)),
        }
    }

    /// Records something else with its time.
    pub(super) fn event(&mut self, what: &str, text: &str) {
        let line = json!({ "at": iso_utc(unix_micros()), "what": what, "text": self.redactor.redact(text) });
        let written = writeln!(self.timeline, "{line}");
        self.note(written);
    }

    /// Records an answer: its head as text, its body as it came.
    pub(super) fn answer(&mut self, endpoint: &str, head: &str, body: &[u8]) {
        self.answers += 1;
        let name = format!("rest/{:02}-{}", self.answers, endpoint.replace('/', "-"));
        let head = self.redactor.redact(head).into_owned();
        let clean = match std::str::from_utf8(body) {
            Ok(text) => self.redactor.redact(text).into_owned().into_bytes(),
            Err(_) => body.to_vec(),
        };
        for (ending, content) in [("head", head.into_bytes()), ("body", clean)] {
            let written = private::write(&self.path.join(format!("{name}.{ending}")), &content);
            self.note(written);
        }
    }

    fn note(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            self.error.get_or_insert(error);
        }
    }

    /// Says where everything is, and returns the first error.
    pub(super) fn close(mut self) -> io::Result<()> {
        self.section("Recording");
        if self.beyond > 0 {
            let text = format!("{} frames beyond {} MiB are not recorded", self.beyond, MAX_FRAMES >> 20);
            self.say("full", &text);
        }
        let path = self.path.display().to_string();
        self.say("folder", &path);
        self.say("to serve it again", &format!("uw-websocket simulate --file {path}/frames.jsonl"));
        for file in [&mut self.frames, &mut self.timeline, &mut self.report] {
            let flushed = file.flush();
            if let Err(error) = flushed {
                self.error.get_or_insert(error);
            }
        }
        self.error.map_or(Ok(()), Err)
    }
}
