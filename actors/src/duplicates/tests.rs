//! Duplicates against the rule itself, and their cost.

use std::collections::HashMap;
use std::time::Instant;

use proptest::prelude::*;

use super::*;

const PRICE: ChannelIndex = ChannelIndex(0);
const NEWS: ChannelIndex = ChannelIndex(1);
const LIT: ChannelIndex = ChannelIndex(2);
const OFF_LIT: ChannelIndex = ChannelIndex(3);
const FAR: u64 = WINDOW as u64;

fn duplicates() -> Duplicates {
    let channels =
        ["price", "news", "lit_trades", "off_lit_trades"].map(|name| Channel::parse(name).unwrap());
    Duplicates::new(7, &channels)
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
fn trades_without_an_id_may_repeat_themselves() {
    let mut seen = duplicates();
    for (ordinal, channel) in [(0, LIT), (1, LIT), (0, OFF_LIT), (1, OFF_LIT)] {
        assert!(!seen.is_duplicate(channel, ordinal, None, b"1"));
    }
    assert_eq!(seen.bytes(), 0);
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

/// `cargo test --release -p uw-websocket-actors what_a_check_costs -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn what_a_check_costs() {
    let mut seen = duplicates();
    let mut payload = vec![b'x'; 760];
    let mut check = |ordinal: u64, repeats: u64| {
        payload[100..108].copy_from_slice(&(ordinal / repeats).to_le_bytes());
        seen.is_duplicate(PRICE, ordinal, None, &payload)
    };
    (0..2 * FAR).for_each(|ordinal| assert!(!check(ordinal, 1)));
    let rounds = 1_000_000;
    let began = Instant::now();
    let found = (2 * FAR..2 * FAR + rounds).filter(|ordinal| check(*ordinal, 1)).count();
    let (took, bytes) = (began.elapsed(), seen.bytes());
    println!(
        "{} ns a check of 760 bytes, {found} found, {bytes} bytes",
        took.as_nanos() / u128::from(rounds)
    );
}
