//! The disk queue of an owner that another instance has succeeded: two processes, two folders, one Redis.

mod deaths;

use std::collections::BTreeMap;

use uw_websocket_core::time::parse_iso;
use xxhash_rust::xxh3::xxh3_64;

use crate::archive::archived;
use crate::support::oracle::{assert_stream_holds, entries};
use crate::support::sample::payloads;
use crate::support::{Feed, RedisServer, SOON, Service, Setup, wait_for};

const PRICES: &str = "uw:ws:price:SPY";
const OWNER: &str = "uw:ws:owner";
const OFFER: &str = "uw:ws:late";

type Fields = BTreeMap<String, String>;

/// An owner that has stored `before`, and whose disk queue holds `left`, while its signs of life reach Redis: the state
/// of an owner that writes a backlog.
struct Stranded {
    feed: Feed,
    redis: RedisServer,
    setup: Setup,
    owner: Service,
    standby: Service,
    standby_setup: Setup,
    before: Vec<String>,
    left: Vec<String>,
}

impl Stranded {
    fn new() -> Stranded {
        Stranded::with_standby(|_, standby| standby)
    }

    /// The same, with other settings of the stand-by, given those of both.
    fn with_standby(change: impl Fn(&Setup, Setup) -> Setup) -> Stranded {
        let (feed, redis) = (Feed::start(), RedisServer::start_durable());
        let setup = Setup::new(&feed, &redis).set("ARCHIVE_DIR", "archive");
        let owner = setup.clone().start_ready();
        let before = payloads("price", "SPY", 0, 50);
        feed.send_all("price:SPY", &before);
        wait_for_prices(&redis, before.len());
        let standby_setup = change(&setup, Setup::new(&feed, &redis).set("ARCHIVE_DIR", "archive"));
        let standby = standby_setup.clone().start();
        standby.wait_for_log("it stands by", |record| record.msg == "standing by");
        refuse_entries(&redis);
        let left = payloads("price", "SPY", 50, 100);
        feed.send_all("price:SPY", &left);
        owner.wait_for_metric("uw_ws_spool_events", &[], 100);
        Stranded { feed, redis, setup, owner, standby, standby_setup, before, left }
    }

    /// Lets the stand-by take over and store events; returns them.
    #[track_caller]
    fn let_another_one_follow(&mut self) -> Vec<String> {
        self.take_over();
        let meanwhile = payloads("price", "SPY", 150, 30);
        self.feed.send_all("price:SPY", &meanwhile);
        wait_for_prices(&self.redis, 80);
        meanwhile
    }

    /// Kills the one that took over while 60 prices are on its disk alone, and returns them.
    #[track_caller]
    fn strand_second(&mut self) -> Vec<String> {
        refuse_entries(&self.redis);
        let second = payloads("price", "SPY", 150, 60);
        self.feed.send_all("price:SPY", &second);
        self.standby.wait_for_metric("uw_ws_spool_events", &[], 60);
        self.standby.kill9();
        forget_owner(&self.redis);
        take_entries(&self.redis);
        second
    }

    /// Kills the owner and waits until the other instance is ready.
    #[track_caller]
    fn take_over(&mut self) {
        self.owner.kill9();
        forget_owner(&self.redis);
        take_entries(&self.redis);
        self.standby.wait_until_ready();
    }

    /// Waits until a sign of life that is later than the events on disk has reached Redis.
    #[track_caller]
    fn wait_for_sign_of_life(&self) {
        let before = alive_at(&self.redis);
        wait_for("two signs of life", SOON, || {
            let at = alive_at(&self.redis);
            if at > before + 2_000_000 { Ok(()) } else { Err(format!("{at} follows {before}")) }
        });
    }
}

/// Redis takes everything but entries of streams, as with a writer that is behind.
fn refuse_entries(redis: &RedisServer) {
    redis.command::<()>(&["ACL", "SETUSER", "default", "-xadd"]);
}

fn take_entries(redis: &RedisServer) {
    redis.command::<()>(&["ACL", "SETUSER", "default", "+xadd"]);
}

fn alive_at(redis: &RedisServer) -> u64 {
    let state: serde_json::Value =
        serde_json::from_str(&redis.command::<String>(&["GET", "uw:ws:ledger"])).unwrap();
    parse_iso(state["alive_at"].as_str().unwrap()).unwrap()
}

/// Lets nobody wait for the lease of a process that is dead.
fn forget_owner(redis: &RedisServer) {
    redis.command::<u64>(&["DEL", OWNER]);
}

