//! A naive model of the merge: from all answers and events at once, over `serde_json::Value`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::{self, TimeZone};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::samples::of_text;
use super::story::{Story, story};
use super::world::World;
use super::*;

static NEW_YORK: TimeZone = tz::get!("America/New_York");

type Row = Map<String, Value>;

/// The expected content, and whether it is an unchanged answer of REST.
fn expected(story: &Story) -> Option<(Value, i64)> {
    let latest = story.answers.iter().max_by_key(|answer| samples::us(&answer.fetched_at));
    let base_us = latest.map_or(0, |answer| samples::us(&answer.fetched_at));
    let base = latest.map(|answer| serde_json::from_str::<Value>(&answer.payload).unwrap()["data"].clone());
    let events: Vec<(Row, i64)> = story
        .events
        .iter()
        .map(|(payload, received)| {
            (serde_json::from_str(payload).unwrap(), i64::try_from(*received).unwrap())
        })
        .collect();
    let merged = match story.endpoint {
        BodyEndpoint::FlowAlerts => alerts(rows(base.as_ref()), &events).map(|rows| json!(rows)),
        BodyEndpoint::StockState => state(base.as_ref()?, base_us, &events).map(Value::Object),
        BodyEndpoint::SpotExposures => series(rows(base.as_ref()), base_us, &events).map(|rows| json!(rows)),
        BodyEndpoint::SpotExposuresStrike => {
            strikes(rows(base.as_ref()), base_us, &events).map(|rows| json!(rows))
        }
    };
    let newest_us = events.iter().map(|(_, received)| *received).max().unwrap_or_default();
    match merged {
        Some(data) => Some((json!({ "data": data }), base_us.max(newest_us))),
        None => Some((json!({ "data": base? }), base_us)),
    }
}

fn rows(base: Option<&Value>) -> Vec<Row> {
    let rows = base.and_then(Value::as_array).into_iter().flatten();
    rows.map(|row| row.as_object().unwrap().clone()).collect()
}

fn at(row: &Row, name: &str) -> i64 {
    samples::us(row[name].as_str().unwrap())
}

fn ms(event: &Row, name: &str) -> i64 {
    event[name].as_i64().unwrap() * 1000
}

fn float(value: &Value) -> f64 {
    value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap()
}

