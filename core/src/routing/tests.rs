use super::*;
use crate::fixtures::{keys, plan, topic};

fn router(channels: &[&str], targets: &str, topics: &[&str]) -> Router {
    let plan = plan(channels, targets);
    let keys = KeySettings { targets: plan.targets.clone(), ..keys() };
    let topics: Vec<Topic> = topics.iter().map(|name| topic(name)).collect();
    Router::new(&plan, &keys, 2, &topics)
}

fn streams(router: &mut Router, topic: &str, payload: &str) -> Vec<String> {
    match router.route_of(topic, &RoutingFields::read(payload).unwrap(), payload.len()) {
        Routing::To { route, .. } => {
            route.destinations.iter().map(|destination| destination.stream.to_string()).collect()
        }
        Routing::NoTarget(_) => vec!["no target".into()],
        Routing::UnknownChannel => vec!["unknown".into()],
    }
}

#[test]
fn the_topics_symbol_wins_over_the_payloads() {
    let mut router = router(&["option_trades"], "SPXW", &["option_trades:SPXW"]);
    let payload = r#"{"underlying_symbol":"SPX"}"#;
    assert_eq!(streams(&mut router, "option_trades:SPXW", payload), ["uw:ws:option_trades:SPXW"]);
}

#[test]
fn a_global_channel_goes_to_its_full_stream_and_to_the_targets_it_names() {
    let mut router = router(&["flow-alerts", "news"], "SPY,QQQ", &["flow-alerts", "news"]);
    assert_eq!(
        streams(&mut router, "flow-alerts", r#"{"ticker":"SPY"}"#),
        ["uw:ws:flow-alerts", "uw:ws:flow-alerts:SPY"]
    );
    assert_eq!(streams(&mut router, "flow-alerts", r#"{"ticker":"DIA"}"#), ["uw:ws:flow-alerts"]);
    assert_eq!(
        streams(&mut router, "news", r#"{"tickers":["SPY","AAPL","QQQ","SPY"]}"#),
        ["uw:ws:news", "uw:ws:news:QQQ", "uw:ws:news:SPY"]
    );
}

/// The number of streams and of symbols left out, of news about this many targets.
fn spread(symbols: usize, payload_bytes: usize) -> (usize, usize) {
    let tickers: Vec<String> = (0..symbols).map(|n| format!("T{n}")).collect();
    let mut router = router(&["news"], &tickers.join(","), &["news"]);
    let payload = format!(r#"{{"tickers":{tickers:?}}}"#);
    let facts = RoutingFields::read(&payload).unwrap();
    match router.route_of("news", &facts, payload_bytes) {
        Routing::To { route, left_out } => (route.destinations.len(), left_out),
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn an_event_goes_to_every_target_that_a_record_can_name_and_the_rest_is_counted() {
    assert_eq!(spread(100, 2_000), (101, 0));
    assert_eq!(spread(254, 4_096), (255, 0));
    assert_eq!(spread(300, 4_096), (255, 46));
    // copies of a giant
    assert_eq!(spread(10, MAX_FAN_OUT_BYTES / 4), (5, 6));
    assert_eq!(spread(10, 4 * MAX_FAN_OUT_BYTES), (2, 9));
}

#[test]
fn events_without_a_ticker_go_by_the_root_of_their_contract() {
    let mut router = router(
        &["contract_screener", "custom_alerts"],
        "TSLA,SPXW,SPY",
        &["contract_screener", "custom_alerts"],
    );
    for (topic, payload, symbol) in [
        ("contract_screener", r#"{"option_symbol":"TSLA250516C00355000"}"#, Some("TSLA")),
        ("contract_screener", r#"{"option_symbol":"SPXW  250516C05950000"}"#, Some("SPXW")),
        ("contract_screener", r#"{"option_symbol":"AAPL250516C00355000"}"#, None),
        ("contract_screener", r#"{"option_symbol":"TSLA"}"#, None),
        ("custom_alerts", r#"{"symbol":"TSLA250516C00355000","symbol_type":"option_chain"}"#, Some("TSLA")),
        ("custom_alerts", r#"{"symbol":"SPY","symbol_type":"stock"}"#, Some("SPY")),
        ("custom_alerts", r#"{"symbol":null}"#, None),
    ] {
        let full = format!("uw:ws:{topic}");
        let expected = [Some(full.clone()), symbol.map(|symbol| format!("{full}:{symbol}"))];
        let expected: Vec<String> = expected.into_iter().flatten().collect();
        assert_eq!(streams(&mut router, topic, payload), expected, "{payload}");
    }
}

#[test]
fn every_event_of_a_global_channel_has_one_shard() {
    let mut router = router(&["flow-alerts"], "*", &["flow-alerts"]);
    let mut shards: Vec<usize> = (0..100)
        .map(|n| {
            let payload = format!(r#"{{"ticker":"T{n}"}}"#);
            match router.route_of("flow-alerts", &RoutingFields::read(&payload).unwrap(), payload.len()) {
                Routing::To { route, .. } => route.shard,
                other => unreachable!("{other:?}"),
            }
        })
        .collect();
    shards.dedup();
    assert_eq!(shards.len(), 1);
}

#[test]
fn the_whole_market_has_streams_by_symbol_and_a_refuge_for_bad_symbols() {
    let mut router = router(&["gex_strike"], "*", &["gex_strike"]);
    assert_eq!(streams(&mut router, "gex_strike", r#"{"ticker":"BRK.B"}"#), ["uw:ws:gex_strike:BRK.B"]);
    for bad in [r#"{"ticker":"a b"}"#, r#"{"ticker":"*"}"#, r#"{"x":1}"#, r#"{"ticker":"\n"}"#] {
        assert_eq!(streams(&mut router, "gex_strike", bad), ["uw:ws:gex_strike"], "{bad}");
    }
    let tickers = r#"{"ticker":"SPY","tickers":["AAPL","SPY"]}"#;
    assert_eq!(streams(&mut router, "gex_strike", tickers), ["uw:ws:gex_strike:SPY"]);
}

#[test]
fn tells_a_topic_without_target_from_an_unknown_channel() {
    let mut router = router(&["price"], "SPY", &["price:SPY"]);
    assert_eq!(streams(&mut router, "price:AAPL", "{}"), ["no target"]);
    assert_eq!(streams(&mut router, "lit_trades", "{}"), ["unknown"]);
}

#[test]
fn remembers_a_bounded_number_of_symbols() {
    let mut router = router(&["price"], "*", &["price"]);
    for n in 0..router.max_routes + 10 {
        let payload = format!(r#"{{"ticker":"T{n}"}}"#);
        assert_eq!(streams(&mut router, "price", &payload), [format!("uw:ws:price:T{n}")]);
    }
    assert!(router.by_symbol.len() <= router.max_routes);
    assert_eq!(router.take_forgotten(), router.max_routes as u64);
}

#[test]
fn a_channel_joined_for_all_symbols_for_want_of_joins_keeps_those_of_the_targets_only() {
    let channels = ["option_trades", "price", "option_trades:SPXW"];
    let mut narrowed = router(&channels, "SPY,SPX", &["option_trades", "price"]);
    for (topic, payload, expected) in [
        ("price", r#"{"ticker":"SPY"}"#, "uw:ws:price:SPY"),
        ("price", r#"{"ticker":"AAPL"}"#, "no target"),
        // one more ticker of another channel
        ("price", r#"{"ticker":"SPXW"}"#, "no target"),
        ("price", r#"{"ticker":"not a symbol"}"#, "no target"),
        ("price", "{}", "no target"),
        ("option_trades", r#"{"underlying_symbol":"SPY"}"#, "uw:ws:option_trades:SPY"),
        (
            "option_trades",
            r#"{"underlying_symbol":"SPX","option_symbol":"SPXW250516C05950000"}"#,
            "uw:ws:option_trades:SPXW",
        ),
        (
            "option_trades",
            r#"{"underlying_symbol":"SPX","option_symbol":"SPX250516C05950000"}"#,
            "uw:ws:option_trades:SPX",
        ),
        (
            "option_trades",
            r#"{"underlying_symbol":"AAPL","option_symbol":"AAPL250516C00355000"}"#,
            "no target",
        ),
    ] {
        // from the payload, and from what is remembered
        assert_eq!(streams(&mut narrowed, topic, payload), [expected], "{payload}");
        assert_eq!(streams(&mut narrowed, topic, payload), [expected], "{payload}");
    }
}

#[test]
fn the_shard_of_a_symbol_is_the_same_in_both_forms() {
    let shard = |topic: &str, name: &str| {
        let facts = RoutingFields::read(r#"{"ticker":"QQQ"}"#).unwrap();
        match router(&["price"], "SPY,QQQ", &[topic]).route_of(name, &facts, 100) {
            Routing::To { route, .. } => (route.shard, route.destinations[0].stream.clone()),
            other => unreachable!("{other:?}"),
        }
    };
    assert_eq!(shard("price", "price"), shard("price:QQQ", "price:QQQ"));
}
