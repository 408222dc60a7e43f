//! REST bodies, and the events that are merged into them.

use serde::de::IgnoredAny;
use uw_websocket_core::event::{BodyEndpoint, EntryId};
use uw_websocket_core::snapshots::{MAX_BODY, Receipt, RestBody};

use super::{Target, magnitude, outcome};

/// Between the parts of an input.
const SEPARATOR: char = '\u{1e}';
const RECEIVED_US: u64 = 1_759_522_500_000_000;

/// The number of an endpoint, the time of the answer, the answer, and events: what is written is JSON, and is wanted no more
/// once it is read back.
pub(crate) fn body() -> Target {
    let row = r#"{"type":"put","ticker":"SPY","created_at":"2025-10-03T20:13:07.102593Z","price":"0.3","expiry":"2025-10-03","strike":"669","total_premium":"103373","total_size":3500,"option_chain":"SPY251003P00669000","alert_rule":"RepeatedHits"}"#;
    let alert = r#"{"rule_name":"RepeatedHits","ticker":"SPY","option_chain":"SPY251003P00669000","total_size":3500,"total_premium":103373.0,"executed_at":1759522387102,"price":0.3}"#;
    let state = r#"{"close":"669.5999","high":"669.94","low":"668.6","open":"669.25","volume":6301169,"market_time":"postmarket","tape_time":"2025-10-03T20:14:43Z","total_volume":70492555,"prev_close":"669.21"}"#;
    let series = r#"{"time":"2025-10-03T10:30:00.000000Z","ticker":"SPY","price":"671.15","gamma_per_one_percent_move_oi":"-31.1"}"#;
    let strike = r#"{"ticker":"SPY","date":"2025-10-03","time":"2025-10-03T20:14:50.000000Z","strike":"510","price":"668.88","call_gamma_oi":"4357422.04","call_gamma_ask":"-2223.18"}"#;
    let fetched = "2025-10-03T20:14:50.515417+00:00";
    let parts = [
        ["0", fetched, &format!(r#"{{"data":[{row}],"newer_than":null}}"#), alert, alert],
        [
            "1",
            fetched,
            &format!(r#"{{"data":{state}}}"#),
            r#"{"close":"670.1","time":1759522499000,"vol":70492600}"#,
            "",
        ],
        [
            "2",
            fetched,
            &format!(r#"{{"data":[{series},{series}]}}"#),
            r#"{"timestamp":1759522498000,"price":"1","gamma_per_one_percent_move_oi":""}"#,
            "",
        ],
        [
            "3",
            fetched,
            &format!(r#"{{"date":"x","data":[{strike}]}}"#),
            r#"{"timestamp":1759522498000,"strike":"510","price":"1","call_gamma_ask_vol":"2"}"#,
            "",
        ],
    ];
    let seeds = parts.iter().map(|parts| parts.join(&SEPARATOR.to_string()).into_bytes()).collect();
    let tokens = &[
        "\u{1e}",
        "\"data\":",
        "\"strike\":\"",
        "\"time\":\"",
        "\"timestamp\":",
        "2025-10-03T20:14:50Z",
        "+14:00",
        "\\u0065",
        "1e-5",
    ];
    Target { name: "rest", seeds, tokens, short: 3_000, run: Box::new(try_one) }
}

fn try_one(input: &[u8]) -> u64 {
    let now_us = RECEIVED_US.cast_signed() + 60_000_000;
    let text = String::from_utf8_lossy(input);
    let mut parts = text.split(SEPARATOR);
    let endpoint = parts.next().and_then(|number| number.parse::<usize>().ok()).unwrap_or_default();
    let endpoint = BodyEndpoint::ALL[endpoint % BodyEndpoint::ALL.len()];
    let (fetched_at, payload) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut body = RestBody::new(endpoint, "SPY", true);
    let hash = (!payload.is_empty()).then_some((payload, fetched_at));
    let is_readable = body.found_at(now_us, "SPY", hash).is_ok();
    let mut taken = 0_u32;
    for (seq, event) in parts.take(8).enumerate() {
        let receipt = Receipt::new(RECEIVED_US, EntryId { ms: RECEIVED_US / 1000, seq: seq as u64 });
        taken += u32::from(body.add(event, receipt).is_ok());
    }
    assert!(body.bytes() < 64 * 1024 * 1024);
    let Some(wanted) = body.wanted() else { return outcome((endpoint as u8, is_readable, taken, 0)) };
    assert!(wanted.payload.len() <= MAX_BODY);
    serde_json::from_str::<IgnoredAny>(&wanted.payload).ok();
    let mut again = RestBody::new(endpoint, "SPY", true);
    again.found_at(now_us, "SPY", Some((&wanted.payload, &wanted.fetched_at))).expect("it can be read back");
    assert_eq!(again.wanted(), None, "it is what is wanted");
    outcome((endpoint as u8, is_readable, taken, magnitude(wanted.payload.len())))
}
