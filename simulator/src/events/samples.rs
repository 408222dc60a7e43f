//! One sample payload per channel, and which of its fields differ from event to event.
//!
//! Payloads are those of the vendor's documentation and of captures of May 2025; numbers are as wide as the events need them.

use uw_websocket_core::channel::{Channel, Scope};

use super::patch::Patch;

/// Ticker of the samples, replaced by the symbol of the events.
pub(super) const TICKER: &str = "SPY";

/// Sample payload of a channel.
#[derive(Debug)]
pub(crate) struct Sample {
    /// Name of the channel; empty in [`OTHER`].
    pub(super) channel: &'static str,
    /// Usual events per 100 seconds over all symbols.
    pub(crate) rate: u32,
    pub(super) payload: &'static str,
    /// Field of the event number.
    pub(super) number: (&'static str, Patch),
    /// Other fields that differ from event to event.
    pub(super) varying: &'static [(&'static str, Patch)],
    /// Decimals that the vendor was seen to leave empty.
    pub(super) sometimes_blank: &'static [&'static str],
}

impl Sample {
    /// Finds the sample of a channel, or [`OTHER`].
    pub(crate) fn of(channel: &str) -> &'static Sample {
        SAMPLES.iter().find(|sample| sample.channel == channel).unwrap_or(&OTHER)
    }

    fn is_other(&self) -> bool {
        self.channel.is_empty()
    }

    /// Whether a join without a symbol brings events of many symbols.
    pub(crate) fn has_symbols(&self) -> bool {
        !self.is_other() && self.payload.contains(TICKER)
    }

    /// Whether a join with a symbol brings events.
    pub(crate) fn is_per_ticker(&self) -> bool {
        let is_known = |channel: Channel| channel.scope() == Scope::PerTicker;
        self.is_other() || Channel::parse(self.channel).is_ok_and(is_known)
    }
}

