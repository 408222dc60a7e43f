//! Retry delays and log messages while Redis cannot be written to.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use slog::{Logger, info, warn};

use super::store::fault::StoreFault;
use crate::backoff::Backoff;
use crate::observation::{Observations, WriterObservation};
use crate::sync::lock;

/// First delay between attempts while Redis is unavailable: short enough that a restart of Redis is hardly
/// noticeable, long enough that a long outage costs nothing.
const RETRY_FIRST: Duration = Duration::from_millis(50);
/// Maximum delay between attempts.
pub const RETRY_MAX: Duration = Duration::from_secs(2);
/// Interval of log messages during an outage.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// The outage of Redis as seen by one writer.
pub struct RedisOutage {
    shard: usize,
    observations: Arc<Observations>,
    log: Logger,
    present: Option<Present>,
    backoff: Backoff,
    rng: fastrand::Rng,
}

/// A current outage.
struct Present {
    since: Instant,
    logged_at: Instant,
    tries: u64,
    label: &'static str,
}

impl RedisOutage {
    /// Creates a state without an outage.
    #[must_use]
    pub fn new(shard: usize, observations: Arc<Observations>, log: Logger) -> RedisOutage {
        let backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        RedisOutage { shard, observations, log, present: None, backoff, rng: fastrand::Rng::new() }
    }

    fn observed(&self) -> &WriterObservation {
        &self.observations.writers[self.shard]
    }

    /// Whether the last attempt failed.
    #[must_use]
    pub fn is_present(&self) -> bool {
        self.present.is_some()
    }

    /// Ends the outage: Redis accepts writes.
    pub fn is_over(&mut self) {
        self.backoff.reset();
        let observed = self.observed();
        observed.redis_up.store(true, Relaxed);
        if let Some(outage) = self.present.take() {
            *lock(&self.observed().last_error) = None;
            info!(self.log, "redis back";
                "after_s" => outage.since.elapsed().as_secs_f64(), "tries" => outage.tries);
        }
    }

    /// Records a failed attempt; returns the delay before the next.
    pub fn failed(&mut self, fault: &StoreFault) -> Duration {
        let now = Instant::now();
        let observed = self.observed();
        observed.redis_up.store(false, Relaxed);
        *lock(&observed.last_error) = Some(fault.to_string());
        let outage = self.present.get_or_insert(Present { since: now, logged_at: now, tries: 0, label: "" });
        outage.tries += 1;
        let is_news = outage.label != fault.label();
        if is_news || now.duration_since(outage.logged_at) >= LOG_EVERY {
            (outage.label, outage.logged_at) = (fault.label(), now);
            warn!(self.log, "redis unavailable";
                "kind" => fault.label(), "error" => %fault,
                "for_s" => now.duration_since(outage.since).as_secs(), "tries" => outage.tries);
        }
        self.backoff.next(&mut self.rng)
    }
}
