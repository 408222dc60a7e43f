//! The reader's view of the snapshots: an existing fetcher and an existing consumer, both in Python, beside the running
//! service. `tests/rest_reader` plays them and judges; here are the feed, the service, Redis, and what befalls them.
//!
//! `make reader SECONDS=60 SEED=7` makes a long run. In it the service fills gaps, since its feed is cut again and again, and
//! shares the vendor's limit of requests with the fetcher: no answer may be a 429.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use uw_websocket_simulator::{Rate, RestLimits, RestOptions, Simulator, SimulatorHandle, SimulatorOptions};

use crate::support::logs::Lines;
use crate::support::poller::{Poller, Shares};
use crate::support::python::interpreter;
use crate::support::sample::NOON_MS;
use crate::support::{Feed, RedisServer, Service, Setup, asked, wait_for};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rest_reader");
/// The time of the runs that every `make test` does; the beginning and the last comparison come on top.
const SHORT: Duration = Duration::from_secs(8);
/// How long the service, or Redis, is away.
const AWAY: Duration = Duration::from_millis(700);
/// For the last pass of the fetcher, the last healing and the last comparison, on a machine that compiles something else.
const VERDICT: Duration = Duration::from_secs(60);
/// What the simulator makes beside the events of the script. Prices are the script's alone: a stock has one.
const CHANNELS: &str = "option_trades,gex_strike_expiry,gex_strike,gex,flow-alerts,news";
const EVENTS_A_SECOND: u32 = 150;
/// The vendor's requests per minute, for the fetcher and the service together.
const LIMIT: u32 = 100;
/// Interval of the cuts of the feed: the gaps of all channels keep the fill at its limit.
const CUT_EVERY: Duration = Duration::from_secs(30);

/// The running script; killed with the value.
struct Script {
    child: Child,
    stdin: ChildStdin,
    stderr: Lines,
    threads: Vec<JoinHandle<()>>,
}

