//! The loop of one connection: attempt, session, delay, repeat.
//!
//! Every wait proves progress. The pure neighbours decide what a frame means; this file connects them to the
//! socket.

use std::sync::Arc;
use std::time::{Duration, Instant};
use uw_websocket_core::time::millis;

use actix_http::ws;
use bytes::Bytes;
use futures_util::{FutureExt as _, SinkExt};
use slog::{Logger, error, info, warn};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{sleep, sleep_until, timeout};
use uw_websocket_core::event::ReadAt;
use uw_websocket_core::feed::envelope::Rejection;
use uw_websocket_core::plan::ConnectionPlan;

use super::attempts::Attempts;
use super::chunk::{CHUNK, Reaction, ReadError, Remainder, closed, next_chunk};
use super::decoder::{Decoded, FrameDecoder};
use super::forwarder::Forwarder;
use super::pace::ReadPace;
use super::session::{Acknowledged, Due, FeedSession, join_frame};
use super::silence::SilenceWatch;
use super::transport::{Assembler, FeedConnector, FeedSocket, HandshakeError, Incoming, SocketError};
use crate::fault::{ChildFaults, FaultPoint};
use crate::ledger::gap::GapReason;
use crate::ledger::tracker::Watch;
use crate::observation::{ConnectionObservation, ConnectionState, Observations};
use crate::queue::inbox::Inbox;
use crate::supervisor::Heartbeat;
use crate::sync::lock;
use crate::wall_clock::{silence_instant, unix_micros};

/// Timeout of sending a control frame or a join. A peer that reads nothing for that long is dead.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of the close frame: at shutdown the time belongs to the writers.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(500);
/// Minimum duration of a pause in reading that is logged; shorter ones are normal if the feed is faster than Redis.
const BLOCK_LOGGED_AFTER: Duration = Duration::from_secs(1);
/// Interval at which a wait proves progress; the supervisor's limit is many times that.
const BEAT: Duration = Duration::from_secs(1);

/// The parts of one connection.
pub struct Listener {
    /// The topics to join.
    pub plan: ConnectionPlan,
    /// Opens the sockets.
    pub connector: FeedConnector,
    /// Interval between pings.
    pub ping_interval: Duration,
    /// Decodes frames.
    pub decoder: FrameDecoder,
    /// Delivers events to the shards.
    pub forwarder: Forwarder,
    /// Inboxes by shard; nothing is read until all of them have a writer.
    pub inboxes: Vec<Arc<Inbox>>,
    /// Detects silence.
    pub silence: SilenceWatch,
    /// Records gaps.
    pub watch: Watch,
    /// State and counters, also read by HTTP and the status page.
    pub observations: Arc<Observations>,
    /// Index of this connection in `observations`.
    pub position: usize,
    /// Becomes true when the connection is to drain.
    pub draining: watch::Receiver<bool>,
    /// Proves progress.
    pub beat: Heartbeat,
    /// Test-only faults.
    pub faults: ChildFaults,
    /// Logger with the connection's name.
    pub log: Logger,
    /// Start of the current pause in reading, and whether it was logged.
    pub blocked: Option<(Instant, bool)>,
}

/// The end of a session.
enum End {
    /// Drained on request.
    Drained,
    /// Lost: the reason for the gap ledger, and a description.
    Lost(GapReason, String),
    /// A test fault ends the listener without a request.
    Early,
}

impl Listener {
    /// Runs until drained.
    pub async fn run(mut self, mut attempts: Attempts) {
        self.wait_for_writers().await;
        loop {
            self.observed().state.set(ConnectionState::Waiting);
            let Some(waited) = self.meanwhile(attempts.next()).await else { break };
            let attempt = self.begin_attempt(waited);
            let connector = self.connector.clone();
            let Some(opened) = self.meanwhile(async move { connector.connect().await }).await else { break };
            match opened {
                Err(error) => self.attempt_failed(attempt, &error, attempts.failed(&error)),
                Ok(socket) => {
                    attempts.accepted();
                    match self.session(socket).await {
                        (End::Drained, _) => break,
                        (End::Early, _) => return,
                        (End::Lost(kind, reason), lasted) => {
                            self.watch.lost(kind, &reason);
                            self.session_lost(&reason, lasted, attempts.lost(lasted));
                        }
                    }
                }
            }
        }
        // pending events are in the inboxes, which close after the connections
        self.watch.drained();
        self.observed().next_attempt_at.clear();
        self.observed().state.set(ConnectionState::Stopped);
    }

    /// Waits until the writers have read what earlier processes left; events read before that would exist in memory
    /// only.
    async fn wait_for_writers(&mut self) {
        for inbox in self.inboxes.clone() {
            // drain requested; the caller's loop sees it too
            if self.meanwhile(async move { inbox.served().await }).await.is_none() {
                return;
            }
        }
    }

    fn observed(&self) -> &ConnectionObservation {
        &self.observations.connections[self.position]
    }

