//! The uw-websocket service: settings, command line, log, wiring.

pub mod cli;
mod disk_advice;
pub mod escape;
pub mod exit;
mod exposed;
pub mod http;
pub mod logging;
mod memory;
pub mod redact;
pub mod refusal;
pub mod service;
pub mod settings;
pub mod shutdown;
pub mod streams;
pub mod term;
pub mod turns;
pub mod version;
mod ways;