impl Script {
    fn start(redis: &RedisServer, simulator: &Arc<SimulatorHandle>, symbols: &str, seed: u64) -> Script {
        let mut child = Command::new(interpreter())
            .args(["-B", SCRIPT, "--redis", &redis.url(), "--symbols", symbols])
            .args(["--seed", &seed.to_string(), "--noon-ms", &NOON_MS.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let stderr = Lines::default();
        let simulator = Arc::clone(simulator);
        let relay = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let mut words = line.splitn(3, ' ');
                if let (Some("send"), Some(topic), Some(payload)) = (words.next(), words.next(), words.next())
                {
                    // while the service is away nobody gets it: what did not come is in no body
                    simulator.send_text(topic, payload);
                }
            }
        });
        let threads = vec![relay, stderr.collect(child.stderr.take().unwrap())];
        Script { child, stdin, stderr, threads }
    }

    fn tell(&mut self, word: &str) {
        writeln!(self.stdin, "{word}").expect("the script reads");
    }

    /// Tells it that time is over, and waits for its verdict.
    #[track_caller]
    fn judge(mut self) -> Result<String, String> {
        self.tell("end");
        let status = wait_for("the script has judged", VERDICT, || {
            self.child.try_wait().unwrap().ok_or_else(|| self.stderr.all().join("\n"))
        });
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
        let verdict = self.stderr.all().join("\n");
        if status.success() { Ok(verdict) } else { Err(verdict) }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// One run: everything that is real, and the script that watches it.
struct Run {
    simulator: Arc<SimulatorHandle>,
    redis: RedisServer,
    setup: Setup,
    service: Service,
    script: Script,
}

impl Run {
    fn begin(symbols: &str, seed: u64) -> Run {
        Run::with_settings(symbols, seed, &[])
    }

    /// With a fetcher that asks the vendor as well, while the service fills gaps.
    fn begin_filling(symbols: &str, seed: u64) -> (Run, Poller) {
        let limit = LIMIT.to_string();
        let settings = [
            ("ENABLE_BACKFILL", "true"),
            ("ENABLE_AUDIT", "true"),
            ("RATE_LIMIT_REQUESTS_PER_MINUTE", &limit),
        ];
        let run = Run::with_settings(symbols, seed, &settings);
        let poller = Poller::start(&run.simulator, LIMIT, symbols);
        (run, poller)
    }

    fn with_settings(symbols: &str, seed: u64, settings: &[(&str, &str)]) -> Run {
        println!("seed {seed}");
        let redis = RedisServer::start_durable();
        let limits = RestLimits { per_minute: LIMIT, ..RestLimits::default() };
        let options = SimulatorOptions {
            rest: (!settings.is_empty()).then(|| RestOptions { limits, ..RestOptions::default() }),
            rate: Rate::PerSecond(EVENTS_A_SECOND),
            channels_only: CHANNELS.split(',').map(str::to_owned).collect(),
            seed,
            ..SimulatorOptions::default()
        };
        let simulator = Arc::new(Simulator::start(options).unwrap());
        // its own feed is replaced by the simulator
        let setup = Setup::new(&Feed::start(), &redis)
            .set("UNUSUAL_WHALES_WEBSOCKET_URL", &simulator.url())
            .set("TARGET_SYMBOLS", symbols)
            // a run that is longer than the usual time ends with every event in the bodies, too, that came before a kill
            .set("SPOOL_KEEP", "1h")
            .set("UNUSUAL_WHALES_REST_URL", &simulator.rest_url());
        let setup = settings.iter().fold(setup, |setup, (name, value)| setup.set(name, value));
        let service = setup.clone().start_ready();
        let script = Script::start(&redis, &simulator, symbols, seed);
        Run { simulator, redis, setup, service, script }
    }

    fn kill_the_service(mut self) -> Run {
        self.script.tell("trouble");
        self.service.kill9();
        pass(AWAY);
        // nobody shall wait for the lease of a process that was killed
        self.redis.command::<u64>(&["DEL", "uw:ws:owner"]);
        let service = self.service.start_again(&self.setup);
        service.wait_until_ready();
        self.script.tell("well");
        Run { service, ..self }
    }

    fn pause_redis(mut self) -> Run {
        self.trouble_with_redis(|redis| {
            redis.pause();
            pass(AWAY);
            redis.resume();
        });
        self
    }

    fn restart_redis(mut self) -> Run {
        self.trouble_with_redis(|redis| {
            redis.kill9();
            pass(AWAY);
            redis.restart(&[]);
        });
        self
    }

    /// Lets time pass, in which the feed is cut now and then.
    fn pass_with_cuts(mut self, time: Duration) -> Run {
        let began = Instant::now();
        while began.elapsed() < time {
            pass(CUT_EVERY.min(time.saturating_sub(began.elapsed())));
            // late writes are put away by what comes next, and nothing comes meanwhile
            self.script.tell("trouble");
            self.simulator.cut_all();
            self.service.wait_until_ready();
            self.script.tell("well");
        }
        self
    }

    fn trouble_with_redis(&mut self, make: impl FnOnce(&mut RedisServer)) {
        self.script.tell("trouble");
        make(&mut self.redis);
        self.service.wait_until_ready();
        self.service.wait_until_settled();
        self.script.tell("well");
    }

    #[track_caller]
    fn end(self) {
        self.simulator.pause();
        match self.script.judge() {
            Ok(verdict) => println!("{verdict}"),
            Err(verdict) => {
                let (_, metrics) = self.service.get("/metrics");
                let counts: Vec<&str> =
                    metrics.lines().filter(|line| line.starts_with("uw_ws_snapshot_")).collect();
                panic!("{verdict}\n{}", counts.join("\n"));
            }
        }
        self.service.finish();
    }
}

/// Lets time pass, in which the script watches.
fn pass(time: Duration) {
    let began = Instant::now();
    while began.elapsed() < time {
        std::thread::park_timeout(time.saturating_sub(began.elapsed()));
    }
}

#[test]
fn a_reader_cannot_tell_who_wrote_last() {
    let run = Run::begin("SPY,QQQ,IWM", 1);
    pass(SHORT);
    run.end();
}

#[test]
fn a_reader_sees_no_step_back_when_the_service_is_killed() {
    let run = Run::begin("SPY,QQQ", 2);
    pass(SHORT / 2);
    let run = run.kill_the_service();
    pass(SHORT / 2);
    run.end();
}

#[test]
fn a_reader_sees_no_step_back_when_redis_hangs_and_restarts() {
    let run = Run::begin("SPY,QQQ", 3);
    pass(SHORT / 3);
    let run = run.pause_redis();
    pass(SHORT / 3);
    let run = run.restart_redis();
    pass(SHORT / 3);
    run.end();
}

#[test]
#[ignore = "as long as it is told to: make reader"]
fn long_run() {
    let seed = asked("READER_SEED").unwrap_or_else(|| fastrand::u64(0..1_000_000));
    let quarter = Duration::from_secs(asked("READER_SECONDS").unwrap_or(60)) / 4;
    let (run, poller) = Run::begin_filling("SPY,QQQ,IWM", seed);
    let run = run.pass_with_cuts(quarter).kill_the_service();
    let run = run.pass_with_cuts(quarter).pause_redis();
    let run = run.pass_with_cuts(quarter).restart_redis();
    let run = run.pass_with_cuts(quarter);
    let (answers, shares) = (poller.stop(), Shares::of(&run.simulator));
    let fills: usize = run.redis.command(&["XLEN", "uw:ws:fills"]);
    println!("the fetcher's answers: {answers}; {fills} fills; {shares:?}");
    run.end();
    // a gap is settled after a minute: a shorter run has none to fill
    if 4 * quarter > 2 * CUT_EVERY + Duration::from_secs(60) {
        assert!(fills > 0);
        shares.assert_within(LIMIT as usize);
    }
    assert_eq!(shares.limited, [0, 0], "{shares:?}");
}
