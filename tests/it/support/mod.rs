//! What the tests stand on: a Redis to torture, a feed to script, the service as a process, and the oracle.

pub(crate) mod asked;
pub(crate) mod attack;
pub(crate) mod browser;
pub(crate) mod cluster;
pub(crate) mod faults;
pub(crate) mod feed;
pub(crate) mod logs;
pub(crate) mod metrics;
pub(crate) mod oracle;
pub(crate) mod poller;
pub(crate) mod proxy;
pub(crate) mod python;
pub(crate) mod redis;
pub(crate) mod sample;
pub(crate) mod sentinels;
pub(crate) mod service;
pub(crate) mod small_disk;
pub(crate) mod tls;
pub(crate) mod tool;
pub(crate) mod under_traffic;
pub(crate) mod wait;
#[path = "../../../actors/tests/yardstick/mod.rs"]
mod yardstick;

pub(crate) use asked::asked;
pub(crate) use cluster::Cluster;
pub(crate) use feed::Feed;
pub(crate) use redis::RedisServer;
pub(crate) use sentinels::Sentinels;
pub(crate) use service::{Service, Setup};
pub(crate) use wait::{SOON, wait_for, wait_until};
pub(crate) use yardstick::{has_passed, stretched};
