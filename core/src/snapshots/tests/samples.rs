//! REST answers of 2025-10-03 and frames of the vendor's documentation, verbatim.

use crate::event::EntryId;
use crate::snapshots::Receipt;

/// `flow_alerts:SPY`.
pub(in crate::snapshots) const FLOW_ALERTS: &str = r#"{"data":[{"type":"put","ticker":"SPY","created_at":"2025-10-03T20:13:07.102593Z","price":"0.3","volume":529552,"open_interest":15992,"expiry":"2025-10-03","strike":"669","underlying_price":"668.75","total_premium":"103373","trade_count":22,"volume_oi_ratio":"33.1135567783892","has_floor":false,"option_chain":"SPY251003P00669000","has_multileg":false,"has_sweep":false,"has_singleleg":true,"all_opening_trades":false,"total_size":3500,"alert_rule":"RepeatedHitsDescendingFill","total_bid_side_prem":"56538","total_ask_side_prem":"46835","iv_start":"0.00591151656100905","iv_end":"0.00540580854128086","expiry_count":1}]}"#;

/// The event of the same alert, with the feed's names and types.
pub(in crate::snapshots) const FLOW_ALERT_EVENT: &str = r#"{"rule_id":"5ce5ec11-087c-4c00-b164-08106b015856","rule_name":"RepeatedHitsDescendingFill","ticker":"SPY","option_chain":"SPY251003P00669000","underlying_price":668.75,"volume":529552,"total_size":3500,"total_premium":103373.0,"total_ask_side_prem":46835.0,"total_bid_side_prem":56538.0,"start_time":1759522380000,"end_time":1759522386900,"url":"","price":0.3,"has_multileg":false,"has_sweep":false,"has_floor":false,"open_interest":15992,"all_opening_trades":false,"id":"29ed5829-e4ce-4934-876b-51985d2f9b70","has_singleleg":true,"volume_oi_ratio":33.1135567783892,"trade_ids":["417f0cd6-09ae-4d43-8542-38557bb713aa"],"trade_count":22,"expiry_count":1,"executed_at":1759522386900,"ask_vol":52,"bid_vol":49,"no_side_vol":0,"mid_vol":5,"multi_vol":0,"stock_multi_vol":0,"upstream_condition_details":["auto","slan"],"exchanges":["XCBO","MPRL"],"bid":"0.29","ask":"0.3"}"#;

/// The vendor's example of `flow-alerts`.
pub(in crate::snapshots) const DIA_ALERT: &str = r#"{"rule_id":"5ce5ec11-087c-4c00-b164-08106b015856","rule_name":"RepeatedHitsDescendingFill","ticker":"DIA","option_chain":"DIA241018C00415000","underlying_price":415.981,"volume":106,"total_size":50,"total_premium":36466,"total_ask_side_prem":36466,"total_bid_side_prem":0,"start_time":1726670212648,"end_time":1726670212748,"url":"","price":7.3,"has_multileg":false,"has_sweep":false,"has_floor":false,"open_interest":575,"all_opening_trades":false,"id":"29ed5829-e4ce-4934-876b-51985d2f9b70","has_singleleg":true,"volume_oi_ratio":0,"trade_ids":["417f0cd6-09ae-4d43-8542-38557bb713aa","4af4c646-4b21-4a27-8326-db7b0698d3d8","74ddcd55-dcb3-4543-a488-16ee7ca91d45","4ec49859-74a2-4d32-9911-ea329dd77326","e164da3a-a6aa-41d9-a948-c17817453a21","b0d98eeb-1429-4494-9dcc-8d5e7eb46f7d","81b1dcad-f3f6-48a2-bf51-0bfd362ad372"],"trade_count":7,"expiry_count":1,"executed_at":1726670212748,"ask_vol":52,"bid_vol":49,"no_side_vol":0,"mid_vol":5,"multi_vol":0,"stock_multi_vol":0,"upstream_condition_details":["auto","slan"],"exchanges":["XCBO","MPRL"],"bid":"7.15","ask":"7.3"}"#;

