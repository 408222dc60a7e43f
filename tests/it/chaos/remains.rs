//! What a failed comparison leaves for whoever looks for the reason: logs, the journal, and every stream beside it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::lives::Past;
use super::plan::Plan;
use super::traffic::{Frame, payload_of};
use crate::support::RedisServer;
use crate::support::oracle::{entries, stream_keys};

/// Writes everything into a folder of the seed, and returns it.
pub(crate) fn keep(plan: &Plan, redis: &RedisServer, past: &Past, journals: &[Vec<Frame>]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{}", plan.seed));
    // of an earlier run, if there was one
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).unwrap();
    for (life, output) in past.outputs.iter().enumerate() {
        fs::write(folder.join(format!("service-{life}.log")), output).unwrap();
    }
    fs::copy(redis.folder().join("redis.log"), folder.join("redis.log")).unwrap();
    let mut journal = String::new();
    for frame in journals.iter().flatten() {
        writeln!(journal, "{frame:?}").unwrap();
    }
    fs::write(folder.join("journal.txt"), journal).unwrap();
    fs::write(folder.join("streams.txt"), streams(redis, journals)).unwrap();
    fs::write(folder.join("gaps.txt"), format!("{:#?}", super::ledger::gaps(redis))).unwrap();
    folder
}

/// Of every entry its id and the number of its event.
fn streams(redis: &RedisServer, journals: &[Vec<Frame>]) -> String {
    let events = journals.iter().flatten();
    let numbers: HashMap<Vec<u8>, u64> =
        events.map(|frame| (payload_of(frame.topic, frame.n).into_bytes(), frame.n)).collect();
    let mut text = String::new();
    for key in stream_keys(redis, "uw") {
        for entry in entries(redis, &key) {
            let number = numbers.get(&entry.payload).map_or_else(|| "foreign".to_owned(), u64::to_string);
            writeln!(text, "{key} {}-{} {number}", entry.id.0, entry.id.1).unwrap();
        }
    }
    text
}
