//! The clock of the lease: time since boot, including suspension. It cannot be set, and it advances while the
//! process is paused.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A point in time, as time since boot.
pub type Uptime = Duration;

#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

/// Returns the current time.
#[must_use]
pub fn now() -> Uptime {
    Duration::try_from(clock_gettime(CLOCK)).unwrap_or_default()
}
