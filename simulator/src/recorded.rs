//! Recorded frames: one `["topic",payload]` a line, sent to whoever joined their channel.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::PathBuf;
use std::rc::Rc;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, LocalBoxStream, StreamExt as _};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use thiserror::Error;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::hub::Hub;

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

    /// Whether it can be opened.
    pub(super) fn check(&self) -> io::Result<()> {
        (self.open)().map(drop)
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
    fn time_ms(&self) -> Option<u64> {
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

/// The longest wait for a client to read before it is asked again whether it has room.
const ROOM_CHECK: Duration = Duration::from_millis(20);
/// Frames sent at full speed before others get their turn.
const ROUND: u32 = 64;

/// Sends a recording; ends with its end.
pub(super) async fn play(hub: Rc<Hub>, recording: Recording) -> io::Result<()> {
    settle(&hub, recording.settle).await;
    loop {
        let mut clock = RecordedClock::start(recording.pace);
        let mut frames = (recording.open)()?;
        while let Some(frame) = frames.next().await {
            let frame = frame?;
            wait_for_turn(&hub, &mut clock).await;
            let time_ms = frame.time_ms();
            if let Some(due) = clock.due(time_ms) {
                sleep_until(due).await;
            }
            while !hub.play(&frame.topic, &frame.payload) {
                drop(timeout(ROOM_CHECK, hub.room.notified()).await);
            }
            hub.played_ms.set(time_ms.or(hub.played_ms.get()));
        }
        if !recording.repeat {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

/// Waits until somebody has joined, and nobody for so long again.
async fn settle(hub: &Hub, quiet: Duration) {
    let mut before = 0;
    while !quiet.is_zero() && (hub.joins() == 0 || hub.joins() > before) {
        before = hub.joins();
        sleep(quiet).await;
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
    /// The first time of this part of the recording, and the latest.
    part: Option<(u64, u64)>,
    frames: u32,
    stops: Duration,
}

/// Frames of several sources are out of order by less. A greater step back is where another recording begins.
const STEP_BACK_MS: u64 = 60_000;

impl RecordedClock {
    fn start(pace: RecordedPace) -> RecordedClock {
        RecordedClock { pace, start: Instant::now(), part: None, frames: 0, stops: Duration::ZERO }
    }

    fn stood_still(&mut self, stop: Duration) {
        self.stops = stop;
    }

    /// When to send the next frame, which is of this time; `None` is at once.
    fn due(&mut self, time_ms: Option<u64>) -> Option<Instant> {
        self.start += std::mem::take(&mut self.stops);
        self.frames = self.frames.wrapping_add(1);
        match self.pace {
            RecordedPace::Max => self.frames.is_multiple_of(ROUND).then(Instant::now),
            RecordedPace::PerSecond(rate) => {
                Some(self.start + Duration::from_secs(u64::from(self.frames.wrapping_sub(1))) / rate)
            }
            RecordedPace::Original(times) => {
                let time = time_ms?;
                let (first, latest) = self.part.unwrap_or((time, time));
                let sent_in = |ms: u64| Duration::from_millis(ms) / times;
                if time + STEP_BACK_MS < latest {
                    // the next recording follows at once
                    self.start += sent_in(latest - first);
                    self.part = Some((time, time));
                    return Some(self.start);
                }
                self.part = Some((first, latest.max(time)));
                Some(self.start + sent_in(time.saturating_sub(first)))
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

    /// When frames of these times are sent, in milliseconds after the first.
    fn sent(times: u32, recorded_ms: &[Option<u64>]) -> Vec<Option<u128>> {
        let mut clock = RecordedClock::start(RecordedPace::Original(times));
        let start = clock.start;
        recorded_ms.iter().map(|ms| clock.due(*ms).map(|due| (due - start).as_millis())).collect()
    }

    #[test]
    fn the_gaps_between_frames_are_those_of_the_recording_divided_by_the_speed() {
        let recorded = [Some(5_000), Some(5_000), Some(6_000), None, Some(5_900), Some(65_000)];
        assert_eq!(sent(1, &recorded), [Some(0), Some(0), Some(1_000), None, Some(900), Some(60_000)]);
        assert_eq!(sent(100, &recorded), [Some(0), Some(0), Some(10), None, Some(9), Some(600)]);
    }

    #[test]
    fn another_recording_follows_at_once() {
        let recorded = [Some(1_000_000), Some(1_004_000), Some(10_000), Some(12_000)];
        assert_eq!(sent(2, &recorded), [Some(0), Some(2_000), Some(2_000), Some(3_000)]);
    }
}
