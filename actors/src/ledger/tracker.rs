//! The tracker of gaps, shared by all actors. It outlives them: a restarted actor finds its open gaps.

mod heard;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::coverage::{Coverage, Covered, Reach};
use super::gap::{Gap, GapReason, family_of};
use super::left_queue::{Late, LateTally};
use super::losses::Losses;
use super::queue::GapQueue;
use crate::observation::{ConnectionObservation, Observations};
use crate::sync::lock;
use crate::wall_clock::unix_micros;

pub use heard::Heard;

/// Maximum time for which received data may lie unread in a socket before it counts as blocked.
const UNREAD: Duration = Duration::from_secs(1);
/// The detail of every gap that begins at shutdown.
const STOPPED: &str = "the process was stopped";

/// A handle of the tracker.
#[derive(Clone, Debug)]
pub struct GapTracker {
    tracked: Arc<Mutex<Tracking>>,
    announcements: Arc<Announcements>,
    begun_us: u64,
    observations: Arc<Observations>,
}

/// What passes between those who announce late events and the ledger.
#[derive(Debug, Default)]
struct Announcements {
    /// The next tick is not to be waited for.
    wanted: Notify,
    /// The latest announcement that is in Redis.
    kept: watch::Sender<u64>,
}

#[derive(Debug)]
struct Tracking {
    /// Indexed by the position of the connection.
    coverages: Vec<Coverage>,
    /// Losses of events that may continue.
    losses: Losses,
    /// Closed gaps.
    ended: GapQueue,
    /// Which events of the disk queue are late.
    late: Option<Late>,
    /// Former owners whose disk queues have come back.
    back: Vec<String>,
    /// Whether it is known which events are late.
    knows_late: bool,
    /// Number of announcements of late events.
    announced: u64,
    /// Gaps closed since the audit asked last; without an audit none is kept.
    heard: Option<Heard>,
}

/// The state of the tracker at one moment.
#[derive(Debug, Default)]
pub(super) struct Tracked {
    /// Gaps closed since the last tick.
    pub(super) ended: GapQueue,
    /// Gaps waiting for the last of their topics and losses that may continue, as they would be if closed now.
    pub(super) ending: Vec<Gap>,
    /// The topics with their states.
    pub(super) topics: Vec<Covered>,
    /// The latest announcement of late events among these gaps.
    pub(super) announced: u64,
}

impl GapTracker {
    /// Creates a tracker of the topics of each connection, with their initial states.
    #[must_use]
    pub fn new(connections: Vec<Vec<Covered>>, observations: Arc<Observations>) -> GapTracker {
        let coverages = connections.into_iter().map(Coverage::new).collect();
        let tracked = Tracking {
            coverages,
            losses: Losses::default(),
            ended: GapQueue::default(),
            late: None,
            back: Vec::new(),
            knows_late: true,
            announced: 0,
            heard: None,
        };
        GapTracker {
            tracked: Arc::new(Mutex::new(tracked)),
            announcements: Arc::default(),
            begun_us: 0,
            observations,
        }
    }

    /// Sets when the ledger was begun, in Unix microseconds; 0 if unknown.
    #[must_use]
    pub fn begun_at(self, begun_us: u64) -> GapTracker {
        GapTracker { begun_us, ..self }
    }

    /// Returns when the ledger was begun, in Unix microseconds; 0 if unknown. Nothing was received before.
    #[must_use]
    pub fn begun_us(&self) -> u64 {
        self.begun_us
    }

    /// Notes a loss, such as dropped events. Consecutive losses of one kind are merged into one gap, see
    /// [`super::losses`], so callers need not aggregate them.
    pub fn note(&self, loss: Gap) {
        self.note_at(loss, unix_micros());
    }

    /// Notes a loss at `now`, in Unix microseconds.
    pub fn note_at(&self, loss: Gap, now: u64) {
        let mut tracked = lock(&self.tracked);
        for closed in tracked.losses.note(loss, now) {
            tracked.ended.push(closed);
        }
    }

    /// Records a closed gap.
    pub(super) fn record(&self, gap: Gap) {
        lock(&self.tracked).ended.push(gap);
    }

