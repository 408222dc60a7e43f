//! The whole service through its public face: the real binary, a real Redis, a feed whose every byte the test knows.
//!
//! One crate, so that it links once; a module a topic, each test runnable alone and safe beside the others. A test
//! waits for conditions with a deadline, never for time.

#![cfg(test)]

mod archive;
mod backfill;
mod chaos;
mod check;
mod cluster;
mod cluster_readers;
mod configured;
mod crowded;
mod dead_owner;
mod escapes;
mod exactly_once;
mod examples;
mod failover;
mod files;
mod forgotten_gaps;
mod gaps;
mod giant_entries;
mod giants;
mod harness;
mod hostile_fills;
mod http;
mod https_proxy;
mod idle;
mod joins;
mod lease;
#[path = "../log_table/mod.rs"]
mod log_table;
mod logs;
mod malformed;
mod memory;
mod names;
mod page;
mod probe;
mod proxy;
mod reconnect;
mod redis_faults;
mod redis_urls;
mod replay;
mod rest_reader;
mod retention;
mod rights;
mod shared_limit;
mod shutdown;
mod silence;
mod snapshots;
mod soak;
mod start;
mod streams;
mod supervision;
mod support;
mod symbols;
mod tail;
mod tls;
mod traffic;
mod unsuitable;
