//! The state of a process, from which the next one derives what was missed in between: the last sign of life, the state
//! of each topic, and the gaps not yet in Redis. It is a single document, replaced as a whole, so that it contains
//! every gap exactly once whenever the process dies.

mod doubts;
pub mod succession;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::coverage::{Covered, Outage, Reach};
use super::gap::{Gap, GapReason, moment, reason};
use super::left_queue::{Late, LeftQueues, Unstored};
use super::queue::GapQueue;
use super::written::Written;

/// Version of the document's format. A higher one was written by a newer service and is not read.
const FORMAT: u32 = 1;
/// The processes whose state was taken over, with the last sign of life in that state, in Unix microseconds.
pub type Predecessors = BTreeMap<String, u64>;

/// The state of a process in the ledger.
#[derive(Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    format: u32,
    /// The name of the process.
    pub instance: String,
    /// The last sign of life, in Unix microseconds.
    #[serde(with = "moment")]
    pub alive_at: u64,
    /// Whether the process shut down cleanly.
    pub clean: bool,
    /// When the ledger was begun, in Unix microseconds; 0 if a version before 0.2.0 did.
    #[serde(default, with = "moment")]
    pub(super) begun_at: u64,
    /// The state of each topic.
    topics: BTreeMap<String, Kept>,
    /// Gaps waiting for the last of their topics and losses that may continue, as they would be if closed now.
    ending: Vec<Gap>,
    /// Gaps not known to be in Redis.
    pub waiting: GapQueue,
    /// The previous processes.
    #[serde(default)]
    pub(super) followed: Predecessors,
    /// The latest entries confirmed by Redis, in case Redis loses them; on disk only.
    #[serde(default, skip_serializing_if = "Written::is_empty")]
    pub(super) written: Written,
    /// The events not stored yet; unknown of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unstored: Option<Unstored>,
    /// Queues of other instances that wait on their disks.
    #[serde(default, skip_serializing_if = "LeftQueues::is_empty")]
    pub left: LeftQueues,
    /// Which events of the own queue are late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) late: Option<Late>,
    /// Time at which the process last held the lease, in Unix microseconds; zero if never, or unknown.
    #[serde(default, with = "moment")]
    pub(super) held_at: u64,
    /// Time from which the next process misses what this one received, if not its last sign of life.
    #[serde(skip)]
    missing_since: Option<u64>,
}

/// The state of a topic.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kept {
    /// Not received up to the last sign of life, but possibly since.
    New,
    Receiving,
    Missing {
        #[serde(with = "moment")]
        since: u64,
        #[serde(with = "reason")]
        reason: GapReason,
        detail: String,
    },
}

/// An unusable document.
#[derive(Debug, Error)]
pub enum LifeError {
    /// Not such a document, or truncated.
    #[error("it is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
    /// Not written by a service.
    #[error("{0}")]
    Foreign(&'static str),
    /// Has another format version.
    #[error("it has the form {0}, which only a newer version can read")]
    Newer(u32),
}

impl Checkpoint {
    /// Creates the state of a process alive at `alive_at`.
    #[must_use]
    pub(super) fn new(instance: &str, alive_at: u64) -> Checkpoint {
        Checkpoint {
            format: FORMAT,
            instance: instance.to_owned(),
            alive_at,
            clean: false,
            begun_at: 0,
            topics: BTreeMap::new(),
            ending: Vec::new(),
            waiting: GapQueue::default(),
            followed: Predecessors::new(),
            written: Written::default(),
            unstored: None,
            left: LeftQueues::default(),
            late: None,
            held_at: 0,
            missing_since: None,
        }
    }

    /// Sets the topics and the gaps that may not have ended.
    pub(super) fn set(&mut self, topics: Vec<Covered>, ending: Vec<Gap>) {
        self.ending = ending;
        self.topics = topics
            .into_iter()
            .map(|covered| {
                let kept = match covered.reach {
                    Reach::New => Kept::New,
                    Reach::Receiving => Kept::Receiving,
                    Reach::Missing(Outage { since, reason, detail }) => {
                        Kept::Missing { since, reason, detail }
                    }
                };
                (covered.topic, kept)
            })
            .collect();
    }

    /// Reads a document.
    pub fn parse(json: &[u8]) -> Result<Checkpoint, LifeError> {
        #[derive(Deserialize)]
        struct Form {
            format: u32,
        }
        match serde_json::from_slice(json)? {
            Form { format: FORMAT } => serde_json::from_slice::<Checkpoint>(json)?.checked(),
            Form { format } => Err(LifeError::Newer(format)),
        }
    }

    /// Serializes the document.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

#[cfg(test)]
mod tests;
