//! The end of the service, step by step, within one deadline:
//!
//! 1. the connections stop reading, close their sockets and forward what they hold;
//! 2. the writers write what they hold;
//! 3. whoever is left at the deadline is told to end at once, and what it held is counted as dropped;
//! 4. the gap ledger is closed: what is missed from now on begins here;
//! 5. the HTTP side ends, and the last record says what became of every event.
//!
//! What comes after the deadline, the last count, the ledger, the stop of the HTTP side and the flush of the log, takes a
//! second and a half at most: with the default deadline the process is gone before Docker kills it after 10 s.
//!
//! A second signal ends the process at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use actix::Addr;
use actix_rt::Arbiter;
use slog::{Logger, error, info, warn};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};
use uw_websocket_actors::ledger::{Close, Ledger};
use uw_websocket_actors::observation::{ChannelObservation, DropReason, Observations};
use uw_websocket_actors::supervisor::{Drain, DrainReport, Supervisor};
use uw_websocket_actors::time::millis;

use crate::exit::Exit;
use crate::http::HttpSide;

/// After the deadline: how long children that were told to end at once may take to be dropped, so that what they held
/// is counted. They need no more than one turn of their thread.
const LAST_COUNT: Duration = Duration::from_millis(500);
/// How long the disk, and how long Redis may take for the last gaps; what Redis does not take waits for the next start.
const LAST_GAPS: Duration = Duration::from_millis(250);
/// How long the ledger may take with all of that. A disk that hangs for longer costs the knowledge that the end was in
/// order: the next start finds a crash at the last sign of life.
const LEDGER_CLOSE: Duration = Duration::from_millis(600);

/// The signals that end the service.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches the signals from now on.
    pub fn listen() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal and names it.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// What is to be ended.
pub struct Parts {
    /// Owns the connections and the writers.
    pub supervisor: Addr<Supervisor>,
    /// The thread that they run on.
    pub data: Arbiter,
    /// The gap ledger.
    pub ledger: Addr<Ledger>,
    /// The HTTP side, if there is one.
    pub http: Option<HttpSide>,
    /// What became of the events.
    pub observations: Arc<Observations>,
    /// Longest drain.
    pub timeout: Duration,
    /// The log.
    pub log: Logger,
}

impl Parts {
    /// Ends everything because of `reason`; `exit` is how the process ends unless a second signal cuts it short.
    pub async fn end(mut self, reason: &str, exit: Exit, signals: &mut Signals) -> Exit {
        info!(self.log, "stopping"; "reason" => reason, "deadline_ms" => millis(self.timeout));
        self.observations.stopping.store(true, Relaxed);
        let began = Instant::now();
        let drain = Drain { deadline: tokio::time::Instant::now() + self.timeout };
        let report = tokio::select! {
            report = self.supervisor.send(drain) => report.unwrap_or_default(),
            signal = signals.next() => {
                warn!(self.log, "ending at once"; "reason" => signal);
                self.report(Exit::Interrupted);
                return Exit::Interrupted;
            }
        };
        self.after_drain(&report, began).await;
        self.close_ledger().await;
        if let Some(http) = self.http.take() {
            http.stop();
        }
        self.report(exit);
        exit
    }

    async fn after_drain(&self, report: &DrainReport, began: Instant) {
        info!(self.log, "drained"; "elapsed_ms" => millis(began.elapsed()));
        if !report.unfinished.is_empty() {
            warn!(self.log, "drain incomplete"; "unfinished" => report.unfinished.join(","));
        }
        self.data.stop();
        let until = Instant::now() + LAST_COUNT;
        while self.pending() > 0 && Instant::now() < until {
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn close_ledger(&self) {
        let closed = self.ledger.send(Close { patience: LAST_GAPS });
        if !matches!(timeout(LEDGER_CLOSE, closed).await, Ok(Ok(()))) {
            warn!(self.log, "ledger not closed in time");
        }
    }

    fn pending(&self) -> u64 {
        self.observations.channels.iter().map(ChannelObservation::pending).sum()
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
        info!(self.log, "stopped"; "exit_code" => exit as u8,
            "received" => channels.iter().map(|channel| channel.received.get()).sum::<u64>(),
            "stored" => channels.iter().map(|channel| channel.stored.get()).sum::<u64>(),
            "filtered" => channels.iter().map(|channel| channel.filtered.get()).sum::<u64>(),
            "dropped" => channels.iter().map(ChannelObservation::dropped_in_all).sum::<u64>(), "pending" => self.pending());
    }
}
