//! What the log says: every record of the event path in one place, with its level and its keys.
//!
//! Messages are constant and values are keys, so that a log can be searched and counted; the README lists them. Nothing
//! is logged for each frame above trace.

use std::fmt::Display;
use std::time::Duration;

use slog::{Logger, debug, error, info, warn};

use crate::janitor::Swept;
use crate::observation::{ChannelObservation, Rejection};
use crate::time::millis;
use crate::writer::store::fault::{Refusal, StoreFault};

pub(crate) fn connecting(log: &Logger, attempt: u64, delay: Duration) {
    info!(log, "connecting"; "attempt" => attempt, "delay_ms" => millis(delay));
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
        error!(log, "token refused"; "attempt" => attempt, "error" => %error, "retry_in_ms" => millis(delay));
    } else {
        warn!(log, "handshake failed"; "attempt" => attempt, "error" => %error, "retry_in_ms" => millis(delay));
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

pub(crate) fn shape_drifted(log: &Logger, channel: &str, error: &str) {
    warn!(log, "shape drifted"; "channel" => channel, "error" => error);
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
        "reason" => reason, "session_s" => lasted.as_secs(), "retry_in_ms" => millis(delay));
}

pub(crate) fn socket_without_events(log: &Logger, connection: &str, session: Duration) {
    warn!(log, "socket without events"; "connection" => connection, "session_s" => session.as_secs(),
        "advice" => "some tokens feed one socket only: lower WEBSOCKET_MAX_CONNECTIONS");
}

pub(crate) fn channel_silent(log: &Logger, channel: &str, silent: Duration, usual: Duration) {
    warn!(log, "channel silent"; "channel" => channel, "silent_s" => silent.as_secs(), "usual_s" => usual.as_secs());
}

pub(crate) fn channel_counts(log: &Logger, channel: &ChannelObservation) {
    info!(log, "channel counts"; "channel" => channel.channel.name(), "received" => channel.received.get(),
        "stored" => channel.stored.get(), "filtered" => channel.filtered.get(), "dropped" => channel.dropped_in_all(),
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

pub(crate) fn old_entries_removed(log: &Logger, swept: Swept, elapsed: Duration) {
    info!(log, "old entries removed"; "streams" => swept.streams, "entries" => swept.entries,
        "keys" => swept.keys, "elapsed_ms" => millis(elapsed));
}

pub(crate) fn age_limit_not_applied(log: &Logger, error: &dyn Display) {
    warn!(log, "age limit not applied"; "error" => %error);
}

pub(crate) fn status_unwritten(log: &Logger, error: &dyn Display) {
    debug!(log, "status not written"; "error" => %error);
}
