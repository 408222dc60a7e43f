//! The requests for fills of a vendor's day, as they survive the process.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::calendar::{day_of, iso_date, vendor_day};

/// The requests of a day. As text `2026-10-05 123`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FillsOfDay {
    /// The vendor's day, in days since 1970-01-01.
    pub day: i32,
    /// The number of requests.
    pub count: u32,
}

/// Why a count is not taken over.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum UnfitFills {
    /// Not a date and a number.
    #[error("it is not a date and a number")]
    Unreadable,
    /// Of a day that has not come.
    #[error("its day has not come")]
    Future,
    /// Above what is allowed; the day's requests count as used.
    #[error("it is above BACKFILL_MAX_REQUESTS_PER_DAY")]
    AboveLimit,
}

impl FillsOfDay {
    /// Adds a request at a time.
    #[must_use]
    pub fn after(self, unix_ms: u64) -> FillsOfDay {
        let day = vendor_day(unix_ms);
        let before = if self.day == day { self.count } else { 0 };
        FillsOfDay { day, count: before.saturating_add(1) }
    }
}

impl fmt::Display for FillsOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", iso_date(self.day), self.count)
    }
}

impl FromStr for FillsOfDay {
    type Err = UnfitFills;

    fn from_str(text: &str) -> Result<FillsOfDay, UnfitFills> {
        let (day, count) = text.split_once(' ').ok_or(UnfitFills::Unreadable)?;
        let day = day_of(day).ok_or(UnfitFills::Unreadable)?;
        if count.is_empty() || !count.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(UnfitFills::Unreadable);
        }
        // beyond the range it is above every limit
        Ok(FillsOfDay { day, count: count.parse().unwrap_or(u32::MAX) })
    }
}
