//! Waiting for a condition, with a deadline and the last thing seen.

use std::time::{Duration, Instant};

/// How long a test waits for what should take milliseconds: two cores may be shared by eight such tests.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// Between two looks: short beside every deadline, long beside the cost of a look.
const POLL: Duration = Duration::from_millis(20);

/// Looks until `probe` gives a value, and returns it; after `limit` panics with what the last look saw instead.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Result<T, String>) -> T {
    let started = Instant::now();
    loop {
        match probe() {
            Ok(value) => return value,
            Err(seen) if started.elapsed() > limit => {
                panic!("waited {limit:?} in vain until {what}; last seen: {seen}")
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