pub(super) static SAMPLES: &[Sample] = &[
    Sample {
        channel: "option_trades",
        rate: 10_000,
        payload: r#"{"id":"8fb9485b-5a73-4082-99dc-b58ca9f85559","underlying_symbol":"SPY","executed_at":1747419592926,"nbbo_bid":"6.45","nbbo_ask":"6.50","size":42,"price":"6.50","option_symbol":"SPY250523C00565000","created_at":1747419592926,"report_flags":[],"tags":["ask_side","bullish"],"expiry":"2025-05-23","option_type":"call","open_interest":10664,"strike":"565","premium":"27300.00","volume":10023683,"underlying_price":"562.82","ewma_nbbo_ask":"6.50","ewma_nbbo_bid":"6.45","implied_volatility":"0.4932926790","delta":"0.478059345","theta":"-0.812269073","gamma":"0.013962149","vega":"0.191550775","rho":"0.029898811","theo":"6.50","trade_code":"auto","exchange":"XCBO","ask_vol":19475,"bid_vol":22307,"no_side_vol":2,"mid_vol":5159,"multi_vol":3256,"stock_multi_vol":6}"#,
        number: ("id", Patch::NumberHex),
        varying: &[
            ("executed_at", Patch::Millis),
            ("created_at", Patch::Millis),
            ("size", Patch::Size),
            ("premium", Patch::Premium),
            ("volume", Patch::Volume),
        ],
        sometimes_blank: &["underlying_price", "delta"],
    },
    Sample {
        channel: "flow-alerts",
        rate: 150,
        payload: r#"{"rule_id":"5ce5ec11-087c-4c00-b164-08106b015856","rule_name":"RepeatedHits","ticker":"SPY","option_chain":"SPY250523C00565000","underlying_price":562.82,"volume":10023683.0,"total_size":42.0,"total_premium":27300.0,"total_ask_side_prem":27300.0,"total_bid_side_prem":0.0,"start_time":1747419592926,"end_time":1747419592926,"url":"","price":6.50,"has_multileg":false,"has_sweep":false,"has_floor":false,"open_interest":10664.0,"all_opening_trades":false,"id":"8fb9485b-5a73-4082-99dc-b58ca9f85559","has_singleleg":true,"volume_oi_ratio":0.19,"trade_ids":["417f0cd6-09ae-4d43-8542-38557bb713aa","4af4c646-4b21-4a27-8326-db7b0698d3d8","74ddcd55-dcb3-4543-a488-16ee7ca91d45","4ec49859-74a2-4d32-9911-ea329dd77326","e164da3a-a6aa-41d9-a948-c17817453a21"],"trade_count":5,"expiry_count":1,"executed_at":1747419592926,"ask_vol":52,"bid_vol":49,"no_side_vol":0,"mid_vol":5,"multi_vol":0,"stock_multi_vol":0,"upstream_condition_details":["auto","slan"],"exchanges":["XCBO","MPRL"],"bid":"6.45","ask":"6.50"}"#,
        number: ("id", Patch::NumberHex),
        varying: &[
            ("volume", Patch::Volume),
            ("total_size", Patch::Size),
            ("total_premium", Patch::Premium),
            ("total_ask_side_prem", Patch::Premium),
            ("start_time", Patch::Millis),
            ("end_time", Patch::Millis),
            ("executed_at", Patch::Millis),
        ],
        sometimes_blank: &[],
    },
    Sample {
        channel: "price",
        rate: 200,
        payload: r#"{"ticker":"SPY","close":"562.82","time":1747419592926,"vol":100000000000}"#,
        number: ("vol", Patch::Cumulative),
        varying: &[("close", Patch::Chance(2)), ("time", Patch::Millis)],
        sometimes_blank: &["close"],
    },
    Sample {
        channel: "gex",
        rate: 60,
        payload: r#"{"ticker":"SPY","timestamp":1747419592000,"gamma_per_one_percent_move_oi":"-262444980.310000000000","delta_per_one_percent_move_oi":"","charm_per_one_percent_move_oi":"-1677926539943.310000","vanna_per_one_percent_move_oi":"2842602508.57","price":"562.82","gamma_per_one_percent_move_vol":"-934307209.310000","delta_per_one_percent_move_vol":"","charm_per_one_percent_move_vol":"-556207588704.10","vanna_per_one_percent_move_vol":"128814703.59","gamma_per_one_percent_move_dir":"-9372185.61","charm_per_one_percent_move_dir":"-2055997560.50","vanna_per_one_percent_move_dir":"-6220855.09"}"#,
        number: ("gamma_per_one_percent_move_oi", Patch::Number),
        varying: &[
            ("timestamp", Patch::SecondMillis),
            ("charm_per_one_percent_move_oi", Patch::Chance(6)),
            ("price", Patch::Chance(2)),
            ("gamma_per_one_percent_move_vol", Patch::Chance(6)),
        ],
        sometimes_blank: &["price", "vanna_per_one_percent_move_vol"],
    },
    Sample {
        channel: "gex_strike",
        rate: 3_000,
        payload: r#"{"ticker":"SPY","timestamp":1747419592000,"call_gamma_oi":"174792.310000000000","put_gamma_oi":"-1172037.310000","call_charm_oi":"85658181.72","put_charm_oi":"-315259003.37","call_vanna_oi":"-6103.51","put_vanna_oi":"1337727.64","call_gamma_vol":"15596.310000","put_gamma_vol":"-236.69","call_charm_vol":"-326871.58","put_charm_vol":"-68457.78","call_vanna_vol":"2063.13","put_vanna_vol":"845.06","call_delta_oi":"0.45","put_delta_oi":"-0.55","call_delta_vol":"0.40","put_delta_vol":"-0.60","strike":"290.0","price":"562.82","call_gamma_ask_vol":"-4064.62","call_gamma_bid_vol":"11532.18","put_gamma_ask_vol":"-140.95","put_gamma_bid_vol":"95.73","call_charm_ask_vol":"85184.72","call_charm_bid_vol":"-241686.87","put_charm_ask_vol":"-59412.37","put_charm_bid_vol":"9045.42","call_vanna_ask_vol":"-537.66","call_vanna_bid_vol":"1525.46","put_vanna_ask_vol":"523.79","put_vanna_bid_vol":"-321.27"}"#,
        number: ("call_gamma_oi", Patch::Number),
        varying: &[
            ("timestamp", Patch::SecondMillis),
            ("put_gamma_oi", Patch::Chance(6)),
            ("call_gamma_vol", Patch::Chance(6)),
            ("strike", Patch::Strike),
            ("price", Patch::Chance(2)),
        ],
        sometimes_blank: &["call_vanna_vol", "price"],
    },
    Sample {
        channel: "gex_strike_expiry",
        rate: 10_000,
        payload: r#"{"ticker":"SPY","expiry":"2025-01-24","timestamp":1747419592000,"call_gamma_oi":"174792.310000000000","put_gamma_oi":"-1172037.310000","call_charm_oi":"85658181.72","put_charm_oi":"-315259003.37","call_vanna_oi":"-6103.51","put_vanna_oi":"1337727.64","call_gamma_vol":"15596.310000","put_gamma_vol":"-236.69","call_charm_vol":"-326871.58","put_charm_vol":"-68457.78","call_vanna_vol":"2063.13","put_vanna_vol":"845.06","call_delta_oi":"0.45","put_delta_oi":"-0.55","call_delta_vol":"0.40","put_delta_vol":"-0.60","strike":"290.0","price":"562.82","call_gamma_ask_vol":"-4064.62","call_gamma_bid_vol":"11532.18","put_gamma_ask_vol":"-140.95","put_gamma_bid_vol":"95.73","call_charm_ask_vol":"85184.72","call_charm_bid_vol":"-241686.87","put_charm_ask_vol":"-59412.37","put_charm_bid_vol":"9045.42","call_vanna_ask_vol":"-537.66","call_vanna_bid_vol":"1525.46","put_vanna_ask_vol":"523.79","put_vanna_bid_vol":"-321.27"}"#,
        number: ("call_gamma_oi", Patch::Number),
        varying: &[
            ("timestamp", Patch::SecondMillis),
            ("put_gamma_oi", Patch::Chance(6)),
            ("call_gamma_vol", Patch::Chance(6)),
            ("strike", Patch::Strike),
            ("price", Patch::Chance(2)),
            ("expiry", Patch::Expiry),
        ],
        sometimes_blank: &["call_vanna_vol", "price"],
    },
    Sample {
        channel: "news",
        rate: 3,
        payload: r#"{"headline":"SPY supplier sees more export deals signed, item #310000000000","timestamp":"2025-06-11T21:40:56Z","source":"social-media","tickers":["SPY"],"is_trump_ts":false}"#,
        number: ("headline", Patch::Number),
        varying: &[("timestamp", Patch::Iso)],
        sometimes_blank: &[],
    },
    Sample {
        channel: "lit_trades",
        rate: 10_000,
        payload: r#"{"symbol":"SPY","price":"562.82","type":"lit","size":42,"volume":100000000000,"trade_settlement":"regular","trade_code":null,"ext_hour_sold_codes":null,"sale_cond_codes":null,"executed_at":"2025-06-11T21:40:56Z","nbbo_bid":"562.82","nbbo_ask":"562.82","nbbo_bid_quantity":500,"nbbo_ask_quantity":800,"sector":"Technology","next_earnings_date":null,"avg30_volume":"75000000.0","issue_type":"Common Stock","marketcap":"2400000000000.0"}"#,
        number: ("volume", Patch::Cumulative),
        varying: &[
            ("price", Patch::Chance(2)),
            ("size", Patch::Size),
            ("executed_at", Patch::Iso),
            ("nbbo_bid", Patch::Chance(2)),
            ("nbbo_ask", Patch::Chance(2)),
        ],
        sometimes_blank: &["price", "nbbo_bid", "nbbo_ask"],
    },
    Sample {
        channel: "off_lit_trades",
        rate: 5_000,
        payload: r#"{"symbol":"SPY","price":"562.82","type":"off_lit","size":42,"volume":100000000000,"trade_settlement":"regular","trade_code":null,"ext_hour_sold_codes":null,"sale_cond_codes":null,"executed_at":"2025-06-11T21:40:56Z","nbbo_bid":"562.82","nbbo_ask":"562.82","nbbo_bid_quantity":500,"nbbo_ask_quantity":800,"sector":"Technology","next_earnings_date":null,"avg30_volume":"75000000.0","issue_type":"Common Stock","marketcap":"2400000000000.0"}"#,
        number: ("volume", Patch::Cumulative),
        varying: &[
            ("price", Patch::Chance(2)),
            ("size", Patch::Size),
            ("executed_at", Patch::Iso),
            ("nbbo_bid", Patch::Chance(2)),
            ("nbbo_ask", Patch::Chance(2)),
        ],
        sometimes_blank: &["price", "nbbo_bid", "nbbo_ask"],
    },
    Sample {
        channel: "net_flow",
        rate: 100,
        payload: r#"{"ticker":"SPY","net_call_prem":"27300.310000000000","net_call_vol":42,"net_put_prem":"27300.00","net_put_vol":42,"time":1747419592926}"#,
        number: ("net_call_prem", Patch::Number),
        varying: &[
            ("net_call_prem", Patch::Premium),
            ("net_call_vol", Patch::Size),
            ("net_put_prem", Patch::Premium),
            ("net_put_vol", Patch::Size),
            ("time", Patch::Millis),
        ],
        sometimes_blank: &[],
    },
    Sample {
        channel: "market_tide",
        rate: 50,
        payload: r#"{"timestamp":"2025-06-11T21:40:56Z","net_volume":42,"net_call_premium":"27300.310000000000","net_put_premium":"-27300.0","otm_net_volume":0,"otm_net_call_premium":"0","otm_net_put_premium":"0"}"#,
        number: ("net_call_premium", Patch::Number),
        varying: &[
            ("timestamp", Patch::Iso),
            ("net_volume", Patch::Size),
            ("net_call_premium", Patch::Premium),
        ],
        sometimes_blank: &[],
    },
    Sample {
        channel: "periscope",
        rate: 30,
        payload: r#"{"ticker":"SPY","timestamp":1747419592000,"total_rows":3,"has_more":false,"rows":[{"strike":"290.0","expiry":"2025-01-24","gamma":1.000000000000,"charm":-0.3,"vanna":0.1}]}"#,
        number: ("gamma", Patch::Number),
        varying: &[
            ("timestamp", Patch::BoardMillis),
            ("has_more", Patch::HasMore),
            ("strike", Patch::Strike),
            ("expiry", Patch::Expiry),
        ],
        sometimes_blank: &[],
    },
    Sample {
        channel: "interpolated_iv",
        rate: 180,
        payload: r#"{"ticker":"SPY","date":"2026-11-30","days":30,"volatility":0.21,"implied_move":14.000000000000,"implied_move_perc":0.021,"is_exact":false}"#,
        number: ("implied_move", Patch::Number),
        varying: &[("date", Patch::Day), ("days", Patch::Days), ("volatility", Patch::Chance(2))],
        sometimes_blank: &[],
    },
    Sample {
        channel: "iv_term_structure",
        rate: 800,
        payload: r#"{"ticker":"SPY","date":"2026-11-30","expiry":"2026-12-18","volatility":0.21,"implied_move":14.000000000000,"implied_move_perc":0.021}"#,
        number: ("implied_move", Patch::Number),
        varying: &[("date", Patch::Day), ("expiry", Patch::EachExpiry), ("volatility", Patch::Chance(2))],
        sometimes_blank: &[],
    },
    Sample {
        channel: "interval_flow",
        rate: 4_000,
        payload: r#"{"ticker":"SPY","interval_type":"All","start_time":"2026-04-27T14:25:00Z","tape_time":"2026-04-27T14:27:54Z","call_vol":42,"put_vol":155,"transactions":73,"call_vol_ask_side":38,"call_vol_bid_side":37,"call_vol_neutral_side":1,"put_vol_ask_side":28,"put_vol_bid_side":107,"put_vol_neutral_side":20,"call_sweep_vol":0,"put_sweep_vol":0,"call_floor_vol":0,"put_floor_vol":0,"call_cross_vol":0,"put_cross_vol":0,"call_multi_vol":22,"put_multi_vol":12,"cum_net_call_delta":100000000000,"cum_net_put_delta":-149,"avg_dte":"4","avg_otm":"0.697458","avg_size":"1","avg_prem":"54","net_call_prem":27300,"net_put_prem":-10344,"open":"562.81","close":"562.82","implied_move_perc_30d_open":165,"implied_move_perc_30d_close":165,"volatility_30d_open":849,"volatility_30d_close":855,"delta_flow":1243,"gamma_flow":11,"vega_flow":6780,"dir_delta_flow":8,"dir_gamma_flow":-38,"dir_vega_flow":-892}"#,
        number: ("cum_net_call_delta", Patch::Cumulative),
        varying: &[
            ("start_time", Patch::Iso),
            ("tape_time", Patch::Iso),
            ("call_vol", Patch::Size),
            ("net_call_prem", Patch::Premium),
            ("close", Patch::Chance(2)),
        ],
        sometimes_blank: &["avg_otm"],
    },
    Sample {
        channel: "contract_screener",
        rate: 1_000,
        payload: r#"{"option_symbol":"SPY260501P00565000","tape_time":"2026-04-27T14:27:56Z","volume":100000000000,"open_interest":536,"prev_oi":349,"trades":143,"premium":"27300.00","ask_side_volume":231,"bid_side_volume":190,"neutral_volume":0,"floor_volume":50,"high":"0.76","low":"0.51","open":"0.53","close":"0.75","iv":"0.3222611630685708","bid":"0.73","ask":"0.75","multileg_volume":10,"avg_price":"0.6592369477911646586345381529","mid_volume":77,"sweep_volume":2,"cross_volume":0,"stock_multi_leg_volume":0,"days_of_oi_increases":3,"days_of_vol_greater_than_oi":0,"chain_prev_close":"0.55","delta":"-0.2759145792070713","gamma":"0.0771084404181128","theta":"-0.180959140636331","vega":"0.04495190198751509","is_new":false,"ask_side_perc_7_day":"0.750000","bid_side_perc_7_day":"0.250000"}"#,
        number: ("volume", Patch::Cumulative),
        varying: &[("tape_time", Patch::Iso), ("premium", Patch::Premium), ("close", Patch::Chance(2))],
        sometimes_blank: &["iv", "delta"],
    },
    Sample {
        channel: "custom_alerts",
        rate: 2,
        payload: r#"{"name":"My alert","noti_type":"flow_alerts","user_noti_config_id":"8fb9485b-5a73-4082-99dc-b58ca9f85559","user_id":"00000000-0000-0000-0000-000000000000","symbol":"SPY","symbol_type":"stock","tape_time":"2025-06-09T19:18:52Z","meta":{}}"#,
        number: ("user_noti_config_id", Patch::NumberHex),
        varying: &[("tape_time", Patch::Iso)],
        sometimes_blank: &[],
    },
    Sample {
        channel: "trading_halts",
        rate: 1,
        payload: r#"{"ticker":"SPY","state":"paused","reason":"LUDP 310000000000","time":"2026-04-27T14:31:02Z"}"#,
        number: ("reason", Patch::Number),
        varying: &[("time", Patch::Iso)],
        sometimes_blank: &[],
    },
    Sample {
        channel: "futures_trades",
        rate: 8_000,
        payload: r#"{"sym":"ESZ6","product":"ES","exchange":"XCME","executed_at":1788000000000,"price":"6612.25","size":42,"side":"sell","nbbo_bid":"6612.00","nbbo_ask":"6612.50","trade_id":100000000000,"is_block":false}"#,
        number: ("trade_id", Patch::Cumulative),
        varying: &[("executed_at", Patch::Millis), ("price", Patch::Chance(2)), ("size", Patch::Size)],
        sometimes_blank: &[],
    },
    Sample {
        channel: "futures",
        rate: 8_000,
        payload: r#"{"sym":"SPY","product":"ES","exchange":"XCME","executed_at":1788000000000,"price":"6612.25","size":42,"side":"sell","nbbo_bid":"6612.00","nbbo_ask":"6612.50","trade_id":100000000000,"is_block":false}"#,
        number: ("trade_id", Patch::Cumulative),
        varying: &[("executed_at", Patch::Millis), ("size", Patch::Size), ("price", Patch::Chance(2))],
        sometimes_blank: &[],
    },
];

/// Payload of any other channel.
pub(super) static OTHER: Sample = Sample {
    channel: "",
    rate: 100,
    payload: r#"{"ticker":"SPY","timestamp":1747419592926,"value":"562.82","volume":100000000000}"#,
    number: ("volume", Patch::Cumulative),
    varying: &[("timestamp", Patch::Millis), ("value", Patch::Chance(2))],
    sometimes_blank: &["value"],
};
