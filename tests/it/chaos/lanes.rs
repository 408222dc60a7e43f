//! The actions as they are done to the real things. Each lane ends what it began before it ends itself.

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fastrand::Rng;

use super::ledger::{self, Gap};
use super::plan::{ClockOffset, FeedAction, Foreign, LineAction, Persistence, Plan, RedisAction, Step};
use super::stage::Stage;
use super::traffic::{Order, Traffic};
use crate::support::faults::{LOAD_SLOWLY, fill};
use crate::support::proxy::{Mode, Proxy};
use crate::support::{Feed, RedisServer, SOON, wait_for};

/// Records that make a start of Redis last a second under [`LOAD_SLOWLY`].
const BALLAST: u64 = 300;
/// Between two kills of Redis's connections.
const KILL_EVERY: Duration = Duration::from_millis(30);

/// Which kind of action it is: its text without the figures.
fn kind(action: &impl Debug) -> String {
    let text = format!("{action:?}");
    let names = text.split(|letter: char| " ,{".contains(letter) || letter.is_ascii_digit()).next().unwrap();
    names.split(['(', ')', '-']).filter(|name| !name.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Does the actions of a lane one after the other.
fn play<A: Debug>(stage: &Stage, lane: &str, steps: &[Step<A>], mut act: impl FnMut(&Step<A>)) {
    for step in steps {
        if !stage.rest(step.after) {
            return;
        }
        let text = format!("{:?} for {:?}", step.action, step.lasts);
        stage.begin(lane, &kind(&step.action), &text);
        act(step);
        stage.end(lane);
    }
}

/// What is done to Redis itself.
pub(crate) fn redis(stage: &Stage, redis: &mut RedisServer, plan: &Plan) {
    play(stage, "redis", &plan.redis, |step| match step.action {
        RedisAction::Kill => {
            if plan.persistence == Persistence::Nothing {
                stage.note_gaps(last_gaps(redis));
            }
            redis.kill9();
            stage.rest(step.lasts);
            redis.restart(&[]);
            // a long log takes longer than the pause before the next action
            wait_until_loaded(redis);
        }
        RedisAction::Forget { bytes } => {
            stage.note_gaps(last_gaps(redis));
            redis.kill9();
            cut_log(&redis.folder(), bytes);
            stage.rest(step.lasts);
            redis.restart(&[]);
            wait_until_loaded(redis);
        }
        RedisAction::Load => {
            // each command of a log that was not rewritten would be delayed, too
            fill(redis, BALLAST);
            redis.restart(&LOAD_SLOWLY);
            wait_until_loaded(redis);
        }
        RedisAction::Stop => {
            redis.pause();
            stage.rest(step.lasts);
            redis.resume();
        }
        RedisAction::Refuse(fault) => {
            let ongoing = fault.begin(redis);
            stage.rest(step.lasts);
            ongoing.end(redis);
        }
        RedisAction::PauseWrites => {
            redis.command::<()>(&["CLIENT", "PAUSE", "600000", "WRITE"]);
            stage.rest(step.lasts);
            redis.command::<()>(&["CLIENT", "UNPAUSE"]);
        }
        RedisAction::KillClients => {
            let mut rests = step.lasts;
            loop {
                redis.command::<u64>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
                if rests.is_zero() || !stage.rest(KILL_EVERY) {
                    break;
                }
                rests = rests.saturating_sub(KILL_EVERY);
            }
        }
        RedisAction::Write(foreign) => write_foreign(redis, foreign),
    });
    wait_until_loaded(redis);
}

/// Waits until Redis has loaded what it kept.
pub(crate) fn wait_until_loaded(redis: &RedisServer) {
    wait_for("Redis has loaded", SOON * 4, || {
        redis.try_command::<u64>(&["DBSIZE"]).map_err(|error| error.to_string())
    });
}

/// The ledger as it is when Redis ends: what of it Redis forgets must be there again.
fn last_gaps(redis: &RedisServer) -> Vec<Gap> {
    // nothing is written behind what is read
    redis.command::<()>(&["CLIENT", "PAUSE", "600000", "WRITE"]);
    ledger::gaps(redis)
}

/// Takes the end off the log, as a crash of the machine would.
fn cut_log(folder: &Path, bytes: u64) {
    let is_log = |path: &PathBuf| path.to_string_lossy().ends_with(".incr.aof");
    let mut logs: Vec<PathBuf> = fs::read_dir(folder.join("appendonlydir"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(is_log)
        .collect();
    logs.sort();
    let log = fs::File::options().write(true).open(logs.last().expect("Redis has a log")).unwrap();
    let length = log.metadata().unwrap().len();
    log.set_len(length.saturating_sub(bytes)).unwrap();
}

/// Adds an entry of somebody else, above everything in the stream.
pub(crate) fn write_foreign(redis: &RedisServer, foreign: Foreign) {
    let key = format!("uw:ws:{}", foreign.stream);
    let present_ms = uw_websocket_actors::wall_clock::unix_micros() / 1000;
    wait_for("a foreign entry is written", SOON, || {
        let newest: Vec<(String, Vec<String>)> =
            redis.try_command(&["XREVRANGE", &key, "+", "-", "COUNT", "1"]).map_err(|e| e.to_string())?;
        let last_ms = newest.first().and_then(|(id, _)| id.split('-').next()?.parse().ok()).unwrap_or(0);
        let ahead_ms = u64::try_from(foreign.ahead.as_millis()).unwrap();
        let id = format!("{}-0", present_ms.max(last_ms) + ahead_ms);
        // ours may have gone past it meanwhile
        redis
            .try_command::<String>(&["XADD", &key, &id, "payload", super::run::FOREIGN])
            .map_err(|e| e.to_string())
    });
}

/// What is done to a line.
pub(crate) fn line(stage: &Stage, name: &str, proxy: &Proxy, steps: &[Step<LineAction>], seed: u64) {
    let mut rng = Rng::with_seed(seed);
    play(stage, name, steps, |step| {
        match step.action {
            LineAction::Set(mode) => {
                proxy.set(mode);
                stage.rest(step.lasts);
            }
            LineAction::Cuts(direction, at_most) => {
                stage.rest_while(step.lasts, || {
                    if proxy.mode() == Mode::Pass {
                        proxy.set(Mode::CutAfter(direction, rng.u64(0..at_most)));
                    }
                });
            }
        }
        proxy.set(Mode::Pass);
    });
}

/// What the feed does.
pub(crate) fn feed(stage: &Stage, feed: &Feed, traffic: &Traffic, steps: &[Step<FeedAction>]) {
    play(stage, "feed", steps, |step| match step.action {
        FeedAction::Cut => feed.cut_all(),
        FeedAction::CutAndRepeat(frames) => {
            traffic.order(Order::Repeat(frames));
            feed.cut_all();
        }
        FeedAction::Malformed => traffic.order(Order::Malformed),
        FeedAction::Oversized => traffic.order(Order::Oversized),
        FeedAction::Burst(events) => traffic.order(Order::Burst(events)),
    });
}

/// What is done to the clock: the file says by how many seconds it is wrong.
pub(crate) fn clock(stage: &Stage, file: &Path, steps: &[Step<ClockOffset>]) {
    play(stage, "clock", steps, |step| {
        set_clock(file, step.action.0);
        stage.rest(step.lasts);
        set_clock(file, 0);
    });
}

fn set_clock(file: &Path, seconds: i64) {
    let new = file.with_extension("new");
    fs::write(&new, seconds.to_string()).unwrap();
    fs::rename(new, file).unwrap();
}
