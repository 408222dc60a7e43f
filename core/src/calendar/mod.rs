//! Market hours, and the cutoff of an age limit in trading days.
//!
//! [`sessions`] has trading hours and market state, [`products`] the hours by product,
//! `clock` session dates, `days` holidays and early closes, [`segments`] the parts of a stock's
//! day, [`retention`] the time since which everything is kept, `vendor_day` the day of the vendor's limits.

mod clock;
mod days;
pub mod products;
pub mod retention;
pub mod segments;
pub mod sessions;
mod vendor_day;

pub use clock::SessionClock;
pub use products::{Product, Products};
pub use retention::{first_kept_date, retention_cutoff};
pub use segments::DaySegment;
pub use sessions::{
    Closure, MarketState, day_of, iso_date, market_state, market_state_until, midnight, new_york_hour,
    session_date, session_hours,
};
pub use vendor_day::{vendor_day, vendor_day_end};
