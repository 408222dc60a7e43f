//! Every record that the service writes, for the README; a test keeps this list equal to the code.

/// A record of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// How much it matters, as JSON records name it.
    pub level: &'static str,
    /// Its message, which is constant.
    pub message: &'static str,
    /// Its keys, besides those of its logger, in order.
    pub keys: &'static str,
    /// When it is written.
    pub when: &'static str,
}

const fn record(
    level: &'static str,
    message: &'static str,
    keys: &'static str,
    when: &'static str,
) -> Record {
    Record { level, message, keys, when }
}

/// All records, in the order of a life: start, connections, writers, supervision, the end.
pub const RECORDS: &[Record] = &[
    record("critical", "bad settings", "error", "at start, for what only the start can find; exit 78"),
    record("warning", "doubtful setting", "variable, advice", "at start, for each"),
    record("warning", "disabled: set ENABLE_WEBSOCKET to true to run the service", "", "at start; exit 0"),
    record(
        "info",
        "service starting",
        "version, connections, joins, channels, shards, redis",
        "at start: what is about to run",
    ),
    record("info", "redis answers", "version", "at start"),
    record("warning", "redis not reachable, going on without", "error", "at start: the writers keep trying"),
    record("error", "redis refuses the service", "error", "at start: wrong credentials or too old; exit 78"),
    record(
        "warning",
        "redis not measured",
        "error",
        "at start: it did not tell its limit and the size of its streams",
    ),
    record(
        "info",
        "memory forecast",
        "channel, streams, cap, cap_hours, entry_bytes, measured, stream_mib, mib",
        "at start for each channel: what its streams and hashes can come to, and how long a cap lasts",
    ),
    record("info", "memory forecast in all", "mib, bounded, assumed_symbols, maxmemory_mib", "at start"),
    record(
        "warning",
        "redis may run out of memory",
        "mib, bounded, maxmemory_mib, advice",
        "at start: the settings can come to more than its `maxmemory`",
    ),
    record("info", "http listening", "addr", "at start, with the address that was bound"),
    record("error", "HTTP side ended", "error", "it ended by itself; the ingest goes on"),
    record("error", "HTTP side ended by a panic", "", "the same, by a panic"),
    record("warning", "HTTP side does not end", "", "at the end, which does not wait for it"),
    record("critical", "cannot listen for signals", "error", "at start; exit 70"),
    record("info", "connecting", "attempt, delay_ms", "every attempt of a connection"),
    record("info", "connected", "joins", "a handshake was accepted"),
    record("warning", "handshake failed", "attempt, error, retry_in_ms", "it was not"),
    record("error", "token refused", "attempt, error, retry_in_ms", "the feed answered 401 or 403"),
    record("critical", "every connection was refused", "refused", "at start; exit 77"),
    record("info", "subscribed", "topic", "the feed acknowledged a join"),
    record("warning", "join repeated", "topic, times", "a join without an answer is sent again"),
    record(
        "warning",
        "join refused",
        "topic, text",
        "the feed refused a join, in its own words, if these are new",
    ),
    record("info", "first frame", "channel, bytes", "the first event of each channel on a connection"),
    record(
        "warning",
        "shape drifted",
        "channel, error",
        "an event off its documented shape; it is stored all the same",
    ),
    record("warning", "frame rejected", "kind, excerpt, bytes, count", "the first of each kind in a minute"),
    record("warning", "reading stopped", "", "for a second there was no room in a writer's mailbox"),
    record("info", "reading resumed", "", "there is room again"),
    record("warning", "disconnected", "reason, session_s, retry_in_ms", "a session ended without our wish"),
    record(
        "warning",
        "socket without events",
        "connection, session_s, advice",
        "joined, but silent while another delivers",
    ),
    record(
        "warning",
        "channel silent",
        "channel, silent_s, usual_s",
        "silence beyond the cadence that the channel has shown",
    ),
    record(
        "info",
        "channel counts",
        "channel, received, stored, filtered, dropped, pending",
        "once a minute for each channel",
    ),
    record("warning", "redis unavailable", "kind, error, for_s, tries", "news of an outage, and every 30 s"),
    record("info", "redis back", "after_s, tries", "the end of an outage"),
    record("warning", "transaction looked up", "stored", "an answer did not come, and what became of it"),
    record("error", "event refused", "kind, error", "Redis refuses an entry for good; the first in a minute"),
    record(
        "warning",
        "snapshot refused",
        "error",
        "Redis refuses a `ws:latest:` or `ws:map:`; the first in a minute",
    ),
    record(
        "warning",
        "stream ahead",
        "stream",
        "somebody else wrote a higher id, ours go on above it; the first in a minute",
    ),
    record("error", "batch lost", "", "a batch came to a writer that had ended; it is counted as dropped"),
    record(
        "info",
        "old entries removed",
        "streams, entries, keys, elapsed_ms",
        "after a round of the janitor that removed something: streams trimmed, entries, keys removed whole",
    ),
    record(
        "warning",
        "age limit not applied",
        "error",
        "Redis did not let the janitor, which tries again; the first in a minute",
    ),
    record("debug", "status not written", "error", "`ws:status` was not written"),
    record("info", "actor started", "actor, generation", "every start of a child"),
    record("error", "actor crashed", "actor, generation, cause", "a panic or an early end"),
    record("error", "actor frozen", "actor, generation, silent_ms", "a child that made no progress"),
    record(
        "warning",
        "actor restarting",
        "actor, delay_ms, crashes_in_period",
        "before a child is started anew",
    ),
    record(
        "error",
        "supervisor gives up",
        "reason, actor, crashes_in_period",
        "too many crashes: drain, then exit 70",
    ),
    record("error", "nobody hears that the supervisor gave up", "", "its parent has ended already"),
    record("critical", "a thread panicked", "panic, location, thread", "every panic"),
    record("warning", "log records dropped", "count", "the log could not keep up"),
    record("info", "stopping", "reason, deadline_ms", "a signal, or the supervisor gave up"),
    record("info", "stage draining", "stage", "connections (1), then writers (0)"),
    record("info", "actor ended", "actor, generation", "a child that was told to"),
    record("warning", "actor did not end in time", "actor", "it is told to end at once"),
    record("info", "drained", "elapsed_ms", "all children have ended"),
    record("warning", "drain incomplete", "unfinished", "not all within `SHUTDOWN_TIMEOUT_SECONDS`"),
    record("warning", "ending at once", "reason", "a second signal"),
    record("error", "events dropped", "channel, reason, events", "at the end, for each reason that had any"),
    record("info", "stopped", "exit_code, received, stored, filtered, dropped, pending", "the last record"),
];
