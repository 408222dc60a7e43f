use super::super::tests::samples::{came_at, us};
use super::*;

/// `stock_state` of the sample, in trading hours.
const BASE: &str = r#"{"close":"669.5999","high":"669.94","low":"668.6","open":"669.25","volume":6301169,"market_time":"regular","tape_time":"2025-10-03T18:58:43Z","total_volume":70492555,"prev_close":"669.21"}"#;
const TAPE_TIME: &str = "2025-10-03T18:58:43Z";
const FETCHED: &str = "2025-10-03T18:58:44.5Z";

fn state(base: &str) -> StockState {
    let mut state = StockState::default();
    state.rebase(base, us(FETCHED)).unwrap();
    state
}

/// A price so many milliseconds after the sample's `tape_time`, received 100 ms later.
fn add(state: &mut StockState, after_ms: i64, close: &str, volume: &str) {
    let at_us = us(TAPE_TIME) + after_ms * 1000;
    let event = format!(r#"{{"close":"{close}","time":{},"vol":{volume}}}"#, at_us / 1000);
    state.add(&event, came_at(at_us + 100_000)).unwrap();
}

fn shown(state: &StockState) -> String {
    state.shown().unwrap()
}

#[test]
fn a_price_replaces_close_time_and_volume_and_nothing_else() {
    let mut state = state(BASE);
    state
        .add(r#"{"ticker":"SPY","close":"669.70","time":1759517925692,"vol":70492600}"#, came_at(us(FETCHED)))
        .unwrap();
    assert_eq!(
        shown(&state),
        r#"{"close":"669.70","high":"669.94","low":"668.6","open":"669.25","volume":6301169,"market_time":"regular","tape_time":"2025-10-03T18:58:45Z","total_volume":70492600,"prev_close":"669.21"}"#
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
        r#"{"close":"669.0","high":"670.1","low":"668.5","open":"669.25","volume":6301169,"market_time":"regular","tape_time":"2025-10-03T18:58:47Z","total_volume":70492600,"prev_close":"669.21"}"#
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
    // yesterday's, in the last second before midnight in New York, and that of a time before summer's end
    for tape_time in ["2025-10-03T03:59:59Z", "2025-01-03T04:59:59Z"] {
        let base = BASE.replace(TAPE_TIME, tape_time);
        state.rebase(&base, us(FETCHED)).unwrap();
        assert!(!state.has_news());
        assert_eq!(shown(&state), base);
    }
    // what was kept for it goes over today's
    state.rebase(&BASE.replace(TAPE_TIME, "2025-10-03T04:00:00Z"), us(FETCHED)).unwrap();
    assert!(state.has_news());
}

#[test]
fn prices_after_midnight_in_new_york_are_of_another_session() {
    let base = BASE.replace(TAPE_TIME, "2025-11-02T03:59:58Z");
    let mut state = StockState::default();
    state.rebase(&base, us("2025-11-02T03:59:59Z")).unwrap();
    for (time, is_news) in [("2025-11-02T04:00:00Z", false), ("2025-11-02T03:59:59Z", true)] {
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
        // received before REST answered, and after
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
    // an answer that is older in its own time has it above itself again
    state.rebase(BASE, us(FETCHED) + 9_000_000).unwrap();
    assert!(shown(&state).contains(r#""high":"670.5""#));
    state.rebase(&BASE.replace("18:58:43", "18:58:53"), us(FETCHED) + 10_000_000).unwrap();
    assert!(!state.has_news());
}

#[test]
fn the_order_of_prices_makes_no_difference() {
    // equal numbers written differently, equal times, without a volume
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
    // too old to be told apart from what is there
    add(&mut state, 1_500, "800", "1");
    assert!(!shown(&state).contains("800"));
    // REST has not heard of it: then it is gone with the body that it became part of
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
