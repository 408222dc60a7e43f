//! What the log says: every record of the event path in one place, with its level and its keys.
//!
//! Messages are constant and values are keys, so that a log can be searched and counted; the README lists them. Nothing
//! is logged for each frame above trace.

use std::fmt::Display;
use std::time::Duration;

use slog::{Logger, debug, error, info, warn};

use crate::error_chain::ErrorChain;
use crate::event::EntryId;
use crate::janitor::Swept;
use crate::lease::key::KeyError;
use crate::ledger::gap::Gap;
use crate::ledger::life::Life;
use crate::ledger::observed::GapObservation;
use crate::ledger::shelf::ShelfError;
use crate::observation::{ChannelObservation, Rejection, Violation};
use crate::queue::disk::DiskError;
use crate::rest::{Unreadable, Untranslatable};
use crate::spool::Damage;
use crate::time::{iso_utc, millis};
use crate::writer::store::fault::{Refusal, StoreFault};

/// A defect: the same was done before the service started.
pub(crate) fn connection_without_tls(log: &Logger, error: &crate::tls::TlsError) {
    error!(log, "connection without tls"; ErrorChain::new(error));
}

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
        "recovered" => channel.recovered.get(), "stored" => channel.stored.get(),
        "duplicate" => channel.duplicate.get(), "filtered" => channel.filtered.get(),
        "quarantined" => channel.quarantined.get(), "dropped" => channel.dropped_in_all(),
        "pending" => channel.pending());
}

