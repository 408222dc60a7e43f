//! The service.

/// The commands.
pub mod cli {
    pub mod simulate;
}
pub mod simulator;
