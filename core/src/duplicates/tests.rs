//! Duplicates compared with the definition, and their cost.

use std::collections::HashMap;
use std::time::Instant;

use proptest::prelude::*;

use super::*;

const PRICE: ChannelIndex = ChannelIndex(0);
const NEWS: ChannelIndex = ChannelIndex(1);
const LIT: ChannelIndex = ChannelIndex(2);
const IV: ChannelIndex = ChannelIndex(3);
const FAR: u64 = WINDOW as u64;

fn duplicates() -> Duplicates {
    let channels =
        ["price", "news", "lit_trades", "iv_term_structure"].map(|name| Channel::parse(name).unwrap());
    Duplicates::new(7, &channels)
}

impl Duplicates {
    fn is_duplicate(
        &mut self,
        channel: ChannelIndex,
        ordinal: u64,
        symbol: Option<&str>,
        payload: &[u8],
    ) -> bool {
        match self.mark([Arrival { channel, ordinal, symbol, payload }]) {
            [is_duplicate] => *is_duplicate,
            marks => panic!("{marks:?} for one event"),
        }
    }
}

fn remember(seen: &mut Duplicates, ordinal: u64, payload: &[u8]) {
    let fingerprint = seen.fingerprint(None, payload);
    seen.remember(PRICE, ordinal, fingerprint);
}