    /// Returns the gaps noted since the last tick, including losses that may continue, as they are now.
    #[must_use]
    pub fn noted(&self) -> Vec<Gap> {
        let tracked = lock(&self.tracked);
        tracked.ended.iter().map(|queued| &queued.gap).chain(tracked.losses.open()).cloned().collect()
    }

    /// Returns the gaps that were closed since the last call, and those that are open now. From the first call on closed
    /// ones are kept for the next.
    #[must_use]
    pub fn heard(&self) -> Heard {
        let mut tracked = lock(&self.tracked);
        let mut heard = tracked.heard.replace(Heard::default()).unwrap_or_default();
        heard.take_in(&tracked.ended);
        for coverage in &tracked.coverages {
            heard.open.extend(coverage.topics().iter().filter_map(|covered| match &covered.reach {
                Reach::Receiving => None,
                Reach::New => Some((covered.topic.clone(), 0)),
                Reach::Missing(outage) => Some((covered.topic.clone(), outage.since)),
            }));
        }
        heard
    }

    /// Returns the handle through which the actor of the connection at this position reports, for one life of the
    /// actor.
    ///
    /// # Panics
    ///
    /// If the tracker has no such connection: its gaps would be lost.
    #[must_use]
    pub fn watch(&self, position: usize) -> Watch {
        let connections = lock(&self.tracked).coverages.len();
        assert!(position < connections, "the tracker has {connections} connections, not one at {position}");
        Watch { tracker: self.clone(), position, is_over: false }
    }

    /// Runs a tick: takes the closed gaps and copies the state of all others.
    pub(super) fn tick(&self, now: u64) -> Tracked {
        let mut tracked = lock(&self.tracked);
        for loss in tracked.losses.close_due(now) {
            tracked.ended.push(loss);
        }
        let mut taken = Tracked {
            ended: std::mem::take(&mut tracked.ended),
            announced: tracked.announced,
            ..Tracked::default()
        };
        taken.ending.extend(tracked.losses.open().cloned());
        for coverage in &mut tracked.coverages {
            coverage.tick(now);
            coverage.take_closed().into_iter().for_each(|gap| taken.ended.push(gap));
            taken.ending.extend(coverage.ending());
            taken.topics.extend_from_slice(coverage.topics());
        }
        if let Some(heard) = &mut tracked.heard {
            heard.take_in(&taken.ended);
        }
        taken
    }

    /// Closes the tracker at shutdown: connections that could not report their end count as lost, and all losses are
    /// closed.
    pub(super) fn close(&self, now: u64) {
        let mut tracked = lock(&self.tracked);
        for loss in tracked.losses.close() {
            tracked.ended.push(loss);
        }
        for (position, coverage) in tracked.coverages.iter_mut().enumerate() {
            let since = self.connection(position).and_then(|connection| connection.last_frame_at.get());
            coverage.lost(since.unwrap_or(now), now, GapReason::Shutdown, STOPPED);
        }
    }

    fn connection(&self, position: usize) -> Option<&ConnectionObservation> {
        self.observations.connections.get(position)
    }
}

/// A connection's handle of the tracker. Dropping it before [`Watch::drained`] means that the actor crashed: its topics
/// are missing since the last frame.
#[derive(Debug)]
pub struct Watch {
    tracker: GapTracker,
    position: usize,
    is_over: bool,
}

impl Watch {
    /// Notes that a session was opened.
    pub fn opened(&self) {
        self.write(|coverage| coverage.opened(unix_micros()));
    }

    /// Notes that a join was acknowledged.
    pub fn joined(&self, topic: &str) {
        self.write(|coverage| coverage.joined(topic, unix_micros()));
    }

    /// Notes that a join was not acknowledged in time; the reply of the feed is taken from the observation.
    pub fn overdue(&self, topic: &str) {
        let refusal = self.connection().and_then(|connection| {
            lock(&connection.joins).iter().find(|join| join.topic == topic)?.refused.clone()
        });
        let why =
            refusal.map_or_else(|| "no answer to the join".to_owned(), |text| format!("refused: {text}"));
        self.write(|coverage| coverage.overdue(topic, &why));
    }

