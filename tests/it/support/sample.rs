//! Payloads as the vendor sends them, each one different and each one told apart by its number `n`.
//!
//! They keep what a copy through a parser would lose: blanks, escapes, digits beyond a float, fields nobody knows.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use uw_websocket_core::calendar::{session_date, session_hours};

/// When the test began, in Unix milliseconds: events are stamped from here on.
static BEGAN_MS: LazyLock<u64> = LazyLock::new(|| {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since_epoch.as_millis()).unwrap()
});

/// Noon of the last completed session in New York, in Unix milliseconds: prices are of one segment of one session,
/// whatever the hour of the test.
pub(crate) static NOON_MS: LazyLock<u64> = LazyLock::new(|| {
    let today = session_date(*BEGAN_MS);
    let sessions = (0..15).filter_map(|days| session_hours(today - days));
    let last = sessions.into_iter().find(|hours| hours.end <= *BEGAN_MS).expect("a session within two weeks");
    // early closes are at 13:00
    last.start + 5 * 30 * 60_000
});

/// `count` payloads of the channel from number `first` on.
pub(crate) fn payloads(channel: &str, symbol: &str, first: u64, count: u64) -> Vec<String> {
    (first..first + count).map(|n| payload(channel, symbol, n)).collect()
}

/// A payload of the channel, for its symbol; `flow-alerts` and `news` carry it inside.
pub(crate) fn payload(channel: &str, symbol: &str, n: u64) -> String {
    let at = *BEGAN_MS + n;
    match channel {
        "option_trades" => trade(symbol, n, at),
        // no ticker inside: those of two symbols are equal
        "price" => format!(r#"{{"close":"{}.82","time":{},"vol":{n}}}"#, 500 + n % 90, *NOON_MS + n),
        "gex" => format!(
            r#"{{"ticker":"{symbol}","timestamp":{at},"gamma_per_one_percent_move_oi":"-262444980.3100000001{n}","delta_per_one_percent_move_oi":"","price":"562.86","gamma_per_one_percent_move_dir":"-9372185.61"}}"#
        ),
        "gex_strike" => format!(
            r#"{{"ticker":"{symbol}","timestamp":{at},"call_gamma_oi":"174792.59{n}","put_gamma_oi":"-1172037.66","strike":"{}","price":"562.96"}}"#,
            290 + n % 50
        ),
        "gex_strike_expiry" => format!(
            r#"{{"ticker":"{symbol}","expiry":"2099-01-{:02}","timestamp":{at},"call_gamma_oi":"174792.59{n}","strike":"{}","price":"562.96"}}"#,
            1 + n % 20,
            290 + n % 50
        ),
        "flow-alerts" => alert(symbol, n, at),
        "news" => news(&[symbol], n),
        other => format!(r#"{{"of":"{other}","symbol":"{symbol}","n":{n}}}"#),
    }
}

/// A news item about these tickers.
pub(crate) fn news(tickers: &[&str], n: u64) -> String {
    let tickers = serde_json::to_string(tickers).unwrap();
    format!(
        r#"{{"headline":"No. {n}: \u00dcber \"LNG\" deals – signé","timestamp":"2025-06-11T21:40:56Z","source":"social-media","tickers":{tickers},"is_trump_ts":false}}"#
    )
}

/// A price as the global channel sends it, with its ticker.
pub(crate) fn price_with_ticker(symbol: &str, n: u64) -> String {
    format!(r#"{{"ticker":"{symbol}","close":"562.82","time":{},"vol":{n}}}"#, *NOON_MS + n)
}

/// A row of a strike map, stamped `age_ms` before the test began.
pub(crate) fn strike_row(expiry: Option<&str>, strike: &str, age_ms: u64, n: u64) -> String {
    let expiry = expiry.map(|expiry| format!(r#""expiry":"{expiry}","#)).unwrap_or_default();
    let at = *BEGAN_MS - age_ms;
    format!(
        r#"{{"ticker":"SPY",{expiry}"timestamp":{at},"call_gamma_oi":"{n}","strike":"{strike}","price":"562.96"}}"#
    )
}

fn trade(symbol: &str, n: u64, at: u64) -> String {
    format!(
        r#"{{"id":"{}","underlying_symbol":"{symbol}","executed_at":{at},"nbbo_bid":"0.07","nbbo_ask":"0.08","size":1,"price":"0.07","option_symbol":"{symbol}250516C00355000","created_at":{at},"report_flags":[],"tags":["bid_side","bearish"],"expiry":"2025-05-16","option_type":"call","open_interest":30726,"strike":"355","premium":"7.00","volume":{n},"underlying_price":"","ewma_nbbo_ask":"0.08","ewma_nbbo_bid":"0.07","implied_volatility":"0.0478858048818649","delta":"0.03977270195386351","theta":"-0.0074528338844913","gamma":"0.0195661969523479","vega":"0.0785260537194001","rho":"0.00955292091845316","theo":"0.0700000000000038","trade_code":"auto","exchange":"GMNI","ask_vol":61059,"bid_vol":84546,"no_side_vol":14,"mid_vol":17230,"multi_vol":23690,"stock_multi_vol":1, "a field of tomorrow" : [1.50, 1e3, null]}}"#,
        uuid(n)
    )
}

fn alert(symbol: &str, n: u64, at: u64) -> String {
    format!(
        r#"{{"rule_id":"{}","rule_name":null,"ticker":"{symbol}","option_chain":"{symbol}241018C00415000","underlying_price":415.981,"volume":106,"total_size":50,"total_premium":36466.0,"total_ask_side_prem":36466,"total_bid_side_prem":0,"start_time":{at},"end_time":{at},"url":"","price":7.30,"has_multileg":false,"has_sweep":false,"has_floor":false,"open_interest":575,"all_opening_trades":false,"id":"{}","has_singleleg":true,"volume_oi_ratio":0,"trade_ids":["417f0cd6-09ae-4d43-8542-38557bb713aa"],"trade_count":7,"expiry_count":1,"executed_at":{at},"ask_vol":52,"bid_vol":49,"no_side_vol":0,"mid_vol":5,"multi_vol":0,"stock_multi_vol":0,"upstream_condition_details":["auto","slan"],"exchanges":["XCBO","MPRL"],"bid":"7.15","ask":"7.3"}}"#,
        uuid(n + 1_000_000),
        uuid(n)
    )
}

fn uuid(n: u64) -> String {
    format!("6be96098-1e54-4397-9166-{n:012x}")
}
