use serde_json::{Map, Value};
use uw_websocket_core::channel::shape;
use uw_websocket_core::channel::table::KNOWN;
use uw_websocket_core::event::Channel;

use super::patch::{place_of, value_of};
use super::samples::{OTHER, SAMPLES};
use super::*;
use crate::misbehaviour::Alteration;

/// Every channel with a sample, and one without.
fn channels() -> impl Iterator<Item = &'static str> {
    SAMPLES.iter().map(|sample| sample.channel).chain(["something_new"])
}

fn scene() -> Scene {
    Scene::new(false, None)
}

fn made(maker: &mut EventMaker, number: u64, scene: &Scene) -> Value {
    serde_json::from_slice(maker.make(number, number.wrapping_mul(0x9E37_79B9_7F4A_7C15), scene)).unwrap()
}

#[test]
fn every_event_is_json_with_its_number() {
    let scene = scene();
    for channel in channels() {
        let mut maker = EventMaker::new(channel, "SPY", &scene);
        for number in [1, 2, 899_999_999_999, 77] {
            made(&mut maker, number, &scene);
            assert_eq!(event_number(channel, maker.latest()), Some(number), "{channel}");
        }
    }
}

#[test]
fn every_known_channel_has_a_sample_with_its_documented_fields_and_no_others() {
    for spec in KNOWN {
        let sample = Sample::of(spec.name);
        assert_eq!(sample.channel, spec.name, "the channel has no sample");
        let payload: Map<String, Value> = serde_json::from_str(sample.payload).unwrap();
        for field in spec.fields().filter(|field| !field.is_optional) {
            assert!(payload.contains_key(field.name), "{}: no {}", spec.name, field.name);
        }
        for name in payload.keys() {
            assert!(spec.fields().any(|field| field.name == name), "{}: {name}", spec.name);
        }
    }
}

#[test]
fn every_sample_has_room_for_what_varies_and_the_decimals_that_may_be_blank() {
    for sample in SAMPLES.iter().chain([&OTHER]) {
        for (field, patch) in sample.varying.iter().chain([&sample.number]) {
            assert!(place_of(sample.payload, field, *patch).is_some(), "{}: {field}", sample.channel);
        }
        for field in sample.sometimes_blank {
            assert!(value_of(sample.payload, field).is_some(), "{}: {field}", sample.channel);
        }
    }
}

/// The drift check of the service must be silent on the simulator, or a soak run shows nothing by it.
#[test]
fn every_event_has_the_shape_of_its_channel_however_it_is_altered() {
    let scene = scene();
    for name in channels() {
        let channel = Channel::parse(name).unwrap();
        let parse = |payload: &[u8]| {
            let payload = std::str::from_utf8(payload).unwrap();
            shape::check(&channel, payload)
                .unwrap_or_else(|error| panic!("{error}: {}\n{payload}", error.drift));
        };
        let mut maker = EventMaker::new(name, "SPY", &scene);
        for number in 1..50 {
            parse(maker.make(number, number.wrapping_mul(0x9E37_79B9_7F4A_7C15), &scene));
        }
        for alteration in Alteration::ALL.iter().copied() {
            let mut maker = EventMaker::new(name, "SPY", &scene);
            maker.alter(&[(alteration, 1)], &scene);
            parse(maker.make(1, 7, &scene));
        }
    }
}

#[test]
fn the_fields_have_the_documented_types() {
    let scene = scene();
    for (channel, field, is_right) in [
        ("option_trades", "executed_at", Value::is_u64 as fn(&Value) -> bool),
        ("option_trades", "premium", Value::is_string),
        ("option_trades", "size", Value::is_u64),
        ("option_trades", "tags", Value::is_array),
        ("flow-alerts", "total_premium", Value::is_f64),
        ("flow-alerts", "bid", Value::is_string),
        ("flow-alerts", "has_sweep", Value::is_boolean),
        ("price", "close", Value::is_string),
        ("price", "vol", Value::is_u64),
        ("gex", "timestamp", Value::is_u64),
        ("gex_strike", "strike", Value::is_string),
        ("gex_strike_expiry", "expiry", Value::is_string),
        ("news", "timestamp", Value::is_string),
        ("news", "tickers", Value::is_array),
    ] {
        let event = made(&mut EventMaker::new(channel, "SPY", &scene), 5, &scene);
        assert!(is_right(&event[field]), "{channel}.{field}: {}", event[field]);
    }
}

#[test]
fn a_trade_agrees_with_itself() {
    let scene = scene();
    let mut maker = EventMaker::new("option_trades", "SPY", &scene);
    let mut volume = 0;
    for number in 1..1000 {
        let event = made(&mut maker, number, &scene);
        let decimal = |field: &str| event[field].as_str().unwrap().parse::<f64>().unwrap();
        let premium = event["size"].as_u64().unwrap() as f64 * decimal("price") * 100.0;
        assert!((premium - decimal("premium")).abs() < 0.01);
        assert!(event["volume"].as_u64().unwrap() > volume);
        volume = event["volume"].as_u64().unwrap();
    }
}

