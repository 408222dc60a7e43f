use super::super::tests::samples::{came_at, us};
use super::*;

/// `stock_state` of the sample, during trading hours.
const BASE: &str = r#"{"close":"669.5999","high":"669.94","low":"668.6","open":"669.25","volume":6301169,"market_time":"regular","tape_time":"2025-10-03T18:58:43Z","total_volume":70492555,"prev_close":"669.21"}"#;
const TAPE_TIME: &str = "2025-10-03T18:58:43Z";
const FETCHED: &str = "2025-10-03T18:58:44.5Z";

fn state(base: &str) -> StockState {
    let mut state = StockState::default();
    state.rebase(base, us(FETCHED)).unwrap();
    state
}

/// A price some milliseconds after the sample's `tape_time`, received 100 ms later.
fn add(state: &mut StockState, after_ms: i64, close: &str, volume: &str) {
    let at_us = us(TAPE_TIME) + after_ms * 1000;
    let event = format!(r#"{{"close":"{close}","time":{},"vol":{volume}}}"#, at_us / 1000);
    state.add(&event, came_at(at_us + 100_000)).unwrap();
}

fn shown(state: &StockState) -> String {
    state.shown().unwrap()
}

#[test]
fn a_price_replaces_close_and_time_and_both_volumes_and_nothing_else() {
    let mut state = state(BASE);
    state
        .add(r#"{"ticker":"SPY","close":"669.70","time":1759517925692,"vol":70492600}"#, came_at(us(FETCHED)))
        .unwrap();
    assert_eq!(
        shown(&state),
        r#"{"close":"669.70","high":"669.94","low":"668.6","open":"669.25","volume":6301214,"market_time":"regular","tape_time":"2025-10-03T18:58:45Z","total_volume":70492600,"prev_close":"669.21"}"#
    );
    assert!(state.has_news());
}

#[test]
fn high_and_low_are_widened_by_every_price() {
    let mut state = state(BASE);
    for (after_ms, close) in [(2_000, "669.95"), (3_000, "668.5"), (3_100, "670.1"), (4_000, "669.0")] {
        add(&mut state, after_ms, close, "70492600");
    }
    assert_eq!(
        shown(&state),
        r#"{"close":"669.0","high":"670.1","low":"668.5","open":"669.25","volume":6301214,"market_time":"regular","tape_time":"2025-10-03T18:58:47Z","total_volume":70492600,"prev_close":"669.21"}"#
    );
}

#[test]
fn what_rest_has_not_is_not_made() {
    let mut state = state(r#"{"high":null,"low":"-","tape_time":"2025-10-03T18:58:43Z","x":[1]}"#);
    add(&mut state, 2_000, "5.10", "7");
    assert_eq!(
        shown(&state),
        r#"{"high":null,"low":"-","tape_time":"2025-10-03T18:58:45Z","x":[1],"close":"5.10","total_volume":7}"#
    );
    let mut state =
        super::tests::state(r#"{"close":"5","tape_time":"2025-10-03T18:58:43Z","total_volume":8}"#);
    add(&mut state, 2_000, "6", "\"\"");
    assert_eq!(shown(&state), r#"{"close":"6","tape_time":"2025-10-03T18:58:45Z","total_volume":8}"#);
}

#[test]
fn numbers_become_what_rest_has() {
    let mut state = state(BASE);
    state.add(r#"{"close":669.80,"time":1759517925692.0,"vol":"70492600.0"}"#, came_at(us(FETCHED))).unwrap();
    let shown = shown(&state);
    let object = Object::parse(&shown).unwrap();
    assert_eq!(object.get("close"), Some("\"669.8\""));
    assert_eq!(object.get("total_volume"), Some("70492600"));
}

#[test]
fn without_a_body_of_rest_of_the_same_session_nothing_is_shown() {
    let mut state = StockState::default();
    add(&mut state, 2_000, "1", "2");
    assert_eq!((state.has_news(), state.shown()), (false, None));
    // of yesterday, in the last second before midnight in New York, and of a time before the end of summer time
    for tape_time in ["2025-10-03T03:59:59Z", "2025-01-03T04:59:59Z"] {
        let base = BASE.replace(TAPE_TIME, tape_time);
        state.rebase(&base, us(FETCHED)).unwrap();
        assert!(!state.has_news());
        assert_eq!(shown(&state), base);
    }
    // retained prices are merged into today's
    state.rebase(&BASE.replace(TAPE_TIME, "2025-10-03T13:30:00Z"), us(FETCHED)).unwrap();
    assert!(state.has_news());
}

#[test]
fn a_price_of_another_segment_leaves_the_body_alone_until_rest_has_answered_in_it() {
    let regular = r#"{"close":"670","high":"671","low":"668","open":"669","volume":9,"total_volume":90,"market_time":"regular","tape_time":"2026-11-30T20:59:58Z"}"#;
    let mut state = StockState::default();
    state.rebase(regular, us("2026-11-30T21:00:01Z")).unwrap();
    // 16:05 in New York
    let (at_ms, received) = (1_796_072_700_000_i64, came_at(1_796_072_700_100_000));
    state.add(&format!(r#"{{"close":"675","time":{at_ms},"vol":95}}"#), received).unwrap();
    assert!(!state.has_news());
    assert_eq!(shown(&state), regular);
    // REST answers after the close, but of a time before the event
    let post = r#"{"close":"674","high":"674","low":"674","open":"674","volume":2,"total_volume":93,"market_time":"postmarket","tape_time":"2026-11-30T21:04:58Z"}"#;
    state.rebase(post, us("2026-11-30T21:05:01Z")).unwrap();
    assert_eq!(
        shown(&state),
        r#"{"close":"675","high":"675","low":"674","open":"674","volume":4,"total_volume":95,"market_time":"postmarket","tape_time":"2026-11-30T21:05:00Z"}"#
    );
}

#[test]
fn every_change_of_segment_ends_a_body() {
    for (word, tape_time, event, is_news) in [
        ("premarket", "2026-11-30T14:29:58Z", "2026-11-30T14:29:59Z", true),
        ("premarket", "2026-11-30T14:29:58Z", "2026-11-30T14:30:00Z", false),
        ("regular", "2026-11-30T14:30:01Z", "2026-11-30T20:59:59Z", true),
        // an early close
        ("regular", "2026-11-27T17:59:58Z", "2026-11-27T18:00:00Z", false),
        ("postmarket", "2026-11-27T18:00:01Z", "2026-11-27T18:30:00Z", true),
        ("postmarket", "2026-12-01T00:59:58Z", "2026-12-01T01:00:00Z", false),
        // REST's word counts, whatever time it states
        ("postmarket", "2026-11-30T20:59:59Z", "2026-11-30T21:00:00Z", true),
        ("regular", "2026-11-30T21:00:00Z", "2026-11-30T21:00:01Z", false),
        // an unknown word: its time decides
        ("closed", "2026-11-30T20:59:58Z", "2026-11-30T20:59:59Z", true),
        ("closed", "2026-11-30T20:59:58Z", "2026-11-30T21:00:00Z", false),
    ] {
        let mut state = StockState::default();
        let base = BASE.replace("regular", word).replace(TAPE_TIME, tape_time);
        state.rebase(&base, us(tape_time) + 1).unwrap();
        let event_us = us(event);
        let payload = format!(r#"{{"close":"1","time":{},"vol":70492600}}"#, event_us / 1000);
        state.add(&payload, came_at(event_us)).unwrap();
        assert_eq!(state.has_news(), is_news, "{word} {tape_time} {event}");
    }
}

#[test]
fn prices_that_leave_the_memory_are_merged_within_their_segment_only() {
    let mut state = state(&BASE.replace(TAPE_TIME, "2025-10-03T19:59:00Z"));
    let close_us = us("2025-10-03T20:00:00Z");
    let mut add = |second: i64, close: &str| {
        let at_us = close_us + second * 1_000_000;
        let event = format!(r#"{{"close":"{close}","time":{},"vol":70492600}}"#, at_us / 1000);
        state.add(&event, came_at(at_us)).unwrap();
    };
    add(-30, "700");
    (0..700).for_each(|second| add(second, "800"));
    let shown = shown(&state);
    assert!(shown.contains(r#""high":"700""#) && !shown.contains("800"), "{shown}");
}

#[test]
fn the_volume_of_the_segment_moves_where_the_body_has_both() {
    let moved = |base: &str, vol: &str| {
        let mut state = state(base);
        add(&mut state, 2_000, "669", vol);
        let shown = shown(&state);
        Object::parse(&shown).unwrap().get("volume").map(str::to_owned)
    };
    let volume = |volume: &str| Some(volume.to_owned());
    assert_eq!(moved(BASE, "70492556"), volume("6301170"));
    assert_eq!(moved(BASE, "70492550"), volume("6301164"), "a correction");
    assert_eq!(moved(BASE, "1"), volume("6301169"), "there is no negative volume");
    assert_eq!(moved(BASE, r#""""#), volume("6301169"), "a price without a volume");
    assert_eq!(moved(&BASE.replace(r#""total_volume":70492555,"#, ""), "70492556"), volume("6301169"));
    assert_eq!(moved(&BASE.replace(r#""volume":6301169,"#, ""), "70492556"), None);
    assert_eq!(moved(&BASE.replace("6301169", "null"), "70492556"), volume("null"));
}

#[test]
fn prices_after_midnight_in_new_york_are_of_another_session() {
    // a Sunday: one night, and two dates
    let base = BASE.replace(TAPE_TIME, "2025-11-02T03:59:58Z").replace("regular", "");
    let mut state = StockState::default();
    state.rebase(&base, us("2025-11-02T03:59:59Z")).unwrap();
    for (time, is_news) in [("2025-11-02T04:00:00Z", false), ("2025-11-02T03:59:59Z", true)] {
        let event = format!(r#"{{"close":"1","time":{},"vol":1}}"#, us(time) / 1000);
        state.add(&event, came_at(us(time))).unwrap();
        assert_eq!(state.has_news(), is_news, "{time}");
    }
}

#[test]
fn midnight_does_not_end_the_night_before_a_session() {
    // Sunday 21:00 to Monday 04:00 in New York is one night, of Monday
    let base = BASE.replace(TAPE_TIME, "2026-11-30T02:30:00Z").replace("regular", "");
    let mut state = StockState::default();
    state.rebase(&base, us("2026-11-30T02:30:01Z")).unwrap();
    for (time, is_news) in [("2026-11-30T09:00:00Z", false), ("2026-11-30T05:30:00Z", true)] {
        let event = format!(r#"{{"close":"1","time":{},"vol":1}}"#, us(time) / 1000);
        state.add(&event, came_at(us(time))).unwrap();
        assert_eq!(state.has_news(), is_news, "{time}");
    }
}

#[test]
fn within_rests_second_the_volume_tells_and_then_the_receipt() {
    for (volume, after_ms, is_news) in [
        ("70492554", 0, false),
        ("70492556", 0, true),
        // received before and after REST's answer
        ("70492555", 900, false),
        ("\"\"", 900, false),
        ("70492600", -1, false),
        ("70492500", 1_000, true),
    ] {
        let mut state = state(BASE);
        add(&mut state, after_ms, "1", volume);
        assert_eq!(state.has_news(), is_news, "{volume} {after_ms}");
    }
    let mut state = state(BASE);
    state.add(r#"{"close":"1","time":1759517923900,"vol":70492555}"#, came_at(us(FETCHED) + 1)).unwrap();
    assert!(state.has_news());
}

#[test]
fn prices_go_over_every_newer_body_that_is_behind_them() {
    let mut state = state(BASE);
    add(&mut state, 5_000, "670.5", "70492600");
    add(&mut state, 9_000, "669.1", "70492700");
    let second = BASE.replace("18:58:43", "18:58:50").replace("669.94", "669.97");
    state.rebase(&second, us(FETCHED) + 8_000_000).unwrap();
    let now = shown(&state);
    let object = Object::parse(&now).unwrap();
    assert_eq!(object.get("high"), Some("\"669.97\""), "the 670.5 was before it, and REST knows better");
    assert_eq!(object.get("close"), Some("\"669.1\""));
    // an answer with an older time is overlaid again
    state.rebase(BASE, us(FETCHED) + 9_000_000).unwrap();
    assert!(shown(&state).contains(r#""high":"670.5""#));
    state.rebase(&BASE.replace("18:58:43", "18:58:53"), us(FETCHED) + 10_000_000).unwrap();
    assert!(!state.has_news());
}

#[test]
fn the_order_of_prices_makes_no_difference() {
    // equal numbers in different notation, equal times, without volume
    let prices = [
        (r#"{"close":"670.10","time":1759517925000,"vol":1}"#, 5),
        (r#"{"close":"670.1","time":1759517925000,"vol":2}"#, 6),
        (r#"{"close":"668.10","time":1759517925900}"#, 7),
        (r#"{"close":"668.1","time":1759517925900,"vol":""}"#, 7),
        (r#"{"close":"669","time":1759517926000,"vol":""}"#, 4),
    ];
    let mut all = Vec::new();
    for first in 0..prices.len() {
        for is_reversed in [false, true] {
            let mut order: Vec<_> = prices.iter().cycle().skip(first).take(prices.len()).collect();
            if is_reversed {
                order.reverse();
            }
            let mut state = state(BASE);
            for (event, received) in order {
                state.add(event, came_at(us(FETCHED) + received)).unwrap();
            }
            all.push(shown(&state));
        }
    }
    all.dedup();
    assert_eq!(all.len(), 1, "{all:#?}");
    assert!(all[0].contains(r#""total_volume":2,"#), "the last volume that was told: {}", all[0]);
}

#[test]
fn ten_minutes_of_prices_are_remembered_and_older_ones_become_part_of_the_body() {
    let mut state = state(BASE);
    add(&mut state, 2_000, "700", "70492600");
    for second in 3..700 {
        add(&mut state, second * 1_000, "669.5", "70492600");
    }
    assert_eq!(state.seconds.len(), MAX_SECONDS);
    assert!(shown(&state).contains(r#""high":"700""#), "it is in the body");
    // too old to be distinguished from the body
    add(&mut state, 1_500, "800", "1");
    assert!(!shown(&state).contains("800"));
    // REST lacks it: it is lost with the body that it was merged into
    state.rebase(BASE, us(FETCHED) + 1).unwrap();
    assert!(!shown(&state).contains("700"));

    let mut state = StockState::default();
    for second in 3..700 {
        add(&mut state, second * 1_000, "669.5", "1");
    }
    assert_eq!((state.seconds.len(), state.shown()), (MAX_SECONDS, None));
}

#[test]
fn events_that_are_no_prices_are_told() {
    for bad in [
        "7",
        "{}",
        r#"{"close":"1"}"#,
        r#"{"time":1759517925000}"#,
        r#"{"close":"","time":1759517925000}"#,
        r#"{"close":null,"time":1759517925000}"#,
        // seconds
        r#"{"close":"1","time":1759517925}"#,
    ] {
        assert!(StockState::default().add(bad, came_at(us(FETCHED))).is_err(), "{bad}");
    }
}

#[test]
fn unreadable_data_leaves_what_was_known() {
    let mut state = state(BASE);
    for bad in ["null", "[]", "7", "{}", r#"{"tape_time":null}"#, r#"{"tape_time":"noon"}"#] {
        assert!(state.rebase(bad, us(FETCHED)).is_err(), "{bad}");
        assert_eq!(shown(&state), BASE);
    }
}
