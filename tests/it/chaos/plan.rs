//! What a run does: drawn from its seed before anything starts, so that the same seed does the same again.
//!
//! Six lanes run side by side, each with actions of one kind one after the other: Redis, the line to it, the line to the
//! feed, the service, the feed, the clock. So everything overlaps with everything but itself. And in each life of the service
//! some of its actors die at some points of their work.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use uw_websocket_actors::fault::FaultPoint;

use super::traffic::CONNECTIONS;
use crate::support::faults::{Fault, REFUSALS};
use crate::support::proxy::{Direction, Mode};

/// Longer than the service waits for an answer of Redis: the outcome of what it asked is unknown to it.
const BEYOND_PATIENCE: Duration = Duration::from_secs(6);

/// Where a writer dies, and after fewer passes than a life of some seconds makes.
const WRITER_POINTS: [(FaultPoint, u32); 11] = [
    (FaultPoint::Step, 100),
    (FaultPoint::Delivery, 100),
    (FaultPoint::Accepted, 100),
    (FaultPoint::AppendSent, 100),
    (FaultPoint::Appended, 100),
    (FaultPoint::Peeked, 100),
    (FaultPoint::Answered, 100),
    (FaultPoint::Acknowledged, 100),
    (FaultPoint::Reconciling, 3),
    (FaultPoint::Restoring, 3),
    (FaultPoint::SnapshotFlush, 5),
];

/// The same for a connection.
const CONNECTION_POINTS: [(FaultPoint, u32); 6] = [
    (FaultPoint::Step, 200),
    (FaultPoint::FramesRead, 200),
    (FaultPoint::FrameTaken, 1_000),
    (FaultPoint::ChunkTaken, 200),
    (FaultPoint::Delivered, 200),
    (FaultPoint::NoRoom, 3),
];

/// Points of threads, whose death ends the process: `supervision` tries them.
pub(crate) const THREAD_POINTS: [FaultPoint; 3] =
    [FaultPoint::DiskRequest, FaultPoint::DiskSync, FaultPoint::ArchiveTurn];

/// Everything that is drawn.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// How long there is trouble.
    pub(crate) length: Duration,
    pub(crate) persistence: Persistence,
    /// The traffic's share of its usual rate, in percent.
    pub(crate) traffic: u64,
    /// Foreign entries that are there before the service starts.
    pub(crate) foreign_before: Vec<Foreign>,
    pub(crate) first_life: Life,
    pub(crate) redis: Vec<Step<RedisAction>>,
    pub(crate) redis_line: Vec<Step<LineAction>>,
    pub(crate) feed_line: Vec<Step<LineAction>>,
    pub(crate) service: Vec<Step<ServiceAction>>,
    pub(crate) feed: Vec<Step<FeedAction>>,
    pub(crate) clock: Vec<Step<ClockOffset>>,
}

/// What Redis keeps of what it acknowledged when it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// Everything.
    Always,
    /// Everything but perhaps the last second.
    EverySecond,
    /// Nothing.
    Nothing,
}

/// One action of a lane.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step<A> {
    /// The pause before it.
    pub(crate) after: Duration,
    pub(crate) action: A,
    /// From its beginning to its end.
    pub(crate) lasts: Duration,
}

