//! Random histories of a queue, compared with a list in memory.
//!
//! Checked after every step: the records on disk equal the list, in order, each number once. After every opening:
//! exactly the missing records were reported; acknowledged records may be delivered again, others are never lost.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::ids::next_id;

const CHANNELS: [&str; 3] = ["a", "news", "price"];
const SYMBOLS: [Option<&str>; 3] = [None, Some("SPY"), Some("QQQ")];

#[derive(Clone, Debug)]
enum Step {
    /// Channel, destinations, payload size.
    Append(Vec<(usize, usize, usize)>),
    Acknowledge(u64),
    Persist,
    /// Seconds that pass before it.
    Sweep(u64),
    /// Records in flight, bytes wanted.
    Drop(u64, u64),
    /// Distance from the first record, channel, symbol.
    Reassign(u64, usize, usize, u64),
    Restart,
    /// A segment and an offset in it, and whether the process survives.
    Spoil(prop::sample::Index, prop::sample::Index, bool),
    /// As above; the newest segment is truncated there.
    Cut(prop::sample::Index),
    Lose(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let event = (0..CHANNELS.len(), 0..=SYMBOLS.len(), prop_oneof![9 => 0..60usize, 1 => 0..4000usize]);
    prop_oneof![
        12 => prop::collection::vec(event, 0..8).prop_map(Step::Append),
        6 => (0..12u64).prop_map(Step::Acknowledge),
        3 => Just(Step::Persist),
        3 => (0..20u64).prop_map(Step::Sweep),
        2 => (0..6u64, 0..3000u64).prop_map(|(flying, bytes)| Step::Drop(flying, bytes)),
        3 => (0..20u64, 0..CHANNELS.len(), 0..SYMBOLS.len(), 0..40u64)
            .prop_map(|(from, channel, symbol, ms)| Step::Reassign(from, channel, symbol, ms)),
        4 => Just(Step::Restart),
        1 => (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>())
            .prop_map(|(segment, at, alive)| Step::Spoil(segment, at, alive)),
        1 => any::<prop::sample::Index>().prop_map(Step::Cut),
        1 => any::<prop::sample::Index>().prop_map(Step::Lose),
    ]
}

/// Overwrites a byte. A second [`flip`] of a bit would repair it, and the record would rightly reappear; this is
/// permanent.
fn spoil(path: &Path, at: u64) {
    fs::File::options().write(true).open(path).unwrap().write_all_at(&[0xA5], at).unwrap();
}

/// The expected content of a record.
#[derive(Clone, Debug, PartialEq)]
struct Expected {
    channel: &'static str,
    received_us: u64,
    destinations: Vec<(Option<&'static str>, EntryId)>,
    payload: Vec<u8>,
}

struct Model {
    world: World,
    /// Records that must be on disk.
    records: BTreeMap<u64, Expected>,
    acknowledged: u64,
    /// The position on disk is at least this and at most `acknowledged`.
    persisted: u64,
    clock_ms: u64,
}

impl Model {
    fn new() -> Model {
        let limits = Limits {
            segment_bytes: 600,
            segment_age: Duration::from_secs(30),
            max_bytes: 12_000,
            durable: false,
            max_streams: 1_000,
        };
        let world = World::new(limits);
        Model { world, records: BTreeMap::new(), acknowledged: 0, persisted: 0, clock_ms: 1 }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Append(events) => self.append(&events),
            Step::Acknowledge(count) => {
                let below = (self.acknowledged + count).min(self.world.spool().next_seq());
                let (last_ids, now) = ([(Arc::from("a"), id(self.clock_ms, 0))], self.world.now);
                self.world.spool().acknowledge(below, &last_ids, now).unwrap();
                self.acknowledged = below;
            }
            Step::Persist => {
                self.world.persist();
                self.persisted = self.acknowledged;
            }
            Step::Sweep(seconds) => {
                self.world.now += Duration::from_secs(seconds);
                let now = self.world.now;
                let before = self.world.spool().bytes();
                let swept = self.world.spool().sweep(now, Duration::from_secs(10)).unwrap();
                assert_eq!(self.world.spool().bytes() + swept.bytes, before);
                self.gone();
            }
            Step::Drop(flying, bytes) => self.drop_oldest(flying, bytes),
            Step::Reassign(from, channel, symbol, ms) => self.reassign(from, channel, symbol, ms),
            Step::Restart => self.restart(false),
            Step::Spoil(segment, at, alive) => {
                self.damage(segment, |path, len| spoil(path, at.index(len) as u64), alive);
            }
            Step::Cut(at) => self.cut(at),
            Step::Lose(segment) => self.damage(segment, |path, _| fs::remove_file(path).unwrap(), false),
        }
    }

