//! Recorded frames: one `["topic",payload]` a line, sent to whoever joined their channel.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::PathBuf;
use std::rc::Rc;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use thiserror::Error;
use tokio::time::{Instant, sleep_until, timeout};

use super::hub::Hub;

/// How fast a recording is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordedPace {
    /// As its time fields (`executed_at`, `timestamp`, `time`, `tape_time`) say, this many times as fast.
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
    pub payload: String,
}

/// The frames of a recording in their order.
pub type RecordedFrames = Box<dyn Iterator<Item = io::Result<RecordedFrame>>>;

/// A recording, and how it is sent.
#[derive(Clone)]
pub struct Recording {
    open: Arc<dyn Fn() -> io::Result<RecordedFrames> + Send + Sync>,
    /// How fast.
    pub pace: RecordedPace,
    /// Whether it begins again at its end.
    pub repeat: bool,
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Recording { pace, repeat, .. } = self;
        f.debug_struct("Recording").field("pace", pace).field("repeat", repeat).finish_non_exhaustive()
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
        Recording { open: Arc::new(open), pace, repeat }
    }

    /// Whether it can be opened.
    pub(super) fn check(&self) -> io::Result<()> {
        (self.open)().map(drop)
    }

    /// The frames of a file, one a line; acknowledgements and lines that are no events are left out.
    #[must_use]
    pub fn of_file(path: PathBuf, pace: RecordedPace, repeat: bool) -> Recording {
        let open = move || -> io::Result<RecordedFrames> {
            let lines = BufReader::new(File::open(&path)?).lines();
            Ok(Box::new(lines.filter_map(|line| line.map(|line| RecordedFrame::parse(&line)).transpose())))
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
        is_event.then(|| RecordedFrame { topic, payload: payload.to_owned() })
    }

    /// When it happened, in Unix milliseconds, if it says so.
    fn time_ms(&self) -> Option<i64> {
        let payload: Value = serde_json::from_str(&self.payload).ok()?;
        let fields = ["executed_at", "timestamp", "time", "tape_time"];
        match fields.iter().find_map(|field| payload.get(field))? {
            Value::String(iso) => iso.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond),
            number => number.as_i64(),
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

/// The longest wait for a client to read before it is asked again whether it has room.
const ROOM_CHECK: Duration = Duration::from_millis(20);
/// Frames sent at full speed before others get their turn.
const ROUND: u32 = 64;

/// Sends a recording; ends with its end.
pub(super) async fn play(hub: Rc<Hub>, recording: Recording) -> io::Result<()> {
    loop {
        let mut clock = RecordedClock::start(recording.pace);
        for frame in (recording.open)()? {
            let frame = frame?;
            wait_for_turn(&hub, &mut clock).await;
            if let Some(due) = clock.due(&frame) {
                sleep_until(due).await;
            }
            while !hub.play(&frame.topic, frame.payload.as_bytes()) {
                drop(timeout(ROOM_CHECK, hub.room.notified()).await);
            }
        }
        if !recording.repeat {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

/// Waits until events may be sent and somebody listens; the recording's clock stands still meanwhile.
async fn wait_for_turn(hub: &Hub, clock: &mut RecordedClock) {
    let stopped = Instant::now();
    while !hub.may_send() || !hub.has_joins() {
        hub.changed.notified().await;
        clock.stood_still(stopped.elapsed());
    }
}

/// Turns the times of frames into times of sending.
struct RecordedClock {
    pace: RecordedPace,
    start: Instant,
    first_ms: Option<i64>,
    frames: u32,
    stops: Duration,
}

impl RecordedClock {
    fn start(pace: RecordedPace) -> RecordedClock {
        RecordedClock { pace, start: Instant::now(), first_ms: None, frames: 0, stops: Duration::ZERO }
    }

    fn stood_still(&mut self, stop: Duration) {
        self.stops = stop;
    }

    /// When to send the frame; `None` is at once.
    fn due(&mut self, frame: &RecordedFrame) -> Option<Instant> {
        self.start += std::mem::take(&mut self.stops);
        self.frames += 1;
        match self.pace {
            RecordedPace::Max => self.frames.is_multiple_of(ROUND).then(Instant::now),
            RecordedPace::PerSecond(rate) => {
                Some(self.start + Duration::from_secs(u64::from(self.frames - 1)) / rate)
            }
            RecordedPace::Original(times) => {
                let time = frame.time_ms()?;
                let first = *self.first_ms.get_or_insert(time);
                let since_first = u64::try_from(time - first).unwrap_or_default();
                Some(self.start + Duration::from_millis(since_first) / times)
            }
        }
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
            (frame.topic.as_str(), frame.payload.as_str()),
            ("gex:SPY", r#"{"price":"1.20", "b":[]}"#)
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
    fn the_original_pace_follows_the_time_fields() {
        let frame = |payload: &str| RecordedFrame { topic: "x".to_owned(), payload: payload.to_owned() };
        let mut clock = RecordedClock::start(RecordedPace::Original(2));
        let start = clock.start;
        let mut due = |payload: &str| clock.due(&frame(payload)).map(|due| due - start);
        assert_eq!(due(r#"{"executed_at":1747419592000}"#), Some(Duration::ZERO));
        assert_eq!(due(r#"{"timestamp":"2025-05-16T18:19:53Z"}"#), Some(Duration::from_millis(500)));
        assert_eq!(due(r#"{"time":1747419591000}"#), Some(Duration::ZERO));
        assert_eq!(due(r#"{"headline":"no time"}"#), None);
    }
}
