//! The shutdown of the service, step by step, within one deadline:
//!
//! 1. the connections stop reading and close their sockets; events already read are in the inboxes;
//! 2. the writers move them to disk, and to Redis if it is available;
//! 3. children still running at the deadline are told to end immediately; the remaining events are moved to disk, and those
//!    that the disk does not accept are counted as dropped and recorded in the ledger;
//! 4. the archive writes what Redis has; the rest waits in the disk queue;
//! 5. the gap ledger is closed: later gaps begin here;
//! 6. the lease is released: from now on another instance may write;
//! 7. the HTTP server stops, and the last log record states the outcomes of all events.
//!
//! The steps after the deadline (the last count, the archive, the ledger, the release of the lease, the stop of the HTTP server, the
//! flush of the log) take less than two seconds: with the default deadline the process ends before Docker kills it
//! after 10 s.
//!
//! A second signal ends the process immediately, except that SIGHUP counts once.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use slog::{Logger, error, info, warn};
use tokio::time::{sleep, timeout};
use uw_websocket_actors::archive::Archive;
use uw_websocket_actors::auditor::Auditor;
use uw_websocket_actors::lease::LeaseManager;
use uw_websocket_actors::observation::{ChannelObservation, DropReason, Observations, Place};
use uw_websocket_actors::queue::Queue;
use uw_websocket_actors::queue::disk::Disk;
use uw_websocket_actors::queue::shard::Shard;
use uw_websocket_core::time::millis;

use crate::exit::Exit;
use crate::http::HttpSide;
use crate::leadership_term::LeadershipTerm;
use crate::signals::Signals;

/// Maximum wait, after the deadline, for children told to end immediately to be dropped, so that they count nothing
/// during the last audit. They need no more than one iteration of their thread's loop.
const LAST_COUNT: Duration = Duration::from_millis(500);

/// Maximum time for the archive's last write after the deadline: some megabytes and their sync.
const LAST_FRAMES: Duration = Duration::from_millis(500);

/// Archives what Redis has, until the deadline.
async fn finish(archive: Option<(Archive, Vec<Shard>)>, deadline: Instant) {
    let Some((archive, shards)) = archive else { return };
    let disks = shards.iter().flat_map(Shard::queues).filter_map(Queue::disk);
    let patience = || deadline.saturating_duration_since(Instant::now()).max(LAST_FRAMES);
    // whatever is not known to be stored waits for the next process
    drop(timeout(patience(), join_all(disks.map(Disk::flush))).await);
    let patience = patience();
    let finished = tokio::task::spawn_blocking(move || archive.finish(patience));
    drop(finished.await);
}

/// The parts to shut down.
pub struct ShutdownParts {
    /// The connections and the writers; `None` in stand-by.
    pub term: Option<LeadershipTerm>,
    /// The lease.
    pub lease: LeaseManager,
    /// The HTTP server.
    pub http: Option<HttpSide>,
    /// The archive, and the shards whose disk queues it reads.
    pub archive: Option<(Archive, Vec<Shard>)>,
    /// The outcomes of the events.
    pub observations: Arc<Observations>,
    /// Maximum duration of the drain.
    pub timeout: Duration,
    /// The log.
    pub log: Logger,
}

impl ShutdownParts {
    /// Shuts everything down because of `reason`; returns `exit` unless a second signal ends it early.
    pub async fn end(mut self, reason: &str, exit: Exit, signals: &mut Signals) -> Exit {
        info!(self.log, "stopping"; "reason" => reason, "deadline_ms" => millis(self.timeout));
        self.observations.stopping.store(true, Relaxed);
        let (archive, deadline) = (self.archive.take(), Instant::now() + self.timeout);
        let drained = async {
            if let Some(term) = &self.term {
                term.drain(self.timeout, &self.log).await;
                self.count_the_last().await;
            }
            finish(archive, deadline).await;
            if let Some(term) = &self.term {
                term.close_ledger(&self.log).await;
            }
        };
        tokio::select! {
            () = drained => {}
            signal = signals.next() => {
                warn!(self.log, "ending at once"; "reason" => signal);
                self.report(Exit::Interrupted);
                return Exit::Interrupted;
            }
        }
        self.lease.release().await;
        if let Some(http) = self.http.take() {
            http.stop();
        }
        self.report(exit);
        exit
    }

    /// Waits until the children told to end immediately count nothing any more, and runs the last audit.
    async fn count_the_last(&self) {
        let until = Instant::now() + LAST_COUNT;
        while !self.is_counted() && Instant::now() < until {
            sleep(Duration::from_millis(5)).await;
        }
        Auditor::new(Arc::clone(&self.observations), self.log.clone()).look();
    }

    /// Returns whether no event is in memory and all counts balance: the last children may still be counting.
    fn is_counted(&self) -> bool {
        let mut channels = self.observations.channels.iter();
        channels.all(|channel| channel.held_in(Place::Memory) == 0 && channel.audit().is_none())
    }

    fn report(&self, exit: Exit) {
        let channels = &self.observations.channels;
        for channel in channels {
            for reason in DropReason::ALL {
                let events = channel.dropped(*reason).get();
                if events > 0 {
                    error!(self.log, "events dropped"; "channel" => channel.channel.name(), "reason" => %reason,
                        "events" => events);
                }
            }
        }
        let sum = |count: fn(&ChannelObservation) -> u64| channels.iter().map(count).sum::<u64>();
        info!(self.log, "stopped"; "exit_code" => exit as u8,
            "received" => sum(|channel| channel.received.get()),
            "recovered" => sum(|channel| channel.recovered.get()),
            "stored" => sum(|channel| channel.stored.get()),
            "duplicate" => sum(|channel| channel.duplicate.get()),
            "filtered" => sum(|channel| channel.filtered.get()),
            "quarantined" => sum(|channel| channel.quarantined.get()),
            "dropped" => sum(ChannelObservation::dropped_in_all),
            "pending" => sum(ChannelObservation::pending));
    }
}
