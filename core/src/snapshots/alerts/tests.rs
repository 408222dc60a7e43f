use super::super::frame;
use super::super::tests::samples::{DIA_ALERT, FLOW_ALERT_EVENT, FLOW_ALERTS, came_at, us};
use super::*;

const CORPUS: &str = "2025-05-16T18:19:53Z";

fn alerts(rows: &[&str]) -> Alerts {
    let mut alerts = Alerts::new("SPY");
    alerts.rebase(rows).unwrap();
    alerts
}

fn sample() -> &'static str {
    frame::rows(frame::split(FLOW_ALERTS).unwrap().1).unwrap()[0]
}

/// An event of an alert with a number of contracts, some milliseconds after the sample's.
fn event(size: i64, after_ms: i64) -> String {
    let at = us("2025-10-03T20:13:07.102593Z") / 1000 + after_ms;
    format!(
        r#"{{"rule_name":"R","ticker":"SPY","option_chain":"SPY251003P00669000","total_size":{size},"total_premium":10,"price":{after_ms},"executed_at":{at}}}"#
    )
}

/// Adds an event some milliseconds after the sample's.
fn add(alerts: &mut Alerts, event: &str, after_ms: i64) {
    alerts.add(event, came_at(us("2025-10-03T20:13:07.102593Z") + after_ms * 1000)).unwrap();
}

/// The output: sizes and prices.
fn shown(alerts: &Alerts) -> Vec<String> {
    let brief = |row: &str| {
        let row = Object::parse(row).unwrap();
        format!("{} at {}", row.decimal("total_size").unwrap(), row.text("price").unwrap())
    };
    alerts.shown().map(brief).collect()
}

#[test]
fn an_event_becomes_a_row_of_rest() {
    let mut alerts = alerts(&[]);
    alerts.add(DIA_ALERT, came_at(1_726_670_220_000_001)).unwrap();
    assert_eq!(
        alerts.shown().collect::<Vec<_>>(),
        [
            r#"{"type":"call","ticker":"DIA","created_at":"2024-09-18T14:36:52.748000Z","price":"7.3","volume":106,"open_interest":575,"expiry":"2024-10-18","strike":"415","underlying_price":"415.981","total_premium":"36466","trade_count":7,"volume_oi_ratio":"0","has_floor":false,"option_chain":"DIA241018C00415000","has_multileg":false,"has_sweep":false,"has_singleleg":true,"all_opening_trades":false,"total_size":50,"alert_rule":"RepeatedHitsDescendingFill","total_bid_side_prem":"0","total_ask_side_prem":"36466","expiry_count":1}"#
        ]
    );
}

