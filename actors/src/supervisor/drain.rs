//! Ending all children in order: producers before their consumers, within a deadline.

use actix::{ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseActFuture, WrapFuture};
use slog::{info, warn};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::observation::lock;

use super::{ChildState, Phase, Stop, Supervisor, tell};

/// Ends all children: those of the highest stage first, the next stage when they have ended. From now on nothing is
/// started. Answers when all have ended, or at the deadline, after the rest was told to terminate. A second `Drain`
/// waits for the same end; the earliest deadline holds.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// When waiting ends.
    pub deadline: Instant,
}

impl Message for Drain {
    type Result = DrainReport;
}

/// How a drain ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// The children that had not ended in time, in the order of their start.
    pub unfinished: Vec<String>,
}

impl Supervisor {
    /// Goes on with a drain: tells the highest stage that still lives to drain, if it was not told yet.
    pub(super) fn drain_next_stage(&mut self) {
        let Phase::Draining { stage: present } = self.phase else { return };
        match self.highest_stage() {
            Some(stage) if stage < present => self.drain_stage(stage),
            Some(_) => {}
            None => self.end_drain(),
        }
    }

    fn begin_drain(&mut self, ctx: &mut Context<Supervisor>) {
        if self.phase == Phase::Supervising {
            // whatever is stuck ends with the drain
            lock(&self.observations.stuck).clear();
        }
        self.cancel_restarts(ctx);
        match self.highest_stage() {
            Some(stage) => self.drain_stage(stage),
            None => self.end_drain(),
        }
    }

    fn drain_stage(&mut self, stage: u8) {
        info!(self.log, "stage draining"; "stage" => stage);
        self.phase = Phase::Draining { stage };
        for child in self.children.iter().filter(|child| child.spec.stage == stage) {
            if let ChildState::Running { stop, .. } = &child.state {
                tell(stop, Stop::Drain);
            }
        }
    }

    /// Tells whoever still lives to end at once.
    fn end_drain(&mut self) {
        self.phase = Phase::Drained;
        for child in &self.children {
            if let ChildState::Running { stop, .. } = &child.state {
                warn!(self.log, "actor did not end in time"; "actor" => &child.spec.name);
                tell(stop, Stop::Terminate);
            }
        }
        let report = self.drain_report();
        for waiter in self.drain_waiters.drain(..) {
            // whoever asked may have stopped waiting
            drop(waiter.send(report.clone()));
        }
    }

    fn highest_stage(&self) -> Option<u8> {
        self.children.iter().filter(|child| child.is_running()).map(|child| child.spec.stage).max()
    }

    fn drain_report(&self) -> DrainReport {
        let living = self.children.iter().filter(|child| child.is_running());
        DrainReport { unfinished: living.map(|child| child.spec.name.clone()).collect() }
    }
}

impl Handler<Drain> for Supervisor {
    type Result = ResponseActFuture<Self, DrainReport>;

    fn handle(&mut self, drain: Drain, ctx: &mut Context<Self>) -> Self::Result {
        let (waiter, report) = oneshot::channel();
        self.drain_waiters.push(waiter);
        match self.phase {
            Phase::Supervising | Phase::GivenUp => self.begin_drain(ctx),
            Phase::Draining { .. } => {}
            Phase::Drained => self.end_drain(),
        }
        ctx.run_later(drain.deadline.saturating_duration_since(Instant::now()), |supervisor, _| {
            if matches!(supervisor.phase, Phase::Draining { .. }) {
                supervisor.end_drain();
            }
        });
        // the waiter lives in the actor and this future is dropped with it: there is always a report
        Box::pin(report.into_actor(self).map(|report, _, _| report.unwrap_or_default()))
    }
}
