//! One run: the parts, their restarts, and the looks at them.

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use uw_websocket_simulator::{Rate, Simulator, SimulatorHandle, SimulatorOptions};

use super::sample::{HEADING, Sample};
use crate::support::{Feed, RedisServer, Service, Setup, wait_for};

/// Of three symbols around noon: 80 trades and 130 rows of SPY, half and a third of them for the others.
const EVENTS_PER_SECOND: u32 = 400;
/// Entries of a stream, as in the demo: the busy ones are full before the end of the warm-up.
const STREAM_CAP: &str = "10000";
/// Of a long run a life is a sixth, so that there are enough of them; of a short one it lasts long enough to be judged.
const LIVES: u32 = 6;
const LEAST_LIFE: Duration = Duration::from_secs(150);
/// The share of a life in which its tables are filled.
const WARM_UP: f64 = 0.3;
/// No more looks than these: pairs of them are compared.
const LOOKS: u32 = 720;
const LEAST_BETWEEN_LOOKS: Duration = Duration::from_secs(2);
/// How long Redis is away.
const AWAY: Duration = Duration::from_secs(2);
/// A process that was killed leaves its lease for a while.
const READY: Duration = Duration::from_secs(60);

/// What happens when.
pub(crate) struct Plan {
    pub(crate) length: Duration,
    /// Time from a start of the service to the next; Redis is restarted in the middle.
    life: Duration,
    pub(crate) warm_up: Duration,
    every: Duration,
}

impl Plan {
    /// The plan of a run of this length.
    pub(crate) fn new(length: Duration) -> Plan {
        // a run that is shorter than four usual lives has four nevertheless
        let life = (length / LIVES).max(LEAST_LIFE).min(length / 4);
        Plan {
            length,
            life,
            warm_up: life.mul_f64(WARM_UP),
            every: (length / LOOKS).max(LEAST_BETWEEN_LOOKS.min(life / 8)),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { length, life, warm_up, every } = self;
        write!(
            f,
            "{length:.0?} of {EVENTS_PER_SECOND} events per second; the service, and Redis, restart every {life:.0?}; "
        )?;
        write!(f, "a look every {every:.1?}, judged after {warm_up:.0?} of each process")
    }
}

struct World {
    began: Instant,
    simulator: SimulatorHandle,
    redis: RedisServer,
    setup: Setup,
    service: Service,
    life: usize,
    ready_since: Instant,
    /// Whether Redis was restarted in this life.
    is_redis_done: bool,
}

/// Makes a run, and writes the samples to a file as they come.
#[track_caller]
pub(crate) fn run(plan: &Plan, file: &Path) -> Vec<Sample> {
    let mut world = World::begin();
    let mut out = File::create(file).unwrap();
    writeln!(out, "{HEADING}").unwrap();
    let (mut samples, mut last_look) = (Vec::<Sample>::new(), Instant::now());
    // on a busy machine a short run takes longer
    let is_over = |samples: &[Sample]| samples.last().is_some_and(|last| last.life > 0);
    while world.began.elapsed() < plan.length || !is_over(&samples) {
        std::thread::park_timeout(plan.every.saturating_sub(last_look.elapsed()));
        if last_look.elapsed() < plan.every {
            continue;
        }
        last_look = Instant::now();
        let sample = wait_for("everything can be looked at", READY, || world.look());
        writeln!(out, "{}", sample.line()).unwrap();
        samples.push(sample);
        if sample.age >= plan.life {
            world.restart_service();
        } else if sample.age >= plan.life / 2 && !world.is_redis_done {
            world.restart_redis();
        }
    }
    world.end();
    samples
}

impl World {
    fn begin() -> World {
        let redis = RedisServer::start_with(
            &["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"],
            None,
        );
        let options =
            SimulatorOptions { rate: Rate::PerSecond(EVENTS_PER_SECOND), ..SimulatorOptions::default() };
        let simulator = Simulator::start(options).unwrap();
        // its own feed is replaced by the simulator
        let setup = Setup::new(&Feed::start(), &redis)
            .set("UNUSUAL_WHALES_WEBSOCKET_URL", &simulator.url())
            .set("TARGET_SYMBOLS", "SPY,QQQ,IWM")
            .set("REDIS_STREAM_MAXLEN", STREAM_CAP)
            .set("ARCHIVE_DIR", "archive");
        let setup = setup.running_a_copy();
        let service = setup.clone().start_ready();
        let now = Instant::now();
        World {
            began: now,
            simulator,
            redis,
            setup,
            service,
            life: 0,
            ready_since: now,
            is_redis_done: false,
        }
    }

    fn look(&mut self) -> Result<Sample, String> {
        assert!(self.service.is_running(), "it has ended: {:?}", self.service.exit_code());
        let times = (self.began.elapsed(), self.ready_since.elapsed());
        Sample::take(times, self.life, &self.service, &self.setup, &self.redis)
    }

    /// Ends the service, every second time without warning, and starts it again.
    fn restart_service(&mut self) {
        if self.life.is_multiple_of(2) {
            assert_eq!(self.service.terminate(), Some(0), "the exit code");
        } else {
            self.service.kill9();
        }
        let next = self.setup.clone().start();
        wait_for("the service is ready again", READY, || next.ready());
        self.service = next;
        self.life += 1;
        (self.ready_since, self.is_redis_done) = (Instant::now(), false);
    }

    fn restart_redis(&mut self) {
        self.redis.kill9();
        let began = Instant::now();
        while began.elapsed() < AWAY {
            std::thread::park_timeout(AWAY.saturating_sub(began.elapsed()));
        }
        self.redis.restart(&[]);
        wait_for("the service is ready again", READY, || self.service.ready());
        self.is_redis_done = true;
    }

    /// Nothing is lost or pending, and the archive is whole.
    #[track_caller]
    fn end(self) {
        println!("{} events were sent", self.simulator.counts().events);
        self.simulator.pause();
        self.service.finish();
        let (code, text) = self.setup.command(&["archive", "verify"]);
        assert_eq!(code, Some(0), "{text}");
    }
}
