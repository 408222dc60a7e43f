//! What the supervisor promises, with small children of every bad habit.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod yardstick;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc as std_mpsc};
use std::time::{Duration, Instant};

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, Recipient,
    SpawnHandle, WrapFuture,
};
use actix_rt::{Arbiter, System};
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{mpsc, oneshot};
use uw_websocket_actors::observation::Observations;
use uw_websocket_actors::settings::RestartSettings;
use uw_websocket_actors::supervisor::{
    ChildLife, ChildSpec, Drain, DrainReport, Escalation, GiveUpReason, Heartbeat, Stop, Supervisor, Timing,
};
use uw_websocket_actors::sync::lock;

use crate::yardstick::{has_passed, stretched};

/// Longer than anything here takes on a machine that does nothing else.
const PATIENCE: Duration = Duration::from_secs(20);

/// Children that crash go on for as long as the test likes.
const FORGIVING: RestartSettings = RestartSettings { intensity: 100, period: Duration::from_secs(60) };

fn quick() -> Timing {
    Timing {
        tick: Duration::from_millis(10),
        suspect_limit: stretched(Duration::from_millis(200)),
        freeze_limit: stretched(Duration::from_millis(300)),
        block_limit: stretched(PATIENCE),
        backoff_first: Duration::from_millis(5),
        backoff_max: Duration::from_millis(20),
    }
}

// === a child ===

/// A child that beats, counts its visits, and does what it is told.
struct Fake {
    name: &'static str,
    life: ChildLife,
    beating: SpawnHandle,
    visits: u32,
    drains: bool,
    journal: Journal,
    /// The last field: dropped when the supervisor has been told.
    _farewell: Farewell,
}

/// Notes the end of a child.
struct Farewell(String, Journal);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.1.add(format!("{} ended", self.0));
    }
}

/// What happened, in order, as the children saw it.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    fn add(&self, line: String) {
        lock(&self.0).push(line);
    }

    fn count(&self, line: &str) -> usize {
        lock(&self.0).iter().filter(|written| *written == line).count()
    }

    fn has(&self, line: &str) -> bool {
        self.count(line) > 0
    }

    fn lines(&self) -> Vec<String> {
        lock(&self.0).clone()
    }
}

enum Order {
    PanicInHandler,
    PanicInFuture,
    PanicInWait,
    End,
    Finish,
    Freeze,
    /// Freezes, deaf to every message until it is released.
    Hang(oneshot::Receiver<()>),
    Block(std_mpsc::Receiver<()>),
    /// Computes for as much time of a processor that so many others want as well.
    Compute(Duration, usize),
}

impl Message for Order {
    type Result = ();
}

/// Answers with the number of visits in this life.
struct Visit;

impl Message for Visit {
    type Result = u32;
}

impl Actor for Fake {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.beating = ctx.spawn(beat_for_ever(self.life.beats().beat()).into_actor(self));
    }
}

