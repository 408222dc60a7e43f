//! The format of an endpoint's body, whoever wrote it.

use serde_json::{Map, Value};

use super::*;

/// Asserts the endpoint's format of a body with events.
#[track_caller]
pub(super) fn assert_is_body(endpoint: BodyEndpoint, payload: &str) {
    let body: Value = serde_json::from_str(payload).unwrap();
    let data = &body["data"];
    match endpoint {
        BodyEndpoint::StockState => assert_is_state(data.as_object().unwrap()),
        BodyEndpoint::FlowAlerts => {
            let created: Vec<i64> = rows(data).map(assert_is_alert).collect();
            assert!(created.is_sorted_by(|a, b| a >= b), "newest first: {payload}");
            assert!(created.len() <= 100);
        }
        BodyEndpoint::SpotExposures => {
            let times: Vec<i64> = rows(data).map(|row| time(row, "time")).collect();
            assert!(times.is_sorted_by(|a, b| a < b), "oldest first, each once: {payload}");
            rows(data).for_each(|row| assert!(row.contains_key("ticker") || row.len() > 1));
        }
        BodyEndpoint::SpotExposuresStrike => {
            let strikes: Vec<Decimal> = rows(data).map(|row| decimal(&row["strike"])).collect();
            assert!(strikes.is_sorted_by(|a, b| a < b), "by strike, each once: {payload}");
        }
    }
}

fn rows(data: &Value) -> impl Iterator<Item = &Map<String, Value>> {
    data.as_array().unwrap().iter().map(|row| row.as_object().unwrap())
}

fn time(row: &Map<String, Value>, name: &str) -> i64 {
    samples::us(row[name].as_str().unwrap())
}

fn decimal(value: &Value) -> Decimal {
    Decimal::parse(&value.as_str().map_or_else(|| value.to_string(), str::to_owned)).unwrap()
}

fn assert_is_alert(row: &Map<String, Value>) -> i64 {
    time(row, "created_at")
}

/// Values of the feed have REST's types; `high` and `low` only if they were numbers before.
fn assert_is_state(state: &Map<String, Value>) {
    time(state, "tape_time");
    assert!(Decimal::is_number(state["close"].as_str().unwrap()));
}

/// Asserts that a row made from an event has exactly REST's names and types.
#[track_caller]
pub(super) fn assert_is_row_of_event(endpoint: BodyEndpoint, row: &str) {
    let row: Map<String, Value> = serde_json::from_str(row).unwrap();
    let sample: Value = serde_json::from_str(match endpoint {
        BodyEndpoint::FlowAlerts => samples::FLOW_ALERTS,
        BodyEndpoint::StockState => samples::STOCK_STATE,
        BodyEndpoint::SpotExposures => samples::SERIES_ROW,
        BodyEndpoint::SpotExposuresStrike => samples::STRIKE_ROW,
    })
    .unwrap();
    let sample = if sample["data"].is_array() { &sample["data"][0] } else { &sample };
    for (name, value) in row {
        // the sample of strikes is abridged
        let of_rest = if endpoint == BodyEndpoint::SpotExposuresStrike && name.contains(['_']) {
            &sample["call_gamma_oi"]
        } else {
            &sample[&name]
        };
        if name == "alert_rule" && value.is_null() {
            continue;
        }
        assert_eq!(std::mem::discriminant(of_rest), std::mem::discriminant(&value), "{name}: {value}");
        if of_rest.as_str().is_some_and(Decimal::is_number) {
            assert!(Decimal::is_number(value.as_str().unwrap()), "{name}: {value}");
        }
    }
}
