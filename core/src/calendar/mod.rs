//! Market hours, and the cutoff of an age limit in trading days.
//!
//! [`sessions`] has trading hours and market state, `days` holidays and early closes, [`retention`] the time since
//! which everything is kept.

mod days;
pub mod retention;
pub mod sessions;

pub use retention::retention_cutoff;
pub use sessions::{
    Closure, MarketState, SessionClock, day_of, iso_date, market_state, market_state_until, new_york_hour,
    session_date, session_hours,
};
