//! Lively traffic of the product's own simulator, thousands of events of all shapes, while things go wrong around it.
//! Every event has a number, so that each of them can be found once and in order.

use uw_websocket_simulator::{
    Misbehaviour, MisbehaviourKind, OddFrame, Rate, Simulator, SimulatorHandle, SimulatorOptions,
    event_number,
};

use crate::support::attack::Attack;
use crate::support::faults::REFUSALS;
use crate::support::oracle::entries;
use crate::support::sample::news;
use crate::support::{Feed, RedisServer, Service, Setup, wait_for};

/// Long enough for a machine that compiles something else.
const TRAFFIC: std::time::Duration = std::time::Duration::from_secs(60);
const EVENTS: u64 = 40_000;
const JOINS: u64 = 12;

fn simulator(rate: Rate, misbehaviours: Vec<Misbehaviour>) -> SimulatorHandle {
    let options = SimulatorOptions {
        rate,
        events: Some(EVENTS),
        start_after_joins: JOINS,
        misbehaviours,
        ..SimulatorOptions::default()
    };
    Simulator::start(options).unwrap()
}

fn start(simulator: &SimulatorHandle, redis: &RedisServer) -> Service {
    // its own feed is replaced by the simulator
    let setup = Setup::new(&Feed::start(), redis);
    setup.set("UNUSUAL_WHALES_WEBSOCKET_URL", &simulator.url()).start()
}

/// Waits until all events were made and stored.
#[track_caller]
fn wait_until_stored(simulator: &SimulatorHandle, service: &Service) {
    wait_for("all events are made and stored", TRAFFIC, || {
        let stored = service.metrics().sum("uw_ws_events_stored_total", &[]);
        if simulator.is_finished() && stored >= EVENTS { Ok(()) } else { Err(format!("{stored} stored")) }
    });
}

/// The streams of the topics hold every number once, rising in each.
#[track_caller]
fn assert_every_number_is_there(simulator: &SimulatorHandle, redis: &RedisServer) {
    let mut all = Vec::new();
    for topic in simulator.topics() {
        let entries = entries(redis, &format!("uw:ws:{topic}"));
        let numbers: Vec<u64> =
            entries.iter().map(|entry| event_number(&topic, &entry.payload).unwrap()).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "the events of {topic} are in order");
        assert!(entries.is_sorted_by(|a, b| a.id < b.id), "the ids of {topic} rise");
        all.extend(numbers);
    }
    all.sort_unstable();
    assert!(all.iter().copied().eq(1..=EVENTS), "{} events, each of them once", all.len());
}

#[test]
fn every_event_is_stored_once_and_in_order_while_redis_fails_in_every_way() {
    // slow enough to last through all faults
    let (simulator, redis) = (simulator(Rate::PerSecond(6_000), Vec::new()), RedisServer::start());
    let service = start(&simulator, &redis);
    for fault in REFUSALS {
        let ongoing = fault.begin(&redis);
        service.wait_for_redis_error(fault.code());
        ongoing.end(&redis);
        redis.command::<u64>(&["CLIENT", "KILL", "TYPE", "normal"]);
    }
    wait_until_stored(&simulator, &service);
    assert_every_number_is_there(&simulator, &redis);
    service.finish();
}

#[test]
fn every_event_is_stored_once_and_in_order_while_clients_attack_the_http_side() {
    let (simulator, redis) = (simulator(Rate::PerSecond(6_000), Vec::new()), RedisServer::start());
    let service = start(&simulator, &redis);
    let attack = Attack::begin(service.http().strip_prefix("http://").unwrap());
    // which asks for `/metrics` all the while
    wait_until_stored(&simulator, &service);
    assert_eq!(service.get("/healthz").0, 200);
    drop(attack);
    assert_every_number_is_there(&simulator, &redis);
    assert_eq!(simulator.handshakes(), 5, "no session was lost");
    assert!(service.peak_resident_bytes() < 256 << 20, "{}", service.peak_resident_bytes());
    service.finish();
}

#[test]
fn frames_that_are_no_events_are_counted_among_the_events() {
    const EVERY: u64 = 200;
    let odd = [
        OddFrame::NotJson,
        OddFrame::InvalidUtf8,
        OddFrame::DeeplyNested,
        OddFrame::WrongShape,
        OddFrame::Binary,
    ];
    let misbehaviours = odd.map(|odd| Misbehaviour::new(MisbehaviourKind::Odd(odd, EVERY)));
    let (simulator, redis) = (simulator(Rate::Max, misbehaviours.into()), RedisServer::start());
    let service = start(&simulator, &redis);
    wait_until_stored(&simulator, &service);
    assert_every_number_is_there(&simulator, &redis);
    let rejected = service.metrics().sum("uw_ws_frames_rejected_total", &[]);
    assert_eq!((rejected, simulator.handshakes()), (simulator.counts().odd_frames, 5));
    assert!(rejected > 500, "{rejected}");
    service.finish();
}

/// The number of symbols whose stream of news holds one event.
fn streams_with_news(redis: &RedisServer, symbols: &[String]) -> usize {
    let length = |symbol: &String| redis.command::<u64>(&["XLEN", &format!("uw:ws:news:{symbol}")]);
    symbols.iter().filter(|symbol| length(symbol) == 1).count()
}

#[test]
fn news_about_many_targets_reaches_all_that_a_record_can_name_and_the_rest_is_counted() {
    let symbols: Vec<String> = (0..300).map(|n| format!("T{n}")).collect();
    let about = |count: usize, n| news(&symbols[..count].iter().map(String::as_str).collect::<Vec<_>>(), n);
    for (count, reached) in [(100, 100), (300, 254)] {
        let (feed, redis) = (Feed::start(), RedisServer::start());
        let setup =
            Setup::new(&feed, &redis).set("CHANNELS", "news").set("TARGET_SYMBOLS", &symbols.join(","));
        let service = setup.start_ready();
        feed.send("news", &about(count, 1));
        service.wait_for_metric("uw_ws_events_stored_total", &[], 1);
        assert_eq!(redis.command::<u64>(&["XLEN", "uw:ws:news"]), 1);
        assert_eq!(streams_with_news(&redis, &symbols), reached);
        let cut =
            service.metrics().sum("uw_ws_events_cut_total", &[("channel", "news"), ("what", "symbols")]);
        assert_eq!(cut, (count - reached) as u64);
        let is_logged = service.records().iter().any(|record| record.msg == "event not everywhere");
        assert_eq!(is_logged, count > reached);
        service.finish();
    }
}
