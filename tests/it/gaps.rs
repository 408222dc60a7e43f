//! The gap ledger: what was missed is on record, once, with its beginning, its end and its reason.

use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::faults::Fault;
use crate::support::feed::Ack;
use crate::support::sample::{payload, payloads};
use crate::support::service::TOKEN;
use crate::support::{Feed, RedisServer, SOON, Service, Setup, wait_for, wait_until};

/// One socket and two topics.
fn setup(feed: &Feed, redis: &RedisServer) -> Setup {
    Setup::new(feed, redis).set("CHANNELS", "price")
}

const BOTH: &str = "price:QQQ,price:SPY";

type Entry = BTreeMap<String, String>;

/// The ledger in Redis.
fn ledger(redis: &RedisServer) -> Vec<Entry> {
    let entries: Vec<(String, Entry)> = redis.command(&["XRANGE", "uw:ws:gaps", "-", "+"]);
    entries
        .into_iter()
        .map(|(id, mut entry)| {
            entry.insert("id".into(), id);
            entry
        })
        .collect()
}

/// Waits until the ledger has as many entries, and gives them.
#[track_caller]
fn wait_for_gaps(redis: &RedisServer, count: usize) -> Vec<Entry> {
    wait_for("the gaps are on record", SOON, || {
        let entries = ledger(redis);
        if entries.len() >= count { Ok(entries) } else { Err(format!("{entries:?}")) }
    })
}

/// The wall clock as the ledger has it.
fn now() -> String {
    let now = uw_websocket_actors::wall_clock::unix_micros();
    uw_websocket_core::time::iso_utc(now)
}

/// The one entry that there is: of these channels, for this reason, begun and ended between these moments.
#[track_caller]
fn assert_gap(entry: &Entry, channels: &str, reason: &str, (from, to): (&str, &str)) {
    let field = |name: &str| entry.get(name).map_or("", String::as_str);
    assert_eq!(
        (field("channels"), field("reason"), field("family")),
        (channels, reason, "prices"),
        "{entry:?}"
    );
    assert!(
        from <= field("from") && field("from") <= field("to") && field("to") <= to,
        "{from} {entry:?} {to}"
    );
    assert!(!entry.values().any(|value| value.contains("a-token")), "{entry:?}");
    let to_ms = uw_websocket_core::time::parse_iso(field("to")).unwrap() / 1000;
    assert!(field("id").starts_with(&format!("{to_ms}-")), "{entry:?}");
}

/// Sends an event and waits until it is stored; returns a moment before its frame was read.
#[track_caller]
fn mark(feed: &Feed, redis: &RedisServer, n: u64) -> String {
    feed.wait_for_joins(&["price:SPY"]);
    let before = now();
    feed.send("price:SPY", &payload("price", "SPY", n));
    wait_until(
        "the event is stored",
        SOON,
        || redis.try_command::<u64>(&["XLEN", "uw:ws:price:SPY"]).unwrap_or(0) > n,
        || format!("{n} events"),
    );
    before
}

/// The moments between which a gap of the service must begin: that of its last event, and now.
#[track_caller]
fn assert_begins_with_the_last_frame(entry: &Entry, mark: &str, noticed: &str) {
    assert!(
        mark <= entry["from"].as_str() && entry["from"].as_str() <= noticed,
        "{mark} {entry:?} {noticed}"
    );
}

#[test]
fn a_session_that_ends_is_a_gap_from_its_last_frame_to_the_last_join() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = setup(&feed, &redis).start_ready();
    let mark = mark(&feed, &redis, 0);
    let noticed = now();
    feed.cut_all();
    let gaps = wait_for_gaps(&redis, 1);
    assert_gap(&gaps[0], BOTH, "disconnect", (&mark, &now()));
    assert_begins_with_the_last_frame(&gaps[0], &mark, &noticed);
    assert_eq!(gaps[0].get("events"), None);
    assert!(gaps[0]["detail"].contains("closed"), "{gaps:?}");
    let record = service.wait_for_log("the gap", |record| record.msg == "gap recorded");
    assert_eq!((record.level, record.text("reason")), ("warning", "disconnect".to_owned()));
    assert_eq!(service.metrics().sum("uw_ws_gaps_total", &[("reason", "disconnect")]), 1);
    assert_eq!(
        service.status()["gaps"]["recent"][0]["channels"],
        serde_json::json!(["price:QQQ", "price:SPY"])
    );
    assert_eq!(ledger(&redis).len(), 1, "nothing was missing before the first join");
    service.finish();
}

