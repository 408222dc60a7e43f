//! Sends a recording to the sessions that joined its topics.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use futures_util::stream::StreamExt as _;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::hub::Hub;
use crate::recording::{RecordedPace, Recording};

/// Interval at which a client without room is checked again.
const ROOM_CHECK: Duration = Duration::from_millis(20);
/// Frames at full speed before other tasks get their turn.
const ROUND: u32 = 64;

/// Sends a recording to its end, or forever if it repeats. Fails if a frame cannot be read.
pub(super) async fn play(hub: Rc<Hub>, recording: Recording) -> io::Result<()> {
    settle(&hub, recording.settle).await;
    loop {
        let mut clock = RecordedClock::start(recording.pace);
        let mut frames = recording.open()?;
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

/// Waits until a client has joined and no further join came for `quiet`.
async fn settle(hub: &Hub, quiet: Duration) {
    let mut before = 0;
    while !quiet.is_zero() && (hub.joins() == 0 || hub.joins() > before) {
        before = hub.joins();
        sleep(quiet).await;
    }
}

/// Waits until events may be sent and a topic is joined; the recording's clock stops meanwhile.
async fn wait_for_turn(hub: &Hub, clock: &mut RecordedClock) {
    let stopped = Instant::now();
    while !hub.may_send() || !hub.has_joins() {
        hub.changed.notified().await;
        clock.stood_still(stopped.elapsed());
    }
}

/// Converts the times of frames into times of sending.
struct RecordedClock {
    pace: RecordedPace,
    start: Instant,
    /// First and latest time of the current part of the recording, Unix milliseconds.
    part: Option<(u64, u64)>,
    frames: u32,
    stops: Duration,
}

/// Frames of several sources are out of order by less; a larger step back starts another recording.
const STEP_BACK_MS: u64 = 60_000;

impl RecordedClock {
    fn start(pace: RecordedPace) -> RecordedClock {
        RecordedClock { pace, start: Instant::now(), part: None, frames: 0, stops: Duration::ZERO }
    }

    fn stood_still(&mut self, stop: Duration) {
        self.stops = stop;
    }

    /// Returns when to send the next frame; `None` means immediately.
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
                    // the next recording follows without a pause
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

    /// Returns when frames are sent, in milliseconds after the first.
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
