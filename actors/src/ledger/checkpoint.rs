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
    /// What was not stored yet; unknown of earlier versions.
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
            topics: BTreeMap::new(),
            ending: Vec::new(),
            waiting: GapQueue::default(),
            followed: Followed::new(),
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
mod tests {
    use super::succession::{Beginning, DEAD_AFTER, MAX_FOLLOWED, Ours, new};
    use super::*;
    use crate::ledger::gap::family_of;
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

    fn unstored(stored_to: u64, events: u64) -> Unstored {
        Unstored { stored_to, events, on_disk: true }
    }

    #[test]
    fn what_another_instance_had_not_stored_is_missing_and_waits_on_its_disk() {
        let plan = [names(&["price:SPY"]), names(&["gex:SPY"])];
        let begin = |is_of_another: bool, stored_to| {
            let mut life = Checkpoint { unstored: Some(unstored(stored_to, 7)), ..life("a", 9) };
            life = Checkpoint::parse(&life.to_json().unwrap()).unwrap();
            if is_of_another {
                life.is_of_another();
            }
            let topics = life.succeed(&plan, 20).topics.concat();
            outline(&topics).iter().map(|(_, since)| since.unwrap().0).collect::<Vec<_>>()
        };
        assert_eq!(begin(false, 2), [9, 3]);
        assert_eq!(begin(true, 2), [2, 2]);
        assert_eq!(begin(true, 5), [5, 3]);
        assert_eq!(begin(true, 30), [9, 3], "no later than the last sign of life");
    }

    #[test]
    fn a_queue_is_left_by_whom_had_events_or_died() {
        for (unstored, clean, expected) in [
            (None, false, None),
            (Some(unstored(5, 0)), true, None),
            (Some(unstored(5, 0)), false, Some(0)),
            (Some(unstored(5, 3)), true, Some(3)),
            (Some(Unstored { stored_to: 5, events: 3, on_disk: false }), false, None),
        ] {
            let life = Checkpoint { clean, unstored, ..life("a", 9) };
            assert_eq!(life.left_queue().map(|queue| queue.events), expected, "{unstored:?}, {clean}");
        }
    }

    #[test]
    fn events_are_late_if_another_instance_was_the_owner_since() {
        let ours = Ours::new("b", Some(&Checkpoint { held_at: 7, ..life("a", 9) }));
        assert!(ours.is_of(&life("a", 1)) && ours.is_of(&life("b", 1)) && !ours.is_of(&life("c", 1)));
        assert_eq!(ours.late(false, 20), None);
        assert_eq!(ours.late(true, 20), Some(Late { before: 20, since: 7 }));
        let late = Some(Late { before: 6, since: 4 });
        let ours = Ours::new("b", Some(&Checkpoint { late, ..life("a", 9) }));
        assert_eq!(ours.late(false, 20), late, "a restart in the middle");
        assert_eq!(ours.late(true, 20), Some(Late { before: 20, since: 4 }));
    }
}
