//! What other clients have written under the keys of the filler: it is left alone, counted and said; the process goes on,
//! and the gaps that come after it are filled.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::{Feed, RedisServer, SOON, Service, Setup, wait_for};

/// A topic without an endpoint: its fill ends at once, and so shows that the filler is at work.
const HOPELESS: &str = "gex_strike_expiry:SPY";
const JOBS: &str = "uw:ws:fill";
const MAX: u64 = u64::MAX;

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

struct World {
    redis: RedisServer,
    setup: Setup,
    _feed: Feed,
}

impl World {
    /// The REST side refuses connections: fills that need it are tried again and again.
    fn start() -> World {
        let (feed, redis) = (Feed::start(), RedisServer::start());
        let setup = Setup::new(&feed, &redis)
            .set("CHANNELS", "option_trades")
            .set("ENABLE_BACKFILL", "true")
            .set("UNUSUAL_WHALES_REST_URL", "http://127.0.0.1:1");
        World { redis, setup, _feed: feed }
    }

    fn write_job(&self, job: &Value) {
        let name = format!("{} {}", job["gap"].as_str().unwrap(), job["topic"].as_str().unwrap());
        self.redis.command::<u64>(&["HSET", JOBS, &name, &job.to_string()]);
    }

    /// Records a gap between two times; returns its entry.
    fn record(&self, channels: &str, from: &str, to: &str) -> String {
        let fields = ["family", "gex", "channels", channels, "from", from, "to", to, "reason", "disconnect"];
        self.redis.command(&[&["XADD", "uw:ws:gaps", "*"][..], &fields].concat())
    }

    /// A gap that is recorded now comes to its end.
    #[track_caller]
    fn assert_at_work(&self, service: &Service) {
        let at = "2026-01-02T15:00:00.000000+00:00";
        let gap = self.record(HOPELESS, at, at);
        wait_for("the filler is at work", 2 * SOON, || {
            let fills: Vec<(String, Vec<String>)> = self.redis.command(&["XRANGE", "uw:ws:fills", "-", "+"]);
            let has_ended = fills.iter().any(|(_, fields)| fields.contains(&gap));
            if has_ended { Ok(()) } else { Err(format!("{gap} is not among {fills:?}")) }
        });
        assert_eq!(service.metrics().sum("uw_ws_actor_restarts_total", &[]), 0);
    }
}

/// A job as the service would write it, of a gap some minutes ago.
fn job(topic: &str, changed: &Value) -> Value {
    let ms = now_ms() - 600_000;
    let mut job = json!({
        "gap": format!("{ms}-0"), "topic": topic, "from_us": (ms - 5_000) * 1000, "to_us": ms * 1000,
        "cursor_us": 0, "span_us": 0, "rows": 0, "known": 0, "canceled": 0, "requests": 0, "failures": 0,
        "failing_since_us": 0, "next_us": 0, "edges": null, "writing": null, "flaw": null, "was_doubted": false,
        "ended": null,
    });
    for (name, value) in changed.as_object().unwrap() {
        job[name] = value.clone();
    }
    job
}

#[test]
fn fields_that_are_no_jobs_hold_up_no_fill_and_are_not_read_again() {
    let world = World::start();
    let make = "redis.call('HSET', KEYS[1], '1-1 giant:SPY', string.rep('x', 4000000))
        for n = 1, 300 do redis.call('HSET', KEYS[1], '1-1 price:S' .. n, string.rep('x', 200000)) end
        return redis.call('HSET', KEYS[1], 'gaps', '4070908800000-0')";
    world.redis.command::<u64>(&["EVAL", make, "1", JOBS]);
    let service = world.setup.clone().start_ready();
    world.assert_at_work(&service);
    let metrics = service.metrics();
    assert_eq!(metrics.sum("uw_ws_distrusted_total", &[("kind", "unreadable")]), 301);
    assert_eq!(metrics.sum("uw_ws_distrusted_total", &[("kind", "future")]), 1, "the last planned gap");
    assert_eq!(
        service.records().iter().filter(|record| record.msg == "fills under way left alone").count(),
        1
    );
    assert!(world.redis.command::<u64>(&["HLEN", JOBS]) >= 302, "they are not ours to remove");
    service.finish();
}

#[test]
fn a_hash_with_more_fields_than_jobs_holds_up_no_new_fill() {
    let world = World::start();
    let make = "for n = 1, 20000 do redis.call('HSET', KEYS[1], 'f ' .. n, 'x') end return 1";
    world.redis.command::<u64>(&["EVAL", make, "1", JOBS]);
    let service = world.setup.clone().start_ready();
    world.assert_at_work(&service);
    assert_eq!(service.metrics().sum("uw_ws_distrusted_total", &[("kind", "too_large")]), 1);
    service.finish();
}

