//! Each kind of refusal for too many requests, and the requests of a day: what the filler waits for and what it says.

use std::time::Duration;

use serde_json::Value;
use uw_websocket_simulator::{RestFault, RestLimits};

use super::{Fill, TOPICS, World, assert_ended};
use crate::support::Service;

/// The vendor's minute of these tests.
const SHORT_MINUTE: Duration = Duration::from_secs(2);

impl World {
    /// Requests for rows that the vendor has seen.
    fn requests(&self) -> u64 {
        let requests = self.simulator.rest_requests();
        requests.iter().filter(|request| request.endpoint == "option-trades").count() as u64
    }

    /// What `gaps` shows of a gap.
    fn shown(&self, gap: &str) -> Value {
        let (code, gaps) = self.setup.command(&["gaps", "--json"]);
        assert_eq!(code, Some(0));
        let mut lines = gaps.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.find(|line| line["id"] == gap).unwrap()["filled"].clone()
    }

    /// Kills the service and starts it again with a setting.
    fn restart(&self, mut service: Service, max_per_day: &str) -> Service {
        service.kill9();
        self.setup.clone().set("BACKFILL_MAX_REQUESTS_PER_DAY", max_per_day).start_ready()
    }
}

fn limited(service: &Service) -> u64 {
    service
        .metrics()
        .sum("uw_ws_rest_requests_total", &[("endpoint", "option-trades"), ("result", "limited")])
}

fn requests_of(fills: &[Fill]) -> u64 {
    fills.iter().map(|fill| fill["requests"].parse::<u64>().unwrap()).sum()
}

/// A refusal that passes is waited out, and is no request of the fill.
#[track_caller]
fn assert_waited_out(refusal: &str) {
    let mut world = World::start();
    world.simulator.set_rest_limits(RestLimits { minute: SHORT_MINUTE, ..RestLimits::default() });
    let service = world.setup.clone().start_ready();
    let gap = world.miss(200);
    world.simulator.rest_misbehave([refusal.parse::<RestFault>().unwrap()]);
    world.settle(&service);
    let fills = world.wait_for_fills(&gap);
    assert_ended(&fills, "complete", "");
    world.assert_complete();
    assert_eq!((limited(&service), world.requests()), (1, requests_of(&fills) + 1));
    assert_eq!(world.shown(&gap), "complete");
    service.finish();
}

#[test]
fn a_used_up_minute_is_waited_out_as_its_header_says() {
    assert_waited_out("limit-minute@1");
}

#[test]
fn too_many_requests_in_flight_are_waited_out() {
    assert_waited_out("limit-in-flight@1");
}

#[test]
fn a_retry_after_in_seconds_is_waited_for() {
    assert_waited_out("limit-minute=1@1");
}

#[test]
fn a_retry_after_as_a_date_is_waited_for() {
    assert_waited_out("limit-in-flight=date@1");
}

/// A refusal that lasts longer than a test is said and leaves the fill pending; the next process knows nothing of it.
#[track_caller]
fn assert_pending(refusals: &[&str]) {
    let mut world = World::start();
    let service = world.setup.clone().start_ready();
    let gap = world.miss(200);
    world.simulator.rest_misbehave(refusals.iter().map(|refusal| refusal.parse::<RestFault>().unwrap()));
    world.settle(&service);
    let record = service.wait_for_log("the pause", |record| record.msg == "fills wait");
    assert!(record.text("error").contains("too many requests"), "{record:?}");
    assert_eq!((limited(&service), world.requests()), (1, 1));
    assert_eq!((world.shown(&gap), world.fills(&gap).len()), ("pending".into(), 0));
    assert_eq!(service.status()["fills"]["pending"], TOPICS.len());
    world.simulator.rest_behave();
    let service = world.restart(service, "6000");
    assert_ended(&world.wait_for_fills(&gap), "complete", "");
    world.assert_complete();
    service.finish();
}

#[test]
fn a_used_up_day_leaves_fills_pending_and_is_said() {
    assert_pending(&["limit-day@1"]);
}

#[test]
fn a_refusal_that_says_nothing_leaves_fills_pending_for_a_minute_and_is_said() {
    assert_pending(&["limit-minute@1", "no-usage@1"]);
}

#[test]
fn a_restart_gives_no_fresh_allowance_for_the_day() {
    let mut world = World::start();
    world.setup = world.setup.set("BACKFILL_MAX_REQUESTS_PER_DAY", "3");
    let service = world.setup.clone().start_ready();
    let gap = world.miss(600);
    world.settle(&service);
    service.wait_for_log("the pause", |record| record.msg == "fills wait");
    assert_eq!(world.requests(), 3);
    let saved: String = world.redis.command(&["HGET", "uw:ws:fill", "requests"]);
    let (day, count) = saved.split_once(' ').unwrap();
    assert_eq!(count, "3");

    let service = world.restart(service, "3");
    service.wait_for_log("the count goes on", |record| record.msg == "requests of the day continued");
    service.wait_for_log("the pause", |record| record.msg == "fills wait");
    assert_eq!((world.requests(), world.shown(&gap)), (3, "pending".into()));

    // whatever another program writes is bounded by the limit, and said
    world.redis.command::<u64>(&["HSET", "uw:ws:fill", "requests", &format!("{day} 99999999999999999999")]);
    let service = world.restart(service, "6000");
    service.wait_for_log("the value is refused", |record| record.msg == "requests of the day unfit");
    service.wait_for_log("the pause", |record| record.msg == "fills wait");
    assert_eq!(world.requests(), 3);

    world.redis.command::<u64>(&["HSET", "uw:ws:fill", "requests", &format!("{day} 4")]);
    let service = world.restart(service, "6000");
    assert_ended(&world.wait_for_fills(&gap), "complete", "");
    world.assert_complete();
    service.finish();
}
