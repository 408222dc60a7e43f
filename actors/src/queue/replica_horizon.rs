//! Up to when a replica has what Redis confirmed: until then records stay on disk, since a failover may forget them.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use uw_websocket_core::spool::Retain;

use crate::sync::lock;

/// Maximum time for which a record stays because no replica has it: a promoted master may have no replica for long, and
/// the disk queue must not grow for ever. Twice the time for which an unconfirmed master is still written to.
pub const WITHOUT_REPLICA: Duration = Duration::from_secs(60);

/// The horizon of one shard. Writes confirmed until then need not be kept for a failover.
#[derive(Debug, Default)]
pub struct ReplicaHorizon(Mutex<Option<Instant>>);

impl ReplicaHorizon {
    /// Sets the moment; `None` if there is no replica to wait for.
    pub fn set(&self, safe_until: Option<Instant>) {
        *lock(&self.0) = safe_until;
    }

    /// Returns how long stored records are retained, for at least `keep`.
    #[must_use]
    pub fn retain(&self, keep: Duration) -> Retain {
        Retain { least: keep, most: WITHOUT_REPLICA.max(keep), safe_until: *lock(&self.0) }
    }
}