#[test]
fn the_issue_type_is_in_rests_rows_only() {
    let rests = sample().replacen('{', r#"{"issue_type":"ETF","#, 1);
    let issue_types = |alerts: &Alerts| -> Vec<Option<String>> {
        let of = |row: &str| Object::parse(row).unwrap().text("issue_type").map(Into::into);
        alerts.shown().map(of).collect()
    };
    let mut alerts = alerts(&[]);
    alerts.add(FLOW_ALERT_EVENT, came_at(us("2025-10-03T20:13:12Z"))).unwrap();
    add(&mut alerts, &event(7, 1_000), 1_000);
    assert_eq!(issue_types(&alerts), [None, None]);
    // REST's own row wins, and the alert that it lacks stays as it is
    alerts.rebase(&[&rests]).unwrap();
    assert_eq!(issue_types(&alerts), [None, Some("ETF".to_owned())]);
}

#[test]
fn an_event_says_what_rest_says_but_for_what_the_feed_has_not() {
    let mut alerts = alerts(&[]);
    alerts.add(FLOW_ALERT_EVENT, came_at(us("2025-10-03T20:13:12Z"))).unwrap();
    let ours = alerts.shown().next().unwrap().to_owned();
    let (ours, rests) = (Object::parse(&ours).unwrap(), Object::parse(sample()).unwrap());
    let expected: Vec<_> = rests
        .members()
        .filter(|(name, _)| !name.starts_with("iv_"))
        .map(|(name, value)| match name {
            "created_at" => (name, "\"2025-10-03T20:13:06.900000Z\""),
            _ => (name, value),
        })
        .collect();
    assert_eq!(ours.members().collect::<Vec<_>>(), expected);
}

#[test]
fn live_frames_are_translated() {
    // of 2025-05-16, without the fields that REST lacks
    let live = r#"{"rule_name":"RepeatedHits","ticker":"APLD","option_chain":"APLD250523C00007500","underlying_price":6.84,"volume":2108,"total_size":609,"total_premium":11571.0,"total_ask_side_prem":11571.0,"total_bid_side_prem":0.0,"price":0.19,"has_sweep":false,"open_interest":1013,"volume_oi_ratio":0.0,"trade_count":5,"executed_at":1747419616588}"#;
    let mut alerts = alerts(&[]);
    alerts.add(live, came_at(us(CORPUS) + 60_000_000)).unwrap();
    assert_eq!(
        alerts.shown().next(),
        Some(
            r#"{"type":"call","ticker":"APLD","created_at":"2025-05-16T18:20:16.588000Z","price":"0.19","volume":2108,"open_interest":1013,"expiry":"2025-05-23","strike":"7.5","underlying_price":"6.84","total_premium":"11571","trade_count":5,"volume_oi_ratio":"0","option_chain":"APLD250523C00007500","has_sweep":false,"total_size":609,"alert_rule":"RepeatedHits","total_bid_side_prem":"0","total_ask_side_prem":"11571"}"#
        )
    );
}

#[test]
fn rests_row_of_an_alert_wins() {
    let mut alerts = alerts(&[sample()]);
    alerts.add(FLOW_ALERT_EVENT, came_at(us("2025-10-03T20:13:12Z"))).unwrap();
    assert!(!alerts.has_news());
    assert_eq!(alerts.shown().collect::<Vec<_>>(), [sample()]);
    // also when it arrives later; ours reappears when it is gone
    alerts.rebase(&[]).unwrap();
    assert!(alerts.has_news());
    alerts.rebase(&[sample()]).unwrap();
    assert_eq!(alerts.shown().collect::<Vec<_>>(), [sample()]);
}

#[test]
fn what_makes_an_alert_another_one() {
    let same = FLOW_ALERT_EVENT;
    let later = |ms: i64| same.replace("\"executed_at\":1759522386900", &format!("\"executed_at\":{ms}"));
    // in whole milliseconds, as on the feed
    let rests = sample().replace("102593Z", "102000Z");
    let at_ms = us("2025-10-03T20:13:07.102000Z") / 1000;
    for (event, is_other) in [
        (same.replace("103373.0", "103373.000").replace("3500", "3.5e3"), false),
        (later(at_ms + 30_000), false),
        (later(at_ms - 30_000), false),
        (later(at_ms + 30_001), true),
        (later(at_ms - 30_001), true),
        (same.replace("SPY251003P", "SPY251003C"), true),
        (same.replace("RepeatedHitsDescendingFill", "RepeatedHits"), true),
        (same.replace("\"RepeatedHitsDescendingFill\"", "null"), true),
        (same.replace("3500", "3501"), true),
        (same.replace("103373.0", "103373.01"), true),
    ] {
        let mut alerts = alerts(&[&rests]);
        alerts.add(&event, came_at(us("2025-10-03T20:13:40Z"))).unwrap();
        assert_eq!(alerts.has_news(), is_other, "{event}");
    }
}

#[test]
fn an_alert_without_a_rule_is_like_rests_without_one() {
    let event = event(1, 0).replace("\"R\"", "null");
    let mut alerts = alerts(&[]);
    add(&mut alerts, &event, 1);
    let row = alerts.shown().next().unwrap().to_owned();
    assert_eq!(Object::parse(&row).unwrap().get("alert_rule"), Some("null"));
    alerts.rebase(&[&row]).unwrap();
    assert!(!alerts.has_news());
}

#[test]
fn alerts_stand_newest_first() {
    let mut alerts = alerts(&[sample()]);
    for (size, after_ms) in [(1, 5_000), (2, -5_000), (3, 9_000)] {
        add(&mut alerts, &event(size, after_ms), 10_000);
    }
    assert_eq!(shown(&alerts), ["3 at 9000", "1 at 5000", "3500 at 0.3", "2 at -5000"]);
}

#[test]
fn of_one_alerts_accounts_the_last_received_is_shown_in_whatever_order_they_come() {
    // each is within 30 s of the next, but not the first of the last
    let accounts = [(0, 10_000), (25_000, 30_000), (50_000, 60_000)];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut alerts = alerts(&[]);
        for at in order {
            add(&mut alerts, &event(1, accounts[at].0), accounts[at].1);
        }
        assert_eq!(shown(&alerts), ["1 at 50000", "1 at 0"], "{order:?}");
    }
}