#[test]
fn an_event_that_came_before_is_a_duplicate_and_an_amendment_is_not() {
    let mut seen = duplicates();
    assert!(!seen.is_duplicate(PRICE, 0, None, br#"{"id":1,"size":5}"#));
    assert!(!seen.is_duplicate(PRICE, 1, None, br#"{"id":1,"size":6}"#));
    assert!(seen.is_duplicate(PRICE, 2, None, br#"{"id":1,"size":5}"#));
    assert!(!seen.is_duplicate(PRICE, 3, None, b""));
    assert!(seen.is_duplicate(PRICE, 4, None, b""));
}

#[test]
fn channels_are_compared_each_with_itself() {
    let mut seen = duplicates();
    assert!(!seen.is_duplicate(PRICE, 0, None, b"1"));
    assert!(!seen.is_duplicate(NEWS, 0, None, b"1"));
    assert!(seen.is_duplicate(NEWS, 1, None, b"1"));
}

#[test]
fn equal_payloads_of_two_symbols_are_two_events() {
    let mut seen = duplicates();
    let payload = br#"{"close":"500.82","time":1,"vol":7}"#;
    for (ordinal, symbol) in [(0, Some("SPY")), (1, Some("QQQ")), (2, None), (3, Some(""))] {
        assert!(!seen.is_duplicate(PRICE, ordinal, symbol, payload), "{symbol:?}");
    }
    for (ordinal, symbol) in [(4, Some("SPY")), (5, Some("QQQ")), (6, None), (7, Some(""))] {
        assert!(seen.is_duplicate(PRICE, ordinal, symbol, payload), "{symbol:?} again");
    }
}

#[test]
fn what_is_remembered_of_one_symbol_is_not_known_of_another() {
    let mut seen = duplicates();
    let fingerprint = seen.fingerprint(Some("SPY"), b"1");
    seen.remember(PRICE, 0, fingerprint);
    assert!(!seen.is_duplicate(PRICE, 1, Some("QQQ"), b"1"));
    assert!(seen.is_duplicate(PRICE, 2, Some("SPY"), b"1"));
}

#[test]
fn events_without_an_identity_may_repeat_themselves() {
    let mut seen = duplicates();
    for (ordinal, channel) in [(0, LIT), (1, LIT), (0, IV), (1, IV)] {
        assert!(!seen.is_duplicate(channel, ordinal, None, b"1"));
    }
    let fingerprint = seen.fingerprint(Some("SPY"), b"0.21");
    seen.remember(IV, 2, fingerprint);
    assert!(!seen.is_duplicate(IV, 3, Some("SPY"), b"0.21"), "nor after a restart");
    assert_eq!(seen.bytes(), 0);
}

#[test]
fn a_channel_with_an_identity_has_a_window_and_no_other_has() {
    let channels: Vec<Channel> = Channel::known().chain([Channel::parse("something_new").unwrap()]).collect();
    let mut seen = Duplicates::new(7, &channels);
    for (index, channel) in channels.iter().enumerate() {
        let index = ChannelIndex(u8::try_from(index).unwrap());
        let twice = [0, 1].map(|ordinal| seen.is_duplicate(index, ordinal, Some("SPY"), b"1"));
        assert_eq!(twice, [false, channel.has_identity()], "{channel}");
    }
}

#[test]
fn an_unknown_channel_has_no_duplicates() {
    let mut seen = duplicates();
    assert!(
        !seen.is_duplicate(ChannelIndex(9), 0, None, b"1")
            && !seen.is_duplicate(ChannelIndex(9), 1, None, b"1")
    );
}

#[test]
fn the_window_is_counted_over_the_whole_channel() {
    let mut seen = duplicates();
    assert!(!seen.is_duplicate(PRICE, 0, None, b"1"));
    assert!(!seen.is_duplicate(PRICE, 1, None, b"2"));
    // all others went to another shard
    assert!(seen.is_duplicate(PRICE, FAR, None, b"1"), "the last of the window");
    assert!(!seen.is_duplicate(PRICE, FAR + 2, None, b"2"), "one beyond it");
    assert!(seen.is_duplicate(PRICE, FAR + 3, None, b"2"), "and it is new from here on");
}

#[test]
fn a_duplicate_is_itself_one_of_the_last() {
    let mut seen = duplicates();
    assert!(!seen.is_duplicate(PRICE, 0, None, b"1"));
    assert!(seen.is_duplicate(PRICE, FAR - 1, None, b"1"));
    assert!(seen.is_duplicate(PRICE, 2 * FAR - 2, None, b"1"));
    assert!(!seen.is_duplicate(PRICE, 3 * FAR, None, b"1"));
}

#[test]
fn an_event_that_was_overtaken_is_a_duplicate_all_the_same() {
    let mut seen = duplicates();
    assert!(!seen.is_duplicate(PRICE, 900, None, b"1"));
    assert!(seen.is_duplicate(PRICE, 700, None, b"1"));
}

#[test]
fn what_is_remembered_is_known() {
    let mut seen = duplicates();
    remember(&mut seen, 10, b"1");
    assert!(seen.is_duplicate(PRICE, 11, None, b"1"));
}

#[test]
fn a_full_window_stays_full_and_small() {
    let mut seen = duplicates();
    for ordinal in 0..3 * FAR {
        assert!(!seen.is_duplicate(PRICE, ordinal, None, &ordinal.to_le_bytes()));
    }
    assert!(seen.bytes() < 2_200_000, "{} bytes", seen.bytes());
    let mut ordinal = 3 * FAR;
    for before in [FAR, FAR / 2, 3] {
        assert!(
            seen.is_duplicate(PRICE, ordinal, None, &(ordinal - before).to_le_bytes()),
            "{before} before"
        );
        ordinal += 1;
    }
    assert!(!seen.is_duplicate(PRICE, ordinal, None, &(ordinal - FAR - 1).to_le_bytes()), "one beyond");
}

#[test]
fn a_window_whose_events_go_elsewhere_shrinks_little_by_little() {
    let mut seen = duplicates();
    (0..1_000).for_each(|ordinal| remember(&mut seen, ordinal, &ordinal.to_le_bytes()));
    let held = |seen: &mut Duplicates| seen.window(PRICE).unwrap().ring.len();
    assert_eq!(held(&mut seen), 1_000);
    remember(&mut seen, 5 * FAR, b"1");
    assert_eq!(held(&mut seen), 999, "an event pays for two");
    (1..2_000).for_each(|n| remember(&mut seen, 5 * FAR + n * 1_000, b"1"));
    assert_eq!(held(&mut seen), 100, "one in a thousand events of the channel");
}

#[test]
fn numbers_may_wrap_around() {
    let mut window = Window { first: u32::MAX - 20, ..Window::default() };
    for n in 0..1_000_u64 {
        let ordinal = u64::from(u32::MAX) - 500 + n;
        assert!(!window.put(n * 256, ordinal), "all of one chain at first");
        assert!(n == 0 || window.newest((n - 1) * 256).is_some(), "{n}");
    }
    assert!(window.put(0, u64::from(u32::MAX) + 500));
}

proptest! {
    #[test]
    fn the_rule_holds_for_every_event(
        events in prop::collection::vec((0_u8..40, 1_u64..=FAR / 6), 1..400),
        from in prop::sample::select(vec![0, u64::from(u32::MAX) - FAR]),
    ) {
        let mut seen = duplicates();
        let mut last: HashMap<u8, u64> = HashMap::new();
        let mut ordinal = from;
        for (payload, later) in events {
            ordinal += later;
            let rule = last.insert(payload, ordinal).is_some_and(|then| ordinal - then <= FAR);
            prop_assert_eq!(seen.is_duplicate(PRICE, ordinal, None, &[payload]), rule);
        }
    }

    #[test]
    fn events_together_are_marked_as_one_after_the_other(
        events in prop::collection::vec((0_u8..5, 0_u64..2 * FAR, 0_usize..3, 0_u8..20), 0..200),
        together in 1_usize..50,
    ) {
        let (mut all, mut each) = (duplicates(), duplicates());
        for events in events.chunks(together) {
            let payloads: Vec<[u8; 1]> = events.iter().map(|(.., payload)| [*payload]).collect();
            let arrivals = || events.iter().zip(&payloads).map(|((channel, ordinal, symbol, _), payload)| {
                let symbol = [None, Some("SPY"), Some("QQQ")][*symbol];
                Arrival { channel: ChannelIndex(*channel), ordinal: *ordinal, symbol, payload }
            });
            let one_by_one: Vec<bool> = arrivals()
                .map(|Arrival { channel, ordinal, symbol, payload }| {
                    each.is_duplicate(channel, ordinal, symbol, payload)
                })
                .collect();
            prop_assert_eq!(all.mark(arrivals()), one_by_one);
        }
    }

    #[test]
    fn no_event_is_taken_for_another_in_whatever_order_they_come(
        events in prop::collection::vec((0_u16..2_000, 0_u64..2 * FAR), 1..400),
    ) {
        let mut seen = duplicates();
        let mut came: Vec<(u16, u64)> = Vec::new();
        for (payload, ordinal) in events {
            if seen.is_duplicate(PRICE, ordinal, None, &payload.to_le_bytes()) {
                prop_assert!(came.iter().any(|(other, then)| *other == payload && then.abs_diff(ordinal) <= FAR));
            }
            came.push((payload, ordinal));
        }
    }
}

/// `cargo test --release -p uw-websocket-core what_a_check_costs -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn what_a_check_costs() {
    /// Other memory traffic of the service per event: some eight times its payload.
    const ELSEWHERE: usize = 6_000;
    const CACHE_LINE: usize = 64;
    const BATCH: u64 = 64;
    let mut elsewhere = vec![0_u8; 16 * 1024 * ELSEWHERE];
    let mut places = (0..elsewhere.len() / CACHE_LINE).cycle();
    let mut payloads = vec![vec![b'x'; 780]; usize::try_from(BATCH).unwrap()];
    let mut measure = |name: &str, together: usize| {
        let mut seen = duplicates();
        let mut took = Vec::new();
        for from in (0..6 * FAR).step_by(usize::try_from(BATCH).unwrap()) {
            for (payload, ordinal) in payloads.iter_mut().zip(from..) {
                payload[100..108].copy_from_slice(&ordinal.to_le_bytes());
            }
            for place in places.by_ref().take(payloads.len() * ELSEWHERE / CACHE_LINE) {
                elsewhere[place * CACHE_LINE] = elsewhere[place * CACHE_LINE].wrapping_add(1);
            }
            let began = Instant::now();
            for (payloads, from) in payloads.chunks(together).zip((from..).step_by(together)) {
                let arrivals = payloads.iter().zip(from..).map(|(payload, ordinal)| Arrival {
                    channel: PRICE,
                    ordinal,
                    symbol: Some("SPY"),
                    payload,
                });
                assert!(seen.mark(arrivals).iter().all(|is_duplicate| !is_duplicate));
            }
            took.push(began.elapsed() / u32::try_from(BATCH).unwrap());
        }
        let full = took.len() / 2;
        took[full..].sort();
        println!("{name}: {:?} an event of 780 bytes, {} bytes", took[full + full / 2], seen.bytes());
    };
    for _ in 0..3 {
        measure("one by one", 1);
        measure("a batch of 64", 64);
    }
}