    fn append(&mut self, events: &[(usize, usize, usize)]) {
        let World { records, spool, now, limits, .. } = &mut self.world;
        let spool = spool.as_mut().unwrap();
        records.clear(spool.next_seq());
        let mut expected = Vec::new();
        for (channel, destinations, bytes) in events {
            self.clock_ms += 1;
            let event = Expected {
                channel: CHANNELS[*channel],
                received_us: self.clock_ms * 1000 + 7,
                destinations: SYMBOLS[..*destinations]
                    .iter()
                    .map(|symbol| (*symbol, id(self.clock_ms, 0)))
                    .collect(),
                payload: vec![b'p'; *bytes],
            };
            let destinations = event.destinations.iter().copied();
            records.push(event.channel, event.received_us, destinations, &event.payload).unwrap();
            expected.push((records.next_seq() - 1, event));
        }
        let needed = records.bytes().len() as u64;
        match spool.append(records, *now) {
            Ok(()) => self.records.extend(expected),
            Err(error) => {
                assert!(error.is_full(), "{error}");
                assert!(spool.bytes() + needed + 20 > limits.max_bytes);
            }
        }
        assert!(spool.bytes() <= limits.max_bytes);
        self.gone();
    }

    /// Removes expected segments: those acknowledged, whose position was written before.
    fn gone(&mut self) {
        let kept_from = self.world.spool().kept_from();
        if self.records.range(..kept_from).next().is_some() {
            assert!(
                self.records.range(..kept_from).all(|(seq, _)| *seq < self.acknowledged),
                "removed too early"
            );
            self.persisted = self.acknowledged;
            self.records = self.records.split_off(&kept_from);
        }
    }

    fn drop_oldest(&mut self, flying: u64, bytes: u64) {
        let protected = self.acknowledged + flying;
        let Some(dropped) = self.world.spool().drop_oldest(protected, bytes).unwrap() else { return };
        assert!(dropped.first_seq >= protected);
        let mut events: BTreeMap<String, u64> = BTreeMap::new();
        for seq in dropped.first_seq..=dropped.last_seq {
            if let Some(record) = self.records.remove(&seq) {
                *events.entry(record.channel.into()).or_default() += 1;
            }
        }
        assert_eq!(dropped.events, events);
        self.persisted = self.acknowledged;
        self.world.persist();
    }

    fn reassign(&mut self, from: u64, channel: usize, symbol: usize, ms: u64) {
        let from = self.world.spool().kept_from() + from;
        let stream = RecordStream { channel: CHANNELS[channel], symbol: SYMBOLS[symbol] };
        let skip: HashSet<u64> = (from..from + 40).step_by(5).collect();
        let mut last = id(self.clock_ms.saturating_sub(20) + ms, 3);
        let result = self.world.spool().reassign(from, stream, &skip, last).unwrap();
        let mut count = 0;
        let waiting = from.max(self.world.spool().acknowledged());
        for (seq, record) in self.records.range_mut(waiting..) {
            let own = record.destinations.iter_mut().find(|destination| destination.0 == stream.symbol);
            if let Some((_, own)) = own.filter(|_| record.channel == stream.channel && !skip.contains(seq)) {
                last = next_id(last, record.received_us / 1000).unwrap().max(*own);
                count += u64::from(last != *own);
                *own = last;
            }
        }
        assert_eq!(result, Reassigned { count, last });
    }

    fn damage(&mut self, segment: prop::sample::Index, hurt: impl FnOnce(&Path, usize), alive: bool) {
        let files = self.world.files(".seg");
        if files.is_empty() {
            return;
        }
        // records known to a cursor are reported missing exactly
        self.world.persist();
        self.persisted = self.acknowledged;
        let path = segment.get(&files);
        let len = usize::try_from(fs::metadata(path).unwrap().len()).unwrap();
        hurt(path, len);
        if alive { self.met() } else { self.restart(true) }
    }