    /// Awaits `future` while proving progress; `None` if a drain is requested.
    async fn meanwhile<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        loop {
            self.beat.beat();
            tokio::select! {
                biased;
                // an error means that the actor is gone, and this future with it
                _ = self.draining.wait_for(|draining| *draining) => return None,
                output = &mut future => return Some(output),
                () = sleep(BEAT) => {}
            }
        }
    }

    fn begin_attempt(&self, waited: Duration) -> u64 {
        let attempt = self.observed().attempt_begins();
        info!(self.log, "connecting"; "attempt" => attempt, "delay_ms" => millis(waited));
        attempt
    }

    fn attempt_failed(&self, attempt: u64, error: &HandshakeError, pause: Duration) {
        let observed = self.observed();
        *lock(&observed.last_error) = Some(error.to_string());
        let retry_in_ms = millis(pause);
        if error.is_token_refused() {
            observed.refused.add(1);
            error!(self.log, "token refused";
                "attempt" => attempt, "error" => %error, "retry_in_ms" => retry_in_ms);
        } else {
            warn!(self.log, "handshake failed";
                "attempt" => attempt, "error" => %error, "retry_in_ms" => retry_in_ms);
        }
    }

    fn session_lost(&self, reason: &str, lasted: Duration, pause: Duration) {
        self.observed().session_lost(reason);
        warn!(self.log, "disconnected";
            "reason" => reason, "session_s" => lasted.as_secs(), "retry_in_ms" => millis(pause));
    }

    async fn session(&mut self, mut socket: FeedSocket) -> (End, Duration) {
        let opened = Instant::now();
        let topics: Vec<String> = self.plan.topics.iter().map(ToString::to_string).collect();
        let mut session = FeedSession::new(topics.iter().map(String::as_str), self.ping_interval, opened);
        self.silence.session_begins(silence_instant(opened));
        self.observed().session_begins();
        self.watch.opened();
        info!(self.log, "connected"; "joins" => topics.len(), "address" => self.connector.address());

        let end = self.listen(&mut socket, &mut session).await;
        if matches!(end, End::Drained) {
            self.watch.drained();
        }
        let goodbye = ws::Message::Close(Some(ws::CloseCode::Normal.into()));
        // the peer may be gone already
        drop(timeout(GOODBYE_TIMEOUT, socket.send(goodbye)).await);
        (end, opened.elapsed())
    }

    async fn listen(&mut self, socket: &mut FeedSocket, session: &mut FeedSession) -> End {
        let mut assembler = Assembler::default();
        let mut chunk = Vec::with_capacity(CHUNK);
        let mut pace = ReadPace::new(Instant::now());
        loop {
            self.beat.beat();
            if let Some(end) = self.do_due(socket, session).await {
                return end;
            }
            let reads = self.forwarder.has_room();
            self.show_state(session, reads);
            let next_due_at = session.next_due_at(Instant::now());
            let read = tokio::select! {
                biased;
                _ = self.draining.wait_for(|draining| *draining) => return End::Drained,
                () = sleep_until(next_due_at.into()) => continue,
                () = self.faults.reach(FaultPoint::NoRoom).then(|()| self.forwarder.room()), if !reads => continue,
                read = pace.rest().then(|()| next_chunk(socket, &mut assembler, &mut chunk)), if reads => read,
            };
            let read_at = ReadAt { unix_us: unix_micros(), instant: Instant::now() };
            self.faults.strike_at(FaultPoint::FramesRead);
            pace.read(read_at.instant, chunk.len());
            let has_frames = !chunk.is_empty();
            let asked = self.accept(&mut chunk, read_at, session);
            self.faults.strike_at(FaultPoint::ChunkTaken);
            if has_frames {
                // only now are all of them in the inboxes: whatever dies with this actor is covered by the gap
                // recorded at its death
                self.observed().last_frame_at.set(read_at.unix_us);
            }
            self.forwarder.flush();
            self.faults.reach(FaultPoint::Delivered).await;
            if matches!(read, Ok(Remainder::Perhaps)) {
                // there may be more to read, but the replies that this thread's writers await come first, so that
                // Redis is never idle
                yield_now().await;
            }
            if let Some(fault) = self.faults.step() {
                fault.strike().await;
                return End::Early;
            }
            match asked {
                Reaction::Nothing => {}
                Reaction::Pong(content) => {
                    if let Some(end) = self.send(socket, ws::Message::Pong(content)).await {
                        return end;
                    }
                }
                Reaction::Close(reason) => return lost(self.connector.redact(&closed(reason))),
            }
            if let Err(error) = read {
                return self.unreadable(&error);
            }
        }
    }

    /// Sends the joins and pings that are due.
    async fn do_due(&mut self, socket: &mut FeedSocket, session: &mut FeedSession) -> Option<End> {
        let now = silence_instant(Instant::now());
        if let Some(silence) = self.silence.look(now, unix_micros() / 1000, self.blocked.is_none()) {
            return Some(End::Lost(GapReason::Silence, silence.to_string()));
        }
        while let Some(due) = session.due(Instant::now()) {
            let message = match due {
                Due::Join(position) => {
                    let topic = session.topic(position);
                    if session.times_sent(position) > 1 {
                        warn!(self.log, "join repeated";
                            "topic" => topic, "times" => session.times_sent(position));
                        // the answer may be unread in the socket
                        if self.blocked.is_none() {
                            self.watch.overdue(topic);
                        }
                    }
                    ws::Message::Text(join_frame(topic).into())
                }
                Due::Ping => ws::Message::Ping(Bytes::new()),
                Due::Dead => {
                    return Some(End::Lost(GapReason::Death, "no pong within the ping interval".into()));
                }
            };
            if let Some(end) = self.send(socket, message).await {
                return Some(end);
            }
        }
        None
    }

    fn show_state(&mut self, session: &mut FeedSession, reads: bool) {
        let now = Instant::now();
        if reads {
            session.resume(now);
            if let Some((_, true)) = self.blocked.take() {
                self.watch.resumed();
                info!(self.log, "reading resumed");
            }
        } else {
            session.pause();
            let (since, is_logged) = self.blocked.get_or_insert((now, false));
            if !*is_logged && now.duration_since(*since) >= BLOCK_LOGGED_AFTER {
                *is_logged = true;
                self.watch.blocked(now.duration_since(*since));
                warn!(self.log, "reading stopped");
            }
        }
        self.observed().state.set(match (reads, session.is_joined()) {
            (false, _) => ConnectionState::Blocked,
            (true, true) => ConnectionState::Live,
            (true, false) => ConnectionState::Joining,
        });
    }

    /// Processes a chunk up to a close frame, completely before any answer is sent: sending may fail.
    fn accept(&mut self, chunk: &mut Vec<Incoming>, read_at: ReadAt, session: &mut FeedSession) -> Reaction {
        let mut asked = Reaction::Nothing;
        for incoming in chunk.drain(..) {
            match incoming {
                Incoming::Text(frame) => self.accept_text(&frame, read_at, session),
                Incoming::Binary(length) => {
                    self.decoder.reject(Rejection::Binary, format!("{length} bytes").as_bytes());
                }
                Incoming::Pong => session.pong(),
                // only the last of several pings needs an answer (RFC 6455 §5.5.3)
                Incoming::Ping(content) => asked = Reaction::Pong(content),
                Incoming::Close(reason) => return Reaction::Close(reason),
            }
        }
        asked
    }

    fn accept_text(&mut self, frame: &Bytes, read_at: ReadAt, session: &mut FeedSession) {
        self.faults.strike_at(FaultPoint::FrameTaken);
        match self.decoder.take(frame, read_at) {
            Decoded::Event(event) => {
                self.note_event(read_at);
                self.forwarder.push(event, read_at);
            }
            Decoded::Filtered => self.note_event(read_at),
            Decoded::Acknowledged(topic) => {
                if session.acknowledge(&topic) == Acknowledged::Joined {
                    self.watch.joined(&topic);
                    info!(self.log, "subscribed"; "topic" => &topic);
                }
                self.observed().note_join(&topic, true, None);
            }
            Decoded::Refused(topic, text) => self.note_refusal(frame, &topic, &text, session),
            Decoded::Nothing => {}
        }
    }

    fn note_event(&mut self, read_at: ReadAt) {
        self.silence.event(silence_instant(read_at.instant));
        self.observed().last_event_at.set(read_at.unix_us);
    }

    /// Logs a new refusal as such; others count as rejected frames, which are sampled: a feed may refuse
    /// repeatedly, and topics that were never joined.
    fn note_refusal(&mut self, frame: &Bytes, topic: &str, text: &str, session: &mut FeedSession) {
        let counts = session.refuse(topic);
        if counts && self.observed().note_join(topic, false, Some(text.to_owned())) {
            self.observations.rejected(Rejection::JoinRefused).add(1);
            warn!(self.log, "join refused"; "topic" => topic, "text" => text);
        } else {
            self.decoder.reject(Rejection::JoinRefused, frame);
        }
    }

    async fn send(&self, socket: &mut FeedSocket, message: ws::Message) -> Option<End> {
        // a slow peer may delay each of many joins
        self.beat.beat();
        match timeout(WRITE_TIMEOUT, socket.send(message)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(lost(self.connector.redact(&error.to_string()))),
            Err(_) => Some(lost("the peer does not read".into())),
        }
    }

    fn unreadable(&mut self, error: &ReadError) -> End {
        lost(match error {
            ReadError::Ended => "connection closed without a close frame".into(),
            ReadError::Socket(error) => {
                if let SocketError::TooLarge(length) = error {
                    self.decoder.reject(Rejection::TooLarge, format!("{length} bytes").as_bytes());
                }
                self.connector.redact(&error.to_string())
            }
        })
    }
}

fn lost(reason: String) -> End {
    End::Lost(GapReason::Disconnect, reason)
}
