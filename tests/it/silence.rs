//! A socket that is open and brings nothing: how long is too long follows the cadence that it has shown, in the hours
//! of what it carries.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::sample::payload;
use crate::support::{Feed, RedisServer, SOON, Service, Setup, wait_for, wait_until};

/// 2026-11-30, 11:00 in New York, in Unix seconds.
const MORNING: i64 = 1_796_054_400;
/// Events after which a cadence is known, with some to spare.
const ENOUGH: u64 = 25;

/// A service with one topic in the morning of a trading day, and its clock of silence.
struct Stage {
    feed: Feed,
    redis: RedisServer,
    service: Service,
    folder: TempDir,
    passed_s: u64,
    sent: u64,
}

impl Stage {
    fn open() -> Stage {
        let (feed, redis) = (Feed::start(), RedisServer::start());
        let folder = tempfile::tempdir().unwrap();
        let now_us = uw_websocket_actors::wall_clock::unix_micros();
        let offset_s = MORNING - i64::try_from(now_us / 1_000_000).unwrap();
        std::fs::write(folder.path().join("clock"), offset_s.to_string()).unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let service = Setup::new(&feed, &redis)
            .set("CHANNELS", "price")
            .set("TARGET_SYMBOLS", "SPY")
            .set("UW_WEBSOCKET_CLOCK_OFFSET_FILE", &path("clock"))
            .set("UW_WEBSOCKET_SILENCE_AHEAD_FILE", &path("ahead"))
            .start_ready();
        Stage { feed, redis, service, folder, passed_s: 0, sent: 0 }
    }

    /// Sends an event and waits until it has come through.
    #[track_caller]
    fn event(&mut self) {
        self.feed.wait_for_joins(&["price:SPY"]);
        self.feed.send("price:SPY", &payload("price", "SPY", self.sent));
        self.sent += 1;
        let stored = || self.redis.try_command::<u64>(&["XLEN", "uw:ws:price:SPY"]).unwrap_or(0);
        wait_until("the event is stored", SOON, || stored() == self.sent, || stored().to_string());
    }

    /// Lets so many seconds pass for the watch over silence.
    fn pass(&mut self, seconds: u64) {
        self.passed_s += seconds;
        let [new, current]: [PathBuf; 2] = ["new", "ahead"].map(|name| self.folder.path().join(name));
        std::fs::write(&new, self.passed_s.to_string()).unwrap();
        std::fs::rename(new, current).unwrap();
    }

    /// Waits until the watch has looked at the silence: it does between the answers to two pings.
    #[track_caller]
    fn wait_for_a_look(&self) {
        self.feed.ping("price:SPY");
        self.feed.ping("price:SPY");
    }

    fn gaps(&self) -> Vec<(String, BTreeMap<String, String>)> {
        self.redis.command(&["XRANGE", "uw:ws:gaps", "-", "+"])
    }
}

/// Trades at 11:00:00 and 11:02:00, and a pause of more than eight minutes.
#[test]
fn the_socket_of_a_thin_ticker_outlives_its_pauses_and_nothing_is_missing() {
    let mut stage = Stage::open();
    for pause_s in [120, 500] {
        stage.event();
        stage.pass(pause_s);
        stage.wait_for_a_look();
    }
    stage.event();
    assert_eq!((stage.feed.sessions(), stage.gaps().len()), (1, 0));
    stage.service.finish();
    assert_eq!(stage.feed.sessions(), 1);
}

#[test]
fn the_socket_of_a_thin_ticker_whose_cadence_is_known_outlives_it() {
    let mut stage = Stage::open();
    for _ in 0..ENOUGH {
        stage.event();
        stage.pass(90);
    }
    // less than five of the usual intervals
    stage.pass(210);
    stage.wait_for_a_look();
    stage.event();
    assert_eq!((stage.feed.sessions(), stage.gaps().len()), (1, 0));
    stage.service.finish();
}

#[test]
fn a_dead_socket_of_a_busy_ticker_is_noticed_and_its_gap_says_what_was_usual() {
    let mut stage = Stage::open();
    for _ in 0..ENOUGH {
        stage.pass(2);
        stage.event();
    }
    stage.pass(300);
    let gap = wait_for("the gap is on record", SOON, || {
        stage.gaps().pop().map(|(_, gap)| gap).ok_or_else(|| "none".to_owned())
    });
    assert_eq!((gap["channels"].as_str(), gap["reason"].as_str()), ("price:SPY", "silence"));
    let detail = &gap["detail"];
    let number = |before: &str| -> f64 {
        let rest = detail.split_once(before).unwrap_or_else(|| panic!("{detail}")).1;
        rest.split(' ').next().unwrap().parse().unwrap()
    };
    assert!(number("no event for ") >= 300.0, "{detail}");
    // what the machine took for an event comes on top
    let usual = number("in trading hours; intervals of at most ");
    assert!((2.0..60.0).contains(&usual), "{detail}");
    assert!(detail.ends_with(" s were usual"), "{detail}");
    let lost = stage.service.wait_for_log("the end", |record| record.msg == "disconnected");
    assert_eq!(&lost.text("reason"), detail);

    // the next session brings events, and all is well
    stage.event();
    stage.wait_for_a_look();
    assert_eq!((stage.feed.sessions(), stage.gaps().len()), (2, 1));
    stage.service.finish();
}