#[test]
fn a_trade_has_the_size_of_the_benchmark() {
    let scene = scene();
    let mut maker = EventMaker::new("option_trades", "SPY", &scene);
    let frame = "[\"option_trades:SPY\",]".len() + maker.make(1, 1, &scene).len();
    assert!((774..=794).contains(&frame), "{frame}");
}

#[test]
fn rows_go_over_strikes_and_expiries() {
    let scene = scene();
    let mut maker = EventMaker::new("gex_strike_expiry", "SPY", &scene);
    let cell = |event: &Value| format!("{}{}", event["expiry"], event["strike"]);
    let cells: std::collections::HashSet<_> =
        (1..4001).map(|number| cell(&made(&mut maker, number, &scene))).collect();
    assert_eq!(cells.len(), 4000);
}

#[test]
fn a_board_comes_in_frames_of_one_time_that_add_up() {
    let scene = scene();
    let mut maker = EventMaker::new("periscope", "SPX", &scene);
    let mut times = Vec::new();
    for board in 0..4 {
        let frames: Vec<Value> = (1..=3).map(|frame| made(&mut maker, 3 * board + frame, &scene)).collect();
        let has_more: Vec<bool> = frames.iter().map(|frame| frame["has_more"].as_bool().unwrap()).collect();
        assert_eq!(has_more, [true, true, false]);
        let rows: usize = frames.iter().map(|frame| frame["rows"].as_array().unwrap().len()).sum();
        assert_eq!(frames[0]["total_rows"], rows);
        assert!(frames.iter().all(|frame| frame["timestamp"] == frames[0]["timestamp"]));
        times.push(frames[0]["timestamp"].as_u64().unwrap());
    }
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
}

#[test]
fn an_amendment_has_the_number_and_other_contents() {
    let scene = scene();
    for channel in ["option_trades", "gex_strike", "flow-alerts"] {
        let mut maker = EventMaker::new(channel, "SPY", &scene);
        let first = maker.make(9, 1, &scene).to_vec();
        let second = maker.amend(9, 0xFFFF_FFFF_FFFF, &scene).to_vec();
        assert_ne!(first, second);
        assert_eq!(event_number(channel, &second), Some(9));
    }
}

#[test]
fn alterations_keep_the_event_json_with_its_number() {
    let scene = scene();
    for (channel, alteration, shows) in [
        ("price", Alteration::PriceWithoutTicker, r#"{"close""#),
        ("flow-alerts", Alteration::AlertIntegers, r#""total_bid_side_prem":0,"#),
        ("flow-alerts", Alteration::NullRule, r#""rule_name":null"#),
        ("option_trades", Alteration::BlankDecimals, r#""underlying_price":"""#),
        ("gex_strike", Alteration::BlankDecimals, r#""call_vanna_vol":"""#),
        ("gex", Alteration::UnknownFields, r#""future_flag":true"#),
    ] {
        let mut maker = EventMaker::new(channel, "SPY", &scene);
        maker.alter(&[(alteration, 2)], &scene);
        made(&mut maker, 1, &scene);
        assert!(!String::from_utf8_lossy(maker.latest()).contains(shows), "{channel}");
        made(&mut maker, 2, &scene);
        assert!(String::from_utf8_lossy(maker.latest()).contains(shows), "{channel}");
        assert_eq!(event_number(channel, maker.latest()), Some(2));
    }
}

#[test]
fn a_stamp_is_the_send_time_in_microseconds() {
    let before = super::moment::unix_micros();
    let scene = Scene::new(true, None);
    let event = made(&mut EventMaker::new("news", "SPY", &scene), 1, &scene);
    assert!(event["sent_us"].as_u64().unwrap() >= before);
}

#[test]
fn events_may_be_of_another_time_and_are_sent_now() {
    // Sunday 2026-11-29, 20:30 in New York
    let at_us = 1_796_002_200_000_000;
    let mut scene = Scene::new(true, Some(at_us));
    for channel in ["price", "gex_strike", "news", "interpolated_iv"] {
        scene.refresh();
        let event = made(&mut EventMaker::new(channel, "SPX", &scene), 1, &scene);
        let times = [&event["time"], &event["timestamp"], &event["date"]];
        let time = times.into_iter().find(|time| !time.is_null()).unwrap();
        let is_of_then = match time {
            Value::String(text) => text.starts_with("2026-11-30"),
            time => (at_us / 1000..at_us / 1000 + 600_000).contains(&(time.as_u64().unwrap() + 1_000)),
        };
        assert!(is_of_then, "{channel}: {time}");
        assert!(event["sent_us"].as_u64().unwrap().abs_diff(super::moment::unix_micros()) < 600_000_000);
    }
}
