//! The archive: what Redis has is in files once each, whatever happens to the process and to the disks.

mod damage;
mod recipes;
mod session;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use uw_websocket_core::archive::{ArchiveLine, Days, Reading, lines};
use xxhash_rust::xxh3::xxh3_64;

use crate::support::oracle::{assert_streams_equal, entries, stream_keys};
use crate::support::sample::payloads;
use crate::support::tool::Tool;
use crate::support::{Feed, RedisServer, SOON, Service, Setup, wait_for, wait_until};

const TARGETS: [&str; 2] = ["SPY", "QQQ"];
/// Events of a topic and round.
const COUNT: u64 = 30;
/// Events of a round.
const EVENTS: u64 = COUNT * TOPICS.len() as u64;
/// With these more is sent than the archive collects before it writes.
const ROUNDS: u64 = 115;
const TOPICS: [&str; 6] =
    ["price:SPY", "option_trades:SPY", "option_trades:QQQ", "gex_strike:SPY", "gex:QQQ", "flow-alerts"];

fn send(feed: &Feed, rounds: std::ops::Range<u64>) {
    for round in rounds {
        for topic in TOPICS {
            let (channel, symbol) = topic.split_once(':').unwrap_or((topic, "SPY"));
            feed.send_all(topic, &payloads(channel, symbol, round * COUNT, COUNT));
        }
    }
}

fn setup(feed: &Feed, redis: &RedisServer) -> Setup {
    let setup = Setup::new(feed, redis).set("REDIS_STREAM_MAXLEN", "0").set("ARCHIVE_DIR", "archive");
    setup.set("RESTART_INTENSITY", "100")
}

fn archive_of(setup: &Setup) -> PathBuf {
    setup.folder().join("archive")
}

/// The next process in the folder of one that was killed.
#[track_caller]
fn start_again(setup: &Setup, feed: &Feed, redis: &RedisServer) -> Service {
    redis.command::<u64>(&["DEL", "uw:ws:owner"]);
    let gone = || feed.open_sessions() == 0;
    wait_until("the feed has seen the end", SOON, gone, || format!("{} sessions", feed.open_sessions()));
    let service = setup.clone().start();
    feed.wait_for_joins(&TOPICS);
    service
}

/// Beyond a limit, another entry may take this long.
const AN_ENTRY: Duration = Duration::from_millis(1);

/// ID of each entry and the hash of its payload, by stream.
pub(crate) type Entries = BTreeMap<String, Vec<((u64, u64), u64)>>;

/// The entries of the streams that an event is archived under: its first one.
fn stored(redis: &RedisServer) -> Entries {
    let keys = stream_keys(redis, "uw");
    let is_first = |key: &String| !key.starts_with("uw:ws:flow-alerts:") && !key.starts_with("uw:ws:news:");
    let of = |key: String| {
        let entries =
            entries(redis, &key).into_iter().map(|entry| (entry.id, xxh3_64(&entry.payload))).collect();
        (key.trim_start_matches("uw:ws:").to_owned(), entries)
    };
    keys.into_iter().filter(is_first).map(of).collect()
}

/// The same of an archive, in the order of its files.
pub(crate) fn archived(folder: &Path) -> Entries {
    let (days, mut topics) = (Days::read(folder).unwrap(), BTreeMap::<String, Vec<_>>::new());
    for file in &days.files {
        let mut reading = Reading::open(&days.place(file), Some(file.bytes)).unwrap();
        while let Some(text) = reading.next_lines().unwrap() {
            for line in lines(text) {
                let line = ArchiveLine::parse(line).unwrap();
                let entry = ((line.id.ms, line.id.seq), xxh3_64(&line.payload));
                topics.entry(line.topic.into_owned()).or_default().push(entry);
            }
        }
        assert_eq!(reading.take_bad(), [], "{}", file.path);
    }
    topics
}

/// Waits until the archive has everything. It has the lowest priority: on a busy machine a process may end before.
#[track_caller]
fn wait_until_complete(setup: &Setup, archive: &Path, redis: &RedisServer) {
    let count = |topics: Entries| topics.values().map(Vec::len).sum::<usize>();
    let expected = count(stored(redis));
    wait_for("the archive is complete", SOON, || {
        let events = count(archived(archive));
        if events == expected {
            return Ok(());
        }
        setup.clone().start_ready().finish();
        Err(format!("{events} of {expected} events"))
    });
}

#[track_caller]
fn assert_archived(archive: &Path, redis: &RedisServer) {
    let (stored, archived) = (stored(redis), archived(archive));
    let counts = |topics: &BTreeMap<String, Vec<_>>| {
        topics.iter().map(|(topic, entries)| (topic.clone(), entries.len())).collect::<Vec<_>>()
    };
    assert_eq!(counts(&archived), counts(&stored));
    for (topic, entries) in &stored {
        let first = entries.iter().zip(&archived[topic]).position(|(one, other)| one != other);
        assert_eq!(first, None, "the first difference of {topic}");
    }
}

