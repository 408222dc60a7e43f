//! Starts, watches, restarts and drains the children.
//!
//! Children are permanent: an unasked end is a crash, and so is no progress for [`Timing::freeze_limit`]. A crashed
//! child restarts with fresh state after a back-off; its siblings are not affected. On more crashes than
//! [`RestartSettings`] allow, or if the data thread no longer runs, the supervisor gives up: it sends one
//! [`Escalation`], starts no more children, and leaves the rest to its parent, which drains. Network loss is a
//! state of a child, not its end.
//!
//! The supervisor runs on another thread than its children, so that it notices when theirs is blocked. Silence is
//! counted in rounds, not by the clock: a process that was paused (a suspended machine, SIGSTOP) has missed its own
//! rounds too, and no child counts as frozen. Nor does the time count in which the data thread waits for a processor:
//! on an overloaded machine a restart costs more than it brings.
//!
//! actix's `Supervisor` is not used: it keeps the same actor value, restarts immediately and forever, and does not
//! detect panics.

mod child;
mod child_state;
mod data_thread;
mod ending;
mod processor_wait;
mod restart_policy;
mod timing;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseActFuture, WrapFuture};
use actix_rt::ArbiterHandle;
use slog::{Logger, error, info, warn};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use uw_websocket_core::time::millis;

use crate::backoff::Backoff;
use crate::observation::Observations;
use crate::settings::RestartSettings;
use crate::sync::lock;

use self::child_state::{Child, ChildState};
use self::data_thread::{DataThread, ThreadHealth};
use self::processor_wait::OwnRounds;

pub use self::child::{ChildEnded, ChildLife, ChildSpec, Ending, Heartbeat, Heartbeats, Stop};
pub use self::ending::{Drain, DrainReport, Escalation, GiveUpReason};
pub use self::restart_policy::{RestartPolicy, RestartVerdict};
pub use self::timing::Timing;

/// Owns the children. Runs in the main thread's system.
#[derive(Debug)]
pub struct Supervisor {
    children: Vec<Child>,
    policy: RestartPolicy,
    timing: Timing,
    thread: DataThread,
    own_rounds: OwnRounds,
    observations: Arc<Observations>,
    log: Logger,
    escalations: mpsc::Sender<Escalation>,
    rng: fastrand::Rng,
    phase: Phase,
    drain_waiters: Vec<oneshot::Sender<DrainReport>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Crashed children are restarted.
    Supervising,
    /// No child is started any more; running ones continue until drained.
    GivenUp,
    /// The children of this stage were asked to drain; those of higher stages have ended.
    Draining { stage: u8 },
    /// All have ended or were terminated.
    Drained,
}

impl Supervisor {
    /// Creates a supervisor of `specs`, which start in order. Start it with `Actor::start` on another thread than
    /// `data_arbiter`'s. `escalations` needs room for one message.
    #[must_use]
    pub fn new(
        specs: Vec<ChildSpec>,
        restarts: RestartSettings,
        data_arbiter: ArbiterHandle,
        observations: Arc<Observations>,
        log: &Logger,
        escalations: mpsc::Sender<Escalation>,
    ) -> Supervisor {
        let (timing, thread) = (Timing::default(), DataThread::new(data_arbiter));
        Supervisor {
            children: specs.into_iter().map(|spec| Child::new(spec, timing)).collect(),
            policy: RestartPolicy::new(restarts),
            timing,
            own_rounds: OwnRounds::new(thread.processor_wait()),
            thread,
            observations,
            log: log.new(slog::o!("component" => "supervisor")),
            escalations,
            rng: fastrand::Rng::new(),
            phase: Phase::Supervising,
            drain_waiters: Vec::new(),
        }
    }

    /// Replaces the default timing.
    #[must_use]
    pub fn with_timing(mut self, timing: Timing) -> Supervisor {
        self.timing = timing;
        for child in &mut self.children {
            child.backoff = Backoff::new(timing.backoff_first, timing.backoff_max);
        }
        self
    }

    fn start_child(&mut self, index: usize, ctx: &mut Context<Supervisor>) {
        let child = &mut self.children[index];
        child.generation += 1;
        if child.generation > 1 {
            self.observations.count_restart(&child.spec.name);
        }
        lock(&self.observations.restarting).remove(&child.spec.name);
        let ends = ctx.address().recipient();
        let (life, beats) = ChildLife::new(index, child.generation, ends);
        // a panic in a start is an ordinary crash, which the supervisor must survive
        if let Ok(stop) = catch_unwind(AssertUnwindSafe(|| (child.spec.start)(life))) {
            info!(self.log, "actor started"; "actor" => &child.spec.name, "generation" => child.generation);
            child.state = ChildState::Running { since: Instant::now(), beats, stop, silent_rounds: 0 };
        } else {
            error!(self.log, "actor crashed"; "actor" => &child.spec.name, "generation" => child.generation,
                "cause" => "panic at start");
            self.after_crash(index, ctx);
        }
    }

    /// Checks the data thread and every child, and schedules the next round. Rounds missed because this thread did
    /// not run are not made up for.
    fn make_round(&mut self, ctx: &mut Context<Supervisor>) {
        *lock(&self.observations.supervisor_round_at) = std::time::Instant::now();
        if self.phase == Phase::Supervising {
            let counts = self.own_rounds.counts(self.timing.tick);
            let thread = self.thread.check(counts);
            match thread {
                ThreadHealth::Ended => self.give_up(None, 0, GiveUpReason::ThreadEnded, ctx),
                ThreadHealth::Silent(rounds) if rounds >= self.timing.rounds(self.timing.block_limit) => {
                    self.give_up(None, 0, GiveUpReason::ThreadBlocked, ctx);
                }
                ThreadHealth::Runs if counts => self.check_beats(ctx),
                // no child can beat on a thread that does not run: the silence is the thread's, not the child's
                ThreadHealth::Silent(_) | ThreadHealth::Runs => {}
            }
            self.show_stuck(thread);
        }
        // a drained supervisor ends with its last address
        if self.phase != Phase::Drained || ctx.connected() {
            ctx.run_later(self.timing.tick, Supervisor::make_round);
        }
    }

