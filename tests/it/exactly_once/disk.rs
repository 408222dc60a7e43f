//! The disk queue's own limits: its bound, a full disk, a disk that cannot be written, a folder that is taken.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use serde_json::Value;

use super::{TARGETS, lost_events, send, wait_for_gap};
use crate::support::oracle::{assert_stream_holds, assert_streams_equal, entries};
use crate::support::sample::payloads;
use crate::support::{Feed, RedisServer, SOON, Service, Setup, wait_for};

/// The least that may be set, so that it is soon filled.
const LIMIT: &str = "16MiB";
/// Events sent at once.
const SOME: u64 = 500;
/// How often the service pings where the reader is blocked: a pong of a busy machine is not late.
const PING: &str = "4s";
/// Longest wait for a full queue: some megabytes, event by event.
const TO_FILL: Duration = Duration::from_secs(60);

fn spooling(feed: &Feed, redis: &RedisServer, when_full: &str) -> Setup {
    Setup::new(feed, redis)
        .set("WRITER_SHARDS", "1")
        .set("SPOOL_MAX_BYTES", LIMIT)
        .set("SPOOL_WHEN_FULL", when_full)
}

fn send_trades(feed: &Feed, first: u64) {
    feed.send_all("option_trades:SPY", &payloads("option_trades", "SPY", first, SOME));
}

fn dropped(service: &Service, reason: &str) -> u64 {
    service.metrics().sum("uw_ws_events_dropped_total", &[("reason", reason)])
}

#[test]
fn a_full_queue_drops_the_oldest_and_says_how_many() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start_durable());
    let service = spooling(&feed, &redis, "drop_oldest").start_ready();
    redis.kill9();
    let mut first = 0;
    while dropped(&service, "spool_full") == 0 {
        assert!(first < 100_000, "{first} events did not fill the queue");
        send_trades(&feed, first);
        first += SOME;
    }
    service.wait_for_metric("uw_ws_events_received_total", &[], first);
    redis.restart(&[]);
    let metrics = service.wait_until_settled();
    let dropped = metrics.sum("uw_ws_events_dropped_total", &[("reason", "spool_full")]);
    assert_eq!(metrics.sum("uw_ws_events_stored_total", &[]) + dropped, first);
    let (sent, stored) = (&feed.sent()["option_trades:SPY"], entries(&redis, "uw:ws:option_trades:SPY"));
    // what was in flight when Redis went away is not dropped; behind it one run is missing
    let kept =
        stored.iter().zip(sent).take_while(|(entry, payload)| entry.payload == payload.as_bytes()).count();
    let rest = &sent[kept + usize::try_from(dropped).unwrap()..];
    assert!(stored[kept..].iter().map(|entry| &entry.payload[..]).eq(rest.iter().map(String::as_bytes)));
    // a loss that goes on is closed at the end
    service.finish();
    assert_eq!(lost_events(&redis, "spool_full"), dropped);
}

#[test]
fn a_full_queue_that_blocks_loses_nothing() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start_durable());
    let service = spooling(&feed, &redis, "block").set("WEBSOCKET_PING_SECONDS", PING).start_ready();
    let sessions = feed.sessions();
    redis.kill9();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| flood(&feed, &service, &is_done));
        // some full batches block it for a moment, the full disk for as long as Redis is away
        wait_for("the connection is blocked for longer than a pong may take", TO_FILL, || {
            let open = service.status()["gaps"]["open"].clone();
            let is_blocked = open.as_array().unwrap().iter().any(is_blocked_for_long);
            if is_blocked { Ok(()) } else { Err(open.to_string()) }
        });
        is_done.store(true, SeqCst);
        redis.restart(&[]);
        flood.join().unwrap();
    });
    assert_streams_equal(&feed, &redis, &TARGETS);
    let metrics = service.wait_until_settled();
    assert_eq!(metrics.sum("uw_ws_events_dropped_total", &[]), 0);
    assert_eq!(feed.sessions(), sessions, "pings rest while nothing is read");
    wait_for_gap(&redis, "blocked");
    service.finish();
}

/// Sends until it is done, each portion when the one before was read: a pong behind a long flood would come too late.
fn flood(feed: &Feed, service: &Service, is_done: &AtomicBool) {
    let mut first = 0;
    while !is_done.load(SeqCst) {
        send_trades(feed, first);
        first += SOME;
        wait_for("they are read, or it is done", TO_FILL, || {
            let received = service.metrics().sum("uw_ws_events_received_total", &[]);
            let may_go_on = received >= first || is_done.load(SeqCst);
            if may_go_on { Ok(()) } else { Err(format!("{received} of {first}")) }
        });
    }
}

/// Whether this open gap is that of a reader that is blocked, and would have missed two pongs.
fn is_blocked_for_long(gap: &Value) -> bool {
    let since: jiff::Timestamp = gap["from"].as_str().unwrap().parse().unwrap();
    gap["reason"] == "blocked" && since.duration_until(jiff::Timestamp::now()).as_secs() > 8
}

#[test]
fn a_second_process_on_the_same_folder_ends_with_74() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis);
    let first = setup.clone().start_ready();
    let mut second = setup.set("KEY_PREFIX", "other").start();
    assert_eq!(second.wait_for_exit(SOON), Some(74), "{}", second.output());
    send(&feed, 0);
    assert_streams_equal(&feed, &redis, &TARGETS);
    first.finish();
}

