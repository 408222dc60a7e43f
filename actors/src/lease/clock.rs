//! The clock of the lease: time since the machine was started, with the time that it was suspended. Nobody sets it, and
//! it goes on while the process is paused.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A moment, as time since the start of the machine.
pub type Uptime = Duration;

#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

/// The present moment.
#[must_use]
pub fn now() -> Uptime {
    Duration::try_from(clock_gettime(CLOCK)).unwrap_or_default()
}