/// An entry that somebody else writes, with an id above ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Foreign {
    pub(crate) stream: &'static str,
    /// Its distance to the greater of the present and the last id.
    pub(crate) ahead: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RedisAction {
    /// Killed, and started again at the end.
    Kill,
    /// The same, and the end of its log is gone.
    Forget {
        bytes: u64,
    },
    /// Killed and started at once, and loading for a while.
    Load,
    /// Its process does not run.
    Stop,
    /// It answers, and refuses writes.
    Refuse(Fault),
    /// Writes wait, reads are answered.
    PauseWrites,
    /// Its connections are closed, again and again.
    KillClients,
    Write(Foreign),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineAction {
    Set(Mode),
    /// Cut again and again, each time after at most so many bytes.
    Cuts(Direction, u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServiceAction {
    /// kill -9, and another life at the end.
    Kill(Life),
    /// SIGTERM, and another life at the end.
    Terminate(Life),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FeedAction {
    /// All sessions end.
    Cut,
    /// All sessions end, and the next ones begin with the last frames of the one before.
    CutAndRepeat(usize),
    /// Frames that are no events.
    Malformed,
    /// The header of a frame that nobody may buffer.
    Oversized,
    /// So many events at once.
    Burst(u64),
}

/// The clock is wrong by so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClockOffset(pub(crate) i64);

/// One process of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) shards: usize,
    pub(crate) batch: usize,
    pub(crate) deaths: Vec<Death>,
}

/// An actor panics at a point of its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Death {
    pub(crate) child: String,
    point: FaultPoint,
    /// Passes of the point before it, in each life of the actor.
    after: u32,
    times: u32,
}

impl Plan {
    /// Draws the plan of a run.
    pub(crate) fn draw(seed: u64, length: Duration) -> Plan {
        let mut rng = Rng::with_seed(seed);
        let persistence = match rng.u32(0..3) {
            0 => Persistence::EverySecond,
            1 => Persistence::Nothing,
            _ => Persistence::Always,
        };
        let first_life = Life::draw(&mut rng);
        Plan {
            seed,
            length,
            persistence,
            traffic: rng.u64(50..200),
            foreign_before: (0..rng.usize(0..3)).map(|_| Foreign::draw(&mut rng)).collect(),
            redis: lane(&mut rng, length, 200..1500, |rng| RedisAction::draw(rng, persistence)),
            redis_line: lane(&mut rng, length, 300..2500, LineAction::draw_for_redis),
            feed_line: lane(&mut rng, length, 500..4000, LineAction::draw_for_feed),
            service: ServiceAction::draw_all(&mut rng, length),
            feed: lane(&mut rng, length, 200..2000, FeedAction::draw),
            clock: lane(&mut rng, length, 1000..6000, |rng| {
                (ClockOffset(pick(rng, &[-3600, -60, -5, 600])), ms(rng, 300..4000))
            }),
            first_life,
        }
    }

    /// The errors of the clock that the service meets, in seconds.
    pub(crate) fn clock_offsets(&self) -> Vec<i64> {
        let mut offsets: Vec<i64> = self.clock.iter().map(|step| step.action.0).chain([0]).collect();
        offsets.sort_unstable();
        offsets.dedup();
        offsets
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}, {} s, redis keeps {:?}, traffic {} %",
            self.seed,
            self.length.as_secs(),
            self.persistence,
            self.traffic
        )?;
        writeln!(f, "  before: {:?}, {:?}", self.first_life, self.foreign_before)?;
        write_lane(f, "redis", &self.redis)?;
        write_lane(f, "redis line", &self.redis_line)?;
        write_lane(f, "feed line", &self.feed_line)?;
        write_lane(f, "service", &self.service)?;
        write_lane(f, "feed", &self.feed)?;
        write_lane(f, "clock", &self.clock)
    }
}

fn write_lane<A: fmt::Debug>(f: &mut fmt::Formatter<'_>, name: &str, steps: &[Step<A>]) -> fmt::Result {
    for step in steps {
        writeln!(f, "  {name}: after {:?} {:?} for {:?}", step.after, step.action, step.lasts)?;
    }
    Ok(())
}

/// Actions with pauses of so many milliseconds between them, as many as fit.
fn lane<A>(
    rng: &mut Rng,
    length: Duration,
    pauses: Range<u64>,
    mut draw: impl FnMut(&mut Rng) -> (A, Duration),
) -> Vec<Step<A>> {
    let mut rng = rng.fork();
    let (mut steps, mut at) = (Vec::new(), Duration::ZERO);
    loop {
        let after = ms(&mut rng, pauses.clone());
        let (action, lasts) = draw(&mut rng);
        at += after + lasts;
        if at > length {
            return steps;
        }
        steps.push(Step { after, action, lasts });
    }
}

fn ms(rng: &mut Rng, range: Range<u64>) -> Duration {
    Duration::from_millis(rng.u64(range))
}

fn pick<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.usize(0..choices.len())]
}

impl Foreign {
    fn draw(rng: &mut Rng) -> Foreign {
        let ahead = [1, 10_000, 3_600_000, 400 * 24 * 3_600_000];
        let streams =
            ["option_trades:SPY", "gex_strike:QQQ", "flow-alerts", "flow-alerts:SPY", "news", "price:IWM"];
        Foreign { stream: pick(rng, &streams), ahead: Duration::from_millis(pick(rng, &ahead)) }
    }
}

impl RedisAction {
    fn draw(rng: &mut Rng, persistence: Persistence) -> (RedisAction, Duration) {
        match rng.u32(0..14) {
            0 | 1 => (RedisAction::Kill, ms(rng, 0..2000)),
            2 if persistence == Persistence::EverySecond => {
                (RedisAction::Forget { bytes: rng.u64(1..200_000) }, ms(rng, 0..1000))
            }
            3 if persistence == Persistence::Always => (RedisAction::Load, Duration::from_secs(1)),
            4 => (RedisAction::Stop, ms(rng, 100..3000)),
            5 => (RedisAction::Stop, BEYOND_PATIENCE),
            6 => (RedisAction::PauseWrites, ms(rng, 100..3000)),
            7 => (RedisAction::KillClients, ms(rng, 0..1000)),
            // behind a foreign ID of the future nobody sees what a forgetful Redis has lost
            8 | 9 if persistence == Persistence::Always => {
                (RedisAction::Write(Foreign::draw(rng)), Duration::ZERO)
            }
            _ => (RedisAction::Refuse(pick(rng, &REFUSALS)), ms(rng, 50..2000)),
        }
    }
}

