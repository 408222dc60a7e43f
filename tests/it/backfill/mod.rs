//! Gaps are filled over REST: every row once, whatever goes wrong meanwhile.
//!
//! The vendor is the simulator, whose REST API knows what it has generated, whether or not a socket got it. The clock of
//! the service steps over the time that late rows are waited for.

mod archived;
mod global;
mod limits;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use uw_websocket_simulator::{
    Misbehaviour, MisbehaviourKind, Rate, RestFault, RestOptions, Simulator, SimulatorHandle,
    SimulatorOptions, Spread,
};

use crate::support::faults::Fault;
use crate::support::oracle::entries;
use crate::support::{Feed, RedisServer, SOON, Service, Setup, wait_for};

/// Long enough for a machine that compiles something else.
const FILLED: Duration = Duration::from_secs(90);
const TOPICS: [&str; 2] = ["option_trades:QQQ", "option_trades:SPY"];
/// Seconds by which the clock steps: more than the time that late rows are waited for.
const STEP: u64 = 100;

type Fill = BTreeMap<String, String>;

struct World {
    simulator: SimulatorHandle,
    redis: RedisServer,
    setup: Setup,
    clock: PathBuf,
    stepped: u64,
}

impl World {
    fn start() -> World {
        let options = SimulatorOptions {
            rest: Some(RestOptions::default()),
            rate: Rate::PerSecond(300),
            spread: Spread::Even,
            ..SimulatorOptions::default()
        };
        let (simulator, redis) = (Simulator::start(options).unwrap(), RedisServer::start());
        let setup = Setup::new(&Feed::start(), &redis);
        let clock = setup.folder().join("clock");
        let setup = setup
            .set("UNUSUAL_WHALES_WEBSOCKET_URL", &simulator.url())
            .set("UNUSUAL_WHALES_REST_URL", &simulator.rest_url())
            .set("UW_WEBSOCKET_CLOCK_OFFSET_FILE", clock.to_str().unwrap())
            .set("CHANNELS", "option_trades")
            .set("ENABLE_BACKFILL", "true");
        World { simulator, redis, setup, clock, stepped: 0 }
    }

    /// Cuts the feed until this many events have reached no socket, then waits until the gap and all events of some
    /// seconds after it are stored. Returns the gap's entry.
    fn miss(&self, events: usize) -> String {
        let before = self.gaps();
        let unsent = || self.simulator.generated().iter().filter(|event| event.is_unsent).count();
        let missed = unsent();
        self.simulator
            .also_misbehave(Misbehaviour::new(MisbehaviourKind::Refuse { status: 503, retry_after: None }));
        self.simulator.cut_all();
        wait_for("events are missed", SOON, || {
            let missed = unsent() - missed;
            if missed >= events { Ok(()) } else { Err(format!("{missed} missed")) }
        });
        self.simulator.behave();
        let gap = wait_for("the gap is on record", SOON, || {
            let gaps = self.gaps();
            if gaps.len() > before.len() {
                Ok(gaps[gaps.len() - 1].clone())
            } else {
                Err(format!("{gaps:?}"))
            }
        });
        // rows beyond the end are asked for too, so their events have to be received before the clock steps
        let end_us = uw_websocket_core::time::parse_iso(&gap.1["to"]).unwrap() - self.stepped * 1_000_000;
        wait_for("some seconds have passed", SOON, || {
            let newest = self.simulator.generated().last().map_or(0, |event| event.time_us);
            if newest > end_us + 7_000_000 { Ok(()) } else { Err(format!("{newest}")) }
        });
        gap.0
    }

    /// Waits until everything generated and sent is stored, and lets the clock step beyond the settling of the gap.
    fn settle(&mut self, service: &Service) {
        self.simulator.pause();
        service.wait_until_settled();
        self.stepped += STEP;
        std::fs::write(&self.clock, self.stepped.to_string()).unwrap();
    }

    fn gaps(&self) -> Vec<(String, Fill)> {
        self.redis.command(&["XRANGE", "uw:ws:gaps", "-", "+"])
    }

    /// The ended fills of a gap.
    fn fills(&self, gap: &str) -> Vec<Fill> {
        let all: Vec<(String, Fill)> = self.redis.command(&["XRANGE", "uw:ws:fills", "-", "+"]);
        let mut fills: Vec<Fill> =
            all.into_iter().map(|(_, fill)| fill).filter(|fill| fill["gap"] == gap).collect();
        fills.sort_by_key(|fill| fill["topic"].clone());
        fills
    }

    #[track_caller]
    fn wait_for_fills(&self, gap: &str) -> Vec<Fill> {
        let fills = wait_for("the gap is filled", FILLED, || {
            let fills = self.fills(gap);
            if fills.len() >= TOPICS.len() { Ok(fills) } else { Err(format!("{fills:?}")) }
        });
        let topics: Vec<&str> = fills.iter().map(|fill| fill["topic"].as_str()).collect();
        assert_eq!(topics, TOPICS);
        fills
    }