    fn check_beats(&mut self, ctx: &mut Context<Supervisor>) {
        let limit = self.timing.rounds(self.timing.freeze_limit);
        let frozen: Vec<usize> = self
            .children
            .iter_mut()
            .enumerate()
            .filter_map(|(index, child)| (child.count_silence() >= limit).then_some(index))
            .collect();
        for index in frozen {
            let child = &self.children[index];
            error!(self.log, "actor frozen"; "actor" => &child.spec.name, "generation" => child.generation,
                "silent_ms" => millis(self.timing.tick * limit));
            child.tell(Stop::Terminate);
            self.after_crash(index, ctx);
        }
    }

    /// Publishes the children without progress. The state at giving up stays until the process ends.
    fn show_stuck(&self, thread: ThreadHealth) {
        let limit = self.timing.rounds(self.timing.suspect_limit);
        let is_thread = match thread {
            ThreadHealth::Runs => false,
            ThreadHealth::Silent(rounds) => rounds >= limit,
            ThreadHealth::Ended => true,
        };
        let stuck = if is_thread {
            vec!["data thread".to_owned()]
        } else {
            let stuck = self.children.iter().filter(|child| child.silent_rounds() >= limit);
            stuck.map(|child| child.spec.name.clone()).collect()
        };
        *lock(&self.observations.stuck) = stuck;
    }

    /// Handles a crash or freeze: restarts the child after a back-off, or gives up.
    fn after_crash(&mut self, index: usize, ctx: &mut Context<Supervisor>) {
        let child = &mut self.children[index];
        let now = Instant::now();
        if let ChildState::Running { since, .. } = child.state
            && now.duration_since(since) >= self.policy.period()
        {
            child.backoff.reset();
        }
        child.state = ChildState::Ended;
        if self.phase != Phase::Supervising {
            return;
        }
        match self.policy.crashed(now) {
            RestartVerdict::Restart { crashes } => {
                let delay = child.backoff.next(&mut self.rng);
                warn!(self.log, "actor restarting"; "actor" => &child.spec.name, "delay_ms" => millis(delay),
                    "crashes_in_period" => crashes);
                let restart = ctx.run_later(delay, move |supervisor, ctx| supervisor.start_child(index, ctx));
                child.state = ChildState::Waiting { restart };
                lock(&self.observations.restarting).insert(child.spec.name.clone());
            }
            RestartVerdict::GiveUp { crashes } => {
                let name = child.spec.name.clone();
                self.give_up(Some(name), crashes, GiveUpReason::TooManyCrashes, ctx);
            }
        }
    }

    fn give_up(
        &mut self,
        child: Option<String>,
        crashes: usize,
        reason: GiveUpReason,
        ctx: &mut Context<Supervisor>,
    ) {
        self.phase = Phase::GivenUp;
        self.cancel_restarts(ctx);
        error!(self.log, "supervisor gives up"; "reason" => %reason, "actor" => child.as_deref().unwrap_or("all"),
            "crashes_in_period" => crashes);
        if self.escalations.try_send(Escalation { child, crashes, reason }).is_err() {
            error!(self.log, "nobody hears that the supervisor gave up");
        }
    }

    fn cancel_restarts(&mut self, ctx: &mut Context<Supervisor>) {
        for child in &mut self.children {
            if let ChildState::Waiting { restart } = child.state {
                ctx.cancel_future(restart);
                child.state = ChildState::Ended;
                lock(&self.observations.restarting).remove(&child.spec.name);
            }
        }
    }

    /// Continues a drain: asks the highest remaining stage to drain, unless already asked.
    fn drain_next_stage(&mut self) {
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
            child.tell(Stop::Drain);
        }
    }

    /// Terminates the remaining children.
    fn end_drain(&mut self) {
        self.phase = Phase::Drained;
        for child in self.children.iter().filter(|child| child.is_running()) {
            warn!(self.log, "actor did not end in time"; "actor" => &child.spec.name);
            child.tell(Stop::Terminate);
        }
        let report = self.drain_report();
        for waiter in self.drain_waiters.drain(..) {
            // the requester may have stopped waiting
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

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        for index in 0..self.children.len() {
            self.start_child(index, ctx);
        }
        self.make_round(ctx);
    }
}

impl Handler<ChildEnded> for Supervisor {
    type Result = ();

    fn handle(&mut self, ended: ChildEnded, ctx: &mut Context<Self>) {
        let child = &mut self.children[ended.child];
        // the late end of a life that was abandoned or never began
        if ended.generation != child.generation || !child.is_running() {
            return;
        }
        if ended.ending == Ending::Wished {
            info!(self.log, "actor ended"; "actor" => &child.spec.name, "generation" => ended.generation);
            child.state = ChildState::Ended;
        } else {
            error!(self.log, "actor crashed"; "actor" => &child.spec.name, "generation" => ended.generation,
                "cause" => ended.ending.label());
            self.after_crash(ended.child, ctx);
        }
        self.drain_next_stage();
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