impl LineAction {
    fn draw_for_redis(rng: &mut Rng) -> (LineAction, Duration) {
        let short = ms(rng, 200..2000);
        match rng.u32(0..9) {
            0 | 1 => (LineAction::Cuts(Direction::ToServer, rng.u64(1..30_000)), short),
            2 | 3 => (LineAction::Cuts(Direction::ToClient, rng.u64(1..3_000)), short),
            4 => (LineAction::Set(Mode::Delay(ms(rng, 5..200))), short),
            5 => (LineAction::Set(Mode::Delay(BEYOND_PATIENCE)), BEYOND_PATIENCE),
            6 => (LineAction::Set(pick(rng, &[Mode::HalfOpen, Mode::Mute])), ms(rng, 500..6500)),
            7 => (LineAction::Set(Mode::Refuse), short),
            _ => (LineAction::Set(Mode::Slow(rng.u64(20_000..400_000))), short),
        }
    }

    fn draw_for_feed(rng: &mut Rng) -> (LineAction, Duration) {
        let short = ms(rng, 100..1500);
        match rng.u32(0..6) {
            0 | 1 => (LineAction::Cuts(Direction::ToClient, rng.u64(1..60_000)), short),
            2 => (LineAction::Cuts(Direction::ToServer, rng.u64(1..600)), short),
            3 => (LineAction::Set(Mode::Delay(ms(rng, 5..100))), short),
            4 => (LineAction::Set(pick(rng, &[Mode::HalfOpen, Mode::Refuse])), ms(rng, 100..3000)),
            _ => (LineAction::Set(Mode::Slow(rng.u64(50_000..500_000))), short),
        }
    }
}

impl ServiceAction {
    fn draw_all(rng: &mut Rng, length: Duration) -> Vec<Step<ServiceAction>> {
        lane(rng, length, 1000..5000, |rng| {
            let life = Life::draw(rng);
            let is_killed = rng.u32(0..3) > 0;
            let action = if is_killed { ServiceAction::Kill(life) } else { ServiceAction::Terminate(life) };
            (action, ms(rng, 0..1200))
        })
    }
}

impl FeedAction {
    fn draw(rng: &mut Rng) -> (FeedAction, Duration) {
        let action = match rng.u32(0..8) {
            0 => FeedAction::Cut,
            1 | 2 => FeedAction::CutAndRepeat(rng.usize(1..500)),
            3 | 4 => FeedAction::Malformed,
            5 => FeedAction::Oversized,
            _ => FeedAction::Burst(rng.u64(50..1_000)),
        };
        (action, Duration::ZERO)
    }
}

impl Life {
    fn draw(rng: &mut Rng) -> Life {
        let shards = rng.usize(1..5);
        let batch = pick(rng, &[1, 16, 128, 512]);
        Life { shards, batch, deaths: (0..rng.usize(1..4)).map(|_| Death::draw(rng, shards)).collect() }
    }

    /// `UW_WEBSOCKET_FAULT`
    pub(crate) fn faults(&self) -> String {
        self.deaths.iter().map(Death::to_string).collect::<Vec<_>>().join(";")
    }
}

impl Death {
    fn draw(rng: &mut Rng, shards: usize) -> Death {
        let (child, points) = if rng.u32(0..5) < 3 {
            (format!("writer-{}", rng.usize(0..shards)), &WRITER_POINTS[..])
        } else {
            (pick(rng, &CONNECTIONS).to_owned(), &CONNECTION_POINTS[..])
        };
        let (point, passes) = pick(rng, points);
        Death { child, point, after: rng.u32(0..passes), times: rng.u32(1..4) }
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Death { child, point, after, times } = self;
        write!(f, "{child}:panic:at={point}:after={after}:times={times}")
    }
}

#[test]
fn every_point_is_one_of_a_writer_a_connection_or_a_thread_and_every_life_can_be_asked_for() {
    for point in FaultPoint::ALL {
        let is_at = |points: &[(FaultPoint, u32)]| points.iter().any(|(at, _)| at == point);
        assert!(
            is_at(&WRITER_POINTS) || is_at(&CONNECTION_POINTS) || THREAD_POINTS.contains(point),
            "{point}"
        );
    }
    let mut rng = Rng::with_seed(7);
    for _ in 0..100 {
        let faults = Life::draw(&mut rng).faults();
        uw_websocket_actors::fault::FaultPlan::parse(&faults).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn a_seed_draws_the_same_plan_again_and_another_seed_another() {
    let length = Duration::from_secs(60);
    assert_eq!(Plan::draw(7, length), Plan::draw(7, length));
    assert_ne!(Plan::draw(7, length), Plan::draw(8, length));
}