    /// Notes that the session was lost.
    pub fn lost(&self, reason: GapReason, detail: &str) {
        let now = unix_micros();
        let since = match reason {
            // pongs arrived, but events are what is missing
            GapReason::Silence => self.connection().and_then(|connection| connection.last_event_at.get()),
            _ => self.last_frame_at(),
        };
        self.write(|coverage| coverage.lost(since.unwrap_or(now), now, reason, detail));
    }

    /// Notes that the socket has not been read for this long.
    pub fn blocked(&self, so_long: Duration) {
        self.write(|coverage| coverage.blocked(unix_micros().saturating_sub(micros(so_long))));
    }

    /// Notes that the socket is read again.
    pub fn resumed(&self) {
        self.write(|coverage| coverage.resumed(unix_micros()));
    }

    /// Notes that nothing more is read because the process is shutting down.
    pub fn drained(&mut self) {
        self.is_over = true;
        let now = unix_micros();
        let last_frame = self.last_frame_at().unwrap_or(now);
        let since = last_frame.max(now.saturating_sub(micros(UNREAD)));
        self.write(|coverage| coverage.lost(since, now, GapReason::Shutdown, STOPPED));
    }

    fn connection(&self) -> Option<&ConnectionObservation> {
        self.tracker.connection(self.position)
    }

    fn last_frame_at(&self) -> Option<u64> {
        self.connection()?.last_frame_at.get()
    }

    fn write(&self, what: impl FnOnce(&mut Coverage)) {
        if let Some(coverage) = lock(&self.tracker.tracked).coverages.get_mut(self.position) {
            what(coverage);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        if self.tracker.observations.stopping.load(Relaxed) {
            self.lost(GapReason::Shutdown, STOPPED);
        } else {
            self.lost(GapReason::Crash, "the connection's actor died and was started again");
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The tracker's knowledge of late events, for the writers.
impl GapTracker {
    /// Sets which events of the disk queue are late.
    pub fn set_late(&self, late: Option<Late>) {
        lock(&self.tracked).late = late;
    }

    /// Sets whether it is known which events are late.
    pub(super) fn set_knows_late(&self, knows_late: bool) {
        lock(&self.tracked).knows_late = knows_late;
    }

    /// Whether it is known which events are late. Nothing may be written before: Redis was away when the term began, and
    /// another instance may have been the owner.
    #[must_use]
    pub fn knows_late(&self) -> bool {
        lock(&self.tracked).knows_late
    }

    /// Returns which events of the disk queue are late; `None` once all of those are stored.
    #[must_use]
    pub fn late(&self) -> Option<Late> {
        lock(&self.tracked).late
    }

    /// Announces events that are about to be stored behind newer ones, and counts them. Returns the number of the
    /// announcement: until it is [kept](Self::is_kept) nothing of them may be written, since a writer that dies after that could
    /// not be told from one that has announced what it wrote.
    #[must_use]
    pub fn announce(&self, late: &LateTally, detail: &str) -> u64 {
        for (index, (events, from, to)) in late.iter() {
            let channel = self.observations.channel(index);
            channel.late.add(events);
            let name = channel.channel.to_string();
            let gap = Gap::new(family_of(&name), vec![name], (from, to), GapReason::Late);
            self.note(gap.with_events(events).with_detail(detail));
        }
        let mut tracked = lock(&self.tracked);
        tracked.announced += 1;
        self.announcements.wanted.notify_one();
        tracked.announced
    }

    /// Waits until the state of the ledger in Redis has an announcement; returns `false` if `patience` ends before.
    pub async fn is_kept(&self, announcement: u64, patience: Duration) -> bool {
        let mut kept = self.announcements.kept.subscribe();
        matches!(timeout(patience, kept.wait_for(|kept| *kept >= announcement)).await, Ok(Ok(_)))
    }

    /// Waits until something is announced.
    pub(super) async fn announced(&self) {
        self.announcements.wanted.notified().await;
    }

    /// Notes that everything up to this announcement is in Redis.
    pub(super) fn kept(&self, announcement: u64) {
        self.announcements.kept.send_replace(announcement);
    }

    /// Notes that everything in the disk queue of a former owner is stored.
    pub fn came_back(&self, instance: String) {
        lock(&self.tracked).back.push(instance);
    }

    /// Takes the former owners whose disk queues have come back.
    pub(super) fn take_back(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.tracked).back)
    }
}

#[cfg(test)]
mod tests;
