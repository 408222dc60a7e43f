//! What the log says: every record of the event path in one place, with its level and its keys.
//!
//! Messages are constant and values are keys, so that a log can be searched and counted. [`LOG_EVENTS`] lists them all;
//! the README shows the same table. Nothing is logged for each frame above trace.

use std::fmt::Display;
use std::time::Duration;

use slog::{Logger, debug, error, info, warn};

use crate::connection::channels::ShapeError;
use crate::error_chain::ErrorChain;
use crate::observation::{ChannelObservation, DropReason, Rejection};
use crate::writer::store::fault::{Refusal, StoreFault};

/// A record of the log: level, message, keys besides the ones of its logger, and when it is written.
pub type LogEvent = (&'static str, &'static str, &'static str, &'static str);

/// Every record that the service itself writes.
pub const LOG_EVENTS: &[LogEvent] = &[
    ("info", "service starting", "version, connections, joins, channels, symbols, shards, redis", "at start"),
    ("info", "http listening", "addr", "at start, with the address bound"),
    ("warning", "redis not reachable, going on without", "error", "at start, when Redis is away"),
    ("error", "redis refuses the service", "error", "at start; the process exits with 78"),
    ("info", "actor started", "actor, generation", "each start of a child"),
    (
        "error",
        "actor crashed",
        "actor, generation, ending, crashes_in_period",
        "a panic or an early end of a child",
    ),
    ("error", "actor frozen", "actor, generation, limit_s", "a child that made no progress"),
    ("warning", "actor restarting", "actor, delay_ms, crashes_in_period", "before a child is started anew"),
    ("critical", "supervisor gives up", "actor, crashes, reason", "too many crashes: drain, then exit 70"),
    ("critical", "panic", "location, panic", "any panic, from the panic hook"),
    ("info", "connecting", "attempt, delay_ms", "each attempt of a connection"),
    ("info", "connected", "joins", "a handshake was accepted"),
    ("warning", "handshake failed", "attempt, error, retry_in_ms", "no connection"),
    ("error", "token refused", "attempt, error, retry_in_ms", "the feed answered 401 or 403"),
    ("critical", "every connection was refused", "refused", "at start; the process exits with 77"),
    ("info", "subscribed", "topic", "the feed acknowledged a join"),
    ("warning", "join repeated", "topic, times", "no acknowledgement came"),
    ("warning", "join refused", "topic, text", "the feed refused a join, with its text"),
    ("info", "first frame", "channel, bytes", "the first event of each channel"),
    (
        "warning",
        "shape drifted",
        "channel, error",
        "an event does not fit the documented shape; it is stored",
    ),
    ("warning", "frame rejected", "kind, excerpt, bytes, count", "the first of each kind in a minute"),
    ("warning", "reading stopped", "", "no room in a writer's mailbox"),
    ("info", "reading resumed", "", "room again"),
    ("warning", "disconnected", "reason, session_s, retry_in_ms", "a session ended without our wish"),
    ("warning", "socket without events", "session_s", "joined, but silent while another delivers"),
    ("warning", "channel silent", "channel, silent_s, usual_s", "silence beyond the channel's own cadence"),
    (
        "info",
        "channel counts",
        "channel, received, stored, filtered, dropped, pending",
        "once a minute and channel",
    ),
    ("warning", "redis unavailable", "kind, error, for_s, tries", "news of an outage, and every 30 s"),
    ("info", "redis back", "after_s, tries", "the end of an outage"),
    ("warning", "transaction looked up", "stored", "an answer did not come, and what became of it"),
    (
        "error",
        "event refused",
        "kind, error",
        "Redis refuses an entry for good; the event is counted as dropped",
    ),
    ("warning", "snapshot refused", "error", "Redis refuses a `ws:latest:` or `ws:map:` write"),
    ("warning", "stream ahead", "stream", "somebody else wrote a higher id; ours go on above it"),
    ("error", "batch lost", "", "a batch came to a writer that has ended"),
    ("info", "stopping", "reason, deadline_ms", "a signal, or the supervisor gave up"),
    ("info", "connections drained", "elapsed_ms", "the first step of the end"),
    ("info", "writers drained", "elapsed_ms", "the second step"),
    ("warning", "drain incomplete", "unfinished", "the time limit was reached"),
    ("error", "events dropped", "channel, reason, events", "at the end, if any were"),
    ("info", "stopped", "exit_code, received, stored, dropped", "the last record"),
    ("warning", "log records dropped", "count", "the log could not keep up"),
];

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn connecting(log: &Logger, attempt: u64, delay: Duration) {
    info!(log, "connecting"; "attempt" => attempt, "delay_ms" => ms(delay));
}

