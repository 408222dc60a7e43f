//! Two instances with one prefix: one joins and writes, the other stands by and takes over. Never do two write.

use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;

use crate::support::oracle::{assert_stream_holds, assert_streams_equal, entries};
use crate::support::sample::payloads;
use crate::support::{Feed, RedisServer, SOON, Service, Setup, has_passed, wait_for, wait_until};

const OWNER: &str = "uw:ws:owner";
const TOPICS: [&str; 5] = ["price:SPY", "option_trades:QQQ", "gex_strike:SPY", "flow-alerts", "news"];
/// Longer than the lease lives.
const LONG: Duration = Duration::from_secs(40);
/// Longer than the last round may be ago.
const ROUNDS_LIMIT: Duration = Duration::from_secs(12);

fn owner(redis: &RedisServer) -> Option<String> {
    redis.try_command::<Option<String>>(&["GET", OWNER]).ok().flatten()
}

fn instance(service: &Service) -> String {
    service.status()["instance"].as_str().unwrap().to_owned()
}

/// Starts an instance that stands by; `Setup` gives each a folder of its own.
#[track_caller]
fn start_standby(feed: &Feed, redis: &RedisServer) -> Service {
    let standby = Setup::new(feed, redis).start();
    standby.wait_for_log("it stands by", |record| record.msg == "standing by");
    standby
}

/// Waits until the feed has a session again with every topic.
#[track_caller]
fn wait_until_joined(feed: &Feed, joins_before: usize) {
    wait_for("the other instance has joined", LONG, || {
        let joins = feed.joins().len();
        if joins >= 2 * joins_before { Ok(()) } else { Err(format!("{joins} joins")) }
    });
}

#[track_caller]
fn assert_stands_by(standby: &Service, owner: &str) {
    let (code, body) = standby.get("/readyz");
    assert_eq!(code, 503);
    assert!(body.contains(&format!("standing by: {owner} holds the lease")), "{body}");
    assert_eq!(standby.get("/healthz").0, 200);
    let status = standby.status();
    assert_eq!((&status["state"], &status["redis_up"]), (&"standby".into(), &true.into()));
    assert_eq!(status["lease"], serde_json::json!({"state": "standby", "owner": owner, "last_error": null}));
    assert_eq!(standby.metrics().sum("uw_ws_lease_held", &[]), 0);
}

#[test]
fn a_second_instance_stands_by_and_joins_nothing() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let first = Service::start(&feed, &redis);
    let (name, joins) = (instance(&first), feed.joins().len());
    assert_eq!(owner(&redis).as_deref(), Some(&*name));
    wait_for("the lease is renewed", SOON, || {
        let left: u64 = redis.command(&["PTTL", OWNER]);
        assert!(left <= 15_000, "{left}");
        if left >= 13_000 { Ok(()) } else { Err(left.to_string()) }
    });
    assert_eq!(first.metrics().sum("uw_ws_lease_held", &[]), 1);

    let mut second = start_standby(&feed, &redis);
    assert_ne!(instance(&second), name);
    assert_stands_by(&second, &name);
    feed.send_all("price:SPY", &payloads("price", "SPY", 0, 100));
    assert_streams_equal(&feed, &redis, &["SPY", "QQQ"]);
    // longer than the health allows between two rounds: the stand-by makes rounds of its own
    let began = Instant::now();
    wait_until("the limit of rounds has passed", LONG, || began.elapsed() > ROUNDS_LIMIT, String::new);
    assert_stands_by(&second, &name);
    assert_eq!(feed.joins().len(), joins, "the stand-by joins nothing");
    assert_eq!(redis.command::<String>(&["HGET", "uw:ws:status", "instance"]), name);
    assert_eq!(second.count_logs("standing by"), 1);

    let asked = Instant::now();
    assert_eq!(second.terminate(), Some(0));
    assert!(!has_passed(asked, Duration::from_secs(2)), "nothing to drain: {:?}", asked.elapsed());
    assert_eq!(owner(&redis), Some(name), "the lease of the owner is left alone");
    first.finish();
}

#[test]
fn after_a_clean_stop_the_standby_takes_over_at_once() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let mut first = Service::start(&feed, &redis);
    let (name, joins) = (instance(&first), feed.joins().len());
    let second = start_standby(&feed, &redis);
    feed.send_all("price:SPY", &payloads("price", "SPY", 0, 100));
    first.wait_for_metric("uw_ws_events_received_total", &[], 100);
    assert_eq!(first.terminate(), Some(0));
    assert_ne!(owner(&redis), Some(name), "there is no lease to wait for");
    wait_until_joined(&feed, joins);
    assert_eq!(first.count_logs("lease released"), 1);
    second.wait_until_ready();
    second.wait_for_log("it took over", |record| record.msg == "took over");
    feed.send_all("price:SPY", &payloads("price", "SPY", 100, 100));
    assert_streams_equal(&feed, &redis, &["SPY", "QQQ"]);
    second.finish();
}

#[test]
fn after_a_kill_9_the_standby_takes_over_once_the_lease_has_expired() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let first = Service::start(&feed, &redis);
    let joins = feed.joins().len();
    let second = start_standby(&feed, &redis);
    first.signal(Signal::KILL);
    // the clock of Redis, which expires the lease
    let killed = SystemTime::now();
    let left = Duration::from_millis(redis.command(&["PTTL", OWNER]));
    assert!(left <= Duration::from_secs(15), "{left:?}");
    wait_until_joined(&feed, joins);
    let took = killed.elapsed().unwrap();
    assert!(took >= left, "the dead owner's lease is waited for: {took:?}, it had {left:?} left");
    second.wait_until_ready();
    assert_eq!(owner(&redis), Some(instance(&second)));
    second.finish();
}

