//! The vendor's limit of requests is shared: a fill leaves the fetcher its part. `make reader` has the long run.

use uw_websocket_simulator::{
    Misbehaviour, MisbehaviourKind, Rate, RestLimits, RestOptions, Simulator, SimulatorOptions, Spread,
};

use crate::support::poller::{Poller, Shares};
use crate::support::{Feed, RedisServer, SOON, Setup, wait_for};

/// Requests per minute over both.
const LIMIT: u32 = 40;
/// The service's part of them, which it needs several times over.
const OURS: u32 = 15;
/// Seconds by which the clock steps, so that late rows are not waited for.
const STEP: &str = "100";

#[test]
fn a_fill_that_needs_more_than_its_part_leaves_the_fetcher_the_rest() {
    let limits = RestLimits { per_minute: LIMIT, ..RestLimits::default() };
    let simulator = Simulator::start(SimulatorOptions {
        rest: Some(RestOptions { limits, ..RestOptions::default() }),
        rate: Rate::PerSecond(200),
        spread: Spread::Even,
        ..SimulatorOptions::default()
    });
    let (simulator, redis) = (simulator.unwrap(), RedisServer::start());
    let setup = Setup::new(&Feed::start(), &redis);
    let clock = setup.folder().join("clock");
    let service = setup
        .set("UNUSUAL_WHALES_WEBSOCKET_URL", &simulator.url())
        .set("UNUSUAL_WHALES_REST_URL", &simulator.rest_url())
        .set("UW_WEBSOCKET_CLOCK_OFFSET_FILE", clock.to_str().unwrap())
        .set("CHANNELS", "option_trades")
        .set("ENABLE_BACKFILL", "true")
        .set("RATE_LIMIT_REQUESTS_PER_MINUTE", &LIMIT.to_string())
        .set("REST_REQUESTS_PER_MINUTE", &OURS.to_string())
        .start_ready();
    // more than 500 rows for each request of a minute; handshakes count, so one attempt at a time is refused
    let unsent = || simulator.generated().iter().filter(|event| event.is_unsent).count();
    simulator
        .also_misbehave(Misbehaviour::new(MisbehaviourKind::Refuse { status: 503, retry_after: Some(3) }));
    simulator.cut_all();
    simulator.set_rate(Rate::PerSecond(10_000));
    wait_for("more is missed than a minute's requests can fetch", SOON, || {
        let missed = unsent();
        if missed > 500 * OURS as usize { Ok(()) } else { Err(format!("{missed} missed")) }
    });
    simulator.set_rate(Rate::PerSecond(200));
    simulator.behave();
    wait_for("the gap is on record", SOON, || {
        let gaps: usize = redis.command(&["XLEN", "uw:ws:gaps"]);
        if gaps > 0 { Ok(()) } else { Err("no gap".to_owned()) }
    });
    simulator.pause();
    service.wait_until_settled();
    // quicker than the real one: its part of a minute takes seconds
    let poller = Poller::start(&simulator, 10_000, "SPY,QQQ");
    std::fs::write(&clock, STEP).unwrap();
    let shares = wait_for("both have asked for their parts", SOON, || {
        let shares = Shares::of(&simulator);
        let [theirs, ours] = shares.requests;
        let is_over = theirs >= 12 && ours >= 5;
        if is_over { Ok(shares) } else { Err(format!("{shares:?}")) }
    });
    poller.stop();
    shares.assert_within(LIMIT as usize);
    assert!(shares.requests[1] <= OURS as usize, "{shares:?}");
    let pending = service.status()["fills"]["pending"].as_u64().unwrap();
    assert!(pending > 0, "the fill waits for its next minute");
    service.finish();
}
