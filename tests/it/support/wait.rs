//! Waiting for a condition, with a deadline that follows the machine, and the last thing seen.

use std::time::{Duration, Instant};

use super::yardstick::has_passed;

/// How long a test waits for what should take milliseconds, on a machine that does nothing else.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// Between two looks: short beside every deadline, long beside the cost of a look.
const POLL: Duration = Duration::from_millis(20);

/// Looks until `probe` gives a value, and returns it; after `limit`, stretched, panics with what the last look saw instead.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Result<T, String>) -> T {
    let started = Instant::now();
    loop {
        match probe() {
            Ok(value) => return value,
            Err(seen) if has_passed(started, limit) => {
                panic!("waited {:?} in vain until {what}; last seen: {seen}", started.elapsed())
            }
            Err(_) => std::thread::park_timeout(POLL),
        }
    }
}

/// Looks until `condition` holds; after `limit` panics with `seen`, which is asked only then.
#[track_caller]
pub(crate) fn wait_until(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> bool,
    seen: impl Fn() -> String,
) {
    wait_for(what, limit, || if condition() { Ok(()) } else { Err(seen()) });
}