#[track_caller]
fn wait_for_prices(redis: &RedisServer, count: usize) {
    wait_for("the prices are stored", SOON, || {
        let stored = entries(redis, PRICES).len();
        if stored >= count { Ok(()) } else { Err(format!("{stored} are")) }
    });
}

/// The entries of the ledger for this reason whose channels include the prices.
fn gaps(redis: &RedisServer, reason: &str) -> Vec<Fields> {
    let entries: Vec<(String, Fields)> = redis.command(&["XRANGE", "uw:ws:gaps", "-", "+"]);
    let gaps = entries.into_iter().map(|(_, fields)| fields);
    gaps.filter(|gap| gap["reason"] == reason && gap["channels"].contains("price")).collect()
}

#[track_caller]
fn wait_for_gap(redis: &RedisServer, reason: &str) -> Fields {
    wait_for(&format!("the ledger has `{reason}`"), SOON, || {
        gaps(redis, reason).pop().ok_or_else(|| "it has not".to_owned())
    })
}

#[track_caller]
fn assert_nothing_is_handed_over(redis: &RedisServer) {
    let receipts: Vec<String> = redis.command(&["KEYS", &format!("{OFFER}:*")]);
    assert_eq!((redis.command::<u64>(&["EXISTS", OFFER]), receipts), (0, Vec::new()));
}

/// When the entry was received, in Unix microseconds, rounded down to milliseconds.
#[track_caller]
fn received_at(redis: &RedisServer, payload: &str) -> u64 {
    let stored = entries(redis, PRICES);
    stored.iter().find(|entry| entry.payload == payload.as_bytes()).unwrap().id.0 * 1_000
}

#[track_caller]
fn from_of(gap: &Fields) -> u64 {
    parse_iso(&gap["from"]).unwrap()
}

#[test]
fn the_gap_of_a_dead_owner_begins_where_all_was_stored() {
    let mut stranded = Stranded::new();
    stranded.wait_for_sign_of_life();
    stranded.take_over();
    let gap = wait_for_gap(&stranded.redis, "crash");
    let last = received_at(&stranded.redis, stranded.before.last().unwrap());
    // those on the dead owner's disk came later than the last one stored, and within milliseconds of each other
    assert!(
        from_of(&gap) <= last + 1_000_000,
        "the gap begins at {}, the last was stored at {last}",
        gap["from"]
    );
    assert_stream_holds(&stranded.redis, PRICES, &stranded.before);
    stranded.standby.finish();
}

#[test]
fn an_owner_that_comes_back_as_owner_stores_what_it_had_as_late() {
    let mut stranded = Stranded::new();
    let meanwhile = stranded.let_another_one_follow();
    stranded.standby.finish();
    let back = stranded.setup.clone().start_ready();
    wait_for_prices(&stranded.redis, 180);
    let late = wait_for_gap(&stranded.redis, "late");
    assert_eq!(late["events"], "100");
    assert!(parse_iso(&late["to"]).unwrap() < received_at(&stranded.redis, &meanwhile[0]));
    let last = payloads("price", "SPY", 180, 10);
    stranded.feed.send_all("price:SPY", &last);
    wait_for_prices(&stranded.redis, 190);
    let stored = [stranded.before, meanwhile, stranded.left, last].concat();
    assert_stream_holds(&stranded.redis, PRICES, &stored);
    assert_eq!(back.wait_until_settled().sum("uw_ws_events_late_total", &[]), 100);
    back.finish();
    assert_eq!(gaps(&stranded.redis, "late").len(), 1);
}