pub(crate) fn books_do_not_balance(log: &Logger, violation: &Violation) {
    error!(log, "books do not balance"; "channel" => violation.channel.name(), "came" => violation.came,
        "accounted" => violation.accounted);
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

pub(crate) fn event_rejected(log: &Logger, stream: &str, reason: &str) {
    error!(log, "event rejected"; "stream" => stream, "reason" => reason);
}

pub(crate) fn quarantine_fails(log: &Logger, error: &str) {
    error!(log, "quarantine fails"; "error" => error);
}

pub(crate) fn snapshot_refused(log: &Logger, error: &str) {
    warn!(log, "snapshot refused"; "error" => error);
}

pub(crate) fn snapshots_wait(log: &Logger, fault: &StoreFault) {
    warn!(log, "snapshots wait for redis"; "reason" => fault.label(), "error" => %fault);
}

pub(crate) fn rest_body_unreadable(log: &Logger, key: &str, error: &Unreadable) {
    warn!(log, "rest body left alone"; "key" => key, "error" => %error);
}

pub(crate) fn event_untranslatable(log: &Logger, key: &str, error: &Untranslatable) {
    warn!(log, "event not in rest body"; "key" => key, "error" => %error);
}

pub(crate) fn time_ahead(log: &Logger, place: &str, times: u64) {
    warn!(log, "time of the future"; "place" => place, "times" => times);
}

pub(crate) fn id_passed(log: &Logger, stream: &str, last: EntryId) {
    warn!(log, "stream ahead"; "stream" => stream, "last_id" => %last);
}

pub(crate) fn redis_healed(log: &Logger, streams: usize, entries: usize) {
    warn!(log, "redis had lost entries"; "streams" => streams, "written_again" => entries);
}

pub(crate) fn not_healed(log: &Logger, refusal: Refusal, error: &str) {
    warn!(log, "entry not written again"; "kind" => refusal.label(), "error" => error);
}

pub(crate) fn spool_opened(log: &Logger, folder: &str, events: u64, bytes: u64, took: Duration) {
    info!(log, "disk queue opened"; "folder" => folder, "events" => events, "bytes" => bytes,
        "elapsed_ms" => millis(took));
}

pub(crate) fn spool_retired(log: &Logger, removed: std::io::Result<()>) {
    match removed {
        Ok(()) => info!(log, "old disk queue done"),
        Err(error) => warn!(log, "old disk queue not removed"; "error" => %error),
    }
}

pub(crate) fn spool_fails(log: &Logger, error: &str, since: Duration) {
    error!(log, "disk queue fails"; "error" => error, "for_s" => since.as_secs());
}

pub(crate) fn spool_works_again(log: &Logger, after: Duration) {
    info!(log, "disk queue works again"; "after_s" => after.as_secs_f64());
}

pub(crate) fn spool_full(log: &Logger, events: u64) {
    error!(log, "disk queue full"; "dropped" => events);
}

pub(crate) fn spool_damaged(log: &Logger, damage: &Damage) {
    let events = damage.events.map_or_else(|| "unknown".to_owned(), |events| events.to_string());
    if damage.is_loss() {
        error!(log, "disk queue damaged"; "kind" => %damage.kind, "file" => &damage.file, "bytes" => damage.bytes,
            "events" => events, "detail" => &damage.detail);
    } else {
        warn!(log, "disk queue odd"; "kind" => %damage.kind, "file" => &damage.file, "bytes" => damage.bytes,
            "detail" => &damage.detail);
    }
}

pub(crate) fn spool_neglected(log: &Logger, error: &DiskError) {
    warn!(log, "disk queue not kept up"; ErrorChain::new(error));
}

pub(crate) fn spool_not_synced(log: &Logger, error: &std::io::Error) {
    warn!(log, "disk queue not synced"; "error" => %error);
}

pub(crate) fn spool_unreadable(log: &Logger, error: &DiskError) {
    error!(log, "disk queue unreadable"; ErrorChain::new(error));
}

pub(crate) fn spool_not_renumbered(log: &Logger, stream: &str, error: &DiskError) {
    error!(log, "disk queue not renumbered"; "stream" => stream, ErrorChain::new(error));
}

pub(crate) fn spool_answer_unheard(log: &Logger) {
    debug!(log, "answer of the disk queue unheard");
}

pub(crate) fn spool_ended(log: &Logger, error: &DiskError) {
    error!(log, "disk queue ended"; ErrorChain::new(error));
}

pub(crate) fn backlog_left(log: &Logger) {
    info!(log, "backlog left on disk");
}

/// A defect: what is acknowledged is not what the queue lent.
pub(crate) fn unknown_acknowledgement(log: &Logger, position: u64) {
    error!(log, "unknown acknowledgement"; "position" => position);
}

/// Records a gap that stands for `count` of them: in the log, in the counts and for the status.
pub(crate) fn gap_recorded(log: &Logger, seen: &GapObservation, gap: &Gap, count: u32) {
    seen.record(gap.clone(), count);
    warn!(log, "gap recorded"; "family" => gap.family.name(), "reason" => gap.reason.label(),
        "seconds" => gap.seconds(), "events" => gap.events, "channels" => gap.channels.join(","));
}

pub(crate) fn ledger_continued(log: &Logger, life: &Life) {
    info!(log, "ledger continued"; "instance" => &life.instance, "alive_at" => iso_utc(life.alive_at),
        "clean" => life.clean, "waiting" => life.waiting.len());
}

pub(crate) fn ledger_begun(log: &Logger, has_redis: bool) {
    info!(log, "ledger begun"; "redis" => has_redis);
}

pub(crate) fn ledger_unreadable(log: &Logger, error: &ShelfError) {
    error!(log, "state of the ledger not readable"; ErrorChain::new(error));
}

pub(crate) fn ledger_unkept(log: &Logger, error: &ShelfError) {
    error!(log, "state of the ledger not kept"; ErrorChain::new(error));
}

pub(crate) fn ledger_refused(log: &Logger, error: &str) {
    warn!(log, "gaps wait for redis"; "error" => error);
}

pub(crate) fn gaps_written_again(log: &Logger, entries: usize, older_lost: bool) {
    warn!(log, "redis had lost gaps"; "written_again" => entries, "older_lost" => older_lost);
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

pub(crate) fn lease_held(log: &Logger) {
    info!(log, "lease held");
}

pub(crate) fn lease_unconfirmed(log: &Logger, error: &KeyError) {
    warn!(log, "lease unconfirmed"; ErrorChain::new(error));
}

pub(crate) fn lease_absent(log: &Logger, wait: Duration) {
    warn!(log, "lease missing"; "wait_ms" => millis(wait));
}

pub(crate) fn lease_released(log: &Logger) {
    info!(log, "lease released");
}

pub(crate) fn lease_not_released(log: &Logger, error: &KeyError) {
    warn!(log, "lease not released"; ErrorChain::new(error));
}
