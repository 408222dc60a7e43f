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
        Beginning { topics, over, waiting: self.waiting, followed, written: self.written }
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
    /// Returns the initial state without a previous process.
    #[must_use]
    pub fn first(connections: &[Vec<String>]) -> Beginning {
        let topics = connections.iter().map(|topics| topics.iter().map(new).collect()).collect();
        Beginning {
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
mod tests {
    use super::*;
    use uw_websocket_core::event::Family;

    fn life(instance: &str, alive_at: u64) -> Checkpoint {
        let missing = Outage { since: 3, reason: GapReason::Unjoined, detail: "refused: no plan".into() };
        let mut life = Checkpoint::new(instance, alive_at);
        let topics = [
            ("price:SPY", Reach::Receiving),
            ("price:QQQ", Reach::Receiving),
            ("gex:SPY", Reach::Missing(missing)),
            ("news", Reach::New),
        ];
        let covered = |(topic, reach)| Covered { reach, ..new(topic) };
        life.set(topics.into_iter().map(covered).collect(), vec![gap("gex:QQQ", 1, 2)]);
        life.waiting.push(gap("news", 5, 6));
        life
    }

    fn gap(topic: &str, from: u64, to: u64) -> Gap {
        Gap::new(family_of(topic), vec![topic.to_owned()], (from, to), GapReason::Death)
    }

    fn outline(covered: &[Covered]) -> Vec<(&str, Option<(u64, GapReason)>)> {
        let since = |covered: &Covered| match &covered.reach {
            Reach::Missing(outage) => Some((outage.since, outage.reason)),
            _ => None,
        };
        covered.iter().map(|covered| (covered.topic.as_str(), since(covered))).collect()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_next_process_misses_what_this_one_received() {
        let plan = [names(&["price:SPY", "price:QQQ"]), names(&["gex:SPY", "news", "price:IWM"])];
        for (clean, reason) in [(false, GapReason::Crash), (true, GapReason::Shutdown)] {
            let mut life = Checkpoint { clean, ..life("a", 9) };
            life = Checkpoint::parse(&life.to_json().unwrap()).unwrap();
            let Beginning { topics, over, waiting, followed, .. } = life.succeed(&plan, 20);
            assert_eq!(followed, Followed::from([("a".to_owned(), 9)]));
            let since = Some((9, reason));
            assert_eq!(outline(&topics[0]), [("price:SPY", since), ("price:QQQ", since)]);
            let gex = Some((3, GapReason::Unjoined));
            // a process may have received its first news between its last sign of life and its death
            let news = if clean { None } else { since };
            assert_eq!(outline(&topics[1]), [("gex:SPY", gex), ("news", news), ("price:IWM", None)]);
            let waiting: Vec<Gap> = waiting.iter().map(|queued| queued.gap.clone()).collect();
            assert_eq!((waiting, over), (vec![gap("news", 5, 6)], vec![gap("gex:QQQ", 1, 2)]));
        }
    }

    #[test]
    fn of_a_process_that_lives_only_what_it_misses_is_missing() {
        let missing = |life: &Checkpoint, now| outline(&life.missing(now)).len();
        let mut life = life("a", 9);
        assert_eq!((missing(&life, 9 + DEAD_AFTER - 1), missing(&life, 9 + DEAD_AFTER)), (1, 4));
        life.clean = true;
        assert_eq!(missing(&life, 10), 3);
    }

    #[test]
    fn a_topic_that_is_no_longer_configured_is_missing_up_to_the_start() {
        let begins = life("a", 9).succeed(&[names(&["gex:SPY"])], 20);
        // the prices, the news that may have arrived, and the closed gap
        assert_eq!((begins.topics.len(), begins.over.len(), begins.waiting.len()), (1, 3, 1));
        let over = begins.over.iter().find(|gap| gap.family == Family::Prices).unwrap();
        assert_eq!((over.from_us, over.to_us), (9, 20));
        assert_eq!(over.channels, ["price:QQQ", "price:SPY"]);
        assert!(over.detail.contains("no longer"), "{}", over.detail);
    }

    #[test]
    fn the_newest_sign_of_life_counts_and_no_gap_that_waits_is_forgotten() {
        let pick = |disk: Checkpoint, redis: Checkpoint| {
            let newest = Checkpoint::newest(Some(disk), Some(redis)).unwrap();
            (newest.alive_at, newest.waiting.len())
        };
        assert_eq!(pick(life("a", 9), life("a", 8)), (9, 1));
        assert_eq!(pick(life("a", 9), life("a", 10)), (10, 1));
        assert_eq!(pick(life("a", 9), life("b", 10)), (10, 2));
        assert_eq!(Checkpoint::newest(None, Some(life("a", 1))).unwrap().alive_at, 1);
        assert!(Checkpoint::newest(None, None).is_none());
    }

    #[test]
    fn what_was_ending_is_told_by_who_took_over_or_by_who_comes_back() {
        let endings = |disk: Checkpoint, redis: Checkpoint| {
            Checkpoint::newest(Some(disk), Some(redis)).unwrap().ending.len()
        };
        let plan = [names(&["news"])];
        // `b` took over the state of `a` in Redis as of 9, and `c` that of `b`
        let mut b = Checkpoint::new("b", 20);
        b.followed = life("a", 9).succeed(&plan, 10).followed;
        let mut c = Checkpoint::new("c", 30);
        c.followed = Checkpoint { followed: b.followed.clone(), ..Checkpoint::new("b", 20) }
            .succeed(&plan, 21)
            .followed;
        for successor in [b, c] {
            let successor = || Checkpoint::parse(&successor.to_json().unwrap()).unwrap();
            assert_eq!(endings(life("a", 9), successor()), 0);
            // Redis did not have the last state
            assert_eq!(endings(life("a", 10), successor()), 1);
            assert_eq!(endings(life("d", 9), successor()), 1);
        }
    }

    #[test]
    fn the_newest_processes_before_are_remembered() {
        let mut followed = Followed::new();
        for n in 0..2 * MAX_FOLLOWED as u64 {
            let life = Checkpoint { followed, ..Checkpoint::new(&format!("{}", n * 7919 % 101), n) };
            followed = life.succeed(&[], n).followed;
        }
        let remembered = MAX_FOLLOWED as u64..2 * MAX_FOLLOWED as u64;
        assert_eq!(followed.into_values().collect::<std::collections::BTreeSet<_>>(), remembered.collect());
    }

    #[test]
    fn a_document_of_the_version_before_can_be_read() {
        let json = String::from_utf8(life("a", 9).to_json().unwrap()).unwrap();
        let before = json.replace(r#","followed":{}"#, "");
        assert_ne!(json, before);
        assert!(Checkpoint::parse(before.as_bytes()).unwrap().followed.is_empty());
    }

    #[test]
    fn a_document_that_is_damaged_or_newer_is_refused() {
        let whole = life("a", 9).to_json().unwrap();
        for length in 0..whole.len() {
            assert!(
                matches!(Checkpoint::parse(&whole[..length]), Err(LifeError::Damaged(_))),
                "{length} bytes"
            );
        }
        assert!(matches!(Checkpoint::parse(br#"{"format":2,"what":"ever"}"#), Err(LifeError::Newer(2))));
        assert!(matches!(Checkpoint::parse(&[0; 4096]), Err(LifeError::Damaged(_))));
    }
}