    fn cut(&mut self, at: prop::sample::Index) {
        let Some(path) = self.world.files(".seg").pop() else { return };
        self.world.persist();
        self.persisted = self.acknowledged;
        let len = usize::try_from(fs::metadata(&path).unwrap().len()).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_len(at.index(len) as u64).unwrap();
        self.restart(true);
    }

    /// Damage under a running process: reading reports what is missing.
    fn met(&mut self) {
        let (records, damages) = self.world.records(0);
        self.account(&records, &damages);
        // the next opening must not report it again
        self.world.persist();
    }

    fn restart(&mut self, is_damaged: bool) {
        let recovery = self.world.open();
        assert!((self.persisted..=self.acknowledged).contains(&recovery.acknowledged));
        // a reader does not check segment headers, so that is found later
        let is_header = |damage: &Damage| (damage.offset, damage.bytes, damage.events) == (0, 20, Some(0));
        assert!(is_damaged || recovery.damages.iter().all(is_header), "{:?}", recovery.damages);
        self.acknowledged = recovery.acknowledged;
        let (records, damages) = self.world.records(0);
        assert_eq!(damages, [], "a start finds all");
        let mut events: BTreeMap<String, u64> = BTreeMap::new();
        for record in records.iter().filter(|record| record.seq >= recovery.acknowledged) {
            *events.entry(record.channel.to_string()).or_default() += 1;
        }
        assert_eq!(recovery.events, events);
        let highest = records
            .iter()
            .flat_map(|record| record.destinations.iter().map(|destination| destination.1))
            .max();
        assert_eq!(recovery.highest_id, highest.unwrap_or_default());
        self.account(&records, &recovery.damages);
        if is_damaged {
            self.world.persist();
            self.persisted = self.acknowledged;
        }
    }

    /// Asserts that the missing records are those reported.
    fn account(&mut self, records: &[Record], damages: &[Damage]) {
        let there: HashSet<u64> = records.iter().map(|record| record.seq).collect();
        let missing: Vec<u64> = self.records.keys().copied().filter(|seq| !there.contains(seq)).collect();
        let unacknowledged = missing.iter().filter(|seq| **seq >= self.acknowledged).count() as u64;
        assert_eq!(lost(damages), Some(unacknowledged), "{missing:?} {damages:?}");
        self.records.retain(|seq, _| there.contains(seq));
    }

    /// Asserts that the queue equals the model.
    fn check(&mut self) {
        let (records, damages) = self.world.records(0);
        assert_eq!(damages, []);
        let seqs: Vec<u64> = records.iter().map(|record| record.seq).collect();
        assert_eq!(seqs, self.records.keys().copied().collect::<Vec<_>>());
        for (record, expected) in records.iter().zip(self.records.values()) {
            let destinations = record.destinations.iter();
            let actual = Expected {
                channel: CHANNELS.iter().find(|channel| **channel == &*record.channel).unwrap(),
                received_us: record.received_us,
                destinations: destinations
                    .map(|(symbol, id)| {
                        let symbol = symbol.as_ref().map(crate::event::Symbol::as_str);
                        (*SYMBOLS.iter().find(|known| **known == symbol).unwrap(), *id)
                    })
                    .collect(),
                payload: record.payload.to_vec(),
            };
            assert_eq!(actual, *expected);
        }
        let waiting = self.records.range(self.acknowledged..);
        assert_eq!(self.world.spool().unacknowledged(), waiting.clone().count() as u64);
        let oldest = waiting.map(|(_, record)| record.received_us).next();
        assert_eq!(self.world.spool().oldest_unacknowledged_us().unwrap(), oldest);
        let on_disk: u64 =
            self.world.files(".seg").iter().map(|path| fs::metadata(path).unwrap().len()).sum();
        assert_eq!(self.world.spool().bytes(), on_disk);
    }
}

/// Number of histories per run, unless `UW_TEST_CASES` is set.
const CASES: u32 = 150;

fn chance() -> ProptestConfig {
    ProptestConfig {
        cases: told("UW_TEST_CASES").unwrap_or(CASES),
        rng_seed: RngSeed::Fixed(seed()),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(chance())]

    #[test]
    fn is_a_queue_whatever_happens_to_it(steps in prop::collection::vec(step(), 1..60)) {
        let mut model = Model::new();
        for step in steps {
            model.take(step);
            model.check();
        }
        model.restart(false);
        model.check();
    }
}