#[test]
fn repetitions_take_no_room() {
    let mut alerts = alerts(&[]);
    add(&mut alerts, &event(7, -60_000), 0);
    for received in 0..1_000 {
        add(&mut alerts, &event(1, 0), received);
    }
    assert_eq!(shown(&alerts), ["1 at 0", "7 at -60000"]);
}

#[test]
fn the_newest_hundred_are_kept() {
    let base: Vec<String> = (0..100)
        .map(|at| {
            format!(
                r#"{{"created_at":"{}","total_size":"0","price":"{at}"}}"#,
                times::micros(us(CORPUS) - at)
            )
        })
        .collect();
    let base: Vec<&str> = base.iter().map(|row| &**row).collect();
    let mut alerts = alerts(&base);
    for size in 0..500 {
        add(&mut alerts, &event(size, size), 1_000);
    }
    assert_eq!(alerts.events.len(), MAX_EVENTS);
    assert_eq!(shown(&alerts), (400..500).rev().map(|size| format!("{size} at {size}")).collect::<Vec<_>>());

    // an alert older than REST's hundred is not shown, and REST's answer stays unchanged
    let mut alerts = super::tests::alerts(&base);
    alerts.add(DIA_ALERT, came_at(1_726_670_220_000_001)).unwrap();
    assert!(!alerts.has_news());
    let more: Vec<&str> = base.iter().rev().chain(&base).copied().collect();
    alerts.rebase(&more).unwrap();
    assert_eq!(alerts.shown().collect::<Vec<_>>(), more);
}

#[test]
fn an_alert_that_rest_dates_before_its_hundred_stays_while_it_is_newer_than_their_last() {
    // REST dates each 10 s earlier, and answers with the newest hundred of them
    let created = us("2025-10-03T20:13:07.102593Z") - 10_000_000;
    let base: Vec<String> = (1..=100)
        .map(|size| {
            format!(
                r#"{{"created_at":"{}","alert_rule":"R","option_chain":"SPY251003P00669000","total_size":{size},"total_premium":"10","price":"{size}"}}"#,
                times::micros(created + size * 1_000)
            )
        })
        .collect();
    let mut alerts = alerts(&base.iter().map(|row| &**row).collect::<Vec<_>>());
    for size in 0..=100 {
        add(&mut alerts, &event(size, size), 1_000 + size);
    }
    assert_eq!(shown(&alerts)[..2], ["0 at 0", "100 at 100"]);
    assert_eq!(alerts.shown().count(), MAX_ROWS);
}

#[test]
fn events_that_are_no_alerts_are_told() {
    for bad in [
        "7".to_owned(),
        "{}".to_owned(),
        event(1, 0).replace("SPY251003P00669000", "SPY"),
        event(1, 0).replace("\"total_size\":1", "\"total_size\":\"\""),
        event(1, 0).replace("\"total_premium\":10", "\"premium\":10"),
        event(1, 0).replace("executed_at", "at"),
        event(1, -40 * 86_400_000),
        event(1, 0).replace("\"executed_at\":1759522387102", "\"executed_at\":1759522387"),
    ] {
        assert!(alerts(&[]).add(&bad, came_at(us("2025-10-03T20:13:07Z"))).is_err(), "{bad}");
    }
    let ended = event(1, 0).replace("executed_at", "end_time");
    assert!(
        alerts(&[]).add(&ended, came_at(us("2025-10-03T20:13:07Z"))).is_ok(),
        "the end is when it was executed"
    );
}

#[test]
fn unreadable_rows_leave_what_was_known() {
    let mut alerts = alerts(&[sample()]);
    for bad in ["7", "{}", r#"{"created_at":7}"#, r#"{"created_at":"noon"}"#] {
        assert!(alerts.rebase(&[sample(), bad]).is_err());
        assert_eq!(alerts.shown().collect::<Vec<_>>(), [sample()]);
    }
}
