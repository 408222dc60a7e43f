//! The cost of bodies: `cargo nextest run --release -p uw-websocket-core --run-ignored only --no-capture
//! snapshots::tests::measure`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::*;

const START_MS: u64 = 1_759_498_200_000;

/// A REST body of typical size, and an event for it.
fn usual(endpoint: BodyEndpoint) -> (String, Box<dyn Fn(u64) -> String>) {
    let list = |rows: Vec<String>| format!(r#"{{"data":[{}]}}"#, rows.join(","));
    let at = |ms: u64| times::micros(i64::try_from(ms).unwrap() * 1000);
    match endpoint {
        BodyEndpoint::FlowAlerts => {
            let row = |at_row: u64| {
                let created = format!("\"created_at\":\"{}\"", at(START_MS - at_row * 1_000));
                let row = &samples::FLOW_ALERTS[9..samples::FLOW_ALERTS.len() - 2];
                row.replace("\"created_at\":\"2025-10-03T20:13:07.102593Z\"", &created)
            };
            let event = |at: u64| {
                samples::DIA_ALERT
                    .replace("1726670212748", &(START_MS + at).to_string())
                    .replace("36466", &at.to_string())
            };
            (list((0..100).map(row).collect()), Box::new(event))
        }
        BodyEndpoint::StockState => {
            let state = samples::STOCK_STATE.replace("2025-10-03T23:58:43Z", &at(START_MS));
            (
                state,
                Box::new(|at| {
                    format!(r#"{{"close":"562.82","time":{},"vol":6015555}}"#, START_MS + 1_000 * at)
                }),
            )
        }
        BodyEndpoint::SpotExposures => {
            let row = |minute: u64| {
                samples::SERIES_ROW
                    .replace("2025-10-03T10:30:00.000000Z", &at(START_MS - 60_000 * (537 - minute)))
            };
            let event =
                |at: u64| samples::GEX.replace("1726670396000", &(START_MS + 10_000 * at).to_string());
            (list((0..538).map(row).collect()), Box::new(event))
        }
        BodyEndpoint::SpotExposuresStrike => {
            let mut body = RestBody::new(endpoint, "SPY", true);
            body.found("SPY", None).unwrap();
            for strike in 0..300 {
                let row = samples::GEX_STRIKE.replace("\"290\"", &format!("\"{}\"", 400 + strike));
                body.add(&row, came_at(1_726_670_426_000_000)).unwrap();
            }
            let event = |at: u64| {
                let row = samples::GEX_STRIKE.replace("1726670426000", &(START_MS + at).to_string());
                row.replace("\"290\"", &format!("\"{}\"", 400 + at % 300))
            };
            (body.wanted().unwrap().payload, Box::new(event))
        }
    }
}

fn timed<T>(times: u32, mut run: impl FnMut() -> T) -> Duration {
    let start = Instant::now();
    for _ in 0..times {
        black_box(run());
    }
    start.elapsed() / times
}

fn found(endpoint: BodyEndpoint, payload: &str) -> RestBody {
    let mut body = RestBody::new(endpoint, "SPY", true);
    body.found("SPY", Some((payload, "2025-09-01T00:00:00+00:00"))).unwrap();
    body
}

#[test]
#[ignore = "prints what is measured"]
fn the_cost_of_a_body() {
    for endpoint in BodyEndpoint::ALL {
        let (payload, event) = usual(endpoint);
        let mut body = found(endpoint, &payload);
        let read = timed(50, || found(endpoint, &payload));
        let events: Vec<String> = (0..600).map(event).collect();
        let start = Instant::now();
        for event in &events {
            body.add(event, came_at((START_MS * 1000 + 6_000_000_000).cast_signed())).unwrap();
        }
        let add = start.elapsed() / 600;
        let wanted = timed(50, || body.wanted().unwrap());
        let again = timed(50, || body.found("SPY", Some((&payload, FETCHED))));
        let name = endpoint.name();
        println!(
            "{name}: {} bytes; add {add:?}, found {read:?}, found with 600 events {again:?}, wanted {wanted:?}",
            payload.len()
        );
    }
}

#[test]
#[ignore = "prints what is measured"]
fn the_cost_of_a_wave_and_of_the_largest_bodies() {
    for rows in [300_u64, 4_000, 8_000] {
        let mut body = RestBody::new(BodyEndpoint::SpotExposuresStrike, "SPY", true);
        body.found("SPY", None).unwrap();
        let start = Instant::now();
        for strike in 0..rows {
            let event = samples::GEX_STRIKE.replace("\"290\"", &format!("\"{strike}\""));
            body.add(&event, came_at(1_726_670_426_000_000)).unwrap();
        }
        let wave = start.elapsed();
        println!("a wave of {rows} strikes: {wave:?}, wanted {:?}", timed(5, || body.wanted().unwrap()));
    }
    let row = r#"{"created_at":"2025-10-03T20:13:07Z"}"#;
    let payload = format!(r#"{{"data":[{}]}}"#, vec![row; MAX_BODY / 40].join(","));
    let mut body = found(BodyEndpoint::FlowAlerts, &payload);
    let event = usual(BodyEndpoint::FlowAlerts).1;
    (0..100).for_each(|at| {
        body.add(&event(at + 50_000_000), came_at(((START_MS + 60_000_000) * 1000).cast_signed())).unwrap();
    });
    println!("{} alerts of REST: wanted {:?}", MAX_BODY / 40, timed(5, || body.wanted().unwrap()));
}

/// Returns the memory of the process in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Run it alone in its process, as nextest does: it measures the memory of the process.
fn assert_memory_is_as_said(endpoint: BodyEndpoint) {
    let (payload, event) = usual(endpoint);
    let events: Vec<String> = (0..600).map(event).collect();
    let before = resident();
    let body = |_| {
        let mut body = found(endpoint, &payload);
        for event in &events {
            body.add(event, came_at((START_MS * 1000 + 6_000_000_000).cast_signed())).unwrap();
        }
        body
    };
    let bodies: Vec<RestBody> = (0..100).map(body).collect();
    let real = resident() - before;
    let said: usize = bodies.iter().map(RestBody::bytes).sum();
    println!("{}: {} bytes said, {} real", endpoint.name(), said / 100, real / 100);
    assert!((real / 2..real * 2).contains(&said), "{said} said, {real} real");
}

#[test]
#[ignore = "measures the whole process"]
fn memory_of_alerts_is_as_said() {
    assert_memory_is_as_said(BodyEndpoint::FlowAlerts);
}

#[test]
#[ignore = "measures the whole process"]
fn memory_of_a_state_is_as_said() {
    assert_memory_is_as_said(BodyEndpoint::StockState);
}

#[test]
#[ignore = "measures the whole process"]
fn memory_of_a_series_is_as_said() {
    assert_memory_is_as_said(BodyEndpoint::SpotExposures);
}

#[test]
#[ignore = "measures the whole process"]
fn memory_of_strikes_is_as_said() {
    assert_memory_is_as_said(BodyEndpoint::SpotExposuresStrike);
}
