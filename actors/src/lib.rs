//! The actors of uw-websocket and their pure cores.

pub mod backoff;
pub mod calendar;
pub mod connection;
pub mod event;
pub mod fault;
pub mod observation;
pub mod settings;
pub mod supervisor;