pub(crate) fn connected(log: &Logger, joins: usize) {
    info!(log, "connected"; "joins" => joins);
}

pub(crate) fn handshake_failed(
    log: &Logger,
    attempt: u64,
    error: &crate::connection::transport::HandshakeError,
    delay: Duration,
) {
    if error.is_token_refused() {
        error!(log, "token refused"; "attempt" => attempt, "error" => %error, "retry_in_ms" => ms(delay));
    } else {
        warn!(log, "handshake failed"; "attempt" => attempt, "error" => %error, "retry_in_ms" => ms(delay));
    }
}

pub(crate) fn subscribed(log: &Logger, topic: &str) {
    info!(log, "subscribed"; "topic" => topic);
}

pub(crate) fn join_repeated(log: &Logger, topic: &str, times: u32) {
    warn!(log, "join repeated"; "topic" => topic, "times" => times);
}

pub(crate) fn join_refused(log: &Logger, topic: &str, text: &str) {
    warn!(log, "join refused"; "topic" => topic, "text" => text);
}

pub(crate) fn first_frame(log: &Logger, channel: &str, bytes: usize) {
    info!(log, "first frame"; "channel" => channel, "bytes" => bytes);
}

pub(crate) fn shape_drifted(log: &Logger, channel: &str, error: &ShapeError) {
    warn!(log, "shape drifted"; "channel" => channel, ErrorChain::new(error));
}

pub(crate) fn frame_rejected(log: &Logger, kind: Rejection, excerpt: &str, bytes: usize, count: u64) {
    warn!(log, "frame rejected"; "kind" => %kind, "excerpt" => excerpt, "bytes" => bytes, "count" => count);
}

pub(crate) fn reading_stopped(log: &Logger) {
    warn!(log, "reading stopped");
}

pub(crate) fn reading_resumed(log: &Logger) {
    info!(log, "reading resumed");
}

pub(crate) fn disconnected(log: &Logger, reason: &str, lasted: Duration, delay: Duration) {
    warn!(log, "disconnected";
        "reason" => reason, "session_s" => lasted.as_secs(), "retry_in_ms" => ms(delay));
}

pub(crate) fn socket_without_events(log: &Logger, connection: &str, session: Duration) {
    warn!(log, "socket without events"; "connection" => connection, "session_s" => session.as_secs(),
        "advice" => "some tokens feed one socket only: lower WEBSOCKET_MAX_CONNECTIONS");
}

pub(crate) fn channel_silent(log: &Logger, channel: &str, silent: Duration, usual: Duration) {
    warn!(log, "channel silent"; "channel" => channel, "silent_s" => silent.as_secs(), "usual_s" => usual.as_secs());
}

pub(crate) fn channel_counts(log: &Logger, channel: &ChannelObservation) {
    let dropped: u64 = DropReason::ALL.iter().map(|reason| channel.dropped(*reason).get()).sum();
    info!(log, "channel counts"; "channel" => channel.channel.name(), "received" => channel.received.get(),
        "stored" => channel.stored.get(), "filtered" => channel.filtered.get(), "dropped" => dropped,
        "pending" => channel.pending());
}

pub(crate) fn redis_unavailable(log: &Logger, fault: &StoreFault, since: Duration, tries: u64) {
    warn!(log, "redis unavailable";
        "kind" => fault.label(), "error" => %fault, "for_s" => since.as_secs(), "tries" => tries);
}

pub(crate) fn redis_back(log: &Logger, after: Duration, tries: u64) {
    info!(log, "redis back"; "after_s" => after.as_secs_f64(), "tries" => tries);
}

pub(crate) fn outcome_looked_up(log: &Logger, stored: bool) {
    warn!(log, "transaction looked up"; "stored" => stored);
}

pub(crate) fn event_refused(log: &Logger, refusal: Refusal, error: &str) {
    error!(log, "event refused"; "kind" => refusal.label(), "error" => error);
}

pub(crate) fn snapshot_refused(log: &Logger, error: &str) {
    warn!(log, "snapshot refused"; "error" => error);
}

pub(crate) fn id_passed(log: &Logger, stream: &str) {
    warn!(log, "stream ahead"; "stream" => stream);
}

pub(crate) fn batch_came_late(log: &Logger) {
    error!(log, "batch lost");
}

pub(crate) fn log_records_dropped(log: &Logger, count: u64) {
    warn!(log, "log records dropped"; "count" => count);
}

pub(crate) fn status_unwritten(log: &Logger, error: &dyn Display) {
    debug!(log, "status not written"; "error" => %error);
}
