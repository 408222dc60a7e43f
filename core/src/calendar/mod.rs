//! When the market is open, and what an age limit in trading days keeps.
//!
//! [`sessions`] tells the hours of a day and the state at a moment, `days` the holidays and early closes, [`retention`] the
//! moment since which everything is kept.

mod days;
pub mod retention;
pub mod sessions;

pub use retention::retention_cutoff;
pub use sessions::{
    Closure, MarketState, SessionClock, day_of, market_state, market_state_until, session_date, session_hours,
};
