//! The conclusions of a process from the states left by its predecessors.

use std::collections::{BTreeMap, BTreeSet};

use super::super::coverage::{Covered, Outage, Reach};
use super::super::gap::{Gap, GapReason, family_of};
use super::super::left_queue::{Late, LeftQueue, LeftQueues};
use super::super::queue::GapQueue;
use super::super::written::Written;
use super::{Checkpoint, Kept, Predecessors};

/// Time without a sign of life after which a process is considered dead, in microseconds. One per second is usual; a
/// hanging disk or Redis can delay it by several seconds.
pub(super) const DEAD_AFTER: u64 = 10_000_000;
/// Maximum number of previous processes remembered, latest first: more than the machines that fail over to each other,
/// even if each is restarted a few times in between.
pub(super) const MAX_FOLLOWED: usize = 32;

impl Checkpoint {
    /// Returns the topics as the next process finds them: those that this one received, or may have begun to receive
    /// before it died, are missing since its end.
    #[must_use]
    pub fn left_behind(&self) -> Vec<Covered> {
        let (reason, how) = if self.clean {
            (GapReason::Shutdown, "was stopped")
        } else {
            (GapReason::Crash, "died; this is its last sign of life")
        };
        let since = self.missing_since.unwrap_or(self.alive_at);
        let end = || Outage { since, reason, detail: format!("{} {how}", self.instance) };
        let covered = |(topic, kept): (&String, &Kept)| Covered {
            topic: topic.clone(),
            family: family_of(topic),
            reach: match kept {
                Kept::New if self.clean => Reach::New,
                Kept::New | Kept::Receiving => Reach::Missing(end()),
                Kept::Missing { since, reason, detail } => {
                    // what was received before and not stored is missing too
                    let since = self.missing_since.map_or(*since, |missing| missing.min(*since));
                    Reach::Missing(Outage { since, reason: *reason, detail: detail.clone() })
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
    pub fn succeed(self, connections: &[Vec<String>], now: u64) -> LedgerBeginning {
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
        let stored_to = self.unstored.map(|unstored| unstored.stored_to);
        let (waiting, written, left) = (self.waiting, self.written, self.left);
        LedgerBeginning { begun_at: self.begun_at, topics, over, waiting, followed, written, left, stored_to }
    }

    /// Returns the copy with the latest sign of life. If the one on our disk is of another process, its waiting and
    /// ending gaps are known to a process that took over with the same sign of life, and else nowhere. If that process lived on, gaps ending at that time may be reported twice, which does less harm than losing
    /// later ones.
    #[must_use]
    pub fn newest(on_disk: Option<Checkpoint>, in_redis: Option<Checkpoint>) -> Option<Checkpoint> {
        match (on_disk, in_redis) {
            (Some(disk), Some(mut redis)) if redis.alive_at > disk.alive_at => {
                if redis.instance != disk.instance {
                    redis.append(disk.waiting, disk.ending, (&disk.instance, disk.alive_at));
                }
                redis.written = disk.written;
                Some(redis)
            }
            (disk, redis) => disk.or(redis),
        }
    }

    /// Adds the gaps of an earlier state with this sign of life.
    fn append(&mut self, waiting: GapQueue, ending: Vec<Gap>, (instance, alive_at): (&str, u64)) {
        if self.followed.get(instance) < Some(&alive_at) {
            self.waiting.append(waiting);
            self.ending.extend(ending);
        }
    }

    /// Removes the state of the topics.
    pub fn leave_topics(&mut self) {
        self.topics.clear();
    }

    /// Returns the disk queue that the process has left, if it may have left any.
    #[must_use]
    pub fn left_queue(&self) -> Option<LeftQueue> {
        let unstored = self.unstored.filter(|unstored| unstored.on_disk)?;
        let queue = LeftQueue { events: unstored.events, from_us: unstored.stored_to, to_us: self.alive_at };
        (unstored.events > 0 || !self.clean).then_some(queue)
    }

    /// Notes that the process's disk queue is not ours: what it received and did not store is missing.
    pub fn is_of_another(&mut self) {
        self.missing_since = self.unstored.map(|unstored| unstored.stored_to.min(self.alive_at));
    }
}

/// The processes whose disk queue is ours.
#[derive(Clone, Debug, Default)]
pub struct Ours {
    names: BTreeSet<String>,
    /// Time at which one of them last held the lease.
    held_at: u64,
    late: Option<Late>,
}

impl Ours {
    /// Collects this instance, and the last owner on our disk.
    #[must_use]
    pub fn new(instance: &str, on_disk: Option<&Checkpoint>) -> Ours {
        let names = on_disk.map(|life| life.instance.clone()).into_iter().chain([instance.to_owned()]);
        Ours {
            names: names.collect(),
            // earlier versions do not tell; they are alive while they hold it
            held_at: on_disk.map_or(0, |life| if life.held_at > 0 { life.held_at } else { life.alive_at }),
            late: on_disk.and_then(|life| life.late),
        }
    }

    /// Whether the disk had a state.
    #[must_use]
    pub fn has_state(&self) -> bool {
        self.held_at > 0
    }

    /// Returns the names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Adds the last owners on disks that we take over.
    #[must_use]
    pub fn with(mut self, peers: &[Checkpoint]) -> Ours {
        self.names.extend(peers.iter().map(|life| life.instance.clone()));
        self
    }

    /// Returns the time at which one of them last held the lease, in Unix microseconds.
    #[must_use]
    pub fn held_at(&self) -> u64 {
        self.held_at
    }

    /// Notes that this instance holds the lease.
    pub fn holds_the_lease(&mut self, now: u64) {
        self.held_at = now;
    }

    /// Notes that all late events are stored.
    pub fn is_stored(&mut self) {
        self.late = None;
    }

    /// Whether a state was left by one of them.
    #[must_use]
    pub fn is_of(&self, life: &Checkpoint) -> bool {
        self.names.contains(&life.instance)
    }

    /// Returns which of our events are late: those received before `now` if another instance was the owner after us.
    #[must_use]
    pub fn late(&self, was_succeeded: bool, now: u64) -> Option<Late> {
        if !was_succeeded {
            return self.late;
        }
        let since = self.late.map_or(self.held_at, |late| late.since.min(self.held_at));
        Some(Late { before: now, since })
    }
}

/// The initial state of a process.
#[derive(Debug)]
pub struct LedgerBeginning {
    /// When the ledger was begun, in Unix microseconds; 0 if unknown.
    pub begun_at: u64,
    /// The topics of each connection.
    pub topics: Vec<Vec<Covered>>,
    /// Gaps that end at startup.
    pub over: Vec<Gap>,
    /// Gaps recorded earlier that are not in Redis.
    pub waiting: GapQueue,
    /// The previous processes.
    pub followed: Predecessors,
    /// Entries confirmed by Redis.
    pub written: Written,
    /// Queues of other instances that wait on their disks.
    pub left: LeftQueues,
    /// Time up to which everything received is stored, as far as the process before tells.
    pub stored_to: Option<u64>,
}

impl LedgerBeginning {
    /// Returns the initial state, at `now`, without a previous process.
    #[must_use]
    pub fn first(connections: &[Vec<String>], now: u64) -> LedgerBeginning {
        let topics = connections.iter().map(|topics| topics.iter().map(new).collect()).collect();
        LedgerBeginning {
            begun_at: now,
            topics,
            over: Vec::new(),
            waiting: GapQueue::default(),
            followed: Predecessors::new(),
            written: Written::default(),
            left: LeftQueues::default(),
            stored_to: None,
        }
    }
}

pub(super) fn new(topic: impl AsRef<str>) -> Covered {
    let topic = topic.as_ref();
    Covered { topic: topic.to_owned(), family: family_of(topic), reach: Reach::New }
}