#[test]
fn an_owner_that_comes_back_as_standby_hands_over_what_it_had() {
    let mut stranded = Stranded::new();
    stranded.wait_for_sign_of_life();
    stranded.take_over();
    let owner = &stranded.standby;
    let meanwhile = payloads("price", "SPY", 150, 30);
    stranded.feed.send_all("price:SPY", &meanwhile);
    wait_for_prices(&stranded.redis, 80);
    owner.wait_for_metric("uw_ws_left_queue_events", &[], 100);
    let (code, output) = stranded.setup.command(&["check", "--no-feed"]);
    assert_eq!(code, Some(0));
    assert!(output.contains("no former owner's disk queue is waiting"), "its own is not left: {output}");
    let (_, output) = Setup::new(&stranded.feed, &stranded.redis).command(&["check", "--no-feed"]);
    assert!(output.contains("had at least 100 events in its disk queue"), "{output}");

    let back = stranded.setup.clone().start();
    back.wait_for_log("it hands over", |record| record.msg == "backlog handed over");
    let metrics = back.wait_until_settled();
    assert_eq!(metrics.sum("uw_ws_events_stored_total", &[]), 100);
    let late = wait_for_gap(&stranded.redis, "late");
    assert_eq!(late["events"], "100");
    wait_for("nothing is waited for", SOON, || match owner.metrics().sum("uw_ws_left_queues", &[]) {
        0 => Ok(()),
        left => Err(left.to_string()),
    });
    let last = payloads("price", "SPY", 180, 10);
    stranded.feed.send_all("price:SPY", &last);
    wait_for_prices(&stranded.redis, 190);
    let by_the_other = [meanwhile, stranded.left, last].concat();
    let stored = [&stranded.before[..], &by_the_other].concat();
    assert_stream_holds(&stranded.redis, PRICES, &stored);
    assert_eq!(owner.wait_until_settled().sum("uw_ws_events_late_total", &[]), 100);
    back.finish();
    stranded.standby.finish();
    assert_eq!(gaps(&stranded.redis, "late").len(), 1);
    assert_nothing_is_handed_over(&stranded.redis);
    // each event is in the archive of the instance that wrote it
    wait_until_archived(&stranded.setup, &stranded.before);
    wait_until_archived(&stranded.standby_setup, &by_the_other);
}

#[test]
fn an_owner_that_starts_without_redis_learns_first_that_another_one_had_followed() {
    let mut stranded = Stranded::new();
    let meanwhile = stranded.let_another_one_follow();
    stranded.standby.finish();
    stranded.redis.kill9();
    let back = stranded.setup.clone().start();
    back.wait_for_log("it presumes to be the owner", |record| record.msg == "ledger continued");
    stranded.redis.restart(&[]);
    wait_for_prices(&stranded.redis, 180);
    assert_eq!(wait_for_gap(&stranded.redis, "late")["events"], "100");
    let stored = [stranded.before, meanwhile, stranded.left].concat();
    assert_stream_holds(&stranded.redis, PRICES, &stored);
    back.wait_until_ready();
    back.finish();
    assert_eq!(gaps(&stranded.redis, "late").len(), 1);
}

#[test]
fn a_drain_that_does_not_end_in_time_leaves_a_gap_and_its_events_come_late() {
    let mut stranded = Stranded::new();
    assert_eq!(stranded.owner.terminate(), Some(0));
    take_entries(&stranded.redis);
    stranded.standby.wait_until_ready();
    let gap = wait_for_gap(&stranded.redis, "shutdown");
    let last = received_at(&stranded.redis, stranded.before.last().unwrap());
    assert!(from_of(&gap) <= last + 1_000_000, "{} follows {last}", gap["from"]);
    let back = stranded.setup.clone().start();
    wait_for_prices(&stranded.redis, 150);
    assert_eq!(wait_for_gap(&stranded.redis, "late")["events"], "100");
    assert_stream_holds(&stranded.redis, PRICES, &[stranded.before, stranded.left].concat());
    back.finish();
    stranded.standby.finish();
}

#[test]
fn two_owners_that_die_one_after_the_other_lose_and_double_nothing() {
    let mut stranded = Stranded::new();
    stranded.take_over();
    let second_setup = stranded.standby_setup.clone();
    let second = stranded.strand_second();
    let first = stranded.setup.clone().start_ready();
    wait_for_prices(&stranded.redis, 150);
    let back = second_setup.start();
    wait_for_prices(&stranded.redis, 210);
    let stored = [stranded.before, stranded.left, second].concat();
    assert_stream_holds(&stranded.redis, PRICES, &stored);
    back.wait_for_log("it hands over", |record| record.msg == "backlog handed over");
    back.finish();
    first.finish();
    let late: Vec<String> = gaps(&stranded.redis, "late").iter().map(|gap| gap["events"].clone()).collect();
    assert_eq!(late, ["100", "60"]);
}

