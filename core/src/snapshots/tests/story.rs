//! Stories of a body: answers of REST and events with few distinct times, strikes and alerts, so that they
//! interact.

use std::fmt::Write as _;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
pub(super) struct Story {
    pub(super) endpoint: BodyEndpoint,
    /// In order of `fetched_at`.
    pub(super) answers: Vec<Hash>,
    /// With their time of receipt.
    pub(super) events: Vec<(String, u64)>,
}

/// Friday 10:30, 15:50 and 23:50 in New York: the others span a change of segment and of session.
const STARTS: [&str; 3] = ["2025-10-03T14:30:00Z", "2025-10-03T19:50:00Z", "2025-10-04T03:50:00Z"];
/// Duration in seconds: longer than event rows are shown beside REST's.
const SECONDS: i64 = 1_500;

pub(super) fn story(endpoint: BodyEndpoint) -> impl Strategy<Value = Story> {
    let start = prop::sample::select(&STARTS[..]).prop_map(samples::us);
    let answers = prop::collection::btree_map(30..SECONDS, vec(0_i64..1_000, 12), 0..4);
    let events = vec((0..SECONDS, 0_i64..4_000, vec(0_i64..1_000, 4)), 0..14);
    (start, answers, events).prop_map(move |(start_us, answers, events)| {
        let answers = answers.into_iter().map(|(after, draws)| {
            let fetched_us = start_us + after * 1_000_000 + draws[0];
            Hash {
                payload: format!(r#"{{"data":{}}}"#, answer(endpoint, start_us, after, &draws)),
                fetched_at: times::isoformat(fetched_us),
            }
        });
        let events = events.into_iter().enumerate().map(|(at, (after, late_ms, draws))| {
            let (payload, at_ms) = event(endpoint, start_us / 1000, after, &draws);
            // no two in the same microsecond
            (payload, u64::try_from((at_ms + late_ms) * 1000).unwrap() + u64::try_from(at).unwrap())
        });
        Story { endpoint, answers: answers.collect(), events: events.collect() }
    })
}

fn answer(endpoint: BodyEndpoint, start_us: i64, after: i64, draws: &[i64]) -> String {
    let at = |second: i64| times::micros(start_us + second * 1_000_000);
    let list = |rows: Vec<String>| format!("[{}]", rows.join(","));
    match endpoint {
        BodyEndpoint::FlowAlerts => {
            let mut rows: Vec<(i64, String)> =
                draws.chunks(3).map(|draw| alert_row(start_us, after * draw[0] / 1_000, draw)).collect();
            rows.sort_by_key(|row| std::cmp::Reverse(row.0));
            list(rows.into_iter().map(|row| row.1).collect())
        }
        BodyEndpoint::StockState => {
            let tape_time = times::seconds(start_us + (after * draws[1] / 1_000) * 1_000_000);
            let [close, high, low] = [draws[2], draws[2].max(draws[3]), draws[2].min(draws[4])];
            let volume = after * draws[1] / 1_000 + draws[5] % 2;
            let segment = if draws[6] < 500 {
                // three minutes of the segment
                format!(r#""volume":{},"market_time":"postmarket","#, volume.min(180))
            } else {
                String::new()
            };
            format!(
                r#"{{"close":"{close}","high":"{high}","low":"{low}","open":"5",{segment}"tape_time":"{tape_time}","total_volume":{volume},"prev_close":"1"}}"#
            )
        }
        // an answer may come from a cache and be one minute older than the previous one
        BodyEndpoint::SpotExposures => list(
            (0..=(after - draws[1] % 60).max(0) / 60)
                .filter(|minute| samples::us(&at(minute * 60)) <= start_us + after * 1_000_000)
                .map(|minute| {
                    let value = draws[2] + minute % 3;
                    format!(
                        r#"{{"time":"{}","ticker":"SPY","price":"{value}","delta":"7"}}"#,
                        at(minute * 60)
                    )
                })
                .collect(),
        ),
        // its strikes may change
        BodyEndpoint::SpotExposuresStrike => {
            let mut rows: Vec<String> = Vec::new();
            for (strike, draw) in ["5", "9.5", "25.0000000000", "100"].iter().zip(draws.chunks(3)) {
                if draw[0] < 700 {
                    let time = at(after * draw[1] / 1_000);
                    let value = draw[2];
                    let mut row = format!(r#"{{"ticker":"SPY","date":"2025-10-03","time":"{time}","#);
                    write!(row, r#""strike":"{strike}","price":"{value}","call_delta_oi":"3"}}"#).unwrap();
                    rows.push(row);
                }
            }
            list(rows)
        }
    }
}

const CHAINS: [&str; 2] = ["SPY251003P00669000", "SPY251003C00670500"];

fn alert_row(start_us: i64, second: i64, draw: &[i64]) -> (i64, String) {
    let chain = CHAINS[usize::try_from(draw[1] % 2).unwrap()];
    let created_us = start_us + second * 1_000_000 + draw[2];
    let created_at = times::micros(created_us);
    let size = draw[2] % 2 + 1;
    let row = format!(
        r#"{{"ticker":"SPY","created_at":"{created_at}","option_chain":"{chain}","total_size":{size},"alert_rule":"R","total_premium":"10","iv_start":"0.5"}}"#
    );
    (created_us, row)
}

/// An event and its time in Unix milliseconds.
fn event(endpoint: BodyEndpoint, start_ms: i64, after: i64, draws: &[i64]) -> (String, i64) {
    match endpoint {
        BodyEndpoint::FlowAlerts => {
            // all close together: identity of alerts depends on seconds
            let at = start_ms + after / 10 * 1_000 + draws[0];
            let chain = CHAINS[usize::try_from(draws[1] % 2).unwrap()];
            let size = draws[2] % 2 + 1;
            let payload = format!(
                r#"{{"rule_name":"R","ticker":"SPY","option_chain":"{chain}","total_size":{size}.0,"total_premium":10.0,"price":{}.5,"executed_at":{at}}}"#,
                draws[3]
            );
            (payload, at)
        }
        BodyEndpoint::StockState => {
            let at = start_ms + after * 1_000 + draws[0];
            let (close, volume) = (draws[1], after + draws[2] % 2);
            (format!(r#"{{"close":"{close}.50","time":{at},"vol":{volume}}}"#), at)
        }
        BodyEndpoint::SpotExposures => {
            let at = start_ms + after / 20 * 20_000;
            let (price, gamma) = (draws[1], draws[2]);
            let payload = format!(
                r#"{{"ticker":"SPY","timestamp":{at},"price":"{price}","gamma_per_one_percent_move_oi":"-{gamma}.10","delta_per_one_percent_move_oi":""}}"#
            );
            (payload, at)
        }
        BodyEndpoint::SpotExposuresStrike => {
            let at = start_ms + after * 1_000;
            let strike = ["5.0", "9.50", "25", "100", "101"][usize::try_from(draws[0] % 5).unwrap()];
            let payload = format!(
                r#"{{"ticker":"SPY","timestamp":{at},"strike":"{strike}","price":"{}","call_gamma_ask_vol":"-{}.5","put_gamma_oi":""}}"#,
                draws[1], draws[2]
            );
            (payload, at)
        }
    }
}
