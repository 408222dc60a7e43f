//! Recordings: frames, and how fast they are sent.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::LocalBoxStream;
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

/// Pace of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordedPace {
    /// By the times of the frames, this many times faster.
    Original(u32),
    /// Frames per second.
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
    /// Topic of the envelope.
    pub topic: String,
    /// JSON payload, byte for byte.
    pub payload: Vec<u8>,
    /// Time of receipt in Unix milliseconds. If unknown, the time fields of the payload are used (`executed_at`,
    /// `timestamp`, `time`, `tape_time`).
    pub received_ms: Option<u64>,
}

/// Frames of a recording in order, polled on the simulator's thread.
pub type RecordedFrames = LocalBoxStream<'static, io::Result<RecordedFrame>>;

/// A recording and how to send it.
#[derive(Clone)]
pub struct Recording {
    open: Arc<dyn Fn() -> io::Result<RecordedFrames> + Send + Sync>,
    /// Its pace.
    pub pace: RecordedPace,
    /// Whether it starts over at its end.
    pub repeat: bool,
    /// Time without a further join before it starts; it never starts before the first join.
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
    /// Takes frames from any source; `open` is called for every repetition, on the simulator's thread.
    #[must_use]
    pub fn new(
        open: impl Fn() -> io::Result<RecordedFrames> + Send + Sync + 'static,
        pace: RecordedPace,
        repeat: bool,
    ) -> Recording {
        Recording { open: Arc::new(open), pace, repeat, settle: Duration::ZERO }
    }

    /// Opens the recording at its beginning.
    pub(super) fn open(&self) -> io::Result<RecordedFrames> {
        (self.open)()
    }
}

impl RecordedFrame {
    /// Returns the time of receipt, or else of the event, in Unix milliseconds.
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

/// An acknowledgement has both fields; no event has.
#[derive(Deserialize)]
struct Ack {
    #[serde(rename = "status")]
    _status: Value,
    #[serde(rename = "response")]
    _response: Value,
}

/// Returns whether a payload is the answer to a join.
#[must_use]
pub fn is_acknowledgement(payload: &str) -> bool {
    serde_json::from_str::<Ack>(payload).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_has_a_status_and_a_response() {
        assert!(is_acknowledgement(r#"{"response":{},"status":"ok"}"#));
        assert!(!is_acknowledgement(r#"{"status":"ok"}"#) && !is_acknowledgement("nonsense"));
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
