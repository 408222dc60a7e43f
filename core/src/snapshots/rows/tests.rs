use super::super::tests::samples::{GEX, GEX_STRIKE, SERIES_ROW, STRIKE_ROW, came_at, us};
use super::*;

/// Friday 2025-10-03, 16:14:50 in New York.
const NOON: &str = "2025-10-03T20:14:50Z";

fn series(rows: &[&str], fetched_at: &str) -> Rows {
    let mut series = Rows::new(RowKind::Series, "SPY");
    series.rebase(rows, us(fetched_at)).unwrap();
    series
}

fn strikes(rows: &[&str], fetched_at: &str) -> Rows {
    let mut strikes = Rows::new(RowKind::Strikes, "SPY");
    strikes.rebase(rows, us(fetched_at)).unwrap();
    strikes
}

fn row(time: &str, price: &str) -> String {
    format!(r#"{{"time":"{time}","ticker":"SPY","price":"{price}"}}"#)
}

/// An event of `gex` at a time, received one second later.
fn gex(rows: &mut Rows, time: &str, price: &str) {
    gex_received(rows, time, price, us(time) + 1_000_000);
}

fn gex_received(rows: &mut Rows, time: &str, price: &str, received_us: i64) {
    let event = format!(r#"{{"timestamp":{},"price":"{price}"}}"#, us(time) / 1000);
    rows.add(&event, came_at(received_us)).unwrap();
}

/// An event of `gex_strike`, received one second later.
fn gex_strike(rows: &mut Rows, time: &str, strike: &str, price: &str) {
    let event = format!(r#"{{"timestamp":{},"strike":"{strike}","price":"{price}"}}"#, us(time) / 1000);
    rows.add(&event, came_at(us(time) + 1_000_000)).unwrap();
}

/// The output: times or strikes, with prices.
fn shown(rows: &Rows) -> Vec<String> {
    let brief = |row: &str| {
        let row = Object::parse(row).unwrap();
        let key = row.text("strike").or(row.text("time")).unwrap();
        format!("{key} {}", row.text("price").unwrap())
    };
    rows.shown().map(brief).collect()
}

#[test]
fn an_event_of_gex_becomes_a_row_of_rest() {
    let mut rows = Rows::new(RowKind::Series, "SPY");
    rows.add(GEX, came_at(1_726_670_396_100_000)).unwrap();
    assert_eq!(
        rows.shown().collect::<Vec<_>>(),
        [
            r#"{"time":"2024-09-18T14:39:56.000000Z","ticker":"SPY","price":"562.86","charm_per_one_percent_move_dir":"-2055997560.50","charm_per_one_percent_move_oi":"-1677926539943.05","charm_per_one_percent_move_vol":"-556207588704.10","gamma_per_one_percent_move_dir":"-9372185.61","gamma_per_one_percent_move_oi":"-262444980.31","gamma_per_one_percent_move_vol":"-934307209.58","vanna_per_one_percent_move_dir":"-6220855.09","vanna_per_one_percent_move_oi":"2842602508.57","vanna_per_one_percent_move_vol":"128814703.59"}"#
        ],
        "neither `delta_*` nor an empty decimal is there"
    );
    let names = |row: &str| -> Vec<String> {
        Object::parse(row).unwrap().members().map(|(name, _)| name.to_owned()).collect()
    };
    assert_eq!(names(rows.shown().next().unwrap()), names(SERIES_ROW), "in REST's order");
}

#[test]
fn an_event_of_gex_strike_becomes_a_row_of_rest() {
    let mut rows = Rows::new(RowKind::Strikes, "SPY");
    rows.add(GEX_STRIKE, came_at(1_726_670_426_100_000)).unwrap();
    assert_eq!(
        rows.shown().collect::<Vec<_>>(),
        [
            r#"{"ticker":"SPY","date":"2024-09-18","time":"2024-09-18T14:40:26.000000Z","strike":"290","price":"562.96","call_gamma_oi":"174792.59","put_gamma_oi":"-1172037.66","call_gamma_vol":"15596.81","put_gamma_vol":"-236.69","call_gamma_ask":"-4064.62","put_gamma_ask":"-140.95","call_gamma_bid":"11532.18","put_gamma_bid":"95.73","call_charm_oi":"85658181.72","put_charm_oi":"-315259003.37","call_charm_vol":"-326871.58","put_charm_vol":"-68457.78","call_charm_ask":"85184.72","put_charm_ask":"-59412.37","call_charm_bid":"-241686.87","put_charm_bid":"9045.42","call_vanna_oi":"-6103.51","put_vanna_oi":"1337727.64","call_vanna_vol":"2063.13","put_vanna_vol":"845.06","call_vanna_ask":"-537.66","put_vanna_ask":"523.79","call_vanna_bid":"1525.46","put_vanna_bid":"-321.27"}"#
        ]
    );
}

#[test]
fn a_value_that_the_feed_does_not_carry_is_kept_for_ten_minutes_and_then_null() {
    // REST's row is of 16:14:50; the event has a delta of another scale and no `put_gamma_oi`
    let base = STRIKE_ROW.replace(r#""call_delta_oi":"12.5""#, r#""call_delta_oi":"217773112.3541""#);
    for (after_s, delta, gamma) in [
        (1, r#""217773112.3541""#, r#""-47563310.56""#),
        (600, r#""217773112.3541""#, r#""-47563310.56""#),
        (601, "null", "null"),
    ] {
        let mut rows = strikes(&[&base], NOON);
        let at_us = us(NOON) + after_s * 1_000_000;
        let event = format!(
            r#"{{"timestamp":{},"strike":"510","price":"1","call_gamma_oi":"2","put_gamma_oi":"","call_delta_oi":"0.45"}}"#,
            at_us / 1000
        );
        rows.add(&event, came_at(at_us)).unwrap();
        let shown = rows.shown().next().unwrap();
        let row = Object::parse(shown).unwrap();
        assert_eq!(row.get("call_delta_oi"), Some(delta), "{after_s} s");
        assert_eq!(row.get("put_gamma_oi"), Some(gamma), "{after_s} s");
        assert_eq!(row.get("call_gamma_oi"), Some(r#""2""#));
        assert_eq!((row.get("ticker"), row.get("strike")), (Some(r#""SPY""#), Some(r#""510""#)));
        // REST's next answer brings its values back
        let later = base.replace("20:14:50", "20:40:00");
        rows.rebase(&[&later], us("2025-10-03T20:40:01Z")).unwrap();
        assert_eq!(rows.shown().next(), Some(&*later));
    }
}

#[test]
fn the_age_of_a_row_without_a_time_is_that_of_the_answer() {
    for (fetched_at, delta) in [("2025-10-03T20:14:50Z", r#""7""#), ("2025-10-03T20:04:49Z", "null")] {
        let mut rows = strikes(&[r#"{"strike":"25","price":"1","call_delta_oi":"7"}"#], fetched_at);
        gex_strike(&mut rows, NOON, "25", "2");
        let row = Object::parse(rows.shown().next().unwrap()).unwrap();
        assert_eq!(row.get("call_delta_oi"), Some(delta), "{fetched_at}");
    }
}

#[test]
fn the_ticker_of_an_event_without_one_is_that_of_the_key() {
    for (ticker, shown) in [("", "SPY"), (r#""ticker":7,"#, "SPY"), (r#""ticker":"QQQ","#, "QQQ")] {
        let mut rows = Rows::new(RowKind::Series, "SPY");
        rows.add(&format!(r#"{{{ticker}"timestamp":1000,"price":"1"}}"#), came_at(2_000_000)).unwrap();
        let row = rows.shown().next().unwrap();
        assert_eq!(Object::parse(row).unwrap().text("ticker").as_deref(), Some(shown));
    }
}

#[test]
fn a_series_is_appended_to_or_replaced_by_time_oldest_first() {
    // REST's order does not matter
    let base = [row("2025-10-03T20:14:00.000000Z", "3"), row("2025-10-03T20:13:00.000000Z", "2")];
    let mut rows = series(&[&base[0], &base[1]], NOON);
    assert!(!rows.has_news());
    gex(&mut rows, "2025-10-03T20:14:52Z", "5");
    gex(&mut rows, "2025-10-03T20:13:30Z", "4");
    gex_received(&mut rows, "2025-10-03T20:14:00Z", "6", us(NOON) + 1);
    assert_eq!(
        shown(&rows),
        [
            "2025-10-03T20:13:00.000000Z 2",
            "2025-10-03T20:13:30.000000Z 4",
            "2025-10-03T20:14:00.000000Z 6",
            "2025-10-03T20:14:52.000000Z 5",
        ]
    );
    assert!(rows.has_news());
}

#[test]
fn the_evening_before_a_session_of_index_options_belongs_to_it() {
    // Sunday 20:30 in New York
    let sunday = "2026-11-30T01:30:00Z";
    for (ticker, date) in [("SPX", "2026-11-30"), ("SPY", "2026-11-29")] {
        let mut rows = Rows::new(RowKind::Strikes, ticker);
        gex_strike(&mut rows, sunday, "6500", "1");
        let row = Object::parse(rows.shown().next().unwrap()).unwrap();
        assert_eq!(row.text("date").as_deref(), Some(date), "{ticker}");
        assert_eq!(row.text("time").as_deref(), Some("2026-11-30T01:30:00.000000Z"));
    }
    // the series of Monday begins on Sunday evening, and midnight does not end it
    let mut rows = Rows::new(RowKind::Series, "SPX");
    for (time, price) in [("2026-11-27T20:00:00Z", "1"), (sunday, "2"), ("2026-11-30T06:00:00Z", "3")] {
        gex(&mut rows, time, price);
    }
    assert_eq!(shown(&rows), ["2026-11-30T01:30:00.000000Z 2", "2026-11-30T06:00:00.000000Z 3"]);
}

#[test]
fn rests_row_wins_over_an_event_received_before_its_answer() {
    let base = row("2025-10-03T20:14:00.000000Z", "3");
    let mut rows = series(&[&base], NOON);
    gex(&mut rows, "2025-10-03T20:14:00Z", "4");
    assert_eq!(shown(&rows), ["2025-10-03T20:14:00.000000Z 3"]);
    assert!(!rows.has_news());
}

#[test]
fn rows_that_rest_has_not_yet_outlive_its_answer_for_ten_minutes() {
    let first = row("2025-10-03T20:00:00.000000Z", "1");
    let mut rows = series(&[&first], "2025-10-03T20:00:05Z");
    for time in ["2025-10-03T20:01:20Z", "2025-10-03T20:02:00Z", "2025-10-03T20:02:10Z"] {
        gex(&mut rows, time, "9");
    }
    let second = row("2025-10-03T20:02:00.000000Z", "2");
    rows.rebase(&[&first, &second], us("2025-10-03T20:02:30Z")).unwrap();
    let between =
        ["2025-10-03T20:01:20.000000Z 9", "2025-10-03T20:02:00.000000Z 2", "2025-10-03T20:02:10.000000Z 9"];
    assert_eq!(shown(&rows)[1..], between, "its own row wins, ours between them stay");

    let third = row("2025-10-03T20:12:00.000000Z", "3");
    rows.rebase(&[&first, &second, &third], us("2025-10-03T20:12:30Z")).unwrap();
    assert_eq!(shown(&rows).len(), 4, "the one of 20:01:20 is gone: {:?}", shown(&rows));
    gex(&mut rows, "2025-10-03T20:01:30Z", "9");
    assert_eq!(shown(&rows).len(), 4, "and one that comes late from there is none");
}

#[test]
fn a_new_session_begins_at_midnight_in_new_york_and_ends_the_last() {
    // before and after the change to winter time
    for (before, after, late) in [
        ("2025-10-31T03:59:59Z", "2025-10-31T04:00:00Z", "2025-10-31T03:59:50Z"),
        ("2025-11-04T04:59:59Z", "2025-11-04T05:00:00Z", "2025-11-04T04:59:50Z"),
    ] {
        let base = row(before, "1");
        let mut rows = series(&[&base], before);
        gex(&mut rows, before, "2");
        gex(&mut rows, after, "3");
        gex(&mut rows, late, "4");
        assert_eq!(shown(&rows).len(), 1, "{:?}", shown(&rows));
        assert!(shown(&rows)[0].ends_with(" 3"));
        // REST has switched too, and still has one hour of the previous session
        let second = row(after, "5");
        rows.rebase(&[&base, &second], us(after) + 5_000_000).unwrap();
        assert!(!rows.has_news());
        assert_eq!(shown(&rows).len(), 2, "REST's own body stays as it is");
        gex_received(&mut rows, after, "6", us(after) + 6_000_000);
        assert_eq!(shown(&rows).len(), 1, "beside news it has this session only: {:?}", shown(&rows));
    }
}

#[test]
fn a_wrong_far_future_in_rests_series_passes_with_it() {
    let bad = row("2099-01-01T00:00:00Z", "1");
    let mut rows = series(&[&bad], NOON);
    gex(&mut rows, NOON, "2");
    assert_eq!(shown(&rows), ["2099-01-01T00:00:00Z 1"]);
    rows.rebase(&[], us(NOON) + 1).unwrap();
    gex(&mut rows, NOON, "2");
    assert_eq!(shown(&rows), ["2025-10-03T20:14:50.000000Z 2"]);
}

#[test]
fn a_strike_is_one_row_however_it_is_written_in_the_order_of_numbers() {
    let base = |strike: &str| {
        format!(
            r#"{{"time":"{NOON}","strike":"{strike}","price":"1","call_delta_oi":"7","call_gamma_ask":"8"}}"#
        )
    };
    let mut rows = strikes(&[&base("100"), &base("25.0000000000"), &base("9.5")], NOON);
    for strike in ["25", "1e2", "9.50", "-1", "30.0"] {
        let event = format!(
            r#"{{"timestamp":{},"strike":"{strike}","price":"2","call_gamma_ask_vol":"-4064.62","put_gamma_oi":""}}"#,
            us(NOON) / 1000 + 1
        );
        rows.add(&event, came_at(us(NOON) + 2_000)).unwrap();
    }
    assert_eq!(shown(&rows), ["-1 2", "9.5 2", "25.0000000000 2", "30.0 2", "100 2"]);
    assert_eq!(
        rows.shown().nth(2),
        Some(
            r#"{"time":"2025-10-03T20:14:50.001000Z","strike":"25.0000000000","price":"2","call_delta_oi":"7","call_gamma_ask":"-4064.62","ticker":"SPY","date":"2025-10-03"}"#
        ),
        "REST's columns stay where the feed has none"
    );
}

#[test]
fn the_newer_of_a_strikes_rows_is_shown_whatever_came_first() {
    let mut rows = strikes(&[STRIKE_ROW], NOON);
    gex_strike(&mut rows, "2025-10-03T20:14:49Z", "510", "1");
    assert!(!rows.has_news(), "REST's is newer");
    gex_strike(&mut rows, "2025-10-03T20:14:55Z", "510", "3");
    gex_strike(&mut rows, "2025-10-03T20:14:53Z", "510", "2");
    assert_eq!(shown(&rows), ["510 3"]);
    // its next answer is older than the event, the following one newer
    rows.rebase(&[STRIKE_ROW], us("2025-10-03T20:15:30Z")).unwrap();
    assert_eq!(shown(&rows), ["510 3"]);
    let newer = STRIKE_ROW.replace("20:14:50", "20:15:20");
    rows.rebase(&[&newer], us("2025-10-03T20:15:40Z")).unwrap();
    assert_eq!(rows.shown().collect::<Vec<_>>(), [newer]);
    // once it lacks the strike, only the event is known
    rows.rebase(&[], us("2025-10-03T20:15:50Z")).unwrap();
    assert_eq!(shown(&rows), ["510 3"]);
}

#[test]
fn strikes_that_only_an_earlier_session_had_are_not_shown() {
    let mut rows = strikes(&[STRIKE_ROW], NOON);
    gex_strike(&mut rows, "2025-10-03T20:15:00Z", "515", "1");
    gex_strike(&mut rows, "2025-10-03T20:15:00Z", "510", "1");
    assert_eq!(shown(&rows), ["510 1", "515 1"]);
    gex_strike(&mut rows, "2025-10-06T13:30:00Z", "520", "2");
    assert_eq!(shown(&rows), ["510 1", "520 2"], "what REST has of a strike stays until it answers anew");
    gex_strike(&mut rows, "2025-10-03T20:15:10Z", "525", "3");
    assert_eq!(shown(&rows), ["510 1", "520 2"]);
}

#[test]
fn events_without_a_time_or_a_strike_are_told() {
    for (kind, event) in [
        (RowKind::Series, "7"),
        (RowKind::Series, "{}"),
        (RowKind::Series, r#"{"timestamp":""}"#),
        (RowKind::Series, r#"{"timestamp":1759522490.5}"#),
        // seconds
        (RowKind::Series, r#"{"timestamp":1759522490}"#),
        (RowKind::Series, r#"{"timestamp":99999999999999999999}"#),
        (RowKind::Series, r#"{"timestamp":-1}"#),
        (RowKind::Strikes, r#"{"timestamp":1759522490000}"#),
        (RowKind::Strikes, r#"{"timestamp":1759522490000,"strike":""}"#),
        (RowKind::Strikes, r#"{"timestamp":1759522490000,"strike":null}"#),
    ] {
        let mut rows = Rows::new(kind, "SPY");
        assert!(rows.add(event, came_at(us(NOON))).is_err(), "{event}");
        assert!(!rows.has_news());
    }
}

#[test]
fn an_unreadable_row_leaves_what_was_known() {
    let mut rows = series(&[SERIES_ROW], NOON);
    for bad in ["7", "null", "{}", r#"{"time":7}"#, r#"{"time":"noon"}"#] {
        assert!(rows.rebase(&[SERIES_ROW, bad], us(NOON) + 1).is_err(), "{bad}");
        assert_eq!(rows.shown().collect::<Vec<_>>(), [SERIES_ROW]);
    }
    assert!(strikes(&[], NOON).rebase(&[r#"{"strike":"x"}"#], 0).is_err());
    assert!(strikes(&[], NOON).rebase(&[r#"{"strike":5}"#], 0).is_ok(), "its time is not needed");
}

#[test]
fn rows_are_bounded_and_the_least_recent_events_go_first() {
    let start_us = us("2025-10-03T12:00:00Z");
    let mut rows = series(&[], NOON);
    for at in 0..5_000 {
        let event = format!(r#"{{"timestamp":{},"price":"1"}}"#, start_us / 1000 + at);
        rows.add(&event, came_at(start_us + 10_000_000)).unwrap();
    }
    assert_eq!(rows.shown().count(), MAX_ROWS);
    assert_eq!(shown(&rows)[0], "2025-10-03T12:00:00.904000Z 1");

    // REST's own rows are kept, however many
    let many: Vec<String> =
        (0..5_000).map(|strike| format!(r#"{{"strike":"{strike}","time":"{NOON}"}}"#)).collect();
    let many: Vec<&str> = many.iter().map(|row| &**row).collect();
    let mut rows = strikes(&many, NOON);
    gex_strike(&mut rows, "2025-10-03T20:15:00Z", "7000", "1");
    gex_strike(&mut rows, "2025-10-03T20:15:00Z", "70", "1");
    assert_eq!(rows.shown().count(), 5_000);
    assert!(rows.has_news(), "rows that it has are kept fresh");
}

#[test]
fn memory_is_counted_through_every_change() {
    let count = |rows: &Rows| {
        rows.by_key.values().map(Row::text_bytes).sum::<usize>() + rows.by_key.len() * ROW_BYTES
    };
    let mut rows = strikes(&[STRIKE_ROW], NOON);
    let empty = rows.bytes();
    for (time, strike) in
        [("2025-10-03T20:15:00Z", "510"), ("2025-10-03T20:15:00Z", "5"), ("2025-10-03T20:16:00Z", "510")]
    {
        gex_strike(&mut rows, time, strike, "123456789.123456789");
        assert_eq!(rows.bytes(), count(&rows));
    }
    assert!(rows.bytes() > empty);
    rows.rebase(&[STRIKE_ROW], us(NOON)).unwrap();
    assert_eq!(rows.bytes(), count(&rows));
    let mut rows = series(&[SERIES_ROW], NOON);
    for time in [NOON, "2025-10-03T20:15:00Z", "2025-10-06T20:15:00Z"] {
        gex(&mut rows, time, "1");
        assert_eq!(rows.bytes(), count(&rows));
    }
}

#[test]
fn an_answer_that_is_behind_the_one_before_it_has_our_rows_again() {
    let [first, second] =
        ["2025-10-03T20:13:00.000000Z", "2025-10-03T20:14:00.000000Z"].map(|time| row(time, "1"));
    let mut rows = series(&[&first], NOON);
    gex(&mut rows, "2025-10-03T20:14:00Z", "2");
    gex(&mut rows, "2025-10-03T20:03:30Z", "3");
    rows.rebase(&[&first, &second], us(NOON) + 1).unwrap();
    assert!(!rows.has_news());
    rows.rebase(&[&first], us(NOON) + 2).unwrap();
    let expected =
        ["2025-10-03T20:03:30.000000Z 3", "2025-10-03T20:13:00.000000Z 1", "2025-10-03T20:14:00.000000Z 2"];
    assert_eq!(shown(&rows), expected);
}
