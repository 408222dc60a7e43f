use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::event::Route;
use crate::observation::Observations;
use crate::samples::{batch, event, keys, observations, only, outlet, parse, route, row};
use crate::writer::ids::Numbering;

/// What a plan is made of: the IDs, the streams that a writer knows, and a transaction.
#[derive(Default)]
struct Writer {
    numbering: Numbering,
    streams: Streams,
    transaction: Transaction,
}

impl Writer {
    /// Numbers the events and plans their entries.
    fn plan(&mut self, batches: &mut [EventBatch]) {
        for event in batches.iter_mut().flat_map(EventBatch::events_mut) {
            self.numbering.number(event);
        }
        let behind = self.transaction.plan(batches, &mut self.streams);
        assert!(behind.is_empty(), "{behind:?}");
    }

    fn encode(&mut self, batches: &[EventBatch], keys: &KeySettings) -> Vec<Vec<String>> {
        self.transaction.encode(batches, &mut self.streams, keys);
        let commands = parse(self.transaction.commands().bytes());
        assert_eq!(self.transaction.commands().count(), commands.len());
        commands
    }

    fn write(&mut self, batches: &mut [EventBatch]) -> Vec<Vec<String>> {
        self.plan(batches);
        self.encode(batches, &keys())
    }

    fn ids(&self) -> Vec<String> {
        self.transaction.entries().iter().map(|entry| entry.id.to_string()).collect()
    }
}

fn world(name: &str) -> (Arc<Observations>, Arc<Route>) {
    (observations(&["price"], 1), route(0, vec![outlet(name, 1000)]))
}

#[test]
fn entries_are_planned_in_order_of_arrival_under_the_ids_of_their_events() {
    let (observed, spy) = world("price:SPY");
    let mut writer = Writer::default();
    let first = [event(&spy, "1", 5), event(&spy, "2", 5), event(&spy, "3", 2)];
    writer.plan(&mut [batch(&observed, first), batch(&observed, [event(&spy, "4", 0)])]);
    assert_eq!(writer.ids(), ["1747419592931-0", "1747419592931-1", "1747419592931-2", "1747419592931-3"]);
    writer.plan(&mut [batch(&observed, [event(&spy, "5", 1), event(&spy, "6", 9)])]);
    assert_eq!(writer.ids(), ["1747419592931-4", "1747419592935-0"]);
}

#[test]
fn entries_that_do_not_rise_above_their_stream_are_behind_and_the_others_are_planned() {
    let observed = observations(&["price"], 1);
    let (ahead, other) = (route(0, vec![outlet("ahead", 0)]), route(0, vec![outlet("other", 0)]));
    let mut writer = Writer::default();
    writer.streams.learn(&ahead.outlets[0], EntryId { ms: 1_747_419_592_927, seq: 0 });
    writer.streams.learn(&ahead.outlets[0], EntryId { ms: 3, seq: 0 });
    let events = [event(&ahead, "1", 0), event(&other, "2", 0), event(&ahead, "3", 1), event(&ahead, "4", 2)];
    let mut batches = [batch(&observed, events)];
    batches[0].events_mut().iter_mut().for_each(|event| writer.numbering.number(event));
    let behind = writer.transaction.plan(&batches, &mut writer.streams);
    assert_eq!(behind.iter().map(|entry| entry.at.event).collect::<Vec<_>>(), [0, 2]);
    let planned = ["uw:ws:other 1747419592926-0 payload 2", "uw:ws:ahead 1747419592928-0 payload 4"];
    assert_eq!(only("XADD", &writer.encode(&batches, &keys())), planned);
}

#[test]
fn an_entry_that_repeats_an_id_of_its_transaction_is_behind() {
    let (observed, spy) = world("price:SPY");
    let mut writer = Writer::default();
    let twice = [event(&spy, "1", 0), event(&spy, "2", 0)].map(|mut event| {
        event.ids.set(0, EntryId { ms: 7, seq: 1 });
        event
    });
    let batches = [batch(&observed, twice)];
    for _ in 0..2 {
        let behind = writer.transaction.plan(&batches, &mut writer.streams);
        assert_eq!(behind.iter().map(|entry| entry.at.event).collect::<Vec<_>>(), [1]);
    }
}

#[test]
fn a_transaction_adds_in_order_of_arrival_and_caps_with_the_last_entry_of_a_stream() {
    let observed = observations(&["price"], 1);
    let (spy, qqq) = (route(0, vec![outlet("price:SPY", 1000)]), route(0, vec![outlet("price:QQQ", 0)]));
    let mut batches = [
        batch(&observed, [event(&spy, "{\"a\": \"\r\n$\"}", 0), event(&qqq, "q1", 0)]),
        batch(&observed, [event(&spy, "s2", 1), event(&qqq, "é", 1)]),
    ];
    let commands = Writer::default().write(&mut batches);
    assert_eq!(commands[0], ["MULTI"]);
    assert_eq!(
        commands[1..5],
        [
            vec!["XADD", "uw:ws:price:SPY", "1747419592926-0", "payload", "{\"a\": \"\r\n$\"}"],
            vec!["XADD", "uw:ws:price:QQQ", "1747419592926-0", "payload", "q1"],
            vec!["XADD", "uw:ws:price:SPY", "MAXLEN", "~", "1000", "1747419592927-0", "payload", "s2"],
            vec!["XADD", "uw:ws:price:QQQ", "1747419592927-0", "payload", "é"],
        ]
    );
    assert_eq!(commands.last().unwrap(), &["EXEC"]);
    assert_eq!(commands.len(), 6, "{commands:?}");
}

