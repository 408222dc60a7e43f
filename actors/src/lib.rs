//! The actors of uw-websocket and their pure cores.

pub mod error_chain;
pub mod event;
pub mod observation;
pub mod settings;