#[test]
fn jobs_of_the_future_and_of_infinite_numbers_end_nothing() {
    let world = World::start();
    let id = format!("{MAX}-{MAX}");
    let writing = json!({"first": id, "rows": MAX, "canceled": MAX, "known": MAX, "cursor_us": MAX});
    for (topic, changed) in [
        ("option_trades:A", json!({"requests": u32::MAX})),
        ("option_trades:B", json!({"requests": u32::MAX, "failures": u32::MAX, "failing_since_us": MAX})),
        ("option_trades:C", json!({"from_us": MAX, "to_us": 0, "cursor_us": MAX, "span_us": MAX})),
        ("option_trades:D", json!({"from_us": 0, "to_us": MAX, "rows": MAX, "known": MAX, "canceled": MAX})),
        ("option_trades:E", json!({"writing": writing, "rows": 7, "known": 7})),
        ("option_trades:F", json!({"writing": writing, "unused": id})),
        ("flow-alerts", json!({"next_us": MAX})),
        ("news", json!({"ended": {"id": id, "status": "complete", "flaw": null, "at_us": MAX}})),
        ("option_trades:G", json!({"edges": {"fingerprints": "f".repeat(200_000), "are_trimmed": false}})),
    ] {
        world.write_job(&job(topic, &changed));
    }
    // what E has sent seems to have arrived
    world.redis.command::<String>(&["XADD", "uw:ws:backfill:option_trades:E", &id, "payload", "{}"]);
    let service = world.setup.clone().start_ready();
    world.assert_at_work(&service);
    assert!(service.metrics().sum("uw_ws_distrusted_total", &[("kind", "future")]) >= 8);
    let last: Vec<(String, Vec<String>)> =
        world.redis.command(&["XREVRANGE", "uw:ws:fills", "+", "-", "COUNT", "1"]);
    let ms: u64 = last[0].0.split('-').next().unwrap().parse().unwrap();
    assert!(ms < now_ms() + 600_000, "no entry of the future: {last:?}");
    service.finish();
}

#[test]
fn keys_of_another_type_put_their_fills_off_and_the_others_go_on() {
    let world = World::start();
    for key in ["uw:ws:backfill:option_trades:SPY", "uw:ws:option_trades:QQQ"] {
        world.redis.command::<String>(&["SET", key, "x"]);
    }
    let writing = json!({"first": "5-5", "rows": 1, "canceled": 0, "known": 0, "cursor_us": 1});
    world.write_job(&job("option_trades:SPY", &json!({"writing": writing})));
    let service = world.setup.clone().start_ready();
    let at = jiff::Timestamp::now().to_string();
    world.record("option_trades:QQQ", &at, &at);
    world.assert_at_work(&service);
    wait_for("the key is named", SOON, || {
        let records = service.records();
        let put_off = records.iter().find(|record| record.msg == "fill put off");
        put_off.map(|record| record.text("error")).ok_or_else(|| "not yet".to_owned())
    });
    let put_off = service.records().into_iter().find(|record| record.msg == "fill put off").unwrap();
    assert!(put_off.text("error").contains("uw:ws:backfill:option_trades:SPY"), "{put_off:?}");
    service.finish();
}

#[test]
fn gaps_that_name_too_much_or_end_in_the_future_are_no_gaps_of_ours() {
    let world = World::start();
    let names: Vec<String> = (0..200_000).map(|n| format!("option_trades:S{n}")).collect();
    let at = "2026-01-02T15:00:00.000000+00:00";
    world.record(&names.join(","), at, at);
    let future = world.record("option_trades:SPY", at, "2099-01-02T15:00:00.000000+00:00");
    let service = world.setup.clone().start_ready();
    world.assert_at_work(&service);
    assert_eq!(service.metrics().sum("uw_ws_distrusted_total", &[("kind", "future")]), 1);
    let job: String = world.redis.command(&["HGET", JOBS, &format!("{future} option_trades:SPY")]);
    let job: Value = serde_json::from_str(&job).unwrap();
    assert!(job["to_us"].as_u64().unwrap() < (now_ms() + 300_000) * 1000, "{job}");
    service.finish();
}

#[test]
fn the_ledger_is_printed_where_the_keys_of_the_filler_are_not_what_they_should_be() {
    let world = World::start();
    world.record(HOPELESS, "2026-01-02T15:00:00.000000+00:00", "2026-01-02T15:00:05.000000+00:00");
    for key in [JOBS, "uw:ws:fills"] {
        world.redis.command::<String>(&["SET", key, "x"]);
        let (code, printed, complained) = world.setup.output(&["gaps", "--since", "-"]);
        assert_eq!(code, Some(0), "{complained}");
        assert!(printed.contains(HOPELESS) && complained.contains(key), "{printed}{complained}");
        world.redis.command::<u64>(&["DEL", key]);
    }
}