/// A file system in memory of its own; unmounted with the value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, and a word about it, where nothing may be mounted.
    fn mount(folder: &Path, options: &str) -> Option<SmallDisk> {
        let place = folder.join("disk");
        std::fs::create_dir_all(&place).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&place).output();
        match mounted {
            Ok(output) if output.status.success() => Some(SmallDisk(place)),
            Ok(output) => {
                println!("left out: mount says {}", String::from_utf8_lossy(&output.stderr).trim());
                None
            }
            Err(error) => {
                println!("left out: mount: {error}");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // lazily: a process that a failed test leaves may still hold a file
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[test]
fn a_disk_that_fills_up_and_is_emptied_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path(), "size=4m") else { return };
    let (feed, mut redis) = (Feed::start(), RedisServer::start_durable());
    let service = Setup::new(&feed, &redis)
        .set("WRITER_SHARDS", "1")
        .set("SPOOL_DIR", disk.0.join("spool").to_str().unwrap())
        .start_ready();
    redis.kill9();
    // more than a megabyte waits on disk, then somebody else takes the rest of it
    for first in [0, SOME, 2 * SOME] {
        send_trades(&feed, first);
    }
    service.wait_for_metric("uw_ws_spool_events", &[], 3 * SOME);
    // fails where the disk is full
    drop(std::fs::write(disk.0.join("ballast"), vec![0; 4 << 20]));
    for first in [3 * SOME, 4 * SOME, 5 * SOME] {
        send_trades(&feed, first);
    }
    service.wait_for_metric("uw_ws_events_received_total", &[], 6 * SOME);
    assert_eq!(service.get("/healthz").0, 200);
    std::fs::remove_file(disk.0.join("ballast")).unwrap();
    redis.restart(&[]);
    let metrics = service.wait_until_settled();
    let dropped = metrics.sum("uw_ws_events_dropped_total", &[]);
    assert_eq!(metrics.sum("uw_ws_events_stored_total", &[]) + dropped, 6 * SOME);
    let (sent, stored) = (&feed.sent()["option_trades:SPY"], entries(&redis, "uw:ws:option_trades:SPY"));
    let place =
        |payload: &[u8]| sent.iter().position(|sent| sent.as_bytes() == payload).expect("it was sent");
    let places: Vec<usize> = stored.iter().map(|entry| place(&entry.payload)).collect();
    assert!(places.is_sorted_by(|a, b| a < b), "once and in order");
    assert_eq!(places.len() as u64 + dropped, 6 * SOME);
    // and it is a disk queue again
    redis.kill9();
    send_trades(&feed, 6 * SOME);
    service.wait_for_metric("uw_ws_spool_events", &[], SOME);
    redis.restart(&[]);
    service.finish();
}

#[test]
fn a_disk_that_is_full_while_redis_is_well_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path(), "size=4m") else { return };
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service =
        Setup::new(&feed, &redis).set("SPOOL_DIR", disk.0.join("spool").to_str().unwrap()).start_ready();
    send(&feed, 0);
    drop(std::fs::write(disk.0.join("ballast"), vec![0; 4 << 20]));
    for round in 1..20 {
        send(&feed, round);
    }
    assert_streams_equal(&feed, &redis, &TARGETS);
    assert_eq!(service.wait_until_settled().sum("uw_ws_events_dropped_total", &[]), 0);
    service.finish();
}

#[test]
fn a_folder_that_cannot_be_written_at_the_start_ends_the_process_with_74() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path(), "size=4m,ro") else { return };
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let mut service =
        Setup::new(&feed, &redis).set("SPOOL_DIR", disk.0.join("spool").to_str().unwrap()).start();
    assert_eq!(service.wait_for_exit(SOON), Some(74), "{}", service.output());
    assert!(service.output().contains("mount a volume that can be written"), "{}", service.output());
}

#[test]
fn what_a_queue_holds_survives_a_start_on_a_disk_that_cannot_be_written_yet() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path(), "size=64m") else { return };
    let (feed, mut redis) = (Feed::start(), RedisServer::start_durable());
    let setup = Setup::new(&feed, &redis).set("SPOOL_DIR", disk.0.join("spool").to_str().unwrap());
    let mut service = setup.clone().start_ready();
    redis.kill9();
    send_trades(&feed, 0);
    super::wait_until_on_disk(&service, SOME, SOME);
    service.kill9();
    let remount = |options: &str| {
        let remounted = Command::new("mount").args(["-o", options]).arg(&disk.0).status();
        assert!(remounted.unwrap().success(), "{options}");
    };
    remount("remount,ro");
    let mut refused = setup.clone().start();
    assert_eq!(refused.wait_for_exit(SOON), Some(74), "{}", refused.output());
    remount("remount,rw");
    redis.restart(&[]);
    super::forget_owner(&redis);
    let service = setup.start_ready();
    service.wait_until_settled();
    assert_stream_holds(&redis, "uw:ws:option_trades:SPY", &feed.sent()["option_trades:SPY"]);
    service.finish();
}