/// `stock_state:SPY`.
pub(in crate::snapshots) const STOCK_STATE: &str = r#"{"data":{"close":"669.5999","high":"669.94","low":"668.6","open":"669.25","volume":6301169,"market_time":"postmarket","tape_time":"2025-10-03T23:58:43Z","total_volume":70492555,"prev_close":"669.21"}}"#;

/// A row of `spot_exposures:SPY`.
pub(in crate::snapshots) const SERIES_ROW: &str = r#"{"time":"2025-10-03T10:30:00.000000Z","ticker":"SPY","price":"671.15","charm_per_one_percent_move_dir":"0","charm_per_one_percent_move_oi":"-318084164.09","charm_per_one_percent_move_vol":"0","gamma_per_one_percent_move_dir":"0","gamma_per_one_percent_move_oi":"0","gamma_per_one_percent_move_vol":"0","vanna_per_one_percent_move_dir":"0","vanna_per_one_percent_move_oi":"0","vanna_per_one_percent_move_vol":"0"}"#;

/// The vendor's example of `gex:SPY`.
pub(in crate::snapshots) const GEX: &str = r#"{"ticker":"SPY","timestamp":1726670396000,"gamma_per_one_percent_move_oi":"-262444980.31","delta_per_one_percent_move_oi":"","charm_per_one_percent_move_oi":"-1677926539943.05","vanna_per_one_percent_move_oi":"2842602508.57","price":"562.86","gamma_per_one_percent_move_vol":"-934307209.58","delta_per_one_percent_move_vol":"","charm_per_one_percent_move_vol":"-556207588704.10","vanna_per_one_percent_move_vol":"128814703.59","gamma_per_one_percent_move_dir":"-9372185.61","charm_per_one_percent_move_dir":"-2055997560.50","vanna_per_one_percent_move_dir":"-6220855.09"}"#;

/// A row of `spot_exposures_strike:SPY`, with one of the columns missing on the feed.
pub(in crate::snapshots) const STRIKE_ROW: &str = r#"{"ticker":"SPY","date":"2025-10-03","time":"2025-10-03T20:14:50.000000Z","strike":"510","price":"668.88","call_gamma_oi":"4357422.04","put_gamma_oi":"-47563310.56","call_gamma_vol":"4810.22","call_gamma_ask":"-2223.18","call_gamma_bid":"2587.05","call_delta_oi":"12.5"}"#;

/// The vendor's example of `gex_strike:SPY`.
pub(in crate::snapshots) const GEX_STRIKE: &str = r#"{"ticker":"SPY","timestamp":1726670426000,"call_gamma_oi":"174792.59","put_gamma_oi":"-1172037.66","call_charm_oi":"85658181.72","put_charm_oi":"-315259003.37","call_vanna_oi":"-6103.51","put_vanna_oi":"1337727.64","call_gamma_vol":"15596.81","put_gamma_vol":"-236.69","call_charm_vol":"-326871.58","put_charm_vol":"-68457.78","call_vanna_vol":"2063.13","put_vanna_vol":"845.06","strike":"290","price":"562.96","call_gamma_ask_vol":"-4064.62","call_gamma_bid_vol":"11532.18","put_gamma_ask_vol":"-140.95","put_gamma_bid_vol":"95.73","call_charm_ask_vol":"85184.72","call_charm_bid_vol":"-241686.87","put_charm_ask_vol":"-59412.37","put_charm_bid_vol":"9045.42","call_vanna_ask_vol":"-537.66","call_vanna_bid_vol":"1525.46","put_vanna_ask_vol":"523.79","put_vanna_bid_vol":"-321.27"}"#;

/// Converts an ISO 8601 time to Unix microseconds.
pub(in crate::snapshots) fn us(time: &str) -> i64 {
    super::times::parse(time).unwrap()
}

/// The receipt of an event without concurrent ones.
pub(in crate::snapshots) fn came_at(received_us: i64) -> Receipt {
    Receipt { received_us, id: EntryId::default() }
}

/// The receipt of an event with concurrent ones: its text determines its entry ID, so a repetition has the same.
pub(in crate::snapshots) fn of_text(payload: &str, received_us: u64) -> Receipt {
    let seq = xxhash_rust::xxh3::xxh3_64(payload.as_bytes());
    Receipt::new(received_us, EntryId { ms: received_us / 1000, seq })
}
