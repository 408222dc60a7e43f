//! What a process wrote: its lines as they are, and its log records.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::{Map, Value};

/// One record of the JSON log.
#[derive(Clone, Debug)]
pub(crate) struct LogRecord {
    /// `trace` … `critical`, lower case and in full.
    pub(crate) level: &'static str,
    /// The constant text.
    pub(crate) msg: String,
    /// Everything of the line, `msg` and `level` included.
    pub(crate) keys: Map<String, Value>,
}

impl LogRecord {
    /// Reads a line of the log; `None` if it is none.
    pub(crate) fn parse(line: &str) -> Option<LogRecord> {
        let keys: Map<String, Value> = serde_json::from_str(line).ok()?;
        let level = level_name(keys.get("level")?.as_str()?)?;
        let msg = keys.get("msg")?.as_str()?.to_owned();
        Some(LogRecord { level, msg, keys })
    }

    /// A value as text: strings without quotes.
    pub(crate) fn text(&self, key: &str) -> String {
        match self.keys.get(key) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        }
    }

    /// Whether the message or a value contains `part`, in any case.
    pub(crate) fn mentions(&self, part: &str) -> bool {
        Value::Object(self.keys.clone()).to_string().to_lowercase().contains(&part.to_lowercase())
    }
}

/// The level's full name, from the full or the four-letter one.
fn level_name(text: &str) -> Option<&'static str> {
    const LEVELS: [(&str, &str); 6] = [
        ("TRCE", "trace"),
        ("DEBG", "debug"),
        ("INFO", "info"),
        ("WARN", "warning"),
        ("ERRO", "error"),
        ("CRIT", "critical"),
    ];
    let found = |(short, full): &&(&'static str, &'static str)| {
        text.eq_ignore_ascii_case(short) || text.eq_ignore_ascii_case(full)
    };
    LEVELS.iter().find(found).map(|(_, full)| *full)
}

/// The lines of a process, growing while it runs.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// Collects what comes out of `pipe` on a thread of its own, to its end.
    pub(crate) fn collect(&self, pipe: impl Read + Send + 'static) -> JoinHandle<()> {
        let lines = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                lines.0.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
            }
        })
    }

    /// All lines so far.
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// All log records so far.
    pub(crate) fn records(&self) -> Vec<LogRecord> {
        self.0.lock().unwrap().iter().filter_map(|line| LogRecord::parse(line)).collect()
    }
}
