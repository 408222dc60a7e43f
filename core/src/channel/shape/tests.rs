//! Published samples of every channel, and a real capture if available.

use std::path::Path;

use proptest::prelude::*;

use super::super::table;
use super::*;

/// Payloads of the vendor's documentation and of a trade captured on 2025-05-16. The second `price` has the field
/// list of 2026-08; those of futures are reported by a user.
const SAMPLES: [(&str, &str); 22] = [
    (
        "periscope",
        r#"{"ticker":"SPX","timestamp":1796072400000,"total_rows":2,"has_more":false,"rows":[{"strike":"6500","expiry":"2026-12-18","gamma":1.5,"charm":-0.3,"vanna":0.1},{"strike":"6505","expiry":"2026-12-18","gamma":1.4,"charm":-0.2,"vanna":0.1}]}"#,
    ),
    (
        "lit_trades",
        r#"{"symbol":"AAPL","price":"150.25","type":"lit","size":100,"volume":1000,"trade_settlement":"regular","trade_code":"opening_print","ext_hour_sold_codes":null,"sale_cond_codes":"cross_trade","executed_at":"2024-09-22T14:30:00Z","trf_executed_at":null,"nbbo_bid":"150.20","nbbo_ask":"150.25","nbbo_bid_quantity":500,"nbbo_ask_quantity":800,"sector":"Technology","next_earnings_date":"2024-10-25","avg30_volume":"75000000.0","issue_type":"Common Stock","marketcap":"2400000000000.0"}"#,
    ),
    (
        "off_lit_trades",
        r#"{"symbol":"AAPL","price":"150.25","type":"off_lit","size":100,"volume":1000,"trade_settlement":"regular","trade_code":null,"ext_hour_sold_codes":"extended_hours_trade","sale_cond_codes":null,"executed_at":"2024-09-22T14:30:00Z","trf_executed_at":"2024-09-22T14:30:00.250Z","nbbo_bid":"150.20","nbbo_ask":"150.25","nbbo_bid_quantity":500,"nbbo_ask_quantity":800,"sector":"Technology","next_earnings_date":"2024-10-25","avg30_volume":"75000000.0","issue_type":"Common Stock","marketcap":"2400000000000.0"}"#,
    ),
    (
        "net_flow",
        r#"{"ticker":"SPY","net_call_prem":"1716.00","net_call_vol":6,"net_put_prem":"1990.00","net_put_vol":17,"time":1777300076003}"#,
    ),
    (
        "market_tide",
        r#"{"timestamp":"2026-04-27T14:27:54Z","net_volume":991,"net_call_premium":"488078.0","net_put_premium":"-218102.0","otm_net_volume":1345,"otm_net_call_premium":"272395.0","otm_net_put_premium":"-190694.0"}"#,
    ),
    (
        "interval_flow",
        r#"{"ticker":"CVNA","interval_type":"All","start_time":"2026-04-27T14:25:00Z","tape_time":"2026-04-27T14:27:54.391Z","call_vol":76,"put_vol":155,"transactions":73,"call_vol_ask_side":38,"call_vol_bid_side":37,"call_vol_neutral_side":1,"put_vol_ask_side":28,"put_vol_bid_side":107,"put_vol_neutral_side":20,"call_sweep_vol":0,"put_sweep_vol":0,"call_floor_vol":0,"put_floor_vol":0,"call_cross_vol":0,"put_cross_vol":0,"call_multi_vol":22,"put_multi_vol":12,"cum_net_call_delta":200,"cum_net_put_delta":-149,"avg_dte":"4","avg_otm":"0.697458","avg_size":"1","avg_prem":"54","net_call_prem":16424,"net_put_prem":-10344,"open":"407","close":"406.322","implied_move_perc_30d_open":165,"implied_move_perc_30d_close":165,"volatility_30d_open":849,"volatility_30d_close":855,"delta_flow":1243,"gamma_flow":11,"vega_flow":6780,"dir_delta_flow":8,"dir_gamma_flow":-38,"dir_vega_flow":-892}"#,
    ),
    (
        "contract_screener",
        r#"{"option_symbol":"WMT260501P00126000","tape_time":"2026-04-27T14:27:56Z","volume":498,"open_interest":536,"prev_oi":349,"trades":143,"premium":"32830.00","ask_side_volume":231,"bid_side_volume":190,"neutral_volume":0,"floor_volume":50,"high":"0.76","low":"0.51","open":"0.53","close":"0.75","iv":"0.3222611630685708","bid":"0.73","ask":"0.75","multileg_volume":10,"avg_price":"0.6592369477911646586345381529","mid_volume":77,"sweep_volume":2,"cross_volume":0,"stock_multi_leg_volume":0,"days_of_oi_increases":3,"days_of_vol_greater_than_oi":0,"chain_prev_close":"0.55","delta":"-0.2759145792070713","gamma":"0.0771084404181128","theta":"-0.180959140636331","vega":"0.04495190198751509","is_new":false,"ask_side_perc_7_day":"0.750000","bid_side_perc_7_day":"0.250000"}"#,
    ),
    (
        "custom_alerts",
        r#"{"name":"Aggressive ask-side flow on AAPL","noti_type":"flow_alerts","user_noti_config_id":"f80a7f23-2cf6-4bc2-b7cd-2cb13e7a9a80","user_id":"0d5b0a13-b9d8-4f3b-8a4f-7c6c9a9a1b40","symbol":"AAPL","symbol_type":"stock","tape_time":"2026-04-27T14:32:11Z","meta":{}}"#,
    ),
    ("trading_halts", r#"{"ticker":"GME","state":"halted","reason":"LUDP","time":"2026-04-27T14:31:02Z"}"#),
    (
        "futures_trades",
        r#"{"sym":"ESU6","product":"ES","exchange":"XCME","executed_at":1788000000000,"price":"6612.25","size":1,"side":"sell","nbbo_bid":"6612.00","nbbo_ask":"6612.50","trade_id":3173065,"is_block":false}"#,
    ),
    (
        "futures",
        r#"{"sym":"ESU6","product":"ES","exchange":"XCME","executed_at":1788000000000,"price":"6612.25","size":1,"side":"sell","nbbo_bid":"6612.00","nbbo_ask":"6612.50","trade_id":3173065,"is_block":false}"#,
    ),
    (
        "interpolated_iv",
        r#"{"ticker":"SPY","date":"2026-11-30","days":30,"volatility":0.21,"implied_move":14.2,"implied_move_perc":0.021,"is_exact":false}"#,
    ),
    (
        "iv_term_structure",
        r#"{"ticker":"SPY","date":"2026-11-30","expiry":"2026-12-18","volatility":0.21,"implied_move":14.2,"implied_move_perc":0.021}"#,
    ),
    (
        "option_trades",
        r#"{"id":"a4dc6020-0611-4c23-b0bc-99944c7348ab","underlying_symbol":"UVIX","executed_at":1726670167412,"nbbo_bid":"0.01","nbbo_ask":"0.09","size":1,"price":"0.01","option_symbol":"UVIX240920C00025000","created_at":1726670167461,"report_flags":[],"tags":["bid_side","bearish","etf"],"expiry":"2024-09-20","option_type":"call","open_interest":410,"strike":"25.0000000000","premium":"1.00","volume":105,"underlying_price":"4.9261","ewma_nbbo_ask":"0.09","ewma_nbbo_bid":"0.01","implied_volatility":"8.46381958089369","delta":"0.01132315610146539","theta":"-0.02291485773244166","gamma":"0.00962272181839715","vega":"0.0001082948756510385","rho":"0.000002508438316242667","theo":"0.01","trade_code":"slan","exchange":"XCBO","ask_vol":10,"bid_vol":95,"no_side_vol":0,"mid_vol":0,"multi_vol":0,"stock_multi_vol":0}"#,
    ),
    (
        "option_trades",
        r#"{"id":"6be96098-1e54-4397-9166-46bf4a7636a3","underlying_symbol":"TSLA","executed_at":1747419592926,"nbbo_bid":"0.07","nbbo_ask":"0.08","size":1,"price":"0.07","option_symbol":"TSLA250516C00355000","created_at":1747419592968,"report_flags":[],"tags":["bid_side","bearish"],"expiry":"2025-05-16","option_type":"call","open_interest":30726,"strike":"355","premium":"7.00","volume":162849,"underlying_price":"347.17","ewma_nbbo_ask":"0.08","ewma_nbbo_bid":"0.07","implied_volatility":"0.0478858048818649","delta":"0.03977270195386351","theta":"-0.0074528338844913","gamma":"0.0195661969523479","vega":"0.0785260537194001","rho":"0.00955292091845316","theo":"0.0700000000000038","trade_code":"auto","exchange":"GMNI","ask_vol":61059,"bid_vol":84546,"no_side_vol":14,"mid_vol":17230,"multi_vol":23690,"stock_multi_vol":1}"#,
    ),
    (
        "flow-alerts",
        r#"{"rule_id":"5ce5ec11-087c-4c00-b164-08106b015856","rule_name":"RepeatedHitsDescendingFill","ticker":"DIA","option_chain":"DIA241018C00415000","underlying_price":415.981,"volume":106,"total_size":50,"total_premium":36466,"total_ask_side_prem":36466,"total_bid_side_prem":0,"start_time":1726670212648,"end_time":1726670212748,"url":"","price":7.3,"has_multileg":false,"has_sweep":false,"has_floor":false,"open_interest":575,"all_opening_trades":false,"id":"29ed5829-e4ce-4934-876b-51985d2f9b70","has_singleleg":true,"volume_oi_ratio":0,"trade_ids":["417f0cd6-09ae-4d43-8542-38557bb713aa","4af4c646-4b21-4a27-8326-db7b0698d3d8","74ddcd55-dcb3-4543-a488-16ee7ca91d45","4ec49859-74a2-4d32-9911-ea329dd77326","e164da3a-a6aa-41d9-a948-c17817453a21","b0d98eeb-1429-4494-9dcc-8d5e7eb46f7d","81b1dcad-f3f6-48a2-bf51-0bfd362ad372"],"trade_count":7,"expiry_count":1,"executed_at":1726670212748,"ask_vol":52,"bid_vol":49,"no_side_vol":0,"mid_vol":5,"multi_vol":0,"stock_multi_vol":0,"upstream_condition_details":["auto","slan"],"exchanges":["XCBO","MPRL"],"bid":"7.15","ask":"7.3"}"#,
    ),
    (
        "gex",
        r#"{"ticker":"SPY","timestamp":1726670396000,"gamma_per_one_percent_move_oi":"-262444980.31","delta_per_one_percent_move_oi":"","charm_per_one_percent_move_oi":"-1677926539943.05","vanna_per_one_percent_move_oi":"2842602508.57","price":"562.86","gamma_per_one_percent_move_vol":"-934307209.58","delta_per_one_percent_move_vol":"","charm_per_one_percent_move_vol":"-556207588704.10","vanna_per_one_percent_move_vol":"128814703.59","gamma_per_one_percent_move_dir":"-9372185.61","charm_per_one_percent_move_dir":"-2055997560.50","vanna_per_one_percent_move_dir":"-6220855.09"}"#,
    ),
    (
        "gex_strike",
        r#"{"ticker":"SPY","timestamp":1726670426000,"call_gamma_oi":"174792.59","put_gamma_oi":"-1172037.66","call_charm_oi":"85658181.72","put_charm_oi":"-315259003.37","call_vanna_oi":"-6103.51","put_vanna_oi":"1337727.64","call_gamma_vol":"15596.81","put_gamma_vol":"-236.69","call_charm_vol":"-326871.58","put_charm_vol":"-68457.78","call_vanna_vol":"2063.13","put_vanna_vol":"845.06","strike":"290","price":"562.96","call_gamma_ask_vol":"-4064.62","call_gamma_bid_vol":"11532.18","put_gamma_ask_vol":"-140.95","put_gamma_bid_vol":"95.73","call_charm_ask_vol":"85184.72","call_charm_bid_vol":"-241686.87","put_charm_ask_vol":"-59412.37","put_charm_bid_vol":"9045.42","call_vanna_ask_vol":"-537.66","call_vanna_bid_vol":"1525.46","put_vanna_ask_vol":"523.79","put_vanna_bid_vol":"-321.27"}"#,
    ),
    (
        "gex_strike_expiry",
        r#"{"ticker":"SPY","expiry":"2025-01-24","timestamp":1726670426000,"call_gamma_oi":"174792.59","put_gamma_oi":"-1172037.66","call_charm_oi":"85658181.72","put_charm_oi":"-315259003.37","call_vanna_oi":"-6103.51","put_vanna_oi":"1337727.64","call_gamma_vol":"15596.81","put_gamma_vol":"-236.69","call_charm_vol":"-326871.58","put_charm_vol":"-68457.78","call_vanna_vol":"2063.13","put_vanna_vol":"845.06","strike":"290","price":"562.96","call_gamma_ask_vol":"-4064.62","call_gamma_bid_vol":"11532.18","put_gamma_ask_vol":"-140.95","put_gamma_bid_vol":"95.73","call_charm_ask_vol":"85184.72","call_charm_bid_vol":"-241686.87","put_charm_ask_vol":"-59412.37","put_charm_bid_vol":"9045.42","call_vanna_ask_vol":"-537.66","call_vanna_bid_vol":"1525.46","put_vanna_ask_vol":"523.79","put_vanna_bid_vol":"-321.27"}"#,
    ),
    ("price", r#"{"close":"562.82","time":1726670327692,"vol":6015555}"#),
    ("price", r#"{"ticker":"SPY","close":"562.82","time":1726670327692,"vol":6015555}"#),
    (
        "news",
        r#"{"headline":"US Energy Secretary foresees many more LNG export deals signed","timestamp":"2025-06-11T21:40:56Z","source":"social-media","tickers":[],"is_trump_ts":false}"#,
    ),
];

/// A capture of the real feed, one frame per line; not part of this repository.
const CAPTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpus/uw-capture-2025-05-16.jsonl");

fn checked(channel: &str, payload: &str) -> Result<(), ShapeError> {
    check(&Channel::parse(channel).unwrap(), payload)
}

fn sample(channel: &str) -> &'static str {
    SAMPLES.iter().find(|(named, _)| *named == channel).unwrap().1
}

/// Returns the error of a payload, with its cause.
fn complaint(channel: &str, payload: &str) -> String {
    let error = checked(channel, payload).unwrap_err();
    format!("{error}: {}", error.drift)
}

#[test]
fn every_published_sample_has_the_shape_of_its_channel() {
    for (channel, payload) in SAMPLES {
        checked(channel, payload).unwrap_or_else(|error| panic!("{channel}: {}", error.drift));
    }
    assert!(table::KNOWN.iter().all(|known| SAMPLES.iter().any(|(channel, _)| *channel == known.name)));
}

#[test]
fn every_frame_of_a_real_capture_has_the_shape_of_its_channel() {
    let Ok(capture) = std::fs::read_to_string(Path::new(CAPTURE)) else {
        eprintln!("skipped: no capture at {CAPTURE}");
        return;
    };
    let mut events = 0;
    for frame in capture.lines() {
        let (topic, payload): (String, &RawValue) = serde_json::from_str(frame).unwrap();
        if payload.get().contains("\"response\"") {
            continue;
        }
        let channel = topic.split(':').next().unwrap();
        checked(channel, payload.get()).unwrap_or_else(|error| panic!("{topic}: {}", error.drift));
        events += 1;
    }
    assert_eq!(events, 55);
}

#[test]
fn only_what_is_optional_may_be_absent() {
    for (channel, payload) in SAMPLES {
        let members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(payload).unwrap();
        let channel = Channel::parse(channel).unwrap();
        for field in channel.spec().unwrap().fields() {
            let mut without = members.clone();
            let was_there = without.remove(field.name).is_some();
            let checked = check(&channel, &serde_json::to_string(&without).unwrap());
            assert_eq!(checked.is_ok(), field.is_optional || !was_there, "{channel} without {}", field.name);
        }
    }
}

#[test]
fn a_missing_decimal_is_no_drift() {
    assert!(sample("gex").contains(r#""delta_per_one_percent_move_oi":"""#));
    for missing in [r#""""#, "null"] {
        let payload = sample("gex").replace(r#""-262444980.31""#, missing);
        assert!(checked("gex", &payload).is_ok(), "{missing}");
    }
}

#[test]
fn a_decimal_has_the_form_of_a_number() {
    for json in [
        r#""0.000002508438316242667""#,
        r#""-1677926539943.05""#,
        "11571.0",
        "36466",
        "1e-7",
        r#""""#,
        "null",
    ] {
        assert!(is_decimal(json), "{json}");
    }
    for json in [
        r#""abc""#,
        r#""1 ""#,
        r#"" 1""#,
        r#""NaN""#,
        r#""\u0031""#,
        r#""null""#,
        r#""-""#,
        "true",
        "[1]",
        "{}",
        r#""[1]""#,
    ] {
        assert!(!is_decimal(json), "{json}");
    }
}

#[test]
fn an_alert_may_have_floats_or_integers_and_no_name_of_its_rule() {
    let payload = sample("flow-alerts")
        .replace(r#""total_premium":36466"#, r#""total_premium":36466.0"#)
        .replace(r#""RepeatedHitsDescendingFill""#, "null");
    checked("flow-alerts", &payload).unwrap();
}

#[test]
fn the_counts_of_an_alert_may_be_floats() {
    let mut payload = sample("flow-alerts").to_owned();
    for (count, float) in [
        (r#""volume":106"#, r#""volume":11571.0"#),
        (r#""open_interest":575"#, r#""open_interest":15238.0"#),
        (r#""total_size":50"#, r#""total_size":50.0"#),
        (r#""trade_count":7"#, r#""trade_count":7.0"#),
        (r#""expiry_count":1"#, r#""expiry_count":1.0"#),
        (r#""ask_vol":52"#, r#""ask_vol":52.0"#),
        (r#""bid_vol":49"#, r#""bid_vol":49.0"#),
        (r#""no_side_vol":0"#, r#""no_side_vol":0.0"#),
        (r#""mid_vol":5"#, r#""mid_vol":5.0"#),
        (r#""stock_multi_vol":0"#, r#""stock_multi_vol":0.0"#),
        (r#","multi_vol":0"#, r#","multi_vol":0.0"#),
    ] {
        assert!(payload.contains(count), "{count}");
        payload = payload.replace(count, float);
    }
    checked("flow-alerts", &payload).unwrap();
}

#[test]
fn a_row_by_strike_and_expiry_has_both_parts() {
    assert!(complaint("gex_strike_expiry", sample("gex_strike")).contains("missing field `expiry`"));
    let without_strike = sample("gex_strike_expiry").replace(r#""strike""#, r#""level""#);
    assert!(complaint("gex_strike_expiry", &without_strike).contains("missing field `strike`"));
}

#[test]
fn a_row_may_have_deltas_and_they_are_decimals() {
    for channel in ["gex_strike", "gex_strike_expiry"] {
        for field in ["call_delta_oi", "put_delta_oi", "call_delta_vol", "put_delta_vol"] {
            let with = |value: &str| sample(channel).replacen('{', &format!(r#"{{"{field}":{value},"#), 1);
            for good in [r#""0.45""#, r#""""#, "null", "0"] {
                checked(channel, &with(good)).unwrap();
            }
            assert!(complaint(channel, &with(r#""n/a""#)).contains(field));
        }
    }
}

#[test]
fn a_net_amount_may_be_negative_and_a_count_may_not() {
    let payload = sample("market_tide").replace("991", "-991");
    checked("market_tide", &payload).unwrap();
    let payload = sample("interval_flow").replace(r#""call_vol":76"#, r#""call_vol":-76"#);
    assert!(complaint("interval_flow", &payload).contains("field `call_vol`: `-76` is not a whole number"));
}

#[test]
fn what_identifies_the_user_is_not_quoted() {
    let payload = sample("custom_alerts").replace(r#""0d5b0a13-b9d8-4f3b-8a4f-7c6c9a9a1b40""#, "7361");
    assert!(complaint("custom_alerts", &payload).contains("field `user_id`: `…` is not a string"));
}

#[test]
fn unknown_fields_are_allowed() {
    for (channel, payload) in SAMPLES {
        let grown = payload.replacen('{', r#"{"new_field":{"deep":[1,"two"]},"#, 1);
        assert!(checked(channel, &grown).is_ok(), "{channel}");
    }
}

#[test]
fn a_renamed_field_and_a_changed_type_are_drift() {
    let renamed = sample("option_trades").replace("option_symbol", "option_chain");
    assert!(complaint("option_trades", &renamed).contains("missing field `option_symbol`"));
    let retyped = sample("option_trades").replace(r#""size":1"#, r#""size":"1""#);
    assert!(complaint("option_trades", &retyped).contains("field `size`: `1` is not a whole number"));
    let worded = sample("price").replace("562.82", "n/a");
    assert!(complaint("price", &worded).contains("`n/a` is not a decimal number"));
    assert!(complaint("news", "7").starts_with("an event of news does not have the documented shape"));
}

#[test]
fn a_channel_that_is_not_known_in_detail_may_hold_any_json() {
    for payload in [r#"{"state":"paused"}"#, "[1]", "null"] {
        checked("in_no_table", payload).unwrap();
    }
    assert!(checked("in_no_table", "{").is_err());
}

proptest! {
    /// Checking a corrupted payload returns an error and never panics.
    #[test]
    fn a_damaged_payload_never_panics(
        index in 0..SAMPLES.len(),
        at: prop::sample::Index,
        with: char,
        cut: bool,
    ) {
        let (channel, payload) = SAMPLES[index];
        let at = at.index(payload.len());
        let mut damaged = payload[..at].to_owned();
        damaged.push(with);
        if !cut {
            damaged.push_str(&payload[at + 1..]);
        }
        drop(checked(channel, &damaged));
    }
}
