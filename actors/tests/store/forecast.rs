//! The sizes that the forecast goes by, measured again.

use uw_websocket_actors::forecast::{Measured, UsualLoad, measure};
use uw_websocket_actors::redis_pool::RedisPool;
use uw_websocket_actors::settings::RedisSettings;
use uw_websocket_actors::writer::store::address::Address;
use uw_websocket_core::channel::table::KNOWN;
use uw_websocket_core::event::Channel;
use uw_websocket_core::fixtures::plan;

use crate::redis::RedisServer;

/// Payloads as the vendor sends them: those of its captures where there are any; rows of gex with the digits of a live
/// feed, not with the rounded ones of the documentation.
fn payload(channel: &Channel, n: u64) -> String {
    let strike_row = r#""call_gamma_oi":"174792.5914628406","put_gamma_oi":"-1172037.664281934","call_charm_oi":"85658181.72036194","put_charm_oi":"-315259003.3719406","call_vanna_oi":"-6103.517302846192","put_vanna_oi":"1337727.640183927","call_gamma_vol":"15596.81402957163","put_gamma_vol":"-236.6938201746","call_charm_vol":"-326871.5820194","put_charm_vol":"-68457.7810293847","call_vanna_vol":"2063.139402","put_vanna_vol":"845.0610293","strike":"290","price":"562.96","call_gamma_ask_vol":"-4064.62","call_gamma_bid_vol":"11532.18","put_gamma_ask_vol":"-140.95","put_gamma_bid_vol":"95.73","call_charm_ask_vol":"85184.72","call_charm_bid_vol":"-241686.87","put_charm_ask_vol":"-59412.37","put_charm_bid_vol":"9045.42","call_vanna_ask_vol":"-537.66","call_vanna_bid_vol":"1525.46","put_vanna_ask_vol":"523.79","put_vanna_bid_vol":"-321.27"}"#;
    let at = 1_747_419_592_926 + n;
    match channel.name() {
        "option_trades" => format!(
            r#"{{"id":"6be96098-1e54-4397-9166-{n:012x}","underlying_symbol":"TSLA","executed_at":{at},"nbbo_bid":"0.07","nbbo_ask":"0.08","size":1,"price":"0.07","option_symbol":"TSLA250516C00355000","created_at":{at},"report_flags":[],"tags":["bid_side","bearish"],"expiry":"2025-05-16","option_type":"call","open_interest":30726,"strike":"355","premium":"7.00","volume":162849,"underlying_price":"347.17","ewma_nbbo_ask":"0.08","ewma_nbbo_bid":"0.07","implied_volatility":"0.0478858048818649","delta":"0.03977270195386351","theta":"-0.0074528338844913","gamma":"0.0195661969523479","vega":"0.0785260537194001","rho":"0.00955292091845316","theo":"0.0700000000000038","trade_code":"auto","exchange":"GMNI","ask_vol":61059,"bid_vol":84546,"no_side_vol":14,"mid_vol":17230,"multi_vol":23690,"stock_multi_vol":1}}"#
        ),
        "flow-alerts" => {
            // twenty trades an alert on average, and 1 600 bytes: those of the capture
            let trade = |k: u64| format!(r#""417f0cd6-09ae-4d43-8542-{:012x}""#, n + k);
            let trades: Vec<_> = (0..3 + n % 36).map(trade).collect();
            format!(
                r#"{{"rule_id":"5ce5ec11-087c-4c00-b164-08106b015856","rule_name":"RepeatedHitsDescendingFill","ticker":"DIA","option_chain":"DIA241018C00415000","underlying_price":415.981,"volume":106.0,"total_size":50.0,"total_premium":36466.0,"total_ask_side_prem":36466.0,"total_bid_side_prem":0.0,"start_time":{at},"end_time":{at},"url":"","price":7.3,"has_multileg":false,"has_sweep":false,"has_floor":false,"open_interest":575.0,"all_opening_trades":false,"id":"29ed5829-e4ce-4934-876b-{n:012x}","has_singleleg":true,"volume_oi_ratio":0.19,"trade_ids":[{}],"trade_count":7,"expiry_count":1,"executed_at":{at},"ask_vol":52,"bid_vol":49,"no_side_vol":0,"mid_vol":5,"multi_vol":0,"stock_multi_vol":0,"upstream_condition_details":["auto","slan"],"exchanges":["XCBO","MPRL"],"bid":"7.15","ask":"7.3"}}"#,
                trades.join(",")
            )
        }
        "price" => {
            format!(r#"{{"ticker":"SPY","close":"562.82","time":{at},"vol":{}}}"#, 6_015_555 + n)
        }
        "gex" => format!(
            r#"{{"ticker":"SPY","timestamp":{at},"gamma_per_one_percent_move_oi":"-262444980.3100000001","delta_per_one_percent_move_oi":"","charm_per_one_percent_move_oi":"-1677926539943.05","vanna_per_one_percent_move_oi":"2842602508.57","price":"562.86","gamma_per_one_percent_move_vol":"-934307209.58","delta_per_one_percent_move_vol":"","charm_per_one_percent_move_vol":"-556207588704.10","vanna_per_one_percent_move_vol":"128814703.59","gamma_per_one_percent_move_dir":"-9372185.61","charm_per_one_percent_move_dir":"-2055997560.50","vanna_per_one_percent_move_dir":"-6220855.09"}}"#
        ),
        "gex_strike" => format!(r#"{{"ticker":"SPY","timestamp":{at},{strike_row}"#),
        "gex_strike_expiry" => {
            format!(r#"{{"ticker":"SPY","expiry":"2025-01-24","timestamp":{at},{strike_row}"#)
        }
        "interpolated_iv" => format!(
            r#"{{"ticker":"SPY","date":"2026-11-30","days":30,"volatility":0.21{n},"implied_move":14.2{n},"implied_move_perc":0.021,"is_exact":false}}"#
        ),
        "iv_term_structure" => format!(
            r#"{{"ticker":"SPY","date":"2026-11-30","expiry":"2026-12-18","volatility":0.21{n},"implied_move":14.2{n},"implied_move_perc":0.021}}"#
        ),
        "news" => format!(
            r#"{{"headline":"US Energy Secretary foresees many more LNG export deals signed, and says so at length, no. {n}","timestamp":"2025-06-11T21:40:56Z","source":"social-media","tickers":["XOM","CVX"],"is_trump_ts":false}}"#
        ),
        other => {
            panic!("a payload of {other} of the usual size is missing here, to measure its `entry_bytes`")
        }
    }
}

/// The channels whose size is known; a frame of a board has the size that the vendor documents.
fn known() -> Vec<Channel> {
    let has_size = KNOWN.into_iter().filter(|spec| spec.usual.is_some());
    has_size.map(Channel::Known).filter(|channel| !channel.frame().is_fragment()).collect()
}

async fn measured(redis: &RedisServer, user: &str, channels: &[Channel]) -> Measured {
    let names: Vec<&str> = channels.iter().map(Channel::name).collect();
    let settings = RedisSettings::of(format!("redis://{user}127.0.0.1:{}/0", redis.port()));
    let pool = RedisPool::new(&Address::new(&settings).unwrap(), &settings).unwrap();
    measure(&mut pool.get().await.unwrap(), "uw", &plan(&names, "SPY")).await.unwrap()
}

/// Adds entries as a writer does.
fn fill(redis: &RedisServer, channel: &Channel, count: u64) {
    for n in 0..count {
        let id = format!("{}-0", 1_747_419_592_926 + n * 7);
        let stream = format!("uw:ws:{channel}:SPY");
        redis.command(&["XADD", &stream, &id, "payload", &payload(channel, n)]);
    }
}

#[tokio::test]
async fn the_usual_bytes_of_an_entry_are_those_that_redis_takes() {
    let redis = RedisServer::start();
    for channel in &known() {
        fill(&redis, channel, 2_000);
    }
    let measured = measured(&redis, "", &known()).await;
    for channel in &known() {
        let (usual, found) = (UsualLoad::of(channel).unwrap().bytes, measured.bytes_of(channel).unwrap());
        println!("{channel}: {usual} usual, {found} found, payload of {}", payload(channel, 5).len());
        assert!(found.abs_diff(usual) * 10 <= usual, "{channel}: {usual} usual, {found} found");
    }
}

#[tokio::test]
async fn streams_that_are_there_are_measured_and_short_ones_are_not() {
    let redis = RedisServer::start();
    fill(&redis, &Channel::parse("price").unwrap(), 1_000);
    fill(&redis, &Channel::parse("gex").unwrap(), 10);
    redis.command(&["SET", "uw:ws:news:SPY", "text"]);
    let measured = measured(&redis, "", &known()).await;
    assert!(measured.bytes_of(&Channel::parse("price").unwrap()).is_some());
    for channel in [
        Channel::parse("gex").unwrap(),
        Channel::parse("news").unwrap(),
        Channel::parse("option_trades").unwrap(),
    ] {
        assert_eq!(measured.bytes_of(&channel), None, "{channel}");
    }
}

#[tokio::test]
async fn the_limit_of_redis_is_known_if_it_tells() {
    let redis = RedisServer::start();
    assert_eq!(measured(&redis, "", &[]).await.limits, [], "there is none");
    redis.command(&["CONFIG", "SET", "maxmemory", "64mb"]);
    redis.command(&["ACL", "SETUSER", "tight", "on", ">pw", "~*", "+@all", "-config"]);
    assert_eq!(measured(&redis, "tight:pw@", &[]).await.limits, [(String::new(), 64 << 20)]);
    redis.command(&["ACL", "SETUSER", "tight", "-info", "-memory"]);
    assert_eq!(measured(&redis, "tight:pw@", &[Channel::parse("price").unwrap()]).await, Measured::default());
}
