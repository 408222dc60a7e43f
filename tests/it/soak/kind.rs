//! What is looked at, and by how much it may vary.

use std::time::Duration;

use super::sample::Sample;
use super::trend::{Allowed, Scope};

const MIB: f64 = 1024.0 * 1024.0;

/// A kind of sample.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) value: fn(&Sample) -> f64,
    /// Divides the values where they are shown.
    pub(crate) unit: f64,
    pub(crate) allowed: Allowed,
    /// Where growth is a fault; nowhere for what is only shown.
    pub(crate) judged: &'static [Scope],
    /// Age of a process from which on it is judged by itself; a younger one is compared with others only.
    pub(crate) grown_up: Duration,
}

const BOTH: &[Scope] = &[Scope::Life, Scope::Run];

/// All kinds. What the disk queue holds goes up and down between two writes of the archive, by 8 MiB of lines.
pub(crate) const KINDS: [Kind; 8] = [
    Kind {
        name: "resident memory, MiB",
        value: |sample| sample.resident as f64,
        unit: MIB,
        // what the allocator keeps of a backlog
        allowed: Allowed { growth: 8.0 * MIB, share: 0.1 },
        judged: BOTH,
        // the tables of what was received are full by then
        grown_up: Duration::from_secs(300),
    },
    Kind {
        name: "file descriptors",
        value: |sample| sample.descriptors as f64,
        unit: 1.0,
        // a connection to Redis that is being replaced
        allowed: Allowed { growth: 2.0, share: 0.0 },
        judged: BOTH,
        grown_up: Duration::ZERO,
    },
    Kind {
        name: "threads",
        value: |sample| sample.threads as f64,
        unit: 1.0,
        // one of the runtime's for blocking work
        allowed: Allowed { growth: 1.0, share: 0.0 },
        judged: BOTH,
        grown_up: Duration::ZERO,
    },
    Kind {
        name: "disk queue, MiB",
        value: |sample| sample.spool_bytes as f64,
        unit: MIB,
        allowed: Allowed { growth: 8.0 * MIB, share: 0.25 },
        judged: BOTH,
        grown_up: Duration::ZERO,
    },
    Kind {
        name: "events waiting for the archive",
        value: |sample| sample.archive_waiting as f64,
        unit: 1.0,
        // 8 MiB of lines
        allowed: Allowed { growth: 10_000.0, share: 0.25 },
        judged: BOTH,
        grown_up: Duration::ZERO,
    },
    Kind {
        name: "archive, bytes per event",
        value: |sample| sample.archive_file_bytes as f64 / sample.archive_events.max(1) as f64,
        unit: 1.0,
        allowed: Allowed { growth: 4.0, share: 0.1 },
        judged: BOTH,
        grown_up: Duration::ZERO,
    },
    Kind {
        name: "keys in Redis",
        value: |sample| sample.keys as f64,
        unit: 1.0,
        // of the lease, the status and what expires
        allowed: Allowed { growth: 3.0, share: 0.0 },
        judged: BOTH,
        grown_up: Duration::ZERO,
    },
    Kind {
        name: "archive, MiB",
        value: |sample| sample.archive_bytes as f64,
        unit: MIB,
        allowed: Allowed { growth: 0.0, share: 0.0 },
        // it keeps the day: what grows is judged per event
        judged: &[],
        grown_up: Duration::ZERO,
    },
];
