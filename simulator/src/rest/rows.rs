//! Translates events of the socket into rows of REST.

use serde_json::{Map, Value, json};

use super::history::HistoryEntry;
use super::times;

type Row = Map<String, Value>;

/// Field of the simulator's own that is in no row.
const STAMP: &str = "sent_us";

/// Translates an event into the row that REST has of it.
pub(super) fn row(entry: &HistoryEntry) -> Value {
    let mut row = entry.event();
    row.remove(STAMP);
    match entry.origin.channel.as_str() {
        "option_trades" => option_trade(&mut row, entry),
        "flow-alerts" => flow_alert(&mut row, entry),
        "news" => news(&mut row),
        "off_lit_trades" => print(&mut row, entry, "D"),
        "lit_trades" => print(&mut row, entry, "Q"),
        "gex" => gex(&mut row, entry),
        "gex_strike" | "gex_strike_expiry" => strike(&mut row, entry),
        "futures" => set(&mut row, "executed_at", times::micros(entry.time_us)),
        // alerts of the account are the same on both sides
        _ => {}
    }
    Value::Object(row)
}

fn option_trade(row: &mut Row, entry: &HistoryEntry) {
    row.remove("created_at");
    set(row, "executed_at", times::micros(entry.time_us));
    rename(row, "option_symbol", "option_chain_id");
    rename(row, "trade_code", "upstream_condition_detail");
    set(row, "canceled", entry.is_canceled);
    for absent in ["rule_id", "flow_alert_id", "er_time", "next_earnings_date", "marketcap"] {
        set(row, absent, Value::Null);
    }
    set(row, "full_name", "Example Corporation");
    set(row, "is_agg", false);
}

fn flow_alert(row: &mut Row, entry: &HistoryEntry) {
    rename(row, "rule_name", "alert_rule");
    for decimal in [
        "price",
        "underlying_price",
        "total_premium",
        "total_ask_side_prem",
        "total_bid_side_prem",
        "volume_oi_ratio",
    ] {
        if let Some(value) = row.get_mut(decimal) {
            *value = as_text(value);
        }
    }
    for integer in ["volume", "total_size", "open_interest"] {
        if let Some(value) = row.get_mut(integer) {
            *value = as_integer(value);
        }
    }
    for dropped in [
        "executed_at",
        "trade_ids",
        "url",
        "exchanges",
        "upstream_condition_details",
        "ask_vol",
        "bid_vol",
        "mid_vol",
        "no_side_vol",
        "multi_vol",
        "stock_multi_vol",
    ] {
        row.remove(dropped);
    }
    set(row, "created_at", times::micros(entry.time_us));
    contract(row);
    for (field, value) in [("iv_start", "0.141"), ("iv_end", "0.142"), ("issue_type", "ETF")] {
        set(row, field, value);
    }
    for absent in ["sector", "marketcap", "er_time", "next_earnings_date"] {
        set(row, absent, Value::Null);
    }
}

/// Adds what the contract's symbol (`SPY250523C00565000`) says.
fn contract(row: &mut Row) {
    const TAIL: usize = "250523C00565000".len();
    let Some(chain) = row.get("option_chain").and_then(Value::as_str) else { return };
    let Some(tail) = chain.len().checked_sub(TAIL).and_then(|start| chain.get(start..)) else { return };
    let (Some(date), Some(side), Some(mills)) = (tail.get(..6), tail.get(6..7), tail.get(7..)) else {
        return;
    };
    let expiry = format!("20{}-{}-{}", &date[..2], &date[2..4], &date[4..]);
    let kind = if side == "C" { "call" } else { "put" };
    let mills: u32 = mills.parse().unwrap_or_default();
    let strike = as_text(&json!(f64::from(mills) / 1_000.0));
    set(row, "expiry", expiry);
    set(row, "type", kind);
    set(row, "strike", strike);
}

fn news(row: &mut Row) {
    rename(row, "timestamp", "created_at");
    row.remove("is_trump_ts");
    set(row, "is_major", false);
    set(row, "sentiment", "neutral");
    set(row, "tags", json!([]));
    set(row, "meta", json!({}));
}

fn print(row: &mut Row, entry: &HistoryEntry, center: &str) {
    rename(row, "symbol", "ticker");
    row.remove("type");
    for dropped in ["sector", "next_earnings_date", "avg30_volume", "issue_type", "marketcap"] {
        row.remove(dropped);
    }
    let decimal = |field: &str| row.get(field).and_then(Value::as_str)?.parse::<f64>().ok();
    let size = row.get("size").and_then(Value::as_f64).unwrap_or_default();
    let premium = format!("{:.2}", decimal("price").unwrap_or_default() * size);
    set(row, "premium", premium);
    set(row, "tracking_id", entry.number);
    set(row, "market_center", center);
    set(row, "canceled", entry.is_canceled);
}

fn gex(row: &mut Row, entry: &HistoryEntry) {
    row.remove("timestamp");
    row.retain(|field, _| !field.starts_with("delta_"));
    set(row, "time", times::seconds(entry.time_us));
    set(row, "start_time", times::seconds(times::minute(entry.time_us)));
    set(row, "ticker_id", 1);
}

fn strike(row: &mut Row, entry: &HistoryEntry) {
    row.remove("timestamp");
    // REST names the day only
    row.remove("expiry");
    let renamed = |(field, value): (String, Value)| match field.strip_suffix("_vol") {
        Some(side) if side.ends_with("_ask") || side.ends_with("_bid") => (side.to_owned(), value),
        _ => (field, value),
    };
    *row = std::mem::take(row).into_iter().map(renamed).collect();
    for delta in ["call_delta_ask", "call_delta_bid", "put_delta_ask", "put_delta_bid"] {
        set(row, delta, "0.1");
    }
    set(row, "time", times::seconds(entry.time_us));
    set(row, "date", times::day(entry.time_us).to_string());
}

fn set(row: &mut Row, field: &str, value: impl Into<Value>) {
    row.insert(field.to_owned(), value.into());
}

fn rename(row: &mut Row, from: &str, to: &str) {
    if let Some(value) = row.remove(from) {
        row.insert(to.to_owned(), value);
    }
}

/// Turns a number into the text of its digits, without a fraction of zero.
fn as_text(value: &Value) -> Value {
    let Value::Number(number) = value else { return value.clone() };
    let text = number.to_string();
    Value::String(text.strip_suffix(".0").unwrap_or(&text).to_owned())
}

/// Turns a whole float into an integer.
fn as_integer(value: &Value) -> Value {
    let text = as_text(value);
    text.as_str().and_then(|text| text.parse::<u64>().ok()).map_or_else(|| value.clone(), Value::from)
}