/// A number as a string without redundant zeros.
fn plain(value: &Value) -> String {
    let text = value.to_string();
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

fn date(us: i64) -> String {
    let at = Timestamp::from_microsecond(us).unwrap();
    at.to_zoned(NEW_YORK.clone()).date().to_string()
}

fn iso(us: i64) -> Value {
    json!(Timestamp::from_microsecond(us).unwrap().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
}

/// The segment of a Friday's time; the stories know no holidays.
fn segment(us: i64) -> &'static str {
    let at = Timestamp::from_microsecond(us).unwrap().to_zoned(NEW_YORK.clone());
    match (i32::from(at.hour()), i32::from(at.minute())) {
        _ if at.weekday() == jiff::civil::Weekday::Saturday => "night",
        (..4 | 20.., _) => "night",
        (..9, _) | (9, ..30) => "premarket",
        (..16, _) => "regular",
        _ => "postmarket",
    }
}

fn alerts(base: Vec<Row>, events: &[(Row, i64)]) -> Option<Vec<Row>> {
    let mut events: Vec<&(Row, i64)> = events.iter().collect();
    events.sort_by_key(|(_, received)| -received);
    let mut news: Vec<Row> = Vec::new();
    for (event, _) in events {
        let chain = event["option_chain"].as_str().unwrap();
        let row = json!({
            "type": if &chain[9..10] == "C" { "call" } else { "put" },
            "strike": if &chain[9..10] == "C" { "670.5" } else { "669" },
            "expiry": "2025-10-03",
            "ticker": event["ticker"],
            "created_at": iso(ms(event, "executed_at")),
            "price": plain(&event["price"]),
            "total_premium": plain(&event["total_premium"]),
            "option_chain": chain,
            "total_size": plain(&event["total_size"]).parse::<i64>().unwrap(),
            "alert_rule": event["rule_name"],
        });
        let Value::Object(row) = row else { unreachable!() };
        let is_same = |other: &Row| {
            ["option_chain", "alert_rule", "total_size", "total_premium"]
                .iter()
                .all(|name| row[*name] == other[*name])
                && (at(&row, "created_at") - at(other, "created_at")).abs() <= 30_000_000
        };
        if !base.iter().chain(&news).any(is_same) {
            news.push(row);
        }
    }
    if news.is_empty() {
        return None;
    }
    let mut all: Vec<Row> = base.into_iter().chain(news).collect();
    all.sort_by_key(|row| -at(row, "created_at"));
    Some(all)
}

fn state(base: &Value, base_us: i64, events: &[(Row, i64)]) -> Option<Row> {
    let base = base.as_object().unwrap();
    let base_second = at(base, "tape_time") / 1_000_000;
    let mut events: Vec<(i64, i64, &Row)> =
        events.iter().map(|(event, received)| (ms(event, "time"), *received, event)).collect();
    events.sort_by_key(|(at, received, _)| (*at, *received));
    // within REST's second the last price decides
    let of_second: Vec<_> = events.iter().filter(|(at, ..)| at / 1_000_000 == base_second).collect();
    let is_second_newer = of_second.last().is_some_and(|(_, received, event)| {
        let (volume, known) = (event["vol"].as_i64(), base["total_volume"].as_i64());
        volume > known || volume == known && *received > base_us
    });
    let news: Vec<&Row> = events
        .iter()
        .filter(|(at, ..)| date(*at) == date(base_second * 1_000_000))
        .filter(|(at, ..)| {
            let word = base.get("market_time").and_then(Value::as_str);
            segment(*at) == word.unwrap_or_else(|| segment(base_second * 1_000_000))
        })
        .filter(|(at, ..)| at / 1_000_000 > base_second || at / 1_000_000 == base_second && is_second_newer)
        .map(|(.., event)| *event)
        .collect();
    let last = news.last()?;
    let mut state = base.clone();
    state["close"] = last["close"].clone();
    state["total_volume"] = last["vol"].clone();
    if let Some(volume) = base.get("volume").and_then(Value::as_i64) {
        let more = last["vol"].as_i64().unwrap() - base["total_volume"].as_i64().unwrap();
        state["volume"] = json!(if volume + more < 0 { volume } else { volume + more });
    }
    let tape_time = Timestamp::from_second(ms(last, "time") / 1_000_000).unwrap();
    state["tape_time"] = json!(tape_time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    for event in news {
        if float(&event["close"]) > float(&state["high"]) {
            state["high"] = event["close"].clone();
        }
        if float(&event["close"]) < float(&state["low"]) {
            state["low"] = event["close"].clone();
        }
    }
    Some(state)
}

/// REST's row, if any, overlaid with the event's.
fn over(base: Option<&Row>, event: Row, names: &[&str]) -> Row {
    let mut row = base.cloned().unwrap_or_default();
    if base.is_some_and(|base| at(&event, "time") - at(base, "time") > 600_000_000) {
        row.iter_mut()
            .filter(|(name, _)| !names.contains(&&***name))
            .for_each(|(_, value)| *value = Value::Null);
    }
    for (name, value) in event {
        if value != "" && !(names.contains(&&*name) && row.contains_key(&name)) {
            row.insert(name, value);
        }
    }
    row
}

fn series(base: Vec<Row>, base_us: i64, events: &[(Row, i64)]) -> Option<Vec<Row>> {
    let mut newest: BTreeMap<i64, (&Row, i64)> = BTreeMap::new();
    for (event, received) in events {
        let known = newest.entry(ms(event, "timestamp")).or_insert((event, *received));
        if *received > known.1 {
            *known = (event, *received);
        }
    }
    let base: BTreeMap<i64, Row> = base.into_iter().map(|row| (at(&row, "time"), row)).collect();
    let base_newest = base.keys().next_back().copied().unwrap_or(0);
    let session = date(base_newest.max(newest.keys().next_back().copied().unwrap_or(0)));
    let mut merged: BTreeMap<i64, Row> = base
        .iter()
        .filter(|(time, _)| date(**time) == session)
        .map(|(time, row)| (*time, row.clone()))
        .collect();
    let mut has_news = false;
    for (time, (event, received)) in newest {
        let known = base.get(&time);
        let is_news = if known.is_some() { received > base_us } else { time >= base_newest - 600_000_000 };
        if is_news && date(time) == session {
            has_news = true;
            let row = json!({
                "time": iso(time), "ticker": event["ticker"], "price": event["price"],
                "gamma_per_one_percent_move_oi": event["gamma_per_one_percent_move_oi"],
            });
            merged.insert(time, over(known, row.as_object().unwrap().clone(), &["ticker"]));
        }
    }
    has_news.then(|| merged.into_values().collect())
}

fn strikes(base: Vec<Row>, base_us: i64, events: &[(Row, i64)]) -> Option<Vec<Row>> {
    // sorts like the numbers
    let strike_of = |row: &Row| format!("{:08.2}", float(&row["strike"]));
    let mut newest: BTreeMap<String, (i64, i64, &Row)> = BTreeMap::new();
    for (event, received) in events {
        let account = (ms(event, "timestamp"), *received, event);
        let known = newest.entry(strike_of(event)).or_insert(account);
        if (account.0, account.1) > (known.0, known.1) {
            *known = account;
        }
    }
    let times = base.iter().map(|row| at(row, "time")).chain(newest.values().map(|event| event.0));
    let session = times.max().map(date);
    let mut merged: BTreeMap<String, Row> = base.into_iter().map(|row| (strike_of(&row), row)).collect();
    let mut has_news = false;
    for (strike, (time, received, event)) in newest {
        let known = merged.get(&strike);
        let is_news = match known {
            Some(known) => (time, received) > (at(known, "time"), base_us),
            None => Some(date(time)) == session,
        };
        if is_news {
            has_news = true;
            let row = json!({
                "ticker": event["ticker"], "date": date(time), "time": iso(time), "strike": event["strike"],
                "price": event["price"], "call_gamma_ask": event["call_gamma_ask_vol"],
            });
            let row = over(known, row.as_object().unwrap().clone(), &["ticker", "strike"]);
            merged.insert(strike, row);
        }
    }
    has_news.then(|| merged.into_values().collect())
}

fn endpoint() -> impl Strategy<Value = BodyEndpoint> {
    prop::sample::select(&BodyEndpoint::ALL[..])
}

proptest! {
    #[test]
    fn bodies_are_those_of_the_naive_rules(story in endpoint().prop_flat_map(story)) {
        let mut world = World::new(story.endpoint);
        for answer in &story.answers {
            world.rest(answer);
        }
        for (payload, received_us) in &story.events {
            world.body.add(payload, of_text(payload, *received_us)).unwrap();
        }
        world.settle();
        let shown = world.hash.map(|hash| {
            (serde_json::from_str::<Value>(&hash.payload).unwrap(), samples::us(&hash.fetched_at))
        });
        prop_assert_eq!(shown, expected(&story));
    }
}
