//! Disk queues that an earlier release left: `actors/tests/fixtures/README.md` tells what they are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{gap_reasons, wait_for_gap};
use crate::support::oracle::{Entry, entries};
use crate::support::{Feed, RedisServer, SOON, Setup, wait_for};

/// In place of an event that the release had removed after Redis took it.
const REMOVED_PAYLOAD: &str = "removed";
const NEWS: &str = r#"{"headline":"after the upgrade"}"#;

/// Streams with their entries.
type Streams = BTreeMap<String, Vec<Entry>>;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("actors/tests/fixtures/spool-0.1.0").join(name)
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy_all(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

fn parse_id(id: &str) -> (u64, u64) {
    let (ms, sequence) = id.split_once('-').unwrap();
    (ms.parse().unwrap(), sequence.parse().unwrap())
}

/// The position of a shard.
fn acknowledged(fixture: &Path, shard: &str) -> u64 {
    let cursor = fs::read_to_string(fixture.join("spool").join(shard).join("cursor")).unwrap();
    cursor.lines().find_map(|line| line.strip_prefix("acknowledged ")).unwrap().parse().unwrap()
}

/// What Redis had taken from the release by its cursors and lists of removed records, and what is still to be written
/// with how many events that is.
fn history(fixture: &Path) -> (Streams, Streams, u64) {
    let (mut taken, mut waiting, mut count) = (Streams::new(), Streams::new(), 0);
    for entry in fs::read_dir(fixture.join("spool")).unwrap() {
        let removed = fs::read_to_string(entry.unwrap().path().join("removed")).unwrap_or_default();
        for (id, stream) in removed.lines().filter_map(|line| line.split_once(' ')) {
            if !["uw-websocket", "crc"].contains(&id) {
                let entry = Entry { id: parse_id(id), payload: REMOVED_PAYLOAD.into() };
                taken.entry(format!("uw:ws:{stream}")).or_default().push(entry);
            }
        }
    }
    for line in fs::read_to_string(fixture.join("events.jsonl")).unwrap().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let number = |name: &str| event[name].as_u64().unwrap();
        let (shard, of) = (number("shard"), number("of"));
        let folder = [String::new(), "-1".to_owned()]
            .map(|generation| format!("shard-{shard}-of-{of}{generation}"))
            .into_iter()
            .find(|folder| fixture.join("spool").join(folder).exists())
            .unwrap();
        let is_waiting = number("seq") >= acknowledged(fixture, &folder);
        count += u64::from(is_waiting);
        // byte for byte, which a JSON value is not
        let payload = line.split_once(",\"payload\":").unwrap().1.strip_suffix('}').unwrap();
        for stream in event["streams"].as_array().unwrap() {
            let id = parse_id(stream["id"].as_str().unwrap());
            let key = format!("uw:ws:{}", stream["stream"].as_str().unwrap());
            let streams = if is_waiting { &mut waiting } else { &mut taken };
            streams.entry(key).or_default().push(Entry { id, payload: payload.into() });
        }
    }
    (taken, waiting, count)
}

/// Everything that the release left is stored once and in order, under its ids, behind what Redis had; and the feed goes
/// on behind that. Whatever is missing is in the ledger for this reason.
#[track_caller]
fn assert_taken_over(name: &str, reason: Option<&str>) {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    // the events are of the day of the release
    let setup = Setup::new(&feed, &redis).set("STREAM_RETENTION", "off");
    copy_all(&fixture(name).join("spool"), &setup.folder().join("data/spool"));
    let (mut expected, waiting, count) = history(&fixture(name));
    for (key, entries) in &expected {
        for Entry { id: (ms, sequence), payload } in entries {
            let payload = std::str::from_utf8(payload).unwrap();
            redis.command::<String>(&["XADD", key, &format!("{ms}-{sequence}"), "payload", payload]);
        }
    }
    for (key, entries) in waiting {
        expected.entry(key).or_default().extend(entries);
    }
    let service = setup.start_ready();
    let recovered = service.wait_until_settled().sum("uw_ws_events_recovered_total", &[]);
    assert_eq!(recovered, count);
    for (key, expected) in &expected {
        assert_eq!(entries(&redis, key), *expected, "{key}");
    }
    if let Some(reason) = reason {
        wait_for_gap(&redis, reason);
    } else {
        let reasons = gap_reasons(&redis);
        assert!(!reasons.iter().any(|reason| reason.starts_with("spool") || reason.starts_with("redis")));
    }
    feed.send("news", NEWS);
    feed.send("price:SPY", r#"{"close":"1.5"}"#);
    for (key, payload) in [("uw:ws:news", NEWS), ("uw:ws:price:SPY", r#"{"close":"1.5"}"#)] {
        let before = expected.get(key).map_or(0, Vec::len);
        let new = wait_for("the feed goes on", SOON, || {
            let mut stored = entries(&redis, key);
            if stored.len() > before {
                Ok(stored.split_off(before))
            } else {
                Err(format!("{}", stored.len()))
            }
        });
        let payloads: Vec<_> = new.iter().map(|entry| std::str::from_utf8(&entry.payload).unwrap()).collect();
        assert_eq!(payloads, [payload], "{key}");
    }
    service.finish();
}

#[test]
fn a_backlog_of_an_earlier_release_with_the_position_in_its_middle() {
    assert_taken_over("backlog", None);
}

#[test]
fn a_backlog_of_an_earlier_release_behind_removed_records() {
    assert_taken_over("removed", None);
}

#[test]
fn two_generations_of_shards_of_an_earlier_release() {
    assert_taken_over("shards", None);
}

#[test]
fn a_rewriting_of_ids_that_a_kill_of_an_earlier_release_interrupted() {
    assert_taken_over("reassign", None);
}

#[test]
fn a_torn_end_of_an_earlier_release() {
    assert_taken_over("torn", Some("spool_corrupt"));
}

#[test]
fn a_damaged_middle_of_an_earlier_release() {
    assert_taken_over("damaged", Some("spool_corrupt"));
}

#[test]
fn records_that_an_earlier_release_was_dropping() {
    assert_taken_over("dropping", Some("spool_corrupt"));
}

#[test]
fn records_that_an_earlier_release_knew_to_be_absent() {
    assert_taken_over("absent", None);
}
