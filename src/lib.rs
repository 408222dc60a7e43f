//! The uw-websocket service: settings, command line, logging, wiring.

mod archive_forecast;
pub mod cli;
mod disk_advice;
pub mod escape;
pub mod event_lines;
pub mod exit;
mod exposed;
pub mod handover;
pub mod http;
pub mod leadership_loop;
pub mod leadership_term;
mod likeness;
pub mod logging;
mod memory;
mod optional_parts;
mod ready;
pub mod redact;
pub mod refusal;
mod resources;
pub mod service;
pub mod settings;
pub mod shutdown;
pub mod signals;
pub mod streams;
pub mod version;
