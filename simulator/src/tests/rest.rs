//! The REST API: what it knows, its rows, pages and limits.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::client::{connect, quiet, run, start, wait_until};
use crate::{AboveLimit, Rate, RestLimits, RestOptions, SimulatorHandle, SimulatorOptions, Spread};

/// The status, headers and body of an answer.
pub(super) struct Answer {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn rows(&self) -> Vec<Value> {
        self.json()["data"].as_array().unwrap().clone()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

/// Asks with a token; `None` if the answer is broken.
pub(super) async fn try_get(simulator: &SimulatorHandle, target: &str, token: &str) -> Option<Answer> {
    let url = format!("{}{target}", simulator.rest_url());
    let client =
        awc::Client::builder().disable_redirects().timeout(std::time::Duration::from_secs(20)).finish();
    let request = client.get(url).insert_header(("User-Agent", "test/1.0")).bearer_auth(token);
    let mut answer = request.send().await.ok()?;
    let header = |(name, value): (&awc::http::header::HeaderName, &awc::http::header::HeaderValue)| {
        (name.as_str().to_owned(), value.to_str().unwrap().to_owned())
    };
    let headers = answer.headers().iter().map(header).collect();
    let body = answer.body().limit(64 << 20).await.ok()?.to_vec();
    Some(Answer { status: answer.status().as_u16(), headers, body })
}

pub(super) async fn get(simulator: &SimulatorHandle, target: &str) -> Answer {
    try_get(simulator, target, "secret").await.unwrap()
}

pub(super) fn with_rest(rest: RestOptions) -> SimulatorOptions {
    SimulatorOptions {
        rest: Some(rest),
        rate: Rate::PerSecond(2_000),
        spread: Spread::Even,
        ..SimulatorOptions::default()
    }
}

/// Starts a simulator, lets a client join the topics, waits for this many events and pauses.
pub(super) async fn generate(options: SimulatorOptions, topics: &[&str], events: u64) -> SimulatorHandle {
    let simulator = start(options);
    let mut client = connect(&simulator).await;
    for topic in topics {
        client.join(topic).await;
    }
    let joins = u64::try_from(topics.len()).unwrap();
    wait_until(|| simulator.counts().joins == joins).await;
    drop(client);
    wait_until(|| simulator.counts().events >= events).await;
    simulator.pause();
    simulator
}

fn texts(rows: &[Value], field: &str) -> Vec<String> {
    rows.iter().map(|row| row[field].as_str().unwrap().to_owned()).collect()
}

#[test]
fn events_that_no_socket_got_are_served_too() {
    run(async {
        let simulator = generate(with_rest(RestOptions::default()), &["option_trades:SPY"], 300).await;
        let generated = simulator.generated();
        assert!(generated.iter().any(|event| event.is_unsent), "all events were sent");
        let rows = get(&simulator, "/api/option-trades?limit=500&ticker_symbol=SPY").await.rows();
        let newest: Vec<String> = generated.iter().rev().take(500).filter_map(crate::Generated::id).collect();
        assert_eq!(texts(&rows, "id"), newest);
        assert_eq!(get(&simulator, "/api/option-trades?ticker_symbol=QQQ").await.rows().len(), 0);
    });
}

#[test]
fn without_rest_nobody_hears_no_event() {
    run(async {
        let simulator = start(quiet());
        assert_eq!(get(&simulator, "/api/option-trades").await.status, 404);
        assert_eq!(simulator.send_text("price:SPY", "{}"), 0);
        assert_eq!((simulator.counts().events, simulator.generated().len()), (0, 0));
    });
}

#[test]
fn a_row_has_the_names_and_types_of_rest() {
    run(async {
        let topics = ["option_trades:SPY", "flow-alerts", "news", "gex:SPY", "futures:ESU6", "custom_alerts"];
        let simulator = generate(with_rest(RestOptions::default()), &topics, 3_000).await;
        let trade = &get(&simulator, "/api/option-trades?limit=1").await.rows()[0];
        assert_eq!(trade["option_chain_id"], "SPY250523C00565000");
        assert_eq!(
            (&trade["canceled"], &trade["upstream_condition_detail"]),
            (&json!(false), &json!("auto"))
        );
        assert_eq!(trade["executed_at"].as_str().unwrap().len(), "2026-10-05T15:00:00.123456Z".len());
        let alert = &get(&simulator, "/api/option-trades/flow-alerts?ticker_symbol=SPY,QQQ").await.rows()[0];
        assert_eq!((&alert["price"], &alert["volume_oi_ratio"]), (&json!("6.5"), &json!("0.19")));
        assert_eq!((&alert["strike"], &alert["expiry"]), (&json!("565"), &json!("2025-05-23")));
        assert!(alert["start_time"].is_u64() && alert["alert_rule"] == "RepeatedHits");
        for (row, dropped) in
            [(trade, ["created_at", "option_symbol"]), (alert, ["executed_at", "trade_ids"])]
        {
            assert!(dropped.iter().all(|field| row.get(*field).is_none()), "{row}");
        }
        let news = &get(&simulator, "/api/news/headlines").await.rows()[0];
        assert!(news["created_at"].as_str().unwrap().ends_with('Z') && news.get("timestamp").is_none());
        let gex = &get(&simulator, "/api/stock/SPY/spot-exposures").await.rows()[0];
        assert!(gex["time"].is_string() && gex.get("delta_per_one_percent_move_oi").is_none());
        let future = &get(&simulator, "/api/futures/ESU6/trades").await.rows()[0];
        assert!(future["trade_id"].is_u64() && future["executed_at"].is_string());
        let custom = &get(&simulator, "/api/alerts").await.rows()[0];
        assert!(custom["user_noti_config_id"].is_string() && custom["tape_time"].is_string());
    });
}

#[test]
fn prints_have_whole_seconds_and_a_cursor_drops_the_rest_of_its_second() {
    run(async {
        let simulator =
            generate(with_rest(RestOptions::default()), &["off_lit_trades", "lit_trades"], 3_000).await;
        for path in ["/api/darkpool/SPY", "/api/lit-flow/SPY"] {
            let first = get(&simulator, &format!("{path}?limit=3")).await.rows();
            let oldest = first[2]["executed_at"].as_str().unwrap().to_owned();
            assert_eq!(oldest.len(), "2026-10-05T15:00:00Z".len());
            let older = get(&simulator, &format!("{path}?limit=3&older_than={oldest}")).await.rows();
            assert!(older.iter().all(|row| row["executed_at"].as_str().unwrap() < oldest.as_str()));
            assert!(first[0].get("type").is_none() && first[0]["ticker"] == "SPY", "{}", first[0]);
        }
    });
}

/// Walks as a client does: the next cursor is one millisecond after the oldest row, and known rows are dropped.
#[test]
fn a_walk_back_brings_each_event_of_a_window_once() {
    run(async {
        let simulator = generate(with_rest(RestOptions::default()), &["option_trades:SPY"], 2_000).await;
        let generated = simulator.generated();
        let (from, to) = (generated[100].time_us / 1000, generated[1_900].time_us / 1000);
        let (mut seen, mut older_than) = (BTreeSet::new(), to);
        loop {
            let target = format!("/api/option-trades?limit=500&newer_than={from}&older_than={older_than}");
            let rows = get(&simulator, &target).await.rows();
            let ids = texts(&rows, "id");
            seen.extend(ids);
            if rows.len() < 500 {
                break;
            }
            let oldest = rows[499]["executed_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
            older_than = u64::try_from(oldest.as_millisecond()).unwrap() + 1;
        }
        let in_window = |event: &&crate::Generated| (from..to).contains(&(event.time_us / 1000));
        let wanted: BTreeSet<String> =
            generated.iter().filter(in_window).filter_map(crate::Generated::id).collect();
        assert_eq!(seen, wanted);
    });
}

#[test]
fn a_window_is_given_in_seconds_milliseconds_or_as_text_and_its_edges_can_be_switched() {
    run(async {
        for is_inclusive in [true, false] {
            let rest = RestOptions { newer_than_is_inclusive: is_inclusive, ..RestOptions::default() };
            let simulator = start(SimulatorOptions { rest: Some(rest), ..quiet() });
            for second in [1_791_212_400, 1_791_212_401, 1_791_212_402] {
                let payload =
                    format!(r#"{{"id":"{second}","underlying_symbol":"SPY","executed_at":{second}000}}"#);
                simulator.send_text("option_trades", &payload);
            }
            let forms = [
                ("1791212400", "1791212402"),
                ("1791212400000", "1791212402000"),
                ("2026-10-05T15:00:00Z", "2026-10-05T15:00:02.000Z"),
            ];
            for (newer, older) in forms {
                let target = format!("/api/option-trades?newer_than={newer}&older_than={older}&page=7");
                let ids = texts(&get(&simulator, &target).await.rows(), "id");
                let wanted = if is_inclusive { vec!["1791212401", "1791212400"] } else { vec!["1791212401"] };
                assert_eq!(ids, wanted, "{target}");
            }
            let bad = get(&simulator, "/api/option-trades?older_than=soon").await;
            assert_eq!((bad.status, &bad.json()["path"]), (422, &json!("/api/option-trades")));
        }
    });
}

#[test]
fn a_limit_above_the_maximum_is_clamped_refused_or_served() {
    run(async {
        for (above_limit, status, rows) in
            [(AboveLimit::Clamp, 200, 500), (AboveLimit::Refuse, 422, 0), (AboveLimit::Serve, 200, 600)]
        {
            let rest = RestOptions { above_limit, ..RestOptions::default() };
            let simulator = generate(with_rest(rest), &["option_trades:SPY"], 700).await;
            let answer = get(&simulator, "/api/option-trades?limit=600").await;
            assert_eq!(answer.status, status);
            assert_eq!(answer.json()["data"].as_array().map_or(0, Vec::len), rows);
            assert_eq!(get(&simulator, "/api/option-trades").await.rows().len(), 50);
        }
    });
}

#[test]
fn news_and_strikes_have_pages_and_an_empty_one_beyond_the_end() {
    run(async {
        let simulator = generate(with_rest(RestOptions::default()), &["news", "gex_strike:SPY"], 2_500).await;
        for path in ["/api/news/headlines?limit=2", "/api/stock/SPY/spot-exposures/strike?limit=100"] {
            let page = |number: usize| format!("{path}&page={number}");
            let (first, second) = (get(&simulator, &page(0)).await, get(&simulator, &page(1)).await);
            assert!(first.rows()[0] != second.rows()[0], "{path}");
            assert_eq!(get(&simulator, &page(9_000)).await.json(), json!({ "data": [] }));
        }
        let strikes = get(&simulator, "/api/stock/SPY/spot-exposures/strike?limit=500").await.rows();
        let values: Vec<f64> =
            texts(&strikes, "strike").iter().map(|strike| strike.parse().unwrap()).collect();
        assert!(values.is_sorted_by(|a, b| a < b));
        assert!(strikes[0]["call_gamma_ask"].is_string() && strikes[0].get("call_gamma_ask_vol").is_none());
        assert_eq!(get(&simulator, "/api/stock/SPY/spot-exposures/expiry-strike").await.status, 422);
    });
}

#[test]
fn sums_of_a_minute_agree_with_the_events() {
    run(async {
        let topics = ["option_trades:SPY", "price:SPY"];
        let simulator = generate(with_rest(RestOptions::default()), &topics, 2_000).await;
        let ticks = get(&simulator, "/api/stock/SPY/net-prem-ticks").await.rows();
        let events = |channel: &'static str| {
            let generated = simulator.generated().into_iter().filter(move |event| event.channel == channel);
            generated
                .map(|event| serde_json::from_slice::<Value>(&event.payload).unwrap())
                .collect::<Vec<_>>()
        };
        let sizes: u64 = events("option_trades").iter().map(|trade| trade["size"].as_u64().unwrap()).sum();
        assert_eq!(ticks.iter().map(|tick| tick["call_volume"].as_u64().unwrap()).sum::<u64>(), sizes);
        let candles = get(&simulator, "/api/stock/SPY/ohlc/1m").await.rows();
        let newest = events("price").pop().unwrap();
        assert_eq!((&candles[0]["close"], &candles[0]["total_volume"]), (&newest["close"], &newest["vol"]));
        let quote = get(&simulator, "/api/stock/SPY/quote").await.json();
        assert_eq!(quote["data"]["last_trade"]["price"], newest["close"]);
    });
}

#[test]
fn the_history_is_bounded_and_says_what_it_forgot() {
    run(async {
        let rest = RestOptions { history_bytes: 100_000, ..RestOptions::default() };
        let simulator = generate(with_rest(rest), &["option_trades:SPY"], 1_000).await;
        let kept = u64::try_from(simulator.generated().len()).unwrap();
        assert!(kept > 50 && kept < 200, "{kept}");
        assert_eq!(simulator.rest_counts().forgotten + kept, simulator.counts().events);
    });
}

#[test]
fn a_token_is_demanded_and_never_echoed() {
    run(async {
        let token = Some(uw_websocket_core::settings::Secret::new("right".to_owned()));
        let simulator = start(SimulatorOptions { token, ..with_rest(RestOptions::default()) });
        let denied = try_get(&simulator, "/api/news/headlines", "wrong-token").await.unwrap();
        assert_eq!(denied.status, 401);
        assert!(denied.header("x-uw-daily-req-count").is_none());
        assert!(!String::from_utf8_lossy(&denied.body).contains("wrong-token"));
        assert_eq!(try_get(&simulator, "/api/news/headlines", "right").await.unwrap().status, 200);
        assert!(!format!("{:?}", simulator.rest_requests()).contains("wrong-token"));
    });
}

#[test]
fn the_requests_of_a_token_are_counted_over_all_clients() {
    run(async {
        let limits = RestLimits { per_minute: 3, ..RestLimits::default() };
        let simulator = start(with_rest(RestOptions { limits, ..RestOptions::default() }));
        for used in 1..=3 {
            let answer = get(&simulator, "/api/news/headlines").await;
            assert_eq!(answer.header("x-uw-minute-req-counter"), Some(&*used.to_string()));
            assert_eq!(answer.header("x-uw-req-per-minute-remaining"), Some(&*(3 - used).to_string()));
            for name in ["x-uw-token-req-limit", "x-uw-daily-req-count", "x-uw-req-per-minute-reset"] {
                assert!(answer.header(name).is_some(), "{name}");
            }
        }
        let refused = get(&simulator, "/api/news/headlines").await;
        assert_eq!((refused.status, refused.header("x-uw-req-per-minute-remaining")), (429, Some("0")));
        assert!(String::from_utf8_lossy(&refused.body).contains("requests in 60 seconds"));
        assert_eq!(try_get(&simulator, "/api/news/headlines", "another").await.unwrap().status, 200);
        connect(&simulator).await;
        let counts = simulator.rest_counts();
        assert_eq!((counts.requests, counts.by_status[&429], counts.busiest_minute), (5, 1, 6));
        let log = simulator.rest_requests();
        assert_eq!(log[0].agent.as_deref(), Some("test/1.0"));
        assert_eq!((&*log[5].endpoint, &*log[5].target, log[5].status), ("socket", "/socket", 101));
    });
}

#[test]
fn more_requests_at_a_time_than_allowed_are_refused() {
    run(async {
        let rest = RestOptions { latency: std::time::Duration::from_millis(300), ..RestOptions::default() };
        let simulator = start(with_rest(rest));
        let asked = (0..4).map(|_| get(&simulator, "/api/news/headlines"));
        let answers = futures_util::future::join_all(asked).await;
        let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 429).collect();
        assert_eq!(refused.len(), 1);
        assert!(String::from_utf8_lossy(&refused[0].body).contains("3 concurrent requests"));
        assert_eq!(get(&simulator, "/api/news/headlines").await.status, 200);
        assert_eq!(simulator.rest_counts().most_in_flight, 4);
    });
}

#[test]
fn handshakes_above_their_limit_are_refused() {
    run(async {
        let limits = RestLimits { handshakes_per_minute: Some(1), ..RestLimits::default() };
        let simulator = start(with_rest(RestOptions { limits, ..RestOptions::default() }));
        connect(&simulator).await;
        let url = format!("{}?token=secret", simulator.url());
        assert!(super::client::connect_to(&url).await.is_err());
        assert_eq!(
            simulator.rest_requests().iter().map(|request| request.status).collect::<Vec<_>>(),
            [101, 429]
        );
    });
}

#[test]
fn the_debug_paths_tell_what_was_generated_and_asked() {
    run(async {
        let simulator =
            generate(with_rest(RestOptions::default()), &["option_trades:SPY", "news"], 200).await;
        get(&simulator, "/api/news/headlines").await;
        let generated = get(&simulator, "/debug/generated?channel=option_trades&symbol=SPY").await.json();
        let wanted = simulator.generated().iter().filter(|event| event.channel == "option_trades").count();
        assert_eq!(generated["events"].as_array().unwrap().len(), wanted);
        assert!(generated["events"][0]["id"].is_string());
        assert_eq!(get(&simulator, "/debug/requests").await.json()["by_endpoint"]["news"], 1);
        assert_eq!(get(&simulator, "/debug/other").await.status, 404);
    });
}