#[test]
fn without_streams_a_transaction_is_empty() {
    let (observed, spy) = world("gex_strike:SPY");
    let mut batches = [batch(&observed, [row(&spy, "a", "1", 10)])];
    let mut names = |streams| -> Vec<String> {
        let mut writer = Writer::default();
        writer.plan(&mut batches);
        let commands = writer.encode(&batches, &KeySettings { streams, ..keys() });
        commands.into_iter().map(|command| command[0].clone()).collect()
    };
    assert_eq!(names(true), ["MULTI", "XADD", "EXEC"]);
    assert_eq!(names(false), ["MULTI", "EXEC"]);
}

#[test]
fn only_the_retained_entries_are_encoded_and_their_last_one_is_capped() {
    let observed = observations(&["news"], 1);
    let both = route(0, vec![outlet("a", 10), outlet("b", 10)]);
    let mut batches = [batch(&observed, [event(&both, "1", 0), event(&both, "2", 1)])];
    let mut writer = Writer::default();
    writer.plan(&mut batches);
    writer.transaction.retain(|entry| entry.outlet == 1);
    let commands = writer.encode(&batches, &keys());
    let expected = ["uw:ws:b 1747419592926-0 payload 1", "uw:ws:b MAXLEN ~ 10 1747419592927-0 payload 2"];
    assert_eq!(only("XADD", &commands), expected);
}

#[test]
fn entries_that_were_set_are_encoded_in_their_order_under_their_new_ids() {
    let (observed, spy) = world("price:SPY");
    let mut batches = [batch(&observed, [event(&spy, "1", 0), event(&spy, "2", 0), event(&spy, "3", 0)])];
    let mut writer = Writer::default();
    writer.plan(&mut batches);
    let passed = writer.transaction.take().into_iter().skip(1);
    let renumbered =
        passed.zip(1..).map(|(entry, seq)| Entry { id: EntryId { ms: 9_999_999_999_999, seq }, ..entry });
    writer.transaction.set(renumbered.collect());
    let commands = writer.encode(&batches, &keys());
    assert_eq!(
        only("XADD", &commands),
        [
            "uw:ws:price:SPY 9999999999999-1 payload 2",
            "uw:ws:price:SPY MAXLEN ~ 1000 9999999999999-2 payload 3"
        ]
    );
}

#[test]
fn the_last_entries_are_one_for_each_stream() {
    let observed = observations(&["news"], 1);
    let (both, one) = (route(0, vec![outlet("a", 0), outlet("b", 0)]), route(0, vec![outlet("a", 0)]));
    let mut batches = [batch(&observed, [event(&both, "1", 0)]), batch(&observed, [event(&one, "2", 1)])];
    let mut writer = Writer::default();
    writer.write(&mut batches);
    let mut last: Vec<String> = writer
        .transaction
        .last_entries()
        .map(|entry| format!("{} {}", outlet_of(&batches, &entry).unwrap().1.stream, entry.id))
        .collect();
    last.sort();
    assert_eq!(last, ["uw:ws:a 1747419592927-0", "uw:ws:b 1747419592926-0"]);
}

proptest! {
    /// Any batches of events over four streams: each bit of `outlets` is one of them.
    #[test]
    fn every_event_is_added_to_each_of_its_streams_once_in_order_under_rising_ids(
        transactions in prop::collection::vec(
            prop::collection::vec(prop::collection::vec((0_usize..16, 0_u64..5), 0..6), 1..4),
            1..4,
        ),
        learned in 0_u64..8,
    ) {
        let observed = observations(&["news"], 1);
        let outlets = ["a", "b", "c", "d"].map(|name| outlet(name, 100));
        let mut writer = Writer::default();
        let ahead = EntryId { ms: 1_747_419_592_926 + learned, seq: learned };
        writer.streams.learn(&outlets[0], ahead);
        writer.numbering.raise(&outlets[0].stream, ahead);
        let (mut expected, mut written) = (BTreeMap::<String, Vec<String>>::new(), BTreeMap::new());
        let mut last = BTreeMap::<String, EntryId>::new();
        let mut number = 0;
        for batches in transactions {
            let mut batches: Vec<EventBatch> = batches
                .iter()
                .map(|events| {
                    batch(&observed, events.iter().map(|(bits, after_ms)| {
                        number += 1;
                        let chosen = (0..4).filter(|n| bits & (1 << n) != 0).map(|n| Arc::clone(&outlets[n]));
                        let route = route(0, chosen.collect());
                        for outlet in &route.outlets {
                            expected.entry(outlet.stream.to_string()).or_default().push(number.to_string());
                        }
                        event(&route, &number.to_string(), *after_ms)
                    }))
                })
                .collect();
            let commands = writer.write(&mut batches);
            let mut capped = BTreeMap::new();
            for command in commands.iter().filter(|command| command[0] == "XADD") {
                let [.., id, _, payload] = &command[..] else { unreachable!() };
                let id: EntryId = id.parse().unwrap();
                let before = last.insert(command[1].clone(), id);
                prop_assert!(before.is_none_or(|before| before < id), "{} after {:?}", id, before);
                written.entry(command[1].clone()).or_insert_with(Vec::new).push(payload.clone());
                let was_capped = capped.insert(command[1].clone(), command[2] == "MAXLEN");
                prop_assert_ne!(was_capped, Some(true));
            }
            prop_assert!(capped.values().all(|is_capped| *is_capped));
        }
        prop_assert_eq!(written, expected);
    }
}