fn archived_events(service: &Service) -> u64 {
    service.metrics().sum("uw_ws_archive_events_total", &[])
}

#[test]
fn a_session_with_two_kills_is_archived_once_each_and_replays_into_equal_streams() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = setup(&feed, &redis);
    let mut service = setup.clone().start_ready();
    send(&feed, 0..ROUNDS);
    service.wait_for_metric("uw_ws_events_stored_total", &[], ROUNDS * EVENTS);
    wait_until("frames are written", SOON, || archived_events(&service) > 0, || "none".to_owned());
    service.kill9();
    let mut service = start_again(&setup, &feed, &redis);
    redis.pause();
    send(&feed, ROUNDS..2 * ROUNDS);
    service.wait_for_metric("uw_ws_events_received_total", &[], ROUNDS * EVENTS);
    service.wait_for_metric("uw_ws_spool_events", &[], ROUNDS * EVENTS);
    redis.resume();
    // while it writes to Redis and to the archive
    service.wait_for_metric("uw_ws_events_stored_total", &[], ROUNDS * EVENTS / 3);
    service.kill9();
    let service = start_again(&setup, &feed, &redis);
    send(&feed, 2 * ROUNDS..2 * ROUNDS + 5);
    assert_streams_equal(&feed, &redis, &TARGETS);
    let archive = service.status()["archive"].clone();
    assert_eq!((&archive["error"], &archive["skipped"]), (&serde_json::Value::Null, &0.into()), "{archive}");
    service.wait_until_settled();
    service.finish();
    wait_until_complete(&setup, &archive_of(&setup), &redis);
    assert_archived(&archive_of(&setup), &redis);

    let (code, text) = setup.command(&["archive", "verify"]);
    assert_eq!(code, Some(0));
    let events = stored(&redis).values().map(Vec::len).sum::<usize>();
    assert!(text.contains(&format!("ok, {events} events")), "{text}");
    assert_replayed(&archive_of(&setup), &redis, "SPY,QQQ", 12);
    assert_read_by_tools(&setup, events);
}

/// Replays the archive into another Redis, whose streams become those that were recorded.
#[track_caller]
fn assert_replayed(archive: &Path, redis: &RedisServer, symbols: &str, joins: u64) {
    let dir = format!("--archive={}", archive.display());
    let other = RedisServer::start();
    let replay = Tool::start(&["replay", &dir, "--speed", "max", "--wait-joins", &joins.to_string()], &other);
    let url = replay.wait_for_lines(1)[0].strip_prefix("listening on ").unwrap().to_owned();
    let again = Setup::new(&Feed::start(), &other)
        .set("UNUSUAL_WHALES_WEBSOCKET_URL", &url)
        .set("TARGET_SYMBOLS", symbols)
        .set("REDIS_STREAM_MAXLEN", "0");
    let service = again.start();
    for key in stream_keys(redis, "uw") {
        let length: u64 = redis.command(&["XLEN", &key]);
        let limit = SOON + AN_ENTRY * u32::try_from(length).unwrap();
        wait_for("the stream is as long", limit, || {
            let copied: u64 = other.command(&["XLEN", &key]);
            if copied >= length { Ok(()) } else { Err(format!("{key}: {copied} of {length}")) }
        });
        let hashes = |of: &RedisServer| {
            entries(of, &key).into_iter().map(|entry| xxh3_64(&entry.payload)).collect::<Vec<_>>()
        };
        assert!(hashes(redis) == hashes(&other), "{key}");
    }
    service.finish();
}