async fn beat_for_ever(beat: Heartbeat) {
    loop {
        beat.beat();
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

impl Handler<Order> for Fake {
    type Result = ();

    fn handle(&mut self, order: Order, ctx: &mut Context<Self>) {
        match order {
            Order::PanicInHandler => panic!("told to panic in a handler"),
            Order::PanicInFuture => {
                ctx.spawn(async { panic!("told to panic in a future") }.into_actor(self));
            }
            Order::PanicInWait => {
                let soon = tokio::task::yield_now().into_actor(self);
                ctx.wait(soon.map(|(), _, _| panic!("told to panic in wait")));
            }
            Order::End => ctx.stop(),
            Order::Finish => {
                self.life.finish();
                ctx.stop();
            }
            Order::Freeze => {
                ctx.cancel_future(self.beating);
            }
            Order::Hang(release) => {
                ctx.cancel_future(self.beating);
                ctx.wait(release.into_actor(self).map(|_, _, _| ()));
            }
            Order::Block(release) => drop(release.recv()),
            Order::Compute(time, rivals) => {
                compute(time, rivals);
                self.journal.add(format!("{} has computed", self.name));
            }
        }
    }
}

fn compute(time: Duration, rivals: usize) {
    let all = sched_getaffinity(None).unwrap();
    let mut one = CpuSet::new();
    one.set(sched_getcpu());
    sched_setaffinity(None, &one).unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let rival = |_| {
        let is_over = Arc::clone(&is_over);
        // it has the same processor
        std::thread::spawn(move || while !is_over.load(SeqCst) {})
    };
    let rivals: Vec<_> = (0..rivals).map(rival).collect();
    let used = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let end = used() + time;
    while used() < end {}
    is_over.store(true, SeqCst);
    for rival in rivals {
        rival.join().unwrap();
    }
    sched_setaffinity(None, &all).unwrap();
}

impl Handler<Visit> for Fake {
    type Result = u32;

    fn handle(&mut self, _: Visit, _: &mut Context<Self>) -> u32 {
        self.visits += 1;
        self.visits
    }
}

impl Handler<Stop> for Fake {
    type Result = ();

    fn handle(&mut self, stop: Stop, ctx: &mut Context<Self>) {
        self.journal.add(format!("{} told to {stop:?}", self.name));
        if stop == Stop::Terminate || self.drains {
            self.life.finish();
            ctx.stop();
        }
    }
}

// === a family of them ===

/// A name, a stage, and whether the child ends when it is drained.
type Member = (&'static str, u8, bool);

/// One child that is told things, and one that must not notice.
const PAIR: [Member; 2] = [("trades", 1, true), ("prices", 1, true)];

type Lives = Arc<Mutex<BTreeMap<String, Vec<Addr<Fake>>>>>;

/// Where children live, and what is known of them.
struct Home {
    arbiter: Arbiter,
    journal: Journal,
    lives: Lives,
}

impl Home {
    fn new() -> Home {
        Home { arbiter: Arbiter::new(), journal: Journal::default(), lives: Lives::default() }
    }

    fn spec(&self, (name, stage, drains): Member) -> ChildSpec {
        let (arbiter, journal, lives) =
            (self.arbiter.handle(), self.journal.clone(), Arc::clone(&self.lives));
        let start = move |life: ChildLife| {
            let (journal, beating) = (journal.clone(), SpawnHandle::default());
            let farewell = Farewell(name.to_owned(), journal.clone());
            let fake = Fake::start_in_arbiter(&arbiter, move |_| Fake {
                name,
                life,
                beating,
                visits: 0,
                drains,
                journal,
                _farewell: farewell,
            });
            lock(&lives).entry(name.to_owned()).or_default().push(fake.clone());
            fake.recipient()
        };
        ChildSpec { name: name.to_owned(), stage, start: Box::new(start) }
    }
}

/// A child whose first start goes wrong.
fn failing_first(spec: ChildSpec, fail: impl Fn(ChildLife) -> Recipient<Stop> + Send + 'static) -> ChildSpec {
    let (first, ChildSpec { name, stage, start }) = (AtomicBool::new(true), spec);
    let start = move |life| if first.swap(false, SeqCst) { fail(life) } else { start(life) };
    ChildSpec { name, stage, start: Box::new(start) }
}

struct Family {
    supervisor: Addr<Supervisor>,
    home: Home,
    escalations: mpsc::Receiver<Escalation>,
    observations: Arc<Observations>,
}

impl Family {
    fn start(members: &[Member], restarts: RestartSettings, timing: Timing) -> Family {
        let home = Home::new();
        let specs = members.iter().map(|member| home.spec(*member)).collect();
        Family::of(home, specs, restarts, timing)
    }

    fn of(home: Home, specs: Vec<ChildSpec>, restarts: RestartSettings, timing: Timing) -> Family {
        let log = slog::Logger::root(slog::Discard, slog::o!());
        Family::logging_to(&log, home, specs, restarts, timing)
    }

    fn logging_to(
        log: &slog::Logger,
        home: Home,
        specs: Vec<ChildSpec>,
        restarts: RestartSettings,
        timing: Timing,
    ) -> Family {
        let (escalate, escalations) = mpsc::channel(4);
        let observations = Arc::new(Observations::new("test".into(), "0", &[], &[], 0, Arc::default()));
        let arbiter = home.arbiter.handle();
        let supervisor = Supervisor::new(specs, restarts, arbiter, Arc::clone(&observations), log, escalate)
            .with_timing(timing)
            .start();
        Family { supervisor, home, escalations, observations }
    }

    fn lives(&self, name: &str) -> usize {
        lock(&self.home.lives).get(name).map_or(0, Vec::len)
    }

    /// The address of the given life of a child, the first being 1, when it has begun.
    async fn life(&self, name: &str, number: usize) -> Addr<Fake> {
        eventually(&format!("life {number} of {name}"), || self.lives(name) >= number).await;
        lock(&self.home.lives)[name][number - 1].clone()
    }

    /// Tells the first life of a child something.
    async fn tell(&self, name: &str, order: Order) {
        self.life(name, 1).await.try_send(order).unwrap();
    }

    fn restarts(&self, name: &str) -> u64 {
        lock(&self.observations.restarts).get(name).copied().unwrap_or_default()
    }

    fn stuck(&self) -> Vec<String> {
        lock(&self.observations.stuck).clone()
    }

    /// Waits for as many rounds of the supervisor as make up `time`.
    async fn pass_rounds(&self, time: Duration) {
        for _ in 0..time.as_millis() / quick().tick.as_millis() {
            let round = || *lock(&self.observations.supervisor_round_at);
            let last = round();
            eventually("a round", || round() != last).await;
        }
    }

    async fn drain_within(&self, limit: Duration) -> Vec<String> {
        let DrainReport { unfinished } =
            self.supervisor.send(Drain { deadline: tokio::time::Instant::now() + limit }).await.unwrap();
        unfinished
    }

    fn end(self) {
        self.home.arbiter.stop();
        self.home.arbiter.join().unwrap();
    }
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(!has_passed(began, PATIENCE), "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn run(test: impl Future<Output = ()>) {
    let limit = stretched(PATIENCE * 2);
    System::new().block_on(async { tokio::time::timeout(limit, test).await.expect("the test hangs") });
}

// === restarts ===

/// Whatever way the first life of `trades` ends: a second one begins from nothing, and `prices` does not notice.
async fn restarts_after(order: Order) {
    let family = Family::start(&PAIR, FORGIVING, quick());
    let (trades, prices) = (family.life("trades", 1).await, family.life("prices", 1).await);
    assert_eq!(trades.send(Visit).await.unwrap(), 1);
    assert_eq!(prices.send(Visit).await.unwrap(), 1);

    family.tell("trades", order).await;

    let reborn = family.life("trades", 2).await;
    assert_eq!(reborn.send(Visit).await.unwrap(), 1, "state of the first life is left");
    assert_eq!(prices.send(Visit).await.unwrap(), 2, "the sibling was touched");
    assert_eq!((family.restarts("trades"), family.restarts("prices")), (1, 0));
    family.end();
}

#[test]
fn a_panic_in_a_handler_restarts_the_child_alone() {
    run(restarts_after(Order::PanicInHandler));
}

#[test]
fn a_panic_in_a_spawned_future_restarts_the_child_alone() {
    run(restarts_after(Order::PanicInFuture));
}

#[test]
fn a_panic_in_a_waited_future_restarts_the_child_alone() {
    run(restarts_after(Order::PanicInWait));
}

#[test]
fn an_early_end_restarts_the_child_alone() {
    run(restarts_after(Order::End));
}

#[test]
fn a_frozen_child_is_restarted_alone_and_its_old_life_is_ended() {
    run(async {
        // the late end of the first life, taken for another crash, would be one too many
        let restarts = RestartSettings { intensity: 1, ..FORGIVING };
        let mut family = Family::start(&PAIR, restarts, quick());
        family.tell("trades", Order::Freeze).await;
        let reborn = family.life("trades", 2).await;
        eventually("the end of the old life", || family.home.journal.has("trades ended")).await;
        assert!(family.home.journal.has("trades told to Terminate"));
        assert_eq!(reborn.send(Visit).await.unwrap(), 1);
        assert_eq!(family.drain_within(PATIENCE).await, [""; 0]);
        assert!(
            family.home.journal.has("trades told to Drain"),
            "the late end was taken for the second life's"
        );
        assert_eq!((family.lives("trades"), family.lives("prices")), (2, 1));
        assert!(family.escalations.try_recv().is_err(), "the late end was counted");
        family.end();
    });
}

#[test]
fn a_frozen_child_is_shown_as_stuck_until_it_is_replaced() {
    run(async {
        let timing = Timing { freeze_limit: stretched(Duration::from_secs(1)), ..quick() };
        let family = Family::start(&PAIR, FORGIVING, timing);
        family.pass_rounds(timing.freeze_limit).await;
        assert_eq!(family.stuck(), [""; 0]);
        family.tell("trades", Order::Freeze).await;
        eventually("it is seen", || family.stuck() == ["trades"]).await;
        assert_eq!(family.restarts("trades"), 0, "before anything is done about it");
        family.life("trades", 2).await;
        eventually("the next round", || family.stuck().is_empty()).await;
        family.end();
    });
}

#[test]
fn a_crashed_child_is_shown_as_restarting_until_it_lives_again() {
    run(async {
        let backoff = stretched(Duration::from_millis(300));
        let timing = Timing { backoff_first: backoff, backoff_max: backoff, ..quick() };
        let family = Family::start(&PAIR, FORGIVING, timing);
        let restarting = || lock(&family.observations.restarting).iter().cloned().collect::<Vec<_>>();
        family.tell("trades", Order::End).await;
        eventually("it is seen", || restarting() == ["trades"]).await;
        assert_eq!(family.restarts("trades"), 0);
        family.life("trades", 2).await;
        eventually("it lives", || restarting().is_empty()).await;
        family.end();
    });
}

#[test]
fn what_drains_is_not_stuck() {
    run(async {
        let timing = Timing { freeze_limit: PATIENCE, ..quick() };
        let family = Family::start(&PAIR, FORGIVING, timing);
        family.tell("trades", Order::Freeze).await;
        eventually("it is seen", || family.stuck() == ["trades"]).await;
        assert_eq!(family.drain_within(PATIENCE).await, [""; 0]);
        assert_eq!(family.stuck(), [""; 0]);
        family.end();
    });
}

#[test]
fn the_late_end_of_a_frozen_life_is_not_taken_for_its_successors() {
    run(async {
        let family = Family::start(&PAIR, FORGIVING, quick());
        let (release, hanging) = oneshot::channel();
        family.tell("trades", Order::Hang(hanging)).await;
        family.life("trades", 2).await;
        release.send(()).unwrap();
        eventually("the end of the old life", || family.home.journal.has("trades ended")).await;
        assert!(family.home.journal.has("trades told to Terminate"));
        assert_eq!(family.drain_within(PATIENCE).await, [""; 0]);
        assert!(family.home.journal.has("trades told to Drain"), "the second life was not drained");
        family.end();
    });
}

#[test]
fn a_start_that_panics_is_a_crash() {
    run(async {
        let home = Home::new();
        let spec = failing_first(home.spec(PAIR[0]), |_| panic!("told to panic at start"));
        let family = Family::of(home, vec![spec], FORGIVING, quick());
        assert_eq!(family.life("trades", 1).await.send(Visit).await.unwrap(), 1);
        assert_eq!(family.restarts("trades"), 1);
        family.end();
    });
}

#[test]
fn a_panic_while_the_actor_is_made_is_a_crash() {
    run(async {
        let home = Home::new();
        let arbiter = home.arbiter.handle();
        let spec = failing_first(home.spec(PAIR[0]), move |life| {
            Fake::start_in_arbiter(&arbiter, move |_| panic!("told to panic, {life:?}")).recipient()
        });
        let family = Family::of(home, vec![spec], FORGIVING, quick());
        assert_eq!(family.life("trades", 1).await.send(Visit).await.unwrap(), 1);
        family.end();
    });
}

#[test]
fn a_child_that_is_done_is_not_restarted() {
    run(async {
        let family = Family::start(&PAIR, FORGIVING, quick());
        let trades = family.life("trades", 1).await;
        family.tell("trades", Order::Finish).await;
        eventually("the end of the child", || !trades.connected()).await;
        assert_eq!(family.drain_within(PATIENCE).await, [""; 0]);
        assert_eq!(family.lives("trades"), 1);
        assert!(!family.home.journal.has("trades told to Drain"));
        family.end();
    });
}

// === giving up ===

#[test]
fn more_crashes_than_the_intensity_escalate_exactly_once() {
    run(async {
        let restarts = RestartSettings { intensity: 2, period: Duration::from_secs(60) };
        let mut family = Family::start(&PAIR, restarts, quick());
        // crashes of all children count together
        family.life("prices", 1).await.try_send(Order::End).unwrap();
        family.life("prices", 2).await;
        for life in 1..=2 {
            family.life("trades", life).await.try_send(Order::PanicInHandler).unwrap();
        }
        let escalation = family.escalations.recv().await.unwrap();
        let reason = GiveUpReason::TooManyCrashes;
        assert_eq!(escalation, Escalation { child: Some("trades".into()), crashes: 3, reason });

        // a further crash changes nothing, and what lives goes on
        assert_eq!(family.life("prices", 2).await.send(Visit).await.unwrap(), 1);
        family.life("prices", 2).await.try_send(Order::PanicInHandler).unwrap();
        eventually("the second end of prices", || family.home.journal.count("prices ended") == 2).await;
        assert_eq!(family.drain_within(PATIENCE).await, [""; 0]);
        assert_eq!((family.lives("trades"), family.lives("prices")), (2, 2));
        assert!(family.escalations.try_recv().is_err(), "a second escalation");
        family.end();
    });
}

#[test]
fn a_blocked_thread_escalates_without_restarts() {
    run(async {
        let limit = Duration::from_millis(100);
        let timing = Timing { block_limit: limit, suspect_limit: limit, ..quick() };
        let mut family = Family::start(&PAIR, FORGIVING, timing);
        let (release, blocked) = std_mpsc::channel();
        family.tell("trades", Order::Block(blocked)).await;
        let escalation = family.escalations.recv().await.unwrap();
        assert_eq!(escalation.reason, GiveUpReason::ThreadBlocked);
        eventually("it is seen", || family.stuck() == ["data thread"]).await;
        // a drain does not hang on the thread
        assert_eq!(family.drain_within(Duration::from_millis(20)).await, ["trades", "prices"]);
        assert_eq!((family.restarts("trades"), family.restarts("prices")), (0, 0));
        assert_eq!(family.stuck(), ["data thread"], "until the process ends");
        release.send(()).unwrap();
        family.end();
    });
}

#[test]
fn a_thread_that_waits_for_a_processor_is_not_blocked() {
    if !std::fs::read_to_string("/proc/self/schedstat").is_ok_and(|text| !text.starts_with("0 ")) {
        return eprintln!("skipped: this system does not tell how long a thread waits");
    }
    run(async {
        // half of the time in which the thread computes, and three times of what it uses
        let limit = Duration::from_millis(600);
        let timing = Timing { block_limit: limit, suspect_limit: limit, ..quick() };
        let mut family = Family::start(&PAIR, FORGIVING, timing);
        let began = Instant::now();
        family.tell("trades", Order::Compute(limit / 3, 5)).await;
        eventually("it has computed", || family.home.journal.has("trades has computed")).await;
        assert!(began.elapsed() > limit, "{:?}", began.elapsed());
        assert!(family.escalations.try_recv().is_err(), "an escalation");
        assert_eq!((family.restarts("trades"), family.restarts("prices")), (0, 0));
        family.end();
    });
}

#[test]
fn the_end_of_the_thread_escalates_and_every_child_is_known_to_have_ended() {
    run(async {
        let mut family = Family::start(&PAIR, FORGIVING, quick());
        family.life("prices", 1).await.send(Visit).await.unwrap();
        family.home.arbiter.stop();
        let escalation = family.escalations.recv().await.unwrap();
        assert_eq!(escalation.reason, GiveUpReason::ThreadEnded);
        assert_eq!(family.drain_within(PATIENCE).await, [""; 0]);
        family.end();
    });
}

#[test]
fn a_short_block_is_held_against_nobody() {
    run(async {
        let family = Family::start(&PAIR, FORGIVING, quick());
        let (release, blocked) = std_mpsc::channel();
        family.tell("trades", Order::Block(blocked)).await;
        family.pass_rounds(quick().freeze_limit * 2).await;
        release.send(()).unwrap();
        assert_eq!(family.life("trades", 1).await.send(Visit).await.unwrap(), 1);
        assert_eq!((family.restarts("trades"), family.restarts("prices")), (0, 0));
        family.end();
    });
}

// === what is told ===

/// Keeps the levels and messages of a log.
#[derive(Clone, Default)]
struct Told(Journal);

impl slog::Drain for Told {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &slog::Record<'_>, _: &slog::OwnedKVList) -> Result<(), slog::Never> {
        self.0.add(format!("{} {}", record.level().as_short_str(), record.msg()));
        Ok(())
    }
}

#[test]
fn a_crash_a_restart_and_giving_up_are_logged_for_those_who_must_act() {
    run(async {
        let (told, home) = (Told::default(), Home::new());
        let log = slog::Logger::root(told.clone(), slog::o!());
        let restarts = RestartSettings { intensity: 1, ..FORGIVING };
        let specs = vec![home.spec(PAIR[0])];
        let mut family = Family::logging_to(&log, home, specs, restarts, quick());
        family.tell("trades", Order::Freeze).await;
        family.life("trades", 2).await.try_send(Order::End).unwrap();
        family.escalations.recv().await.unwrap();
        let (crashed, restarting) = ("ERRO actor crashed", "WARN actor restarting");
        let (started, gave_up) = ("INFO actor started", "ERRO supervisor gives up");
        assert_eq!(told.0.lines(), [started, "ERRO actor frozen", restarting, started, crashed, gave_up]);
        family.end();
    });
}

// === draining ===

#[test]
fn a_drain_ends_the_highest_stage_before_the_next() {
    run(async {
        let members =
            [("writer-0", 0, true), ("trades", 1, true), ("prices", 1, true), ("writer-1", 0, true)];
        let family = Family::start(&members, FORGIVING, quick());
        assert_eq!(family.drain_within(PATIENCE).await, [""; 0]);
        let lines = family.home.journal.lines();
        let at = |line: &str| lines.iter().position(|written| written == line).expect(line);
        for connection in ["trades ended", "prices ended"] {
            for writer in ["writer-0 told to Drain", "writer-1 told to Drain"] {
                assert!(at(connection) < at(writer), "{lines:?}");
            }
        }
        family.end();
    });
}

#[test]
fn the_deadline_of_a_drain_terminates_who_is_left_and_names_them() {
    run(async {
        let members = [("writer-0", 0, true), ("trades", 1, false), ("prices", 1, true)];
        let family = Family::start(&members, FORGIVING, quick());
        let writer = family.life("writer-0", 1).await;
        let limit = stretched(Duration::from_millis(500));
        assert_eq!(family.drain_within(limit).await, ["writer-0", "trades"]);
        eventually("the end of the writer", || !writer.connected()).await;
        eventually("the end of the connection", || family.home.journal.has("trades ended")).await;
        assert!(family.home.journal.has("trades told to Terminate"));
        assert!(
            !family.home.journal.has("writer-0 told to Drain"),
            "a writer was drained before its producers"
        );
        family.end();
    });
}

#[test]
fn a_second_drain_waits_for_the_same_end() {
    run(async {
        let family = Family::start(&[("trades", 1, false)], FORGIVING, quick());
        let (first, second) =
            tokio::join!(family.drain_within(PATIENCE), family.drain_within(Duration::from_millis(50)));
        assert_eq!((first, second), (vec!["trades".to_owned()], vec!["trades".to_owned()]));
        let trades = family.life("trades", 1).await;
        eventually("the end of the child", || !trades.connected()).await;
        eventually("the end of the life", || family.home.journal.has("trades ended")).await;
        assert_eq!(family.drain_within(PATIENCE).await, [""; 0], "a late drain tells what is left");
        let drains =
            family.home.journal.lines().iter().filter(|line| *line == "trades told to Drain").count();
        assert_eq!(drains, 1);
        family.end();
    });
}

#[test]
fn a_child_that_waits_for_its_restart_is_not_started_in_a_drain() {
    run(async {
        let backoff = stretched(Duration::from_millis(500));
        let timing = Timing { backoff_first: backoff, backoff_max: backoff, ..quick() };
        let family = Family::start(&PAIR, FORGIVING, timing);
        family.tell("trades", Order::End).await;
        eventually("the crash", || family.home.journal.has("trades ended")).await;
        assert_eq!(family.drain_within(PATIENCE).await, [""; 0]);
        family.pass_rounds(backoff * 2).await;
        assert_eq!(family.lives("trades"), 1);
        family.end();
    });
}

#[test]
fn a_crash_in_a_drain_is_an_end() {
    run(async {
        let family = Family::start(&[("writer-0", 0, true), ("trades", 1, false)], FORGIVING, quick());
        let drain = family.drain_within(PATIENCE);
        let crash = async {
            eventually("the drain", || family.home.journal.has("trades told to Drain")).await;
            family.tell("trades", Order::PanicInHandler).await;
        };
        let (unfinished, ()) = tokio::join!(drain, crash);
        assert_eq!(unfinished, [""; 0]);
        assert_eq!(family.restarts("trades"), 0);
        assert!(family.home.journal.has("writer-0 told to Drain"));
        family.end();
    });
}