#[test]
fn a_queue_that_the_other_instance_can_read_is_written_first_and_in_order() {
    let mut stranded = Stranded::with_standby(|owner, standby| {
        standby.set("SPOOL_PEER_DIRS", owner.folder().join("data/spool").to_str().unwrap())
    });
    stranded.wait_for_sign_of_life();
    stranded.take_over();
    let taken =
        stranded.standby.wait_for_log("the queue", |record| record.msg == "disk queue of a peer taken over");
    assert_eq!(taken.keys["events"].as_u64(), Some(100));
    let after = payloads("price", "SPY", 150, 30);
    stranded.feed.send_all("price:SPY", &after);
    wait_for_prices(&stranded.redis, 180);
    let stored = [&stranded.before[..], &stranded.left, &after].concat();
    assert_stream_holds(&stranded.redis, PRICES, &stored);
    let gap = wait_for_gap(&stranded.redis, "crash");
    assert!(from_of(&gap) > received_at(&stranded.redis, stranded.left.last().unwrap()));
    assert_eq!(stranded.standby.wait_until_settled().sum("uw_ws_left_queues", &[]), 0);
    let back = stranded.setup.clone().start();
    back.wait_for_log("it stands by", |record| record.msg == "standing by");
    back.finish();
    stranded.standby.finish();
    assert_stream_holds(&stranded.redis, PRICES, &stored);
    assert_eq!(gaps(&stranded.redis, "late"), Vec::<Fields>::new());
    // each event is in the archive of the instance that wrote it
    wait_until_archived(&stranded.setup, &stranded.before);
    wait_until_archived(&stranded.standby_setup, &[stranded.left, after].concat());
}

/// An archive has the lowest priority: on a busy machine a process may end before it is complete.
#[track_caller]
fn wait_until_archived(setup: &Setup, prices: &[String]) {
    let expected: Vec<u64> = prices.iter().map(|payload| xxh3_64(payload.as_bytes())).collect();
    wait_for("the archive is complete", SOON, || {
        let archived = archived(&setup.folder().join("archive")).remove("price:SPY").unwrap_or_default();
        let hashes: Vec<u64> = archived.into_iter().map(|(_, hash)| hash).collect();
        if hashes == expected {
            return Ok(());
        }
        assert!(hashes.len() < expected.len(), "{} of {}", hashes.len(), expected.len());
        setup.clone().start_ready().finish();
        Err(format!("{} of {}", hashes.len(), expected.len()))
    });
}

/// Both instances get the events around the change: one that is paused reads what its sockets hold when it goes on.
#[test]
fn what_two_instances_have_received_is_stored_once() {
    let mut stranded = Stranded::new();
    stranded.take_over();
    // as if the vendor had fed both sockets
    let both = [&stranded.left[40..], &payloads("price", "SPY", 150, 30)].concat();
    stranded.feed.send_all("price:SPY", &both);
    wait_for_prices(&stranded.redis, 50 + both.len());
    let back = stranded.setup.clone().start();
    back.wait_for_log("it hands over", |record| record.msg == "backlog handed over");
    let stored = [stranded.before, both, stranded.left[..40].to_vec()].concat();
    assert_stream_holds(&stranded.redis, PRICES, &stored);
    assert_eq!(wait_for_gap(&stranded.redis, "late")["events"], "40");
    assert_eq!(back.wait_until_settled().sum("uw_ws_events_duplicate_total", &[]), 60);
    back.finish();
    stranded.standby.finish();
}

#[test]
fn events_of_a_queue_that_comes_back_after_the_age_limit_are_stored_too() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let folder = tempfile::tempdir().unwrap();
    let clock = folder.path().join("clock");
    std::fs::write(&clock, "-864000").unwrap();
    let setup = Setup::new(&feed, &redis);
    let mut owner =
        setup.clone().set("UW_WEBSOCKET_CLOCK_OFFSET_FILE", clock.to_str().unwrap()).start_ready();
    let standby = Setup::new(&feed, &redis).start();
    standby.wait_for_log("it stands by", |record| record.msg == "standing by");
    refuse_entries(&redis);
    let left = payloads("price", "SPY", 0, 10);
    feed.send_all("price:SPY", &left);
    owner.wait_for_metric("uw_ws_spool_events", &[], 10);
    owner.kill9();
    forget_owner(&redis);
    take_entries(&redis);
    standby.wait_until_ready();
    let meanwhile = payloads("price", "SPY", 10, 5);
    feed.send_all("price:SPY", &meanwhile);
    wait_for_prices(&redis, 5);
    let back = setup.start();
    back.wait_for_log("it hands over", |record| record.msg == "backlog handed over");
    assert_eq!(wait_for_gap(&redis, "late")["events"], "10");
    assert_stream_holds(&redis, PRICES, &[meanwhile, left].concat());
    back.finish();
    standby.finish();
}
