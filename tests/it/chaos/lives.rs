//! The lives of the service: one process after the other in the same folder, and what each left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use deadpool_redis::redis::{Client, RedisResult};

use super::ledger::Gap;
use super::plan::{Life, ServiceAction, Step};
use super::stage::{Living, Stage};
use crate::support::logs::LogRecord;
use crate::support::{Feed, Service, Setup};

/// Longer than the drain that the service allows itself.
const END_LIMIT: Duration = Duration::from_secs(20);

/// A Redis that can answer does so within milliseconds.
const ANSWER_LIMIT: Duration = Duration::from_millis(300);

/// The service through all its lives.
pub(crate) struct Lives<'r> {
    stage: &'r Stage,
    feed: &'r Feed,
    /// Redis behind the proxy.
    redis: String,
    setup: Setup,
    service: Service,
    number: usize,
    life: Life,
    /// The first session of this life.
    first_session: usize,
    past: Past,
}

/// What the lives left behind.
#[derive(Default)]
pub(crate) struct Past {
    /// Everything written, by life.
    pub(crate) outputs: Vec<String>,
    /// The first session of each life.
    pub(crate) first_sessions: Vec<usize>,
    /// Sessions that a crash may have ended: of one connection, or of all.
    rough: Vec<(Option<String>, Range<usize>)>,
    /// How many actors died at each point of their work.
    pub(crate) deaths: BTreeMap<String, u64>,
    /// What was in the ledger when Redis forgot of it.
    pub(crate) forgotten_gaps: Vec<Gap>,
    /// Broken promises that the logs tell of.
    pub(crate) problems: Vec<String>,
}

impl Past {
    /// Sessions of this connection that a crash may have ended.
    pub(crate) fn rough_of(&self, connection: &str) -> BTreeSet<usize> {
        let of_it = self.rough.iter().filter(|(name, _)| name.as_ref().is_none_or(|name| name == connection));
        of_it.flat_map(|(_, sessions)| sessions.clone()).collect()
    }

    /// The life that a session belongs to.
    pub(crate) fn life_of(&self, session: usize) -> usize {
        self.first_sessions.partition_point(|first| *first <= session).saturating_sub(1)
    }
}

fn start(setup: &Setup, life: &Life) -> Service {
    setup
        .clone()
        .set("WRITER_SHARDS", &life.shards.to_string())
        .set("WRITER_BATCH_MAX_EVENTS", &life.batch.to_string())
        .set("UW_WEBSOCKET_FAULT", &life.faults())
        .start()
}

impl<'r> Lives<'r> {
    /// Starts the first one.
    pub(crate) fn begin(
        stage: &'r Stage,
        feed: &'r Feed,
        redis: String,
        setup: Setup,
        life: Life,
    ) -> Lives<'r> {
        let service = start(&setup, &life);
        let lives = Lives {
            stage,
            feed,
            redis,
            setup,
            service,
            number: 0,
            life,
            first_session: 0,
            past: Past::default(),
        };
        lives.show();
        lives
    }

    fn show(&self) {
        self.service.http();
        let probe = self.service.probe().expect("it listens");
        self.stage.set_living(Some(Living { life: self.number, probe }));
    }

    /// Does the actions of the lane.
    pub(crate) fn play(&mut self, steps: &[Step<ServiceAction>]) {
        for step in steps {
            let stage = self.stage;
            if !stage.rest_while(step.after, || self.check_running()) {
                break;
            }
            let (name, life) = match &step.action {
                ServiceAction::Kill(life) => ("Kill", life),
                ServiceAction::Terminate(life) => ("Terminate", life),
            };
            stage.begin("service", name, &format!("{:?}, down for {:?}", step.action, step.lasts));
            stage.set_living(None);
            match &step.action {
                ServiceAction::Kill(_) => {
                    self.service.kill9();
                    // fails where Redis cannot answer now; then the next life stands by for some seconds
                    drop(forget_owner(&self.redis));
                }
                ServiceAction::Terminate(_) => self.terminate(),
            }
            self.bury(matches!(step.action, ServiceAction::Kill(_)));
            stage.rest(step.lasts);
            self.first_session = self.feed.sessions();
            self.number += 1;
            self.life = life.clone();
            self.service = start(&self.setup, life);
            self.show();
            stage.end("service");
        }
        let stage = self.stage;
        while !stage.is_over() {
            stage.rest_while(Duration::from_secs(1), || self.check_running());
        }
    }

    fn check_running(&mut self) {
        if !self.service.is_running() {
            self.stage.set_living(None);
            self.stage.fail(format!("life {} ended by itself: {:?}", self.number, self.service.exit_code()));
        }
    }

    fn terminate(&mut self) {
        self.service.signal(rustix::process::Signal::TERM);
        let code = self.service.wait_for_exit(END_LIMIT);
        if code != Some(0) {
            self.stage.fail(format!("life {} ended with {code:?} after SIGTERM", self.number));
        }
    }

    /// Keeps what the life that has ended leaves.
    fn bury(&mut self, was_killed: bool) {
        let sessions = self.first_session..self.feed.sessions();
        if was_killed {
            self.past.rough.push((None, sessions.clone()));
        }
        // what a connection has read and not handed over dies with it, of each topic another part; with a writer dies nothing
        for death in &self.life.deaths {
            self.past.rough.push((Some(death.child.clone()), sessions.clone()));
        }
        for record in self.service.records() {
            self.past.problems.extend(problem(&record, self.number));
            if let Some(point) = point_of_death(&record) {
                *self.past.deaths.entry(point).or_default() += 1;
            }
        }
        self.past.outputs.push(self.service.output());
        self.past.first_sessions.push(self.first_session);
    }

    /// The present process.
    pub(crate) fn service(&self) -> &Service {
        &self.service
    }

    /// Ends the last life in order.
    pub(crate) fn end(mut self) -> Past {
        self.stage.set_living(None);
        if self.service.is_running() {
            self.terminate();
        }
        self.service.assert_no_secret();
        self.bury(false);
        self.past
    }
}

/// Lets the next life begin at once instead of waiting for the lease of the dead one.
fn forget_owner(redis: &str) -> RedisResult<()> {
    let mut connection = Client::open(redis)?.get_connection_with_timeout(ANSWER_LIMIT)?;
    connection.set_read_timeout(Some(ANSWER_LIMIT))?;
    deadpool_redis::redis::cmd("DEL").arg("uw:ws:owner").query(&mut connection)
}

/// What a panic of the fault plan says before it names the point.
const ASKED_FOR: &str = "a panic that the fault plan asked for, at ";

/// Where an actor died that was told to.
pub(crate) fn point_of_death(record: &LogRecord) -> Option<String> {
    let text = record.text("panic");
    (record.msg == "a thread panicked").then(|| text.strip_prefix(ASKED_FOR).map(str::to_owned)).flatten()
}

/// What must not stand in a log.
fn problem(record: &LogRecord, life: usize) -> Option<String> {
    let was_asked_for = record.mentions(ASKED_FOR);
    let is_bad = (record.level == "critical" && !was_asked_for)
        || record.mentions("books do not balance")
        || (record.mentions("panicked") && !was_asked_for);
    is_bad.then(|| format!("life {life} logged: {:?}", record.keys))
}