    fn backfill(&self, topic: &str) -> usize {
        self.redis.try_command::<usize>(&["XLEN", &format!("uw:ws:backfill:{topic}")]).unwrap_or(0)
    }

    /// Live and fetched rows together are what was generated, each once; fetched ones stand in the order of time.
    #[track_caller]
    fn assert_complete(&self) {
        let generated = self.simulator.generated();
        let is_wanted = |symbol: &str| TOPICS.iter().any(|topic| topic.ends_with(symbol));
        let generated = generated.iter().filter(|event| is_wanted(&event.symbol));
        let mut generated: Vec<String> =
            generated.filter_map(uw_websocket_simulator::Generated::id).collect();
        let mut had: Vec<String> = Vec::new();
        let id = |payload: &[u8]| {
            serde_json::from_slice::<Value>(payload).unwrap()["id"].as_str().unwrap().to_owned()
        };
        for topic in TOPICS {
            had.extend(
                entries(&self.redis, &format!("uw:ws:{topic}")).iter().map(|entry| id(&entry.payload)),
            );
            had.extend(self.rows(topic).iter().map(|row| row["id"].as_str().unwrap().to_owned()));
        }
        generated.sort_unstable();
        had.sort_unstable();
        let doubled = had.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert_eq!((had.len(), doubled), (generated.len(), 0));
        assert_eq!(had, generated);
    }

    fn rows(&self, topic: &str) -> Vec<Value> {
        let rows: Vec<(String, Fill)> =
            self.redis.command(&["XRANGE", &format!("uw:ws:backfill:{topic}"), "-", "+"]);
        rows.iter().map(|(_, row)| serde_json::from_str(&row["payload"]).unwrap()).collect()
    }
}

#[track_caller]
fn assert_ended(fills: &[Fill], status: &str, reason: &str) {
    for fill in fills {
        assert_eq!((fill["status"].as_str(), fill["reason"].as_str()), (status, reason), "{fill:?}");
    }
}

#[test]
fn a_feed_that_was_cut_is_filled_completely_and_each_row_once() {
    let mut world = World::start();
    let service = world.setup.clone().start_ready();
    let gap = world.miss(900);
    world.settle(&service);
    let fills = world.wait_for_fills(&gap);
    assert_ended(&fills, "complete", "");
    world.assert_complete();
    for topic in TOPICS {
        let times: Vec<String> =
            world.rows(topic).iter().map(|row| row["executed_at"].as_str().unwrap().to_owned()).collect();
        assert!(times.is_sorted(), "{topic}");
    }
    let rows: Vec<(String, Fill)> =
        world.redis.command(&["XRANGE", "uw:ws:backfill:option_trades:SPY", "-", "+", "COUNT", "1"]);
    assert_eq!((&rows[0].1["gap"], rows[0].1["source"].as_str()), (&gap, "option-trades"));
    let mut fields: Vec<String> = world.redis.command(&["HKEYS", "uw:ws:fill"]);
    fields.sort_unstable();
    assert_eq!(fields, ["gaps", "requests"], "no job is left");
    let written: u64 = fills.iter().map(|fill| fill["rows"].parse::<u64>().unwrap()).sum();
    let metrics = service.metrics();
    assert_eq!(metrics.sum("uw_ws_fill_rows_total", &[("channel", "option_trades")]), written);
    assert_eq!(metrics.sum("uw_ws_fills_total", &[("channel", "option_trades"), ("status", "complete")]), 2);
    assert_eq!(metrics.sum("uw_ws_fills_pending", &[]), 0);
    assert_eq!(service.status()["fills"]["filled"], 2);
    let (code, gaps) = world.setup.command(&["gaps", "--json"]);
    let line: Value = serde_json::from_str(gaps.lines().next().unwrap()).unwrap();
    assert_eq!(
        (code, &line["filled"], &line["rows"]),
        (Some(0), &Value::from("complete"), &Value::from(written))
    );
    let (_, out, err) = world.setup.output(&["gaps", "fill", "--dry-run"]);
    assert!(out.is_empty() && err.contains("nothing to fill"), "{out}{err}");
    service.finish();
}

#[test]
fn kills_in_the_middle_of_a_fill_leave_each_row_once() {
    let mut world = World::start();
    let mut service = world.setup.clone().start_ready();
    let gap = world.miss(2_500);
    world.settle(&service);
    let mut seen = 0;
    for _ in 0..5 {
        seen = wait_for("the fill gets on", FILLED, || {
            let rows: usize = TOPICS.iter().map(|topic| world.backfill(topic)).sum();
            let is_over = world.fills(&gap).len() == TOPICS.len();
            if rows > seen || is_over { Ok(rows) } else { Err(format!("{rows} rows")) }
        });
        service.kill9();
        service = world.setup.clone().start();
    }
    assert_ended(&world.wait_for_fills(&gap), "complete", "");
    world.assert_complete();
    service.wait_until_ready();
    service.finish();
}

