//! The pictures of the status page in `docs/`: `make screenshots`.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use uw_websocket_simulator::{Rate, Simulator, SimulatorHandle, SimulatorOptions};

use super::{ALL_IS_WELL, open, wait_for_headline};
use crate::support::browser::{Browser, DESK, PHONE};
use crate::support::proxy::{Mode, Proxy};
use crate::support::{Feed, RedisServer, Setup, wait_for, wait_until};

/// For the lines to be full, which takes ten minutes.
const FULL: Duration = Duration::from_secs(700);
/// For an outage to be seen in the lines.
const OUTAGE: Duration = Duration::from_secs(90);
/// Between two changes of the rate.
const BEAT: Duration = Duration::from_secs(2);
/// The upper part of the page, with everything that an outage changes in it.
const UPPER_PART: u32 = 780;

#[test]
#[ignore = "takes twelve minutes: make screenshots"]
fn screenshots() {
    let simulator = Simulator::start(SimulatorOptions::default()).unwrap();
    let (line, redis) = (Proxy::start(simulator.addr()), RedisServer::start());
    redis.config_set("maxmemory", "16gb");
    let service = Setup::new(&Feed::start(), &redis)
        .set("UNUSUAL_WHALES_WEBSOCKET_URL", &format!("ws://{}/socket", line.address()))
        .set("TARGET_SYMBOLS", "SPY,QQQ,IWM")
        .start_ready();
    let page = open(&service, DESK);
    let full = "/last 10 min/.test(document.querySelector('.spark')?.ariaLabel)";
    wander(&simulator, "the lines are full", FULL, || page.evaluate(full));
    wait_for_headline(&page, ALL_IS_WELL);
    let height = page.evaluate("document.documentElement.scrollHeight").as_u64().unwrap();
    take(&page, "status-page", DESK.width, u32::try_from(height).unwrap());
    page.look(PHONE);
    take(&page, "status-page-phone", PHONE.width, PHONE.height);
    page.look(DESK);

    redis.pause();
    let oldest = "/^([3-9]. s|. min)/.test(document.querySelector('#spool [data-head=Oldest]').innerText)";
    wander(&simulator, "events have waited for half a minute", OUTAGE, || page.evaluate(oldest));
    take(&page, "status-page-redis-away", DESK.width, UPPER_PART);
    redis.resume();
    wait_for_headline(&page, ALL_IS_WELL);

    line.set(Mode::Refuse);
    let lasted =
        "/^([3-9]. s|. min)/.test(document.querySelector('#open-gaps [data-head=Lasted]')?.innerText)";
    wander(&simulator, "the gap has lasted for half a minute", OUTAGE, || page.evaluate(lasted));
    take(&page, "status-page-feed-away", DESK.width, UPPER_PART);
}

/// Changes the rate of the feed up and down until `look` says true.
fn wander(simulator: &SimulatorHandle, what: &str, limit: Duration, look: impl Fn() -> Value) {
    let mut rate = 100_u32;
    wait_for(what, limit, || {
        rate = (rate * fastrand::u32(85..=115) / 100 + fastrand::u32(0..8)).clamp(40, 260);
        simulator.set_rate(Rate::PerSecond(rate));
        let deadline = Instant::now() + BEAT;
        wait_until("the rate has been looked at", 2 * BEAT, || Instant::now() > deadline, String::new);
        if look() == true { Ok(()) } else { Err("not yet".to_owned()) }
    });
}

fn take(page: &Browser, name: &str, width: u32, height: u32) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(name).with_extension("png"), page.screenshot(width, height)).unwrap();
}
