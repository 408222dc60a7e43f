//! One term as owner: the gap ledger, the supervisor, its children and the thread that they run on, from their start to
//! their end.

use std::time::{Duration, Instant};

use actix::{Addr, MailboxError};
use actix_rt::{Arbiter, ArbiterHandle};
use futures_util::future::join_all;
use slog::{Logger, error, info, warn};
use tokio::sync::mpsc;
use tokio::time::{timeout, timeout_at};
use uw_websocket_actors::ledger::tracker::GapTracker;
use uw_websocket_actors::ledger::{Close, Ledger};
use uw_websocket_actors::queue::shard::Shard;
use uw_websocket_actors::supervisor::{Drain, DrainReport, Escalation, Supervisor};
use uw_websocket_core::time::millis;

/// A running term.
pub struct LeadershipTerm {
    supervisor: Addr<Supervisor>,
    /// The thread of the children; each term has one of its own.
    data: Arbiter,
    escalated: mpsc::Receiver<Escalation>,
    ledger: Addr<Ledger>,
    remains: Remains,
}

/// What is left of a term when its children have ended: events that were handed over and not taken over, events in memory
/// alone, and losses that are not in the ledger.
pub struct Remains {
    shards: Vec<Shard>,
    gaps: GapTracker,
}

impl Remains {
    /// Of these shards, for this ledger.
    #[must_use]
    pub fn new(shards: Vec<Shard>, gaps: GapTracker) -> Remains {
        Remains { shards, gaps }
    }

    /// Brings to the disk what it takes by `deadline`.
    async fn settle(&self, deadline: Instant) {
        let settled = join_all(self.shards.iter().map(Shard::settle));
        // what is left then is in memory alone
        drop(timeout_at(deadline.into(), settled).await);
    }

    /// What is in memory alone ends with the term, while its ledger can have that on record: nobody knows when the next one
    /// begins, or whether there is one.
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

/// At the end of a term Redis may take this long to take the last gaps; what it does not take waits for the next term.
const LAST_GAPS: Duration = Duration::from_millis(300);
/// Bringing to the disk what dead writers left may take so long beyond a drain that has used up its time: it is an append of
/// what is in memory, milliseconds of a disk that works.
const SETTLE: Duration = Duration::from_millis(300);
/// The same for the whole of the ledger's last turn.
const LEDGER_CLOSE: Duration = Duration::from_millis(500);

impl LeadershipTerm {
    /// Starts a thread and, by `supervise`, the supervisor of the children on it.
    pub fn begin(
        ledger: Addr<Ledger>,
        remains: Remains,
        supervise: impl FnOnce(ArbiterHandle, mpsc::Sender<Escalation>) -> Addr<Supervisor>,
    ) -> LeadershipTerm {
        let data = Arbiter::new();
        // it gives up once
        let (escalations, escalated) = mpsc::channel(1);
        let supervisor = supervise(data.handle(), escalations);
        LeadershipTerm { supervisor, data, escalated, ledger, remains }
    }

    /// Waits until the supervisor gives up, and says why.
    pub async fn gave_up(&mut self) -> String {
        let escalation = self.escalated.recv().await;
        escalation.map_or_else(|| "the supervisor ended".into(), |escalation| escalation.reason.to_string())
    }

    /// Ends the children in order within `limit`, and says whether all of them did; the others have been told to end at
    /// once. The thread goes with them.
    pub async fn drain(&self, limit: Duration, log: &Logger) -> bool {
        let began = Instant::now();
        let drain = Drain { deadline: tokio::time::Instant::now() + limit };
        let report = self.supervisor.send(drain).await;
        // nobody knows what its children do
        let lost = |error: MailboxError| DrainReport { unfinished: vec![format!("supervisor ({error})")] };
        let DrainReport { unfinished } = report.unwrap_or_else(lost);
        info!(log, "drained"; "elapsed_ms" => millis(began.elapsed()));
        if !unfinished.is_empty() {
            warn!(log, "drain incomplete"; "unfinished" => unfinished.join(","));
        }
        self.data.stop();
        self.remains.settle((began + limit).max(Instant::now() + SETTLE)).await;
        self.remains.abandon(log);
        self.remains.note_losses();
        unfinished.is_empty()
    }

    /// Closes the ledger, when nothing is received or counted any more: what is missed from now on begins here.
    pub async fn close_ledger(&self, log: &Logger) {
        let closed = self.ledger.send(Close { patience: LAST_GAPS });
        if !matches!(timeout(LEDGER_CLOSE, closed).await, Ok(Ok(()))) {
            warn!(log, "ledger not closed in time");
        }
    }
}
