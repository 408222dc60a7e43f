//! The actors of uw-websocket and their pure cores.
//!
//! ```text
//! vendor ──frame──▶ [Connection] ──Delivery──▶ [Writer(shard)] ──transaction──▶ Redis
//!                        │    inbox ──▶ queue ──▶    │
//!                        └─── which outlive both ────┘
//! ```
//!
//! A connection splits frames and routes their events into the inbox of a shard, its writer takes them over into the shard's
//! queue and stores them: an event crosses one actor boundary. Every child is owned by the supervisor. The modules stand in the order of an event's way:

pub mod archive;
mod cluster_watch;
pub mod connection;
pub mod master_watch;
pub mod messages;
pub mod queue;
pub mod settings;
pub mod writer;

pub mod acl;
pub mod audit;
pub mod auditor;
pub mod filler;
pub mod forecast;
pub mod handover;
pub mod janitor;
pub mod lease;
pub mod ledger;
pub mod observation;
pub mod rest;
pub mod status_reporter;
pub mod supervisor;

pub mod backoff;
pub mod cluster_pool;
pub mod dial;
pub mod error_chain;
mod excerpt;
pub mod fault;
mod forgetting;
mod future_times;
mod glob;
pub mod log_throttle;
pub mod redis_pool;
pub mod redis_url;
pub mod sync;
pub mod thread_deaths;
pub mod tls;
mod vendor_http;
pub mod wall_clock;

#[cfg(test)]
mod fixtures;
