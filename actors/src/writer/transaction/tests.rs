use std::collections::BTreeMap;
use std::sync::Arc;
use uw_websocket_core::event::EntryId;

use proptest::prelude::*;
use uw_websocket_core::event::Route;
use uw_websocket_core::fixtures::{destination, event, route};
use uw_websocket_core::ids::Numbering;

use super::*;
use crate::fixtures::{batch, only, parse};
use crate::writer::streams::Plan;

/// The inputs of a transaction: IDs and the streams known to a writer.
#[derive(Default)]
struct Writer {
    numbering: Numbering,
    streams: Streams,
    transaction: Transaction,
}

impl Writer {
    /// Assigns IDs and plans the entries.
    fn plan(&mut self, batch: &mut EventBatch) -> Plan {
        batch.events_mut().iter_mut().for_each(|event| self.numbering.number(event));
        self.streams.plan(batch, |_, _| true)
    }

    fn encode(&mut self, batch: &EventBatch, entries: &[Entry]) -> Vec<Vec<String>> {
        self.transaction.encode(batch, entries, &mut self.streams);
        let commands = parse(self.transaction.commands().bytes());
        assert_eq!(self.transaction.commands().count(), commands.len());
        commands
    }

    fn write(&mut self, batch: &mut EventBatch) -> Vec<Vec<String>> {
        let Plan { entries, behind, .. } = self.plan(batch);
        assert!(behind.is_empty(), "{behind:?}");
        self.encode(batch, &entries)
    }
}

fn spy() -> Arc<Route> {
    route(0, vec![destination("price:SPY", 1000)])
}

fn ids(plan: &Plan) -> Vec<String> {
    plan.entries.iter().map(|entry| entry.id.to_string()).collect()
}

#[test]
fn entries_are_planned_in_order_of_arrival_under_the_ids_of_their_events() {
    let (spy, mut writer) = (spy(), Writer::default());
    let mut first =
        batch([event(&spy, "1", 5), event(&spy, "2", 5), event(&spy, "3", 2), event(&spy, "4", 0)]);
    let plan = writer.plan(&mut first);
    assert_eq!(ids(&plan), ["1747419592931-0", "1747419592931-1", "1747419592931-2", "1747419592931-3"]);
    let plan = writer.plan(&mut batch([event(&spy, "5", 1), event(&spy, "6", 9)]));
    assert_eq!(ids(&plan), ["1747419592931-4", "1747419592935-0"]);
}

#[test]
fn entries_that_do_not_rise_above_their_stream_are_behind_and_the_others_are_planned() {
    let (ahead, other) = (route(0, vec![destination("ahead", 0)]), route(0, vec![destination("other", 0)]));
    let mut writer = Writer::default();
    let place = writer.streams.place(&ahead.destinations[0]);
    writer.streams.learn(place, EntryId { ms: 1_747_419_592_927, seq: 0 });
    writer.streams.wrote(place, EntryId { ms: 3, seq: 0 });
    let events = [event(&ahead, "1", 0), event(&other, "2", 0), event(&ahead, "3", 1), event(&ahead, "4", 2)];
    let mut batch = batch(events);
    let Plan { entries, behind, .. } = writer.plan(&mut batch);
    assert_eq!(behind.iter().map(|entry| entry.at).collect::<Vec<_>>(), [0, 2]);
    let planned = ["uw:ws:other 1747419592926-0 payload 2", "uw:ws:ahead 1747419592928-0 payload 4"];
    assert_eq!(only("XADD", &writer.encode(&batch, &entries)), planned);
}

#[test]
fn an_entry_that_repeats_an_id_of_its_plan_is_behind() {
    let (spy, mut streams) = (spy(), Streams::default());
    let batch = batch([event(&spy, "1", 0), event(&spy, "2", 0)].map(|mut event| {
        event.ids.set(0, EntryId { ms: 7, seq: 1 });
        event
    }));
    for _ in 0..2 {
        let behind = streams.plan(&batch, |_, _| true).behind;
        assert_eq!(behind.iter().map(|entry| entry.at).collect::<Vec<_>>(), [1]);
    }
}

