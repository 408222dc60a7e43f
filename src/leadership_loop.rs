//! Alternates between terms as owner and stand-by: the lease decides which instance joins and writes.

use std::future::pending;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use slog::{Logger, crit, error, info};
use tokio::sync::watch;
use tokio::time::interval;
use uw_websocket_actors::handover::offer::Offers;
use uw_websocket_actors::lease::Role;
use uw_websocket_actors::lease::gate::LeaseGate;
use uw_websocket_actors::observation::Observations;
use uw_websocket_actors::sync::lock;
use uw_websocket_actors::thread_deaths::ThreadDeaths;
use uw_websocket_core::time::millis;

use crate::exit::Exit;
use crate::leadership_term::LeadershipTerm;
use crate::refusal::every_connection_refused;
use crate::signals::Signals;

/// Interval at which the main thread proves its progress in stand-by, as the supervisor does in a term.
const ROUND_EVERY: Duration = Duration::from_secs(1);

/// The collaborators of the leadership loop.
pub struct LeadershipLoop {
    /// The role of this instance.
    pub role: watch::Receiver<Role>,
    /// The observations of the actors, across all terms.
    pub observations: Arc<Observations>,
    /// Deaths of threads that nothing restarts.
    pub deaths: ThreadDeaths,
    /// Maximum duration of a term's drain.
    pub timeout: Duration,
    /// Hands the backlog over to the owner, in stand-by.
    pub offers: Box<dyn Fn() -> Offers>,
    /// The logger.
    pub log: Logger,
}

/// The end of the process.
pub struct ProcessEnd {
    /// The term still to be drained; `None` in stand-by.
    pub term: Option<LeadershipTerm>,
    /// The reason, for the log.
    pub reason: String,
    /// The exit code.
    pub exit: Exit,
}

impl LeadershipLoop {
    /// Begins a term whenever this instance becomes the owner, and ends it when another one does, until the process is
    /// to end.
    pub async fn take(
        mut self,
        begin: impl AsyncFn(LeaseGate) -> LeadershipTerm,
        signals: &mut Signals,
    ) -> ProcessEnd {
        let observations = Arc::clone(&self.observations);
        let mut refused = pin!(every_connection_refused(&observations));
        let deaths = self.deaths.clone();
        loop {
            let gate = tokio::select! {
                gate = self.stand_by() => gate,
                signal = signals.next() => return ProcessEnd::new(None, signal, Exit::Clean),
                thread = deaths.first() => return ProcessEnd::after_death(None, &thread),
            };
            let Some(gate) = gate else { return ProcessEnd::without_keeper(None) };
            let mut term = begin(gate).await;
            let (reason, exit) = tokio::select! {
                signal = signals.next() => (signal.to_owned(), Exit::Clean),
                reason = term.gave_up() => (reason, Exit::GaveUp),
                thread = deaths.first() => return ProcessEnd::after_death(Some(term), &thread),
                refused = &mut refused => {
                    crit!(self.log, "every connection was refused"; "refused" => refused);
                    ("token refused".to_owned(), Exit::TokenRefused)
                }
                owner = self.another_owner() => match owner {
                    Some(owner) if self.leave_to(&owner, &term).await => continue,
                    // children that do not end might hold their sockets forever
                    Some(_) => ("the lease is lost and an actor does not end".to_owned(), Exit::GaveUp),
                    None => return ProcessEnd::without_keeper(Some(term)),
                },
            };
            return ProcessEnd::new(Some(term), &reason, exit);
        }
    }

    /// Waits for a term as owner; `None` if the lease manager has ended.
    async fn stand_by(&mut self) -> Option<LeaseGate> {
        let began = Instant::now();
        let mut rounds = interval(ROUND_EVERY);
        let mut stood_by = false;
        let mut offers: Pin<Box<dyn Future<Output = ()>>> = Box::pin(pending());
        loop {
            match &*self.role.borrow_and_update() {
                Role::Owner(gate) => {
                    if stood_by {
                        info!(self.log, "took over"; "after_ms" => millis(began.elapsed()));
                    }
                    return Some(gate.clone());
                }
                Role::Standby { owner } if !stood_by => {
                    info!(self.log, "standing by"; "owner" => owner);
                    stood_by = true;
                    offers = Box::pin((self.offers)().run());
                }
                Role::Standby { .. } => {}
            }
            tokio::select! {
                changed = self.role.changed() => changed.ok()?,
                () = &mut offers => offers = Box::pin(pending()),
                _ = rounds.tick() => *lock(&self.observations.supervisor_round_at) = Instant::now(),
            }
        }
    }

    /// Waits until another instance holds the lease, and returns its name; `None` if the lease manager has ended.
    async fn another_owner(&mut self) -> Option<String> {
        match &*self.role.wait_for(|role| matches!(role, Role::Standby { .. })).await.ok()? {
            Role::Standby { owner } => Some(owner.clone()),
            Role::Owner(_) => None,
        }
    }

    /// Ends a term whose lease was lost: the connections close, the writers stop writing. Returns whether all of them
    /// ended in time.
    async fn leave_to(&self, owner: &str, term: &LeadershipTerm) -> bool {
        error!(self.log, "lease lost"; "owner" => owner);
        let ended = term.drain(self.timeout, &self.log).await;
        term.close_ledger(&self.log).await;
        ended
    }
}

impl ProcessEnd {
    fn new(term: Option<LeadershipTerm>, reason: &str, exit: Exit) -> ProcessEnd {
        ProcessEnd { term, reason: reason.to_owned(), exit }
    }

    fn after_death(term: Option<LeadershipTerm>, thread: &str) -> ProcessEnd {
        ProcessEnd::new(term, &format!("thread died: {thread}"), Exit::GaveUp)
    }

    fn without_keeper(term: Option<LeadershipTerm>) -> ProcessEnd {
        ProcessEnd::new(term, "the keeper of the lease ended", Exit::GaveUp)
    }
}
