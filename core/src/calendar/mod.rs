//! Market hours, and the cutoff of an age limit in trading days.
//!
//! [`sessions`] has trading hours and market state, `days` holidays and early closes, [`segments`] the parts of a stock's
//! day, [`retention`] the time since which everything is kept.

mod days;
pub mod retention;
pub mod segments;
pub mod sessions;

pub use retention::retention_cutoff;
pub use segments::Segment;
pub use sessions::{
    Closure, MarketState, SessionClock, day_of, market_state, market_state_until, session_date, session_hours,
};
