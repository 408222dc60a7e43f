//! Recordings: frames of `["topic",payload]`, one per line, and how fast they are sent.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, LocalBoxStream, StreamExt as _};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use thiserror::Error;

/// How fast a recording is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordedPace {
    /// As the times of its frames say, this many times as fast.
    Original(u32),
    /// This many frames a second.
    PerSecond(u32),
    /// As fast as the clients read.
    Max,
}

/// A text that is not a pace.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a pace: `recorded`, `10x`, `500/s` or `max`")]
pub struct InvalidPace(String);

impl FromStr for RecordedPace {
    type Err = InvalidPace;

    fn from_str(text: &str) -> Result<RecordedPace, InvalidPace> {
        let number = |text: &str| text.parse().ok().filter(|number: &u32| *number > 0);
        let pace = match text {
            "recorded" => Some(RecordedPace::Original(1)),
            "max" => Some(RecordedPace::Max),
            _ => match (text.strip_suffix("/s"), text.strip_suffix('x')) {
                (Some(rate), _) => number(rate).map(RecordedPace::PerSecond),
                (None, Some(times)) => number(times).map(RecordedPace::Original),
                (None, None) => None,
            },
        };
        pace.ok_or_else(|| InvalidPace(text.to_owned()))
    }
}

/// An event of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedFrame {
    /// The topic in its envelope.
    pub topic: String,
    /// The payload's JSON, byte for byte.
    pub payload: Vec<u8>,
    /// When it was received, in Unix milliseconds; where that is not known, its time fields (`executed_at`, `timestamp`,
    /// `time`, `tape_time`) say when it happened.
    pub received_ms: Option<u64>,
}

/// The frames of a recording in their order. They are asked for on the simulator's thread, one after the other.
pub type RecordedFrames = LocalBoxStream<'static, io::Result<RecordedFrame>>;

/// A recording, and how it is sent.
#[derive(Clone)]
pub struct Recording {
    open: Arc<dyn Fn() -> io::Result<RecordedFrames> + Send + Sync>,
    /// How fast.
    pub pace: RecordedPace,
    /// Whether it begins again at its end.
    pub repeat: bool,
    /// It begins when somebody has joined, and nobody for so long again.
    pub settle: Duration,
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Recording { pace, repeat, settle, .. } = self;
        let mut shown = f.debug_struct("Recording");
        shown.field("pace", pace).field("repeat", repeat).field("settle", settle).finish_non_exhaustive()
    }
}

impl Recording {
    /// Frames from anywhere; `open` is called for every repetition, on the simulator's thread.
    #[must_use]
    pub fn new(
        open: impl Fn() -> io::Result<RecordedFrames> + Send + Sync + 'static,
        pace: RecordedPace,
        repeat: bool,
    ) -> Recording {
        Recording { open: Arc::new(open), pace, repeat, settle: Duration::ZERO }
    }

    /// The frames from the beginning.
    pub(super) fn open(&self) -> io::Result<RecordedFrames> {
        (self.open)()
    }

    /// The frames of a file, one a line; acknowledgements and lines that are no events are left out.
    #[must_use]
    pub fn of_file(path: PathBuf, pace: RecordedPace, repeat: bool) -> Recording {
        let open = move || -> io::Result<RecordedFrames> {
            let lines = BufReader::new(File::open(&path)?).lines();
            let frames = lines.filter_map(|line| line.map(|line| RecordedFrame::parse(&line)).transpose());
            Ok(stream::iter(frames).boxed_local())
        };
        Recording::new(open, pace, repeat)
    }
}

impl RecordedFrame {
    /// Reads a text frame; `None` for anything but an event.
    #[must_use]
    pub fn parse(line: &str) -> Option<RecordedFrame> {
        let (topic, payload): (String, &RawValue) = serde_json::from_str(line.trim()).ok()?;
        let payload = payload.get();
        let is_event = payload.starts_with('{') && !Ack::is(payload);
        is_event.then(|| RecordedFrame { topic, payload: payload.into(), received_ms: None })
    }

    /// When it was received, or else happened, in Unix milliseconds, if that is known.
    pub(super) fn time_ms(&self) -> Option<u64> {
        if self.received_ms.is_some() {
            return self.received_ms;
        }
        let payload: Value = serde_json::from_slice(&self.payload).ok()?;
        let fields = ["executed_at", "timestamp", "time", "tape_time"];
        match fields.iter().find_map(|field| payload.get(field))? {
            Value::String(iso) => u64::try_from(iso.parse::<jiff::Timestamp>().ok()?.as_millisecond()).ok(),
            number => number.as_u64(),
        }
    }
}

/// What tells an acknowledgement from an event: it has both fields, no event has.
#[derive(Deserialize)]
struct Ack {
    #[serde(rename = "status")]
    _status: Value,
    #[serde(rename = "response")]
    _response: Value,
}

impl Ack {
    fn is(payload: &str) -> bool {
        serde_json::from_str::<Ack>(payload).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_and_broken_lines_are_no_events() {
        assert_eq!(RecordedFrame::parse(r#"["gex:SPY",{"response":{},"status":"ok"}]"#), None);
        assert_eq!(RecordedFrame::parse(r#"{"error":"x"}"#), None);
        assert_eq!(RecordedFrame::parse("nonsense"), None);
        let frame = RecordedFrame::parse(r#"["gex:SPY",{"price":"1.20", "b":[]}]"#).unwrap();
        assert_eq!(
            (frame.topic.as_str(), frame.payload.as_slice()),
            ("gex:SPY", br#"{"price":"1.20", "b":[]}"#.as_slice())
        );
    }

    #[test]
    fn a_pace_is_read() {
        assert_eq!("recorded".parse(), Ok(RecordedPace::Original(1)));
        assert_eq!("10x".parse(), Ok(RecordedPace::Original(10)));
        assert_eq!("500/s".parse(), Ok(RecordedPace::PerSecond(500)));
        assert_eq!("max".parse(), Ok(RecordedPace::Max));
        assert!("0/s".parse::<RecordedPace>().is_err() && "soon".parse::<RecordedPace>().is_err());
    }

    #[test]
    fn the_time_of_a_frame_is_that_of_its_receipt_or_of_its_fields() {
        let frame = |payload: &str, received_ms| RecordedFrame {
            topic: "x".to_owned(),
            payload: payload.into(),
            received_ms,
        };
        let time = |payload| frame(payload, None).time_ms();
        assert_eq!(time(r#"{"executed_at":1747419592000}"#), Some(1_747_419_592_000));
        assert_eq!(time(r#"{"timestamp":"2025-05-16T18:19:53Z"}"#), Some(1_747_419_593_000));
        assert_eq!(time(r#"{"headline":"no time"}"#), None);
        assert_eq!(frame(r#"{"executed_at":1747419592000}"#, Some(7)).time_ms(), Some(7));
    }
}
