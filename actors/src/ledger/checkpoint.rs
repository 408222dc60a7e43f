//! The state of a process, from which the next one derives what was missed in between: the last sign of life, the state
//! of each topic, and the gaps not yet in Redis. It is a single document, replaced as a whole, so that it contains
//! every gap exactly once whenever the process dies.

mod doubts;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::coverage::{Covered, Outage, Reach};
use super::gap::{Gap, GapReason, family_of, moment, reason};
use super::queue::GapQueue;
use super::written::Written;

/// Version of the document's format. A higher one was written by a newer service and is not read.
const FORMAT: u32 = 1;
/// Time without a sign of life after which a process is considered dead, in microseconds. One per second is usual; a
/// hanging disk or Redis can delay it by several seconds.
const DEAD_AFTER: u64 = 10_000_000;
/// Maximum number of previous processes remembered, latest first: more than the machines that fail over to each other,
/// even if each is restarted a few times in between.
const MAX_FOLLOWED: usize = 32;

/// The processes whose state was taken over, with the last sign of life in that state, in Unix microseconds.
pub type Followed = BTreeMap<String, u64>;

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
    pub(super) followed: Followed,
    /// The latest entries confirmed by Redis, in case Redis loses them; on disk only.
    #[serde(default, skip_serializing_if = "Written::is_empty")]
    pub(super) written: Written,
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
            followed: Followed::new(),
            written: Written::default(),
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

    /// Returns the topics as the next process finds them: those that this one received, or may have begun to receive
    /// before it died, are missing since its end.
    #[must_use]
    pub fn left_behind(&self) -> Vec<Covered> {
        let (reason, how) = if self.clean {
            (GapReason::Shutdown, "was stopped")
        } else {
            (GapReason::Crash, "died; this is its last sign of life")
        };
        let end = || Outage { since: self.alive_at, reason, detail: format!("{} {how}", self.instance) };
        let covered = |(topic, kept): (&String, &Kept)| Covered {
            topic: topic.clone(),
            family: family_of(topic),
            reach: match kept {
                Kept::New if self.clean => Reach::New,
                Kept::New | Kept::Receiving => Reach::Missing(end()),
                Kept::Missing { since, reason, detail } => {
                    let (reason, detail) = (*reason, detail.clone());
                    Reach::Missing(Outage { since: *since, reason, detail })
                }
            },
        };
        self.topics.iter().map(covered).collect()
    }

    /// Returns the topics missing at `now`: all of them if the process shows no sign of life.
    #[must_use]
    pub fn missing(&self, now: u64) -> Vec<Covered> {
        let lives = !self.clean && now.saturating_sub(self.alive_at) < DEAD_AFTER;
        let was_missing = |topic: &str| matches!(self.topics.get(topic), Some(Kept::Missing { .. }));
        let is_missing = |covered: &Covered| {
            matches!(covered.reach, Reach::Missing(_)) && (!lives || was_missing(&covered.topic))
        };
        self.left_behind().into_iter().filter(is_missing).collect()
    }

    /// Returns the initial state of the next process at `now`. A topic that it no longer joins is missing up to then.
    #[must_use]
    pub fn succeed(self, connections: &[Vec<String>], now: u64) -> Beginning {
        let mut left: BTreeMap<String, Covered> =
            self.left_behind().into_iter().map(|covered| (covered.topic.clone(), covered)).collect();
        let begins = connections.iter().map(|topics| {
            let begin = |topic: &String| left.remove(topic).unwrap_or_else(|| new(topic));
            topics.iter().map(begin).collect()
        });
        let topics = begins.collect();
        let mut over: Vec<Gap> = Vec::new();
        for Covered { topic, family, reach } in left.into_values() {
            let Reach::Missing(outage) = reach else { continue };
            let gap = Gap::new(family, vec![topic], (outage.since, now), outage.reason);
            match over.iter_mut().find(|other| other.is_like(&gap) && other.from_us == gap.from_us) {
                Some(same) => same.channels.extend(gap.channels),
                None => over.push(gap.with_detail("no longer among the channels of the settings")),
            }
        }
        over.extend(self.ending);
        let mut followed = self.followed;
        followed.insert(self.instance, self.alive_at);
        while followed.len() > MAX_FOLLOWED
            && let Some(oldest) = followed.iter().min_by_key(|(_, at)| **at).map(|(name, _)| name.clone())
        {
            followed.remove(&oldest);
        }
        let (begun_at, waiting, written) = (self.begun_at, self.waiting, self.written);
        Beginning { begun_at, topics, over, waiting, followed, written }
    }

    /// Returns the copy with the latest sign of life. If the one on our disk is of another process, its waiting gaps
    /// are known nowhere else, whereas its ending gaps are known to the process that took over with the same sign of
    /// life. If that process lived on, gaps ending at that time may be reported twice, which does less harm than losing
    /// later ones.
    #[must_use]
    pub fn newest(on_disk: Option<Checkpoint>, in_redis: Option<Checkpoint>) -> Option<Checkpoint> {
        match (on_disk, in_redis) {
            (Some(disk), Some(mut redis)) if redis.alive_at > disk.alive_at => {
                if redis.instance != disk.instance {
                    redis.waiting.append(disk.waiting);
                    if redis.followed.get(&disk.instance) < Some(&disk.alive_at) {
                        redis.ending.extend(disk.ending);
                    }
                }
                redis.written = disk.written;
                Some(redis)
            }
            (disk, redis) => disk.or(redis),
        }
    }
}

/// The initial state of a process.
#[derive(Debug)]
pub struct Beginning {
    /// When the ledger was begun, in Unix microseconds; 0 if unknown.
    pub begun_at: u64,
    /// The topics of each connection.
    pub topics: Vec<Vec<Covered>>,
    /// Gaps that end at startup.
    pub over: Vec<Gap>,
    /// Gaps recorded earlier that are not in Redis.
    pub waiting: GapQueue,
    /// The previous processes.
    pub followed: Followed,
    /// Entries confirmed by Redis.
    pub written: Written,
}

impl Beginning {
    /// Returns the initial state, at `now`, without a previous process.
    #[must_use]
    pub fn first(connections: &[Vec<String>], now: u64) -> Beginning {
        let topics = connections.iter().map(|topics| topics.iter().map(new).collect()).collect();
        Beginning {
            begun_at: now,
            topics,
            over: Vec::new(),
            waiting: GapQueue::default(),
            followed: Followed::new(),
            written: Written::default(),
        }
    }
}

fn new(topic: impl AsRef<str>) -> Covered {
    let topic = topic.as_ref();
    Covered { topic: topic.to_owned(), family: family_of(topic), reach: Reach::New }
}

#[cfg(test)]
mod tests;