/// A gap is filled completely, each row once, after the REST API has failed like this at first.
#[track_caller]
fn assert_filled_despite(faults: &[&str]) {
    let mut world = World::start();
    let service = world.setup.clone().start_ready();
    let gap = world.miss(600);
    world.simulator.rest_misbehave(faults.iter().map(|fault| fault.parse::<RestFault>().unwrap()));
    world.settle(&service);
    assert_ended(&world.wait_for_fills(&gap), "complete", "");
    world.assert_complete();
    service.finish();
}

#[test]
fn an_endpoint_that_fails_is_asked_again() {
    assert_filled_despite(&["reset=body@1", "cut@2", "redirect=http://127.0.0.1:1/@3"]);
}

/// A limit that passes within a second, and refusals of the edge. The limit per minute takes its minute: the client's
/// tests have it.
#[test]
fn a_limit_and_the_edge_are_waited_out() {
    assert_filled_despite(&["limit-in-flight@1", "edge@2", "fail=503,html@3"]);
}

#[test]
fn a_refused_token_stops_rest_and_nothing_else() {
    let mut world = World::start();
    let service = world.setup.clone().start_ready();
    let gap = world.miss(100);
    world.simulator.rest_misbehave(["denied".parse::<RestFault>().unwrap()]);
    world.settle(&service);
    service.wait_for_log("the refusal", |record| record.msg == "rest refuses the token");
    let stored = service.metrics().sum("uw_ws_events_stored_total", &[]);
    world.simulator.resume();
    service.wait_for_metric("uw_ws_events_stored_total", &[], stored + 500);
    let requests = world.simulator.rest_requests();
    assert_eq!(requests.iter().filter(|request| request.endpoint != "socket").count(), 1);
    assert_eq!(service.status()["fills"]["pending"], 2);
    assert_eq!(world.fills(&gap).len(), 0);
    service.finish();
}

#[test]
fn a_fill_is_asked_for_by_hand() {
    let mut world = World::start();
    let service = world.setup.clone().start_ready();
    let gap = world.miss(300);
    world.simulator.rest_misbehave(["look-back".parse::<RestFault>().unwrap()]);
    world.settle(&service);
    assert_ended(&world.wait_for_fills(&gap), "impossible", "out_of_window");
    world.simulator.rest_behave();
    let (code, plan) = world.setup.command(&["gaps", "fill", "--dry-run"]);
    assert_eq!(code, Some(0));
    assert!(plan.contains("option_trades:SPY") && plan.contains("2 fills, some "), "{plan}");
    assert_eq!(world.fills(&gap).len(), 2, "a plan asks for nothing");
    let (code, out, _) = world.setup.clone().set("ENABLE_BACKFILL", "false").output(&["gaps", "fill"]);
    assert_eq!(code, Some(78), "{out}");
    let (code, out) = world.setup.command(&["gaps", "fill"]);
    assert_eq!((code, out.matches("complete").count()), (Some(0), 2), "{out}");
    world.assert_complete();
    service.finish();
}

/// Redis takes no writes, hangs up, and is another instance's meanwhile.
#[test]
fn redis_away_and_a_takeover_in_the_middle_leave_each_row_once() {
    let mut world = World::start();
    let first = world.setup.clone().start_ready();
    let standby_folder = world.setup.folder().join("standby").display().to_string();
    let mut second = world.setup.clone().set("SPOOL_DIR", &standby_folder).start();
    let gap = world.miss(2_500);
    // a topic takes six or seven requests: this one is of the second
    world.simulator.rest_misbehave(["slow-head=3@9".parse::<RestFault>().unwrap()]);
    world.settle(&first);
    wait_for("the fill gets on", FILLED, || {
        let rows: usize = TOPICS.iter().map(|topic| world.backfill(topic)).sum();
        if rows > 0 { Ok(()) } else { Err("no row".to_owned()) }
    });
    let fault = Fault::OutOfMemory.begin(&world.redis);
    first.wait_for_log("the filler notices", |record| record.msg == "filler waits for redis");
    fault.end(&world.redis);
    world.redis.command::<u64>(&["CLIENT", "KILL", "TYPE", "normal"]);
    first.finish();
    assert_ended(&world.wait_for_fills(&gap), "complete", "");
    world.assert_complete();
    second.wait_until_ready();
    assert!(second.is_running());
    second.finish();
}

#[test]
fn what_the_plan_does_not_include_is_impossible_and_said() {
    let mut world = World::start();
    let service = world.setup.clone().start_ready();
    for (fault, reason) in [
        ("look-back", "out_of_window"),
        ("past-session", "past_session"),
        ("missing", "refused"),
        ("scope", "not_entitled"),
    ] {
        world.simulator.resume();
        let gap = world.miss(100);
        world.simulator.rest_misbehave([fault.parse::<RestFault>().unwrap()]);
        world.settle(&service);
        let fills = world.wait_for_fills(&gap);
        assert_ended(&fills, "impossible", reason);
        world.simulator.rest_behave();
    }
    assert_eq!(service.status()["fills"]["impossible"], 8);
    service.finish();
}