#[test]
fn handshakes_that_fail_prolong_a_gap() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = setup(&feed, &redis).start_ready();
    let refusal = crate::support::feed::Refusal { status: "503 Away", headers: "", body: "" };
    (0..3).for_each(|_| feed.refuse_next(refusal.clone()));
    let mark = mark(&feed, &redis, 0);
    feed.close_all(1012, "deploy");
    // the close is a frame too
    let noticed = now();
    wait_for("the outage shows", SOON, || {
        let open = service.status()["gaps"]["open"][0].clone();
        if open["reason"] == "disconnect" { Ok(()) } else { Err(open.to_string()) }
    });
    let gaps = wait_for_gaps(&redis, 1);
    assert_gap(&gaps[0], BOTH, "disconnect", (&mark, &now()));
    assert_begins_with_the_last_frame(&gaps[0], &mark, &noticed);
    assert!(gaps[0]["detail"].contains("deploy"), "{gaps:?}");
    assert_eq!(feed.handshakes().len(), 5);
    service.wait_until_ready();
    assert_eq!(service.status()["gaps"]["open"], serde_json::json!([]));
    service.finish();
}

#[test]
fn a_peer_that_answers_no_ping_is_missing_since_its_last_frame() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = setup(&feed, &redis).set("WEBSOCKET_PING_SECONDS", "500ms").start_ready();
    let mark = mark(&feed, &redis, 0);
    feed.mute_open();
    let muted = now();
    let gaps = wait_for_gaps(&redis, 1);
    assert_gap(&gaps[0], BOTH, "death", (&mark, &now()));
    assert_begins_with_the_last_frame(&gaps[0], &mark, &muted);
    assert_eq!(gaps.len(), 1);
    service.finish();
}

#[test]
fn a_join_that_is_refused_goes_on_as_unjoined_when_the_others_are_back() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = setup(&feed, &redis).start_ready();
    feed.answer_joins("price:QQQ", Ack::Error("no plan"));
    let mark = mark(&feed, &redis, 0);
    feed.cut_all();
    let gaps = wait_for("those that are back are on record", Duration::from_secs(45), || {
        let gaps = ledger(&redis);
        if gaps.is_empty() { Err("nothing".to_owned()) } else { Ok(gaps) }
    });
    assert_gap(&gaps[0], BOTH, "disconnect", (&mark, &now()));
    feed.acknowledge("price:QQQ");
    let gaps = wait_for_gaps(&redis, 2);
    assert_gap(&gaps[1], "price:QQQ", "unjoined", (&gaps[0]["to"], &now()));
    assert_eq!((&gaps[1]["from"], gaps.len()), (&gaps[0]["to"], 2));
    assert!(gaps[1]["detail"].contains("no plan"), "{gaps:?}");
    service.finish();
}

#[test]
fn what_is_not_read_because_redis_takes_nothing_is_a_gap() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = setup(&feed, &redis)
        .set("WRITER_SHARDS", "1")
        .set("WRITER_MAILBOX_CAPACITY", "1")
        .set("SPOOL_MODE", "off")
        .set("SPOOL_WHEN_FULL", "block")
        .start_ready();
    let mark = mark(&feed, &redis, 0);
    let fault = Fault::OutOfMemory.begin(&redis);
    let events = payloads("price", "SPY", 1, 100_000);
    let feed = Arc::new(feed);
    // more than the queue and the sockets take: the sender waits until the service reads again
    let sender = std::thread::spawn({
        let feed = Arc::clone(&feed);
        move || feed.send_all("price:SPY", &events)
    });
    service.wait_for_log("the stop", |record| record.msg == "reading stopped");
    let stopped = now();
    fault.end(&redis);
    sender.join().unwrap();
    let gaps = wait_for_gaps(&redis, 1);
    assert_gap(&gaps[0], BOTH, "blocked", (&mark, &now()));
    assert_begins_with_the_last_frame(&gaps[0], &mark, &stopped);
    service.wait_until_settled();
    assert_eq!(ledger(&redis).iter().filter(|gap| gap["reason"] != "blocked").count(), 0);
    service.finish();
}

