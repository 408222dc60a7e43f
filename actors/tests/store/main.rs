//! The port to Redis and the writer before it, against a real `redis-server` and against servers that misbehave.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]
#![allow(missing_docs, unreachable_pub, reason = "a test binary has no readers from outside")]

mod adoption;
mod committer;
mod deaths;
mod disks;
mod forecast;
mod janitor;
mod lives;
mod lookups;
mod misbehaving;
mod poison;
mod redis;
mod renumbering;
mod restoring;
mod start;
mod transactions;
mod world;
#[path = "../yardstick/mod.rs"]
mod yardstick;
