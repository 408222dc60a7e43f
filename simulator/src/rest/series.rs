//! Bodies that sum events up: candles, a quote, a point per minute, the newest row of each strike.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::history::HistoryEntry;
use super::rows;
use super::times;

fn text(event: &serde_json::Map<String, Value>, field: &str) -> String {
    event.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn number(event: &serde_json::Map<String, Value>, field: &str) -> u64 {
    event.get(field).and_then(Value::as_u64).unwrap_or_default()
}

fn decimal(event: &serde_json::Map<String, Value>, field: &str) -> f64 {
    text(event, field).parse().unwrap_or_default()
}

/// Groups events by minute, oldest first; `newest_first` is the order of the history.
fn minutes<'a>(newest_first: &[&'a HistoryEntry]) -> BTreeMap<u64, Vec<&'a HistoryEntry>> {
    let mut minutes: BTreeMap<u64, Vec<&'a HistoryEntry>> = BTreeMap::new();
    for entry in newest_first.iter().rev() {
        minutes.entry(times::minute(entry.time_us)).or_default().push(entry);
    }
    minutes
}

/// Candles of a minute out of the prices of a ticker, newest first.
pub(super) fn candles(prices: &[&HistoryEntry]) -> Vec<Value> {
    let mut before = None;
    let mut candles = Vec::new();
    for (start, entries) in minutes(prices) {
        let events: Vec<_> = entries.iter().map(|entry| entry.event()).collect();
        let (Some(first), Some(last)) = (events.first(), events.last()) else { continue };
        let closes = || events.iter().map(|event| text(event, "close")).filter(|close| !close.is_empty());
        let by_value = |a: &String, b: &String| {
            a.parse::<f64>().unwrap_or_default().total_cmp(&b.parse::<f64>().unwrap_or_default())
        };
        let total = number(last, "vol");
        candles.push(json!({
            "start_time": times::seconds(start),
            "end_time": times::seconds(times::next_minute(start)),
            "open": closes().next(),
            "high": closes().max_by(by_value),
            "low": closes().min_by(by_value),
            "close": closes().next_back(),
            "volume": total.saturating_sub(before.unwrap_or_else(|| number(first, "vol"))),
            "total_volume": total,
            "market_time": times::segment(start),
        }));
        before = Some(total);
    }
    candles.reverse();
    candles
}

/// The newest price of a ticker, or null.
pub(super) fn quote(prices: &[&HistoryEntry]) -> Value {
    let last = prices.first().map(|entry| {
        let event = entry.event();
        json!({
            "price": event.get("close"),
            "time": times::micros(entry.time_us),
            "total_volume": event.get("vol"),
        })
    });
    json!({ "last_trade": last })
}

/// The first point of each minute out of the exposures of a ticker, oldest first.
pub(super) fn points(exposures: &[&HistoryEntry]) -> Vec<Value> {
    minutes(exposures).values().filter_map(|entries| entries.first()).map(|entry| rows::row(entry)).collect()
}

/// Sums of each minute out of the option trades of a ticker, oldest first. Cancelled trades are left out.
pub(super) fn premium_ticks(trades: &[&HistoryEntry]) -> Vec<Value> {
    let tick = |(start, entries): (u64, Vec<&HistoryEntry>)| {
        let (mut volumes, mut premiums) = ([0; 2], [0.0; 2]);
        for entry in entries.iter().filter(|entry| !entry.is_canceled) {
            let event = entry.event();
            let side = usize::from(text(&event, "option_type") == "put");
            volumes[side] += number(&event, "size");
            premiums[side] += decimal(&event, "premium");
        }
        json!({
            "tape_time": times::seconds(start),
            "date": times::day(start).to_string(),
            "call_volume": volumes[0],
            "put_volume": volumes[1],
            "net_call_volume": volumes[0],
            "net_put_volume": volumes[1],
            "net_call_premium": format!("{:.4}", premiums[0]),
            "net_put_premium": format!("{:.4}", premiums[1]),
        })
    };
    minutes(trades).into_iter().map(tick).collect()
}

/// The newest row of each strike, in ascending order of strikes.
pub(super) fn strikes(strikes: &[&HistoryEntry]) -> Vec<Value> {
    let mut newest: BTreeMap<u64, &HistoryEntry> = BTreeMap::new();
    for entry in strikes.iter().rev() {
        // strikes have at most three decimals
        let mills = decimal(&entry.event(), "strike") * 1_000.0;
        newest.insert(format!("{mills:.0}").parse().unwrap_or_default(), entry);
    }
    newest.values().map(|entry| rows::row(entry)).collect()
}
