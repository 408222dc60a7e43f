//! The state of a process, and what the next one makes of it.

use super::succession::{DEAD_AFTER, LedgerBeginning, MAX_FOLLOWED, Ours, new};
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
        let mut life = Checkpoint { clean, begun_at: 7, ..life("a", 9) };
        life = Checkpoint::parse(&life.to_json().unwrap()).unwrap();
        let LedgerBeginning { begun_at, topics, over, waiting, followed, .. } = life.succeed(&plan, 20);
        assert_eq!(begun_at, 7, "the ledger is as old as its first process");
        assert_eq!(followed, Predecessors::from([("a".to_owned(), 9)]));
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
    c.followed =
        Checkpoint { followed: b.followed.clone(), ..Checkpoint::new("b", 20) }.succeed(&plan, 21).followed;
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
    let mut followed = Predecessors::new();
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
        assert!(matches!(Checkpoint::parse(&whole[..length]), Err(LifeError::Damaged(_))), "{length} bytes");
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