#[test]
fn a_connection_that_panics_is_missing_until_its_next_life_has_joined() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service =
        setup(&feed, &redis).set("UW_WEBSOCKET_FAULT", "connection-prices:panic:after=4").start_ready();
    let before = now();
    let mut n = 0;
    wait_for("the connection crashes", SOON, || {
        feed.try_send("price:SPY", &payloads("price", "SPY", n, 1));
        n += 1;
        if service.count_logs("actor crashed") > 0 { Ok(()) } else { Err(format!("{n} events were sent")) }
    });
    let gaps = wait_for_gaps(&redis, 1);
    assert_gap(&gaps[0], BOTH, "crash", (&before, &now()));
    service.wait_until_ready();
    assert_eq!(gaps.len(), 1);
    service.finish();
}

/// The document on disk has been replaced since this moment.
#[track_caller]
fn wait_for_sign_of_life(service: &Service, since: &str) -> String {
    let path = service.folder().join("data/spool/ledger/state.json");
    wait_for("there is a sign of life", SOON, || {
        let state: Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap_or_default()).unwrap_or_default();
        let alive_at = state["alive_at"].as_str().unwrap_or_default().to_owned();
        if alive_at.as_str() > since { Ok(alive_at) } else { Err(state.to_string()) }
    })
}

#[test]
fn a_process_that_was_killed_is_missing_since_its_last_sign_of_life() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let mut service = setup(&feed, &redis).start_ready();
    let alive_at = wait_for_sign_of_life(&service, &now());
    service.signal(Signal::KILL);
    service.wait_for_exit(SOON);
    let killed = now();
    let service = service.start_again(&setup(&feed, &redis));
    service.wait_until_ready();
    let gaps = wait_for_gaps(&redis, 1);
    assert_gap(&gaps[0], BOTH, "crash", (&alive_at, &now()));
    assert_begins_with_the_last_frame(&gaps[0], &alive_at, &killed);
    assert!(gaps[0]["to"] > killed && gaps.len() == 1, "{gaps:?}");
    service.finish();
}

#[test]
fn a_process_that_is_killed_again_and_again_before_it_joins_is_one_gap() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let mut service = setup(&feed, &redis).start_ready();
    let alive_at = wait_for_sign_of_life(&service, &now());
    service.signal(Signal::KILL);
    service.wait_for_exit(SOON);
    let killed = now();
    feed.answer_joins("price:SPY", Ack::Silence);
    feed.answer_joins("price:QQQ", Ack::Silence);
    for _ in 0..3 {
        service = service.start_again(&setup(&feed, &redis));
        wait_for_sign_of_life(&service, &now());
        service.signal(Signal::KILL);
        service.wait_for_exit(SOON);
    }
    feed.answer_joins("price:SPY", Ack::Ok);
    feed.answer_joins("price:QQQ", Ack::Ok);
    let service = service.start_again(&setup(&feed, &redis));
    let gaps = wait_for_gaps(&redis, 1);
    assert_gap(&gaps[0], BOTH, "crash", (&alive_at, &now()));
    assert_begins_with_the_last_frame(&gaps[0], &alive_at, &killed);
    service.finish();
    assert_eq!(ledger(&redis).len(), 1);
}

#[test]
fn a_process_that_was_stopped_is_missing_since_its_end() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let mut service = setup(&feed, &redis).start_ready();
    let mark = mark(&feed, &redis, 0);
    assert_eq!(service.terminate(), Some(0));
    let ended = now();
    let service = service.start_again(&setup(&feed, &redis).set("TARGET_SYMBOLS", "SPY"));
    service.wait_until_ready();
    // a topic that is no longer joined is missing up to the start
    let mut gaps = wait_for_gaps(&redis, 2);
    gaps.sort_by_key(|gap| gap["channels"].clone());
    assert_gap(&gaps[0], "price:QQQ", "shutdown", (&mark, &now()));
    assert!(gaps[0]["detail"].contains("no longer"), "{gaps:?}");
    assert_gap(&gaps[1], "price:SPY", "shutdown", (&mark, &now()));
    assert!(gaps.iter().all(|gap| gap["from"] <= ended && gap["to"] >= ended), "{ended} {gaps:?}");
    service.finish();
    assert_eq!(ledger(&redis).len(), 2);
}

