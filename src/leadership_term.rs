//! One term as owner: the lifetime of the gap ledger, the supervisor, its children and their thread.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use actix::{Addr, MailboxError};
use actix_rt::{Arbiter, ArbiterHandle};
use futures_util::future::join_all;
use slog::{Logger, error, info, warn};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{timeout, timeout_at};
use uw_websocket_actors::handover::taker::{Taker, TakerParts};
use uw_websocket_actors::ledger::tracker::GapTracker;
use uw_websocket_actors::ledger::{Close, Ledger};
use uw_websocket_actors::queue::shard::Shard;
use uw_websocket_actors::supervisor::{Drain, DrainReport, Escalation, Supervisor};
use uw_websocket_actors::sync::lock;
use uw_websocket_core::time::millis;

/// A running term.
pub struct LeadershipTerm {
    supervisor: Addr<Supervisor>,
    /// The thread of the children; each term has its own.
    data: Arbiter,
    escalated: mpsc::Receiver<Escalation>,
    ledger: Addr<Ledger>,
    remains: Remains,
    taker: Mutex<Option<TakerHandle>>,
}

/// The running taker of a term.
struct TakerHandle {
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

impl TakerHandle {
    /// Starts a taker on the thread that counts events.
    fn start(parts: TakerParts, data: &ArbiterHandle) -> TakerHandle {
        let ((stop, stopped), (ending, ended)) = (oneshot::channel(), oneshot::channel());
        data.spawn_fn(move || {
            actix_rt::spawn(Taker::new(parts).run(stopped, ending));
        });
        TakerHandle { stop, ended }
    }

    /// Ends it, with the receipt for what is stored.
    async fn end(self) {
        drop(self.stop);
        drop(timeout(TAKER_END, self.ended).await);
    }
}

/// The remains of a term whose children have ended: events delivered but not taken over, events in memory only, and
/// losses not yet in the ledger.
pub struct Remains {
    shards: Vec<Shard>,
    gaps: GapTracker,
}

impl Remains {
    /// Creates the remains of these shards, for this ledger.
    #[must_use]
    pub fn new(shards: Vec<Shard>, gaps: GapTracker) -> Remains {
        Remains { shards, gaps }
    }

    /// Moves to disk what the disk accepts by `deadline`.
    async fn settle(&self, deadline: Instant) {
        let settled = join_all(self.shards.iter().map(Shard::settle));
        // the rest is in memory only
        drop(timeout_at(deadline.into(), settled).await);
    }

    /// Drops the events that are in memory only while the term's ledger can record the loss: when, or whether, another
    /// term begins is unknown.
    fn abandon(&self, log: &Logger) {
        for shard in &self.shards {
            let events = shard.abandon();
            if events > 0 {
                error!(log, "events in memory lost"; "shard" => shard.position, "events" => events);
            }
        }
    }

    fn note_losses(&self) {
        let losses = self.shards.iter().flat_map(|shard| shard.queue.take_losses());
        losses.for_each(|loss| self.gaps.note(loss));
    }
}

/// Maximum time for writing the last gaps to Redis at the end of a term; the rest waits for the next term.
const LAST_GAPS: Duration = Duration::from_millis(300);
/// Maximum time for moving to disk the events left by crashed writers, after a drain that has timed out: an append of
/// the data in memory takes milliseconds on a working disk.
const SETTLE: Duration = Duration::from_millis(300);
/// Maximum time for the end of the taker, which is longer than that for its last receipt.
const TAKER_END: Duration = Duration::from_millis(400);
/// Maximum time for the ledger's entire last tick.
const LEDGER_CLOSE: Duration = Duration::from_millis(500);

impl LeadershipTerm {
    /// Starts a thread and, through `supervise`, the supervisor of the children on it.
    pub fn begin(
        ledger: Addr<Ledger>,
        remains: Remains,
        taker: TakerParts,
        supervise: impl FnOnce(ArbiterHandle, mpsc::Sender<Escalation>) -> Addr<Supervisor>,
    ) -> LeadershipTerm {
        let data = Arbiter::new();
        // the supervisor gives up only once
        let (escalations, escalated) = mpsc::channel(1);
        let supervisor = supervise(data.handle(), escalations);
        let taker = Mutex::new(Some(TakerHandle::start(taker, &data.handle())));
        LeadershipTerm { supervisor, data, escalated, ledger, remains, taker }
    }

    /// Waits until the supervisor gives up, and returns the reason.
    pub async fn gave_up(&mut self) -> String {
        let escalation = self.escalated.recv().await;
        escalation.map_or_else(|| "the supervisor ended".into(), |escalation| escalation.reason.to_string())
    }

    /// Ends the children in order within `limit`, and their thread; returns whether all ended in time. The others are
    /// told to end immediately.
    pub async fn drain(&self, limit: Duration, log: &Logger) -> bool {
        let began = Instant::now();
        let drain = Drain { deadline: tokio::time::Instant::now() + limit };
        let report = self.supervisor.send(drain).await;
        // the state of its children is unknown
        let lost = |error: MailboxError| DrainReport { unfinished: vec![format!("supervisor ({error})")] };
        let DrainReport { unfinished } = report.unwrap_or_else(lost);
        info!(log, "drained"; "elapsed_ms" => millis(began.elapsed()));
        if !unfinished.is_empty() {
            warn!(log, "drain incomplete"; "unfinished" => unfinished.join(","));
        }
        let taker = lock(&self.taker).take();
        if let Some(taker) = taker {
            taker.end().await;
        }
        self.data.stop();
        self.remains.settle((began + limit).max(Instant::now() + SETTLE)).await;
        self.remains.abandon(log);
        self.remains.note_losses();
        unfinished.is_empty()
    }

    /// Closes the ledger once nothing is received or counted any more: later gaps begin here.
    pub async fn close_ledger(&self, log: &Logger) {
        let closed = self.ledger.send(Close { patience: LAST_GAPS });
        if !matches!(timeout(LEDGER_CLOSE, closed).await, Ok(Ok(()))) {
            warn!(log, "ledger not closed in time");
        }
    }
}
