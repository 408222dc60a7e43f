//! The table of the metric families.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use std::fmt;

use uw_websocket_actors::ledger::gap::GapReason;
use uw_websocket_actors::observation::{ConnectionState, HttpRefusal, LeaseState, WriterState, lock};
use uw_websocket_core::calendar::{MarketState, market_state};
use uw_websocket_core::feed::envelope::Rejection;

use super::metrics::Kind::{self, Counter, Gauge, Histogram};
use super::metrics::{Family, Series};
use super::readiness::readiness;
use super::snapshot::{Snapshot, depth};

/// A row of the table; its last column reads the series.
const fn family(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&Snapshot<'_>, &mut Series<'_>) -> fmt::Result,
) -> Family {
    Family { name, kind, labels, help, read }
}

/// Every metric family, in the order of the answer: the way of an event first, then the parts, then the process.
///
/// A state is one series for each value it can have, `1` for the present one and `0` for the others.
pub const FAMILIES: &[Family] = &[
    family(
        "uw_ws_events_received_total",
        Counter,
        &["channel"],
        "Events read from the feed",
        |snapshot, series| series.per_channel(snapshot, |counts| counts.received),
    ),
    family(
        "uw_ws_events_recovered_total",
        Counter,
        &["channel"],
        "Events found in the disk queue at the start",
        |snapshot, series| series.per_channel(snapshot, |counts| counts.recovered),
    ),
    family(
        "uw_ws_events_stored_total",
        Counter,
        &["channel"],
        "Events whose every entry Redis has taken",
        |snapshot, series| series.per_channel(snapshot, |counts| counts.stored),
    ),
    family(
        "uw_ws_events_duplicate_total",
        Counter,
        &["channel"],
        "Events that equal one of those shortly before byte for byte",
        |snapshot, series| series.per_channel(snapshot, |counts| counts.duplicate),
    ),
    family(
        "uw_ws_events_filtered_total",
        Counter,
        &["channel"],
        "Events that were for no target",
        |snapshot, series| series.per_channel(snapshot, |counts| counts.filtered),
    ),
    family(
        "uw_ws_events_quarantined_total",
        Counter,
        &["channel"],
        "Events in the quarantine file",
        |snapshot, series| series.per_channel(snapshot, |counts| counts.quarantined),
    ),
    family(
        "uw_ws_events_dropped_total",
        Counter,
        &["channel", "reason"],
        "Events that were read and lost",
        |snapshot, series| {
            snapshot.channels.iter().try_for_each(|counts| {
                let mut dropped = counts.dropped.iter();
                dropped.try_for_each(|(reason, events)| {
                    series.labelled(&[counts.channel, reason.label()], *events)
                })
            })
        },
    ),
    family(
        "uw_ws_events_pending",
        Gauge,
        &["channel"],
        "Events that came and have not ended yet",
        |snapshot, series| series.per_channel(snapshot, |counts| counts.pending),
    ),
    family(
        "uw_ws_conservation_violations_total",
        Counter,
        &["channel"],
        "Times that an event was found to be counted twice or not at all",
        |snapshot, series| series.per_channel(snapshot, |counts| counts.violations),
    ),
    family(
        "uw_ws_events_drifted_total",
        Counter,
        &["channel"],
        "Payloads off the documented shape, of those that were looked at",
        |snapshot, series| series.per_channel(snapshot, |counts| counts.drifted),
    ),
    family(
        "uw_ws_channel_silent",
        Gauge,
        &["channel"],
        "1 while a channel is silent far beyond its own cadence, in market hours",
        |snapshot, series| series.per_channel(snapshot, |counts| u64::from(counts.silent)),
    ),
    family(
        "uw_ws_last_event_timestamp_seconds",
        Gauge,
        &["channel"],
        "Unix time of the newest event; absent before the first",
        |snapshot, series| {
            snapshot.channels.iter().try_for_each(|counts| match counts.last_event_at {
                Some(at) => series.labelled(&[counts.channel], at as f64 / 1e6),
                None => Ok(()),
            })
        },
    ),
    family(
        "uw_ws_market_open",
        Gauge,
        &[],
        "1 while the exchange has a session, by its calendar",
        |snapshot, series| {
            let state = market_state(snapshot.now / 1000);
            series.only(u32::from(state == MarketState::Open))
        },
    ),
    family(
        "uw_ws_frames_rejected_total",
        Counter,
        &["kind"],
        "Frames that are no events",
        |snapshot, series| {
            Rejection::ALL.iter().try_for_each(|kind| {
                series.labelled(&[kind.label()], snapshot.observations.rejected(*kind).get())
            })
        },
    ),
    family(
        "uw_ws_connection_state",
        Gauge,
        &["connection", "state"],
        "1 for the present state of a connection, 0 for the others",
        |snapshot, series| {
            snapshot.observations.connections.iter().try_for_each(|connection| {
                let present = connection.state.get();
                ConnectionState::ALL.iter().try_for_each(|state| {
                    series.labelled(&[&connection.name, state.label()], u32::from(*state == present))
                })
            })
        },
    ),
    family(
        "uw_ws_connection_attempts_total",
        Counter,
        &["connection"],
        "Handshakes tried",
        |snapshot, series| series.per_connection(snapshot, |connection| connection.attempts.get()),
    ),
    family(
        "uw_ws_connection_accepted_total",
        Counter,
        &["connection"],
        "Handshakes accepted",
        |snapshot, series| series.per_connection(snapshot, |connection| connection.accepted.get()),
    ),
    family(
        "uw_ws_connection_refused_total",
        Counter,
        &["connection"],
        "Handshakes refused with 401 or 403",
        |snapshot, series| series.per_connection(snapshot, |connection| connection.refused.get()),
    ),
    family(
        "uw_ws_connection_disconnects_total",
        Counter,
        &["connection"],
        "Sessions that ended without our wish",
        |snapshot, series| series.per_connection(snapshot, |connection| connection.disconnects.get()),
    ),
    family(
        "uw_ws_connection_joins",
        Gauge,
        &["connection"],
        "Joins acknowledged in the present session",
        |snapshot, series| series.per_connection(snapshot, |connection| connection.joined() as u64),
    ),
    family(
        "uw_ws_connection_joins_expected",
        Gauge,
        &["connection"],
        "Joins of the plan",
        |snapshot, series| series.per_connection(snapshot, |connection| connection.expected as u64),
    ),
    family(
        "uw_ws_store_latency_seconds",
        Histogram,
        &[],
        "From the read of a frame to the reply of Redis, one observation an event",
        |snapshot, series| series.latencies(&snapshot.observations.writers),
    ),
    family(
        "uw_ws_append_latency_seconds",
        Histogram,
        &["shard"],
        "From the read of a frame to the end of its append to the disk queue, one observation an event",
        |snapshot, series| series.latency_per_shard(snapshot, |writer| &writer.append_latency),
    ),
    family(
        "uw_ws_mailbox_wait_seconds_total",
        Counter,
        &["shard"],
        "Time that connections waited for room in the inbox of a shard",
        |snapshot, series| series.per_shard(snapshot, |writer| writer.mailbox_wait_us.get() as f64 / 1e6),
    ),
    family(
        "uw_ws_mailbox_batches",
        Gauge,
        &["shard"],
        "Batches in the inbox of a shard, which its queue has not taken over",
        |snapshot, series| {
            series.per_shard(snapshot, |writer| depth(&writer.batches_in, &writer.batches_out))
        },
    ),
    family("uw_ws_mailbox_bytes", Gauge, &["shard"], "Memory of these batches", |snapshot, series| {
        series.per_shard(snapshot, |writer| depth(&writer.bytes_in, &writer.bytes_out))
    }),
    family(
        "uw_ws_writer_batches_total",
        Counter,
        &["shard"],
        "Batches that were delivered into the inbox of a shard",
        |snapshot, series| series.per_shard(snapshot, |writer| writer.batches_in.get()),
    ),
    family(
        "uw_ws_writer_bytes_total",
        Counter,
        &["shard"],
        "Memory of the batches that were delivered into the inbox of a shard",
        |snapshot, series| series.per_shard(snapshot, |writer| writer.bytes_in.get()),
    ),
    family(
        "uw_ws_writer_state",
        Gauge,
        &["shard", "state"],
        "1 for the present state of a writer, 0 for the others",
        |snapshot, series| {
            snapshot.observations.writers.iter().enumerate().try_for_each(|(shard, writer)| {
                let (shard, present) = (shard.to_string(), writer.state.get());
                WriterState::ALL.iter().try_for_each(|state| {
                    series.labelled(&[&shard, state.label()], u32::from(*state == present))
                })
            })
        },
    ),
    family(
        "uw_ws_writer_transactions_total",
        Counter,
        &["shard"],
        "Transactions that Redis took",
        |snapshot, series| series.per_shard(snapshot, |writer| writer.transactions.get()),
    ),
    family(
        "uw_ws_writer_events_total",
        Counter,
        &["shard"],
        "Events in these transactions",
        |snapshot, series| series.per_shard(snapshot, |writer| writer.events.get()),
    ),
    family(
        "uw_ws_writer_retries_total",
        Counter,
        &["shard"],
        "Transactions that failed and were tried again",
        |snapshot, series| series.per_shard(snapshot, |writer| writer.retries.get()),
    ),
    family(
        "uw_ws_writer_unknown_outcomes_total",
        Counter,
        &["shard"],
        "Transactions whose outcome had to be looked up",
        |snapshot, series| series.per_shard(snapshot, |writer| writer.unknown_outcomes.get()),
    ),
    family(
        "uw_ws_snapshot_writes_total",
        Counter,
        &["shard", "kind"],
        "Writes of `ws:latest:` and `rest:` hashes, and cells of `ws:map:` hashes written",
        |snapshot, series| series.per_shard_and_kind(snapshot, |writer| writer.snapshots.writes()),
    ),
    family(
        "uw_ws_snapshot_healed_total",
        Counter,
        &["shard"],
        "Bodies under `rest:` that were written because somebody else had written older rows",
        |snapshot, series| series.per_shard(snapshot, |writer| writer.snapshots.healed.get()),
    ),
    family(
        "uw_ws_snapshot_troubles_total",
        Counter,
        &["shard", "kind"],
        "What did not go straight: `conflict` and `put_off` are tried again; `refused` by Redis; `unreadable` bodies \
         are left alone; `untranslatable` and `skipped` events are in their streams alone",
        |snapshot, series| series.per_shard_and_kind(snapshot, |writer| writer.snapshots.troubles()),
    ),
    family(
        "uw_ws_snapshot_pending_bytes",
        Gauge,
        &["shard"],
        "Memory of what waits to be written to hashes",
        |snapshot, series| series.per_shard(snapshot, |writer| writer.snapshots.pending_bytes.get()),
    ),
    family(
        "uw_ws_snapshot_held_bytes",
        Gauge,
        &["shard"],
        "Memory of the bodies of REST that are held",
        |snapshot, series| series.per_shard(snapshot, |writer| writer.snapshots.held_bytes.get()),
    ),
    family(
        "uw_ws_spool_events",
        Gauge,
        &["shard"],
        "Events in the disk queue that Redis has not taken",
        |snapshot, series| series.per_shard(snapshot, |writer| writer.spool_events.get()),
    ),
    family(
        "uw_ws_spool_bytes",
        Gauge,
        &["shard"],
        "What the disk queue takes, with what is kept of the events that Redis has taken",
        |snapshot, series| series.per_shard(snapshot, |writer| writer.spool_bytes.get()),
    ),
    family(
        "uw_ws_spool_oldest_seconds",
        Gauge,
        &["shard"],
        "Age of the oldest event in the disk queue; 0 without one",
        |snapshot, series| {
            snapshot.observations.writers.iter().enumerate().try_for_each(|(shard, writer)| {
                let age = writer.spool_oldest.get().map_or(0.0, |at| snapshot.seconds_since(at));
                series.labelled(&[&shard.to_string()], age)
            })
        },
    ),
    family(
        "uw_ws_spool_up",
        Gauge,
        &["shard"],
        "1 while the disk takes the events of a shard, else 0",
        |snapshot, series| {
            series.per_shard(snapshot, |writer| u32::from(lock(&writer.spool_fault).is_none()))
        },
    ),
    family(
        "uw_ws_redis_up",
        Gauge,
        &[],
        "1 while Redis takes the writes of every shard, or answers a stand-by; else 0",
        |snapshot, series| series.only(u32::from(snapshot.observations.redis_up())),
    ),
    family("uw_ws_ready", Gauge, &[], "1 while `/readyz` says 200, else 0", |snapshot, series| {
        series.only(u32::from(readiness(snapshot.observations, Instant::now()).is_empty()))
    }),
    family("uw_ws_gaps_total", Counter, &["reason"], "Gaps recorded in the ledger", |snapshot, series| {
        let gaps = &snapshot.observations.gaps;
        let mut reasons = GapReason::ALL.iter();
        reasons.try_for_each(|reason| series.labelled(&[reason.label()], gaps.recorded(*reason).get()))
    }),
    family("uw_ws_gaps_waiting", Gauge, &[], "Gaps that are not in Redis yet", |snapshot, series| {
        series.only(snapshot.observations.gaps.waiting())
    }),
    family(
        "uw_ws_lease_held",
        Gauge,
        &[],
        "1 while this instance is the owner; 0 while it stands by or Redis has not confirmed it",
        |snapshot, series| {
            let state = snapshot.observations.lease.state.get();
            series.only(u32::from(state == LeaseState::Held))
        },
    ),
    family(
        "uw_ws_trimmed_entries_total",
        Counter,
        &[],
        "Entries of streams removed for their age",
        |snapshot, series| series.only(snapshot.observations.janitor.trimmed_entries.get()),
    ),
    family(
        "uw_ws_removed_keys_total",
        Counter,
        &[],
        "Streams and hashes removed whole for their age",
        |snapshot, series| series.only(snapshot.observations.janitor.removed_keys.get()),
    ),
    family(
        "uw_ws_actor_restarts_total",
        Counter,
        &["actor"],
        "Starts of an actor after its first; absent before one",
        |snapshot, series| {
            let restarts = lock(&snapshot.observations.restarts);
            restarts.iter().try_for_each(|(actor, count)| series.labelled(&[actor], *count))
        },
    ),
    family(
        "uw_ws_log_records_dropped_total",
        Counter,
        &[],
        "Log records lost because the log could not keep up",
        |snapshot, series| series.only(snapshot.observations.log_records_dropped.load(Relaxed)),
    ),
    family(
        "uw_ws_http_refused_total",
        Counter,
        &["reason"],
        "Connections and requests that the HTTP side refused or cut",
        |snapshot, series| {
            HttpRefusal::ALL.iter().try_for_each(|reason| {
                series.labelled(&[reason.label()], snapshot.observations.http.refused(*reason).get())
            })
        },
    ),
    family("uw_ws_build_info", Gauge, &["version"], "1; the version of the service", |snapshot, series| {
        series.labelled(&[snapshot.observations.version], 1_u32)
    }),
    family(
        "uw_ws_process_start_time_seconds",
        Gauge,
        &[],
        "Unix time of the start of the process",
        |snapshot, series| match snapshot.observations.started_at.get() {
            Some(at) => series.only(at as f64 / 1e6),
            None => Ok(()),
        },
    ),
    family(
        "uw_ws_process_resident_memory_bytes",
        Gauge,
        &[],
        "Resident memory of the process; absent where the system does not tell",
        |snapshot, series| match snapshot.resident_bytes {
            Some(bytes) => series.only(bytes),
            None => Ok(()),
        },
    ),
];