#[test]
fn an_owner_that_was_paused_writes_nothing_more_and_stands_by() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let first = Service::start(&feed, &redis);
    let joins = feed.joins().len();
    let second = start_standby(&feed, &redis);
    let before = payloads("price", "SPY", 0, 100);
    feed.send_all("price:SPY", &before);
    wait_for_prices(&redis, before.len());
    // it has read them and not written them when it is paused
    redis.command::<()>(&["ACL", "SETUSER", "default", "-xadd"]);
    let late = payloads("price", "SPY", 100, 100);
    feed.send_all("price:SPY", &late);
    first.wait_for_metric("uw_ws_spool_events", &[], 100);
    first.signal(Signal::STOP);
    redis.command::<()>(&["ACL", "SETUSER", "default", "+xadd"]);
    wait_until_joined(&feed, joins);
    second.wait_until_ready();
    let after = payloads("price", "SPY", 200, 100);
    feed.send_all("price:SPY", &after);
    let stored = [before, after].concat();
    wait_for_prices(&redis, stored.len());

    first.signal(Signal::CONT);
    let news = first.wait_for_log("it lost the lease", |record| record.msg == "lease lost");
    assert_eq!((news.level, news.text("owner")), ("error", instance(&second)));
    first.wait_for_log("it stands by", |record| record.msg == "standing by");
    assert_stands_by(&first, &instance(&second));
    assert_eq!(feed.open_sessions(), 5, "only the second is connected");
    // the owner stores them, as late
    let stored = [stored, late].concat();
    wait_for_prices(&redis, stored.len());
    assert_stream_holds(&redis, "uw:ws:price:SPY", &stored);
    first.wait_for_log("it has handed it over", |record| record.msg == "backlog handed over");
    second.finish();
    first.wait_until_ready();
    let last = payloads("price", "SPY", 300, 100);
    feed.send_all("price:SPY", &last);
    let stored = [stored, last].concat();
    wait_for_prices(&redis, stored.len());
    assert_stream_holds(&redis, "uw:ws:price:SPY", &stored);
    first.finish();
}

/// Waits until the stream of prices has so many entries.
#[track_caller]
fn wait_for_prices(redis: &RedisServer, count: usize) {
    wait_for("the prices are stored", SOON, || {
        let stored = entries(redis, "uw:ws:price:SPY").len();
        if stored >= count { Ok(()) } else { Err(format!("{stored} are")) }
    });
}

#[test]
fn a_redis_that_lost_the_lease_gives_it_back_to_its_owner() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start());
    let first = Service::start(&feed, &redis);
    let name = instance(&first);
    let second = start_standby(&feed, &redis);
    let losses: [fn(&mut RedisServer); 2] =
        [|redis| redis.command(&["FLUSHALL"]), |redis| redis.restart(&[])];
    for lose in losses {
        lose(&mut redis);
        wait_for("the lease is back", SOON, || match owner(&redis) {
            Some(owner) if owner == name => Ok(()),
            other => Err(format!("{other:?}")),
        });
        first.wait_until_ready();
        assert_stands_by(&second, &name);
    }
    assert_eq!((first.count_logs("lease lost"), second.count_logs("took over")), (0, 0));
    first.finish();
    second.wait_until_ready();
    second.finish();
}

#[test]
fn an_owner_by_presumption_stands_by_when_redis_comes_back_with_another() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start_durable());
    redis.command::<()>(&["SET", OWNER, "another"]);
    redis.kill9();
    let service = Setup::new(&feed, &redis).start();
    feed.wait_for_joins(&TOPICS);
    feed.send_all("price:SPY", &payloads("price", "SPY", 0, 100));
    service.wait_for_metric("uw_ws_events_received_total", &[], 100);
    assert!(service.wait_until_not_ready().contains("\"lease\""));
    redis.restart(&[]);
    service.wait_for_log("it stands by", |record| record.msg == "standing by");
    assert_stands_by(&service, "another");
    wait_until("it has left the feed", SOON, || feed.open_sessions() == 0, || "not".to_owned());
    assert_eq!(redis.command::<u64>(&["EXISTS", "uw:ws:price:SPY"]), 0, "nothing was written");
    // and when that one has died it takes over
    redis.command::<u64>(&["DEL", OWNER]);
    service.wait_for_log("it took over", |record| record.msg == "took over");
    service.wait_until_ready();
    service.finish();
}

#[test]
fn a_redis_user_without_a_right_that_the_lease_needs_ends_the_process_with_78() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    for (user, lacks) in [("no-scripts", "-eval"), ("no-names", "-set")] {
        let rights = ["on", ">secret-of-user", "~uw:*", "+@all", lacks];
        redis.command::<()>(&[&["ACL", "SETUSER", user], &rights[..]].concat());
        let url = format!("redis://{user}:secret-of-user@127.0.0.1:{}/0", redis.port());
        let mut service = Setup::new(&feed, &redis).set("REDIS_URL", &url).start();
        assert_eq!(service.wait_for_exit(SOON), Some(78), "{lacks}");
        let refusal = service.records().into_iter().find(|record| record.msg == "redis refuses the service");
        let error = refusal.unwrap().text("error");
        assert!(
            error.contains("lease") && error.contains("EVAL, STRLEN, GET, SET, PEXPIRE, PTTL"),
            "{error}"
        );
    }
}