#[track_caller]
fn assert_read_by_tools(setup: &Setup, events: usize) {
    let (code, text) = setup.command(&["archive", "cat"]);
    assert_eq!((code, text.lines().count()), (Some(0), events));
    let (code, news) = setup.command(&["archive", "cat", "--channel", "option_trades", "--symbol", "qqq"]);
    let is_qqq = |line: &str| line.contains(r#""topic":"option_trades:QQQ""#);
    assert!(code == Some(0) && news.lines().count() > 0 && news.lines().all(is_qqq));
    let (_, none) = setup.command(&["archive", "cat", "--to", "2020-01-01"]);
    assert_eq!(none, "");
    let (code, list) = setup.command(&["archive", "list"]);
    assert!(code == Some(0) && list.contains("  gex_strike "), "{list}");
    let (code, tail) = setup.command(&["tail", "price:SPY", "--archive", "--json", "-n", "3"]);
    assert_eq!((code, tail.lines().count()), (Some(0), 3), "{tail}");
    // what every machine has, where it has it
    let file = Days::read(&archive_of(setup)).unwrap();
    let path = file.place(&file.files[0]);
    if let Ok(output) = Command::new("zstd").args(["-dc"]).arg(&path).output() {
        assert!(output.status.success());
        assert!(
            String::from_utf8(output.stdout)
                .unwrap()
                .lines()
                .all(|line| ArchiveLine::parse(line.as_bytes()).is_some())
        );
    }
}

#[test]
fn an_archive_that_cannot_be_written_holds_nothing_up_and_catches_up() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = setup(&feed, &redis);
    // not even the superuser can make a folder of a file
    fs::write(archive_of(&setup), "").unwrap();
    let service = setup.clone().start_ready();
    send(&feed, 0..20);
    assert_streams_equal(&feed, &redis, &TARGETS);
    assert_eq!(service.metrics().sum("uw_ws_archive_up", &[]), 0);
    assert!(service.status()["archive"]["error"].is_string());
    service.wait_for_log("archive fails", |record| record.msg == "archive fails");
    fs::remove_file(archive_of(&setup)).unwrap();
    service.wait_for_metric("uw_ws_archive_up", &[], 1);
    service.wait_until_settled();
    assert_eq!(service.metrics().sum("uw_ws_archive_skipped_total", &[]), 0);
    service.finish();
    wait_until_complete(&setup, &archive_of(&setup), &redis);
    assert_archived(&archive_of(&setup), &redis);
}

#[test]
fn what_the_disk_queue_needs_the_room_of_is_counted_and_on_record() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = setup(&feed, &redis)
        .set("WRITER_SHARDS", "1")
        .set("SPOOL_MAX_BYTES", "16MiB")
        .set("SPOOL_KEEP", "0s");
    fs::write(archive_of(&setup), "").unwrap();
    let service = setup.clone().start_ready();
    let mut rounds = 0;
    let skipped = || service.metrics().sum("uw_ws_archive_skipped_total", &[]);
    wait_for("some events are skipped", SOON, || {
        send(&feed, rounds..rounds + 10);
        rounds += 10;
        // what Redis has not taken would go as well
        service.wait_for_metric("uw_ws_events_stored_total", &[], rounds * EVENTS);
        if skipped() > 0 { Ok(()) } else { Err(format!("after {rounds} rounds")) }
    });
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.wait_until_settled();
    fs::remove_file(archive_of(&setup)).unwrap();
    service.wait_for_metric("uw_ws_archive_up", &[], 1);
    let events = stored(&redis).values().map(Vec::len).sum::<usize>() as u64;
    wait_for("the rest is archived or waits", SOON, || {
        let waiting = service.metrics().sum("uw_ws_archive_waiting_events", &[]);
        let sum = archived_events(&service) + waiting + skipped();
        if sum == events { Ok(()) } else { Err(format!("{sum} of {events}")) }
    });
    let skipped = skipped();
    service.finish();
    // on a busy machine the time of a drain is not enough for all of it: the next life goes on
    let archived = || archived(&archive_of(&setup)).values().map(Vec::len).sum::<usize>() as u64;
    wait_for("the rest is archived", SOON, || {
        let archived = archived();
        if archived + skipped == events {
            return Ok(());
        }
        setup.clone().start_ready().finish();
        Err(format!("{archived} + {skipped} of {events}"))
    });
    let gaps: Vec<(String, BTreeMap<String, String>)> = redis.command(&["XRANGE", "uw:ws:gaps", "-", "+"]);
    let of_archive = gaps.iter().filter(|(_, gap)| gap["reason"] == "archive_skipped");
    let recorded: u64 = of_archive.map(|(_, gap)| gap["events"].parse::<u64>().unwrap()).sum();
    assert_eq!(recorded, skipped);
}

#[test]
fn the_archive_of_a_running_process_is_left_alone_until_it_has_ended() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = setup(&feed, &redis);
    let mut owner = setup.clone().start_ready();
    owner.wait_for_metric("uw_ws_archive_up", &[], 1);
    let dir = archive_of(&setup);
    let standby = Setup::new(&feed, &redis).set("ARCHIVE_DIR", dir.to_str().unwrap()).start();
    let fails = standby.wait_for_log("archive fails", |record| record.msg == "archive fails");
    assert!(fails.text("error").contains("in use by another process"), "{fails:?}");
    assert_eq!(owner.terminate(), Some(0));
    standby.wait_until_ready();
    standby.wait_for_metric("uw_ws_archive_up", &[], 1);
    standby.finish();
}

#[test]
fn an_archive_without_a_disk_queue_is_a_mistake() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let (code, _) = setup(&feed, &redis).set("SPOOL_MODE", "off").command(&["run"]);
    assert_eq!(code, Some(78));
}
