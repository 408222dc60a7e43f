//! What the REST API does wrong on request.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::client::{connect, run, start, wait_until};
use super::rest::{Answer, generate, get, try_get, with_rest};
use crate::{Generated, Misbehaviour, MisbehaviourKind, RestOptions, SimulatorHandle};

const TRADES: &str = "/api/option-trades?ticker_symbol=SPY&limit=5";

type Check = fn(&Answer, &Answer) -> bool;

fn misbehave(simulator: &SimulatorHandle, fault: &str) {
    simulator.rest_misbehave([fault.parse().unwrap()]);
}

async fn some_trades() -> SimulatorHandle {
    generate(with_rest(RestOptions::default()), &["option_trades:SPY"], 100).await
}

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

#[test]
fn a_refusal_has_the_status_and_body_of_the_vendor() {
    run(async {
        let simulator = some_trades().await;
        for (fault, status, part) in [
            ("past-session", 400, "historical_data_not_supported"),
            ("look-back", 403, "historic_data_access_missing"),
            ("scope", 403, "subscription"),
            ("edge", 403, "1010"),
            ("missing", 404, "NoSuchKey"),
            ("denied", 401, "token"),
            ("limit-minute", 429, "in 60 seconds"),
            ("limit-in-flight", 429, "3 concurrent requests"),
            ("limit-day", 429, "daily"),
            ("fail=500", 500, "Internal"),
            ("fail=502", 502, r#"{"error""#),
            ("fail=503,html", 503, "<html>"),
            ("redirect", 302, ""),
        ] {
            misbehave(&simulator, &format!("option-trades:{fault}@1"));
            let answer = get(&simulator, TRADES).await;
            assert!(answer.status == status && text(&answer).contains(part), "{fault}: {}", text(&answer));
            assert_eq!(get(&simulator, TRADES).await.status, 200, "{fault} applies to one request");
        }
        misbehave(&simulator, "redirect=http://another-host.invalid/x");
        assert_eq!(get(&simulator, TRADES).await.header("location"), Some("http://another-host.invalid/x"));
    });
}

#[test]
fn a_limit_shows_in_the_headers_and_names_a_time_if_told_so() {
    run(async {
        let simulator = some_trades().await;
        misbehave(&simulator, "limit-day=7");
        let answer = get(&simulator, TRADES).await;
        assert_eq!(answer.header("x-uw-daily-req-count"), answer.header("x-uw-token-req-limit"));
        assert_eq!(answer.header("retry-after"), Some("7"));
        misbehave(&simulator, "limit-minute=date");
        let answer = get(&simulator, TRADES).await;
        assert_eq!(answer.header("x-uw-req-per-minute-remaining"), Some("0"));
        assert!(answer.header("retry-after").unwrap().ends_with(" GMT"));
        misbehave(&simulator, "no-usage");
        let answer = get(&simulator, TRADES).await;
        assert!(answer.status == 200 && answer.header("x-uw-daily-req-count").is_none());
    });
}

#[test]
fn a_broken_answer_is_seen_as_such_by_a_client() {
    run(async {
        let simulator = some_trades().await;
        for fault in ["reset=before", "reset=head", "reset=body"] {
            misbehave(&simulator, &format!("{fault}@1"));
            assert!(try_get(&simulator, TRADES, "secret").await.is_none(), "{fault}");
            assert_eq!(get(&simulator, TRADES).await.status, 200, "after {fault}");
        }
    });
}

/// The bytes of an answer up to the end of its connection.
async fn raw(simulator: &SimulatorHandle) -> Vec<u8> {
    let mut stream = tokio::net::TcpStream::connect(simulator.addr()).await.unwrap();
    let request = format!("GET {TRADES} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

/// Clients exist that take such a body for a whole one, so the bytes are looked at.
#[test]
fn a_body_may_end_early() {
    run(async {
        let simulator = some_trades().await;
        for fault in ["cut", "cut-gzip"] {
            misbehave(&simulator, fault);
            let answer = raw(&simulator).await;
            let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
            let text = String::from_utf8_lossy(&answer[..head]).into_owned();
            let length = text.split("Content-Length: ").nth(1).unwrap().split("\r\n").next().unwrap();
            let length: usize = length.parse().unwrap();
            assert_eq!(answer.len() - head, length / 2, "{fault}");
        }
        misbehave(&simulator, "open-chunks");
        let answer = raw(&simulator).await;
        assert!(answer.ends_with(b"}]}\r\n"), "{}", String::from_utf8_lossy(&answer));
    });
}

#[test]
fn a_slow_answer_comes_in_the_end_and_a_stalled_one_never() {
    run(async {
        let simulator = some_trades().await;
        for fault in ["drip=1", "slow-head=1"] {
            misbehave(&simulator, fault);
            assert_eq!(get(&simulator, "/api/option-trades?limit=1").await.rows().len(), 1, "{fault}");
        }
        misbehave(&simulator, "stall");
        let stalled = try_get(&simulator, TRADES, "secret");
        let waited = tokio::time::timeout(std::time::Duration::from_millis(300), stalled).await;
        assert!(waited.is_err());
        misbehave(&simulator, "no-usage");
        assert_eq!(get(&simulator, TRADES).await.status, 200, "the stalled one is no longer in flight");
    });
}

#[test]
fn a_wrong_body_has_status_200() {
    run(async {
        let simulator = some_trades().await;
        let good = get(&simulator, TRADES).await;
        let json_is = |answer: &Answer, wanted: &Value| {
            serde_json::from_slice(&answer.body).ok().as_ref() == Some(wanted)
        };
        for (fault, wanted) in
            [("empty-object", json!({})), ("null", Value::Null), ("no-rows", json!({ "data": [] }))]
        {
            misbehave(&simulator, fault);
            assert!(json_is(&get(&simulator, TRADES).await, &wanted), "{fault}");
        }
        let checks: [(&str, Check); 9] = [
            ("array", |answer, _| answer.json().is_array()),
            ("cut-quietly", |answer, good| answer.body == good.body[..good.body.len() / 2]),
            ("invalid-utf8", |answer, _| String::from_utf8(answer.body.clone()).is_err()),
            ("gzip", |answer, _| answer.body.starts_with(b"\x1f\x8b")),
            ("no-ids", |answer, _| answer.rows().iter().all(|row| row.get("id").is_none())),
            ("huge", |answer, _| answer.body.len() > 20 << 20),
            ("outside-window", |answer, _| text(answer).contains(r#""executed_at":"2020-"#)),
            ("other-ticker", |answer, _| answer.rows().iter().all(|row| row["underlying_symbol"] == "ZVZZT")),
            ("same-page", |answer, good| answer.body == good.body),
        ];
        for (fault, is_as_wanted) in checks {
            misbehave(&simulator, fault);
            let cursor = if fault == "same-page" { "&older_than=1000000000" } else { "" };
            let answer = get(&simulator, &format!("{TRADES}{cursor}")).await;
            assert!(answer.status == 200 && is_as_wanted(&answer, &good), "{fault}");
        }
    });
}

#[test]
fn strikes_may_be_frozen_unless_bounds_are_given() {
    run(async {
        let simulator = generate(with_rest(RestOptions::default()), &["gex_strike:SPY"], 50).await;
        misbehave(&simulator, "frozen-strikes");
        let path = "/api/stock/SPY/spot-exposures/strike?limit=500";
        let before = get(&simulator, path).await.body;
        simulator.resume();
        wait_until(|| simulator.counts().events > 500).await;
        simulator.pause();
        assert!(get(&simulator, path).await.body == before);
        assert!(get(&simulator, &format!("{path}&min_strike=1")).await.body != before);
    });
}

#[test]
fn rows_may_be_late_cancelled_and_many_in_one_instant() {
    run(async {
        let faults =
            ["late=2,3600", "canceled=3", "crowd=600,50"].map(|fault| fault.parse().unwrap()).to_vec();
        let rest = RestOptions { faults, ..RestOptions::default() };
        let simulator = generate(with_rest(rest), &["option_trades:SPY"], 1_500).await;
        let generated = simulator.generated();
        let crowd = generated.iter().filter(|event| event.time_us == generated[60].time_us).count();
        assert!(crowd > 600, "{crowd}");
        let ids = |rows: Vec<Value>| {
            rows.iter().map(|row| (row["id"].clone(), row["canceled"].clone())).collect::<Vec<_>>()
        };
        let known = |event: &&Generated| !event.number.is_multiple_of(2);
        let wanted: Vec<_> = generated.iter().rev().filter(known).take(500).collect();
        let wanted = wanted.iter().map(|event| (json!(event.id()), json!(event.number.is_multiple_of(3))));
        let got = ids(get(&simulator, "/api/option-trades?limit=500").await.rows());
        assert_eq!(got, wanted.collect::<Vec<_>>());
        simulator.rest_behave();
    });
}

#[test]
fn an_event_may_be_withheld_from_a_socket_and_known_to_rest() {
    run(async {
        let simulator = start(with_rest(RestOptions::default()));
        let channel = Some("option_trades".to_owned());
        simulator.misbehave([Misbehaviour::new(MisbehaviourKind::Withhold { every: 2, channel })]);
        let mut client = connect(&simulator).await;
        client.joined("option_trades:SPY").await;
        let mut numbers = Vec::new();
        for _ in 0..20 {
            let (topic, payload) = client.event().await;
            numbers.push(crate::event_number(&topic, payload.as_bytes()).unwrap());
        }
        assert!(numbers.windows(2).all(|pair| pair[1] - pair[0] == 2), "{numbers:?}");
        let known: Vec<u64> = simulator.generated().iter().map(|event| event.number).take(20).collect();
        assert_eq!(known, (1..=20).collect::<Vec<u64>>());
        assert!(simulator.counts().withheld >= 19);
    });
}
