//! The ways in which a Redis that answers refuses writes, each to be begun and ended.

use std::thread::JoinHandle;

use deadpool_redis::redis::RedisResult;

use super::RedisServer;
use super::redis::free_port;
use super::wait::{SOON, wait_for};

/// A refusal that can be brought about while the server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Over `maxmemory` under `noeviction`.
    OutOfMemory,
    /// The server has become a replica, of nobody who listens.
    ReadOnly,
    /// A snapshot to disk has failed.
    Misconfigured,
    /// Fewer replicas than the settings ask for.
    NoReplicas,
    /// A script runs on and on.
    Busy,
}

/// Every one of them.
pub(crate) const REFUSALS: [Fault; 5] =
    [Fault::OutOfMemory, Fault::ReadOnly, Fault::Misconfigured, Fault::NoReplicas, Fault::Busy];

/// Options for a restart that answers `LOADING` for a while: three milliseconds for each record of [`fill`].
pub(crate) const LOAD_SLOWLY: [&str; 4] =
    ["--key-load-delay", "3000", "--loading-process-events-interval-bytes", "1024"];

/// Gives a durable server records to load after its next start: in the snapshot of its log, because only between the
/// records of a snapshot does it look at its connections.
pub(crate) fn fill(redis: &RedisServer, records: u64) {
    redis.config_set("rdbcompression", "no");
    for n in 0..records {
        redis.command::<()>(&["SET", &format!("ballast:{n}"), &"x".repeat(1024)]);
    }
    redis.command::<String>(&["BGREWRITEAOF"]);
    wait_for("the log is rewritten", SOON, || {
        let info: String = redis.command(&["INFO", "persistence"]);
        let is_done = ["aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0", "aof_base_size"];
        is_done.iter().all(|line| info.contains(line)).then_some(()).ok_or(info)
    });
}

/// A fault under way; it lasts until it is ended.
#[must_use = "the fault lasts until `end`"]
pub(crate) struct Ongoing {
    fault: Fault,
    script: Option<JoinHandle<RedisResult<()>>>,
}

impl Fault {
    /// The first word of what Redis answers.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Fault::OutOfMemory => "OOM",
            Fault::ReadOnly => "READONLY",
            Fault::Misconfigured => "MISCONF",
            Fault::NoReplicas => "NOREPLICAS",
            Fault::Busy => "BUSY",
        }
    }

    /// Brings it about.
    pub(crate) fn begin(self, redis: &RedisServer) -> Ongoing {
        let mut script = None;
        match self {
            Fault::OutOfMemory => redis.config_set("maxmemory", "1"),
            Fault::ReadOnly => redis.command(&["REPLICAOF", "127.0.0.1", &free_port().to_string()]),
            Fault::Misconfigured => fail_to_save(redis),
            Fault::NoReplicas => redis.config_set("min-replicas-to-write", "1"),
            Fault::Busy => script = Some(run_endless_script(redis)),
        }
        Ongoing { fault: self, script }
    }
}

impl Ongoing {
    /// Lets Redis take writes again.
    pub(crate) fn end(self, redis: &RedisServer) {
        match self.fault {
            Fault::OutOfMemory => redis.config_set("maxmemory", "0"),
            Fault::ReadOnly => redis.command(&["REPLICAOF", "NO", "ONE"]),
            Fault::Misconfigured => save_again(redis),
            Fault::NoReplicas => redis.config_set("min-replicas-to-write", "0"),
            Fault::Busy => end_script(redis, self.script.expect("the script was begun")),
        }
    }
}

/// Lets a snapshot fail at its last step: a folder that is not empty has its name.
fn fail_to_save(redis: &RedisServer) {
    std::fs::create_dir_all(redis.folder().join("dump.rdb/not-empty")).unwrap();
    redis.config_set("save", "3600 1");
    redis.command::<String>(&["BGSAVE"]);
    wait_for("the snapshot has failed", SOON, || {
        let info: String = redis.command(&["INFO", "persistence"]);
        // the status alone may be that of an earlier one
        let has_failed = ["rdb_bgsave_in_progress:0", "rdb_last_bgsave_status:err"];
        has_failed.iter().all(|line| info.contains(line)).then_some(()).ok_or(info)
    });
}

/// A server that starts again would stumble over the folder.
fn save_again(redis: &RedisServer) {
    redis.config_set("save", "");
    std::fs::remove_dir_all(redis.folder().join("dump.rdb")).unwrap();
}

/// Answers `BUSY` once the script has run for longer than the threshold.
fn run_endless_script(redis: &RedisServer) -> JoinHandle<RedisResult<()>> {
    redis.config_set("busy-reply-threshold", "20");
    let mut connection = redis.connect().unwrap();
    let script = std::thread::spawn(move || {
        deadpool_redis::redis::cmd("EVAL").arg("while true do end").arg(0).query(&mut connection)
    });
    wait_for("the script runs", SOON, || match redis.try_command::<String>(&["PING"]) {
        Err(error) if error.code() == Some("BUSY") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    script
}

fn end_script(redis: &RedisServer, script: JoinHandle<RedisResult<()>>) {
    redis.command::<()>(&["SCRIPT", "KILL"]);
    assert!(script.join().unwrap().is_err(), "a killed script ends with an error");
}