#[test]
fn streams_are_unknown_until_they_are_learnt_and_when_they_are_forgotten() {
    let (both, mut streams) = (route(0, vec![destination("a", 0), destination("b", 0)]), Streams::default());
    let batch = batch([event(&both, "1", 0), event(&both, "2", 0)]);
    let unknown = streams.unknown(&batch);
    assert_eq!(unknown.iter().map(|at| &*streams.get(*at).key).collect::<Vec<_>>(), ["uw:ws:a", "uw:ws:b"]);
    for at in &unknown {
        streams.learn(*at, EntryId { ms: 1, seq: 0 });
    }
    assert!(streams.unknown(&batch).is_empty());
    streams.forget_last(unknown[1]);
    assert_eq!(streams.unknown(&batch), unknown[1..]);
    streams.forget_lasts();
    assert_eq!(streams.unknown(&batch), unknown);
}

#[test]
fn a_transaction_adds_in_order_of_arrival_and_caps_with_the_last_entry_of_a_stream() {
    let (spy, qqq) = (spy(), route(0, vec![destination("price:QQQ", 0)]));
    let mut batch = batch([
        event(&spy, "{\"a\": \"\r\n$\"}", 0),
        event(&qqq, "q1", 0),
        event(&spy, "s2", 1),
        event(&qqq, "é", 1),
    ]);
    let commands = Writer::default().write(&mut batch);
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
fn a_transaction_without_entries_is_empty() {
    let (spy, mut writer) = (spy(), Writer::default());
    assert_eq!(writer.encode(&batch([event(&spy, "1", 0)]), &[]), [["MULTI"], ["EXEC"]]);
}

#[test]
fn only_the_wanted_entries_are_encoded_and_their_last_one_is_capped() {
    let both = route(0, vec![destination("a", 10), destination("b", 10)]);
    let mut batch = batch([event(&both, "1", 0), event(&both, "2", 1)]);
    let mut writer = Writer::default();
    drop(writer.plan(&mut batch));
    let plan = writer.streams.plan(&batch, |_, destination| destination == 1);
    let commands = writer.encode(&batch, &plan.entries);
    let expected = ["uw:ws:b 1747419592926-0 payload 1", "uw:ws:b MAXLEN ~ 10 1747419592927-0 payload 2"];
    assert_eq!(only("XADD", &commands), expected);
}

#[test]
fn the_last_entries_are_one_for_each_stream() {
    let (both, one) =
        (route(0, vec![destination("a", 0), destination("b", 0)]), route(0, vec![destination("a", 0)]));
    let mut batch = batch([event(&both, "1", 0), event(&one, "2", 1)]);
    let mut writer = Writer::default();
    let plan = writer.plan(&mut batch);
    writer.encode(&batch, &plan.entries);
    let last_ids = writer.transaction.last_ids().iter().map(|at| &plan.entries[*at]);
    let mut last_ids: Vec<String> =
        last_ids.map(|entry| format!("{} {}", entry.of(&batch).1.stream, entry.id)).collect();
    last_ids.sort();
    assert_eq!(last_ids, ["uw:ws:a 1747419592927-0", "uw:ws:b 1747419592926-0"]);
}

proptest! {
    /// Random batches of events over four streams, one per bit of `destinations`.
    #[test]
    fn every_event_is_added_to_each_of_its_streams_once_in_order_under_rising_ids(
        transactions in prop::collection::vec(prop::collection::vec((0_usize..16, 0_u64..5), 0..12), 1..4),
        learned in 0_u64..8,
    ) {
        let destinations = ["a", "b", "c", "d"].map(|name| destination(name, 100));
        let mut writer = Writer::default();
        let ahead = EntryId { ms: 1_747_419_592_926 + learned, seq: learned };
        let place = writer.streams.place(&destinations[0]);
        writer.streams.learn(place, ahead);
        writer.numbering.raise(&destinations[0].stream, ahead);
        let (mut expected, mut written) = (BTreeMap::<String, Vec<String>>::new(), BTreeMap::new());
        let mut last = BTreeMap::<String, EntryId>::new();
        let mut number = 0;
        for events in transactions {
            let mut batch = batch(events.iter().map(|(bits, after_ms)| {
                number += 1;
                let chosen = (0..4).filter(|n| bits & (1 << n) != 0).map(|n| Arc::clone(&destinations[n]));
                let route = route(0, chosen.collect());
                for destination in &route.destinations {
                    expected.entry(destination.stream.to_string()).or_default().push(number.to_string());
                }
                event(&route, &number.to_string(), *after_ms)
            }));
            let commands = writer.write(&mut batch);
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