#[test]
fn gaps_that_end_without_a_redis_wait_for_it_over_a_death_and_are_there_once() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start_durable());
    let mut service = setup(&feed, &redis).start_ready();
    let mark = mark(&feed, &redis, 0);
    redis.kill9();
    feed.cut_all();
    service.wait_for_metric("uw_ws_gaps_waiting", &[], 1);
    let disconnected = now();
    let alive_at = wait_for_sign_of_life(&service, &disconnected);
    service.signal(Signal::KILL);
    service.wait_for_exit(SOON);
    let service = service.start_again(&setup(&feed, &redis));
    service.wait_for_metric("uw_ws_gaps_waiting", &[], 2);
    redis.restart(&[]);
    let gaps = wait_for_gaps(&redis, 2);
    assert_gap(&gaps[0], BOTH, "disconnect", (&mark, &disconnected));
    assert_gap(&gaps[1], BOTH, "crash", (&alive_at, &now()));
    service.wait_until_ready();
    service.finish();
    assert_eq!(ledger(&redis).len(), 2);
}

#[test]
fn gaps_go_above_an_id_that_somebody_else_wrote() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = setup(&feed, &redis).start_ready();
    redis.command::<String>(&["XADD", "uw:ws:gaps", "99999999999999-5", "not", "ours"]);
    feed.cut_all();
    let gaps = wait_for_gaps(&redis, 2);
    assert_eq!(gaps[1]["id"], "99999999999999-6");
    assert_eq!(gaps[1]["reason"], "disconnect");
    service.finish();
}

#[test]
fn a_state_that_cannot_be_read_is_set_aside_and_told() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = setup(&feed, &redis);
    let folder = setup.folder().join("data/spool/ledger");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("state.json"), b"{\"format\":1,\"inst").unwrap();
    let service = setup.start_ready();
    let told = |record: &crate::support::logs::LogRecord| record.msg == "state of the ledger not readable";
    assert_eq!(service.wait_for_log("the damage", told).level, "error");
    assert!(folder.join("state.json.aside").exists());
    service.finish();
    assert!(ledger(&redis).is_empty());
}

/// Runs `uw-websocket gaps` with the settings of the service.
fn gaps_command(redis_url: &str, service: &Service, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_uw-websocket"))
        .arg("gaps")
        .args(arguments)
        .env_clear()
        .env("REDIS_URL", redis_url)
        .env("UNUSUAL_WHALES_API_TOKEN", TOKEN)
        .current_dir(service.folder())
        .output()
        .unwrap()
}

#[test]
fn the_command_prints_what_was_missed_and_what_is_missing() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start());
    let service = setup(&feed, &redis).start_ready();
    feed.cut_all();
    wait_for_gaps(&redis, 1);
    service.wait_until_ready();
    feed.refuse_all(Some(crate::support::feed::Refusal { status: "503 Away", headers: "", body: "" }));
    feed.cut_all();
    let printed = wait_for("what is missing is printed", SOON, || {
        let output = gaps_command(&redis.url(), &service, &[]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        if text.contains(" open ") { Ok(text) } else { Err(text) }
    });
    let lines: Vec<Vec<&str>> = printed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 3, "{printed}");
    assert_eq!(lines[0][..3], ["FROM", "TO", "SECONDS"]);
    assert_eq!(lines[1][3..6], ["prices", "disconnect", BOTH]);
    assert_eq!(lines[2][1], "open");
    let lines_of = |arguments: &[&str]| {
        let output = gaps_command(&redis.url(), &service, arguments);
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(lines_of(&["--family", "news"]).is_empty());
    assert!(lines_of(&["--reason", "crash"]).is_empty());
    assert_eq!(lines_of(&["--since", "1d"]).len(), 3);
    assert_eq!(lines_of(&["--since", "2000-01-01"]).len(), 3);
    assert_eq!(lines_of(&["--since", "-"]).len(), 3);
    let said = |arguments: &[&str]| {
        let output = gaps_command(&redis.url(), &service, arguments);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(
        said(&["--since", "2999-01-01T12:00:00Z", "--reason", "crash"]),
        "uw-websocket: no gaps for crash since 2999-01-01T12:00:00 UTC\n"
    );
    assert_eq!(said(&["--family", "news"]), "uw-websocket: no gaps of family news on record\n");
    assert_eq!(said(&["--family", "news", "--json"]), "");
    assert_eq!(lines_of(&["--since", "1ms"]).len(), 2, "what is missing now has not ended");
    let json = lines_of(&["--json", "--reason", "disconnect"]);
    let first: Value = serde_json::from_str(&json[0]).unwrap();
    assert_eq!((&first["channels"][0], json.len()), (&Value::from("price:QQQ"), 2));

    redis.kill9();
    let output = gaps_command(&redis.url(), &service, &[]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(69), 0));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("uw-websocket: cannot connect to redis"), "{said}");
}
