//! The feed: WebSocket frames, and the events in them.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use actix_codec::Decoder as _;
use bytes::{Bytes, BytesMut};
use slog::{Discard, Logger, o};
use uw_websocket_actors::connection::decoder::{Decoded, FrameDecoder};
use uw_websocket_actors::connection::transport::{Assembler, BoundedCodec, Incoming, MAX_MESSAGE};
use uw_websocket_actors::observation::Observations;
use uw_websocket_core::event::{EntryId, Event, ReadAt, Symbol, Topic};
use uw_websocket_core::fixtures::{keys, plan, topic};
use uw_websocket_core::routing::{Router, channels_of};
use uw_websocket_core::settings::KeySettings;
use uw_websocket_core::spool::Records;

use super::{Target, magnitude, outcome, seeds};

const CHANNELS: [&str; 8] = [
    "flow-alerts",
    "option_trades",
    "price",
    "gex",
    "gex_strike",
    "gex_strike_expiry",
    "news",
    "market_tide",
];

/// Frames of the protocol, and bytes that resemble them.
pub(crate) fn socket() -> Target {
    let text = br#"["price:SPY",{"close":"1"}]"#;
    let seeds = vec![
        frame(0x81, text),
        frame(0x82, b"binary"),
        [frame(0x01, b"[\"news\""), frame(0x89, b"ping"), frame(0x80, b",{}]")].concat(),
        frame(0x88, &[3, 232, b'b', b'y', b'e']),
        frame(0x8a, b""),
        frame(0x81, &vec![b' '; 300]),
        [&[0x81, 127][..], &(MAX_MESSAGE as u64 + 1).to_be_bytes(), b"x"].concat(),
    ];
    let run = |input: &[u8]| {
        let mut codec = BoundedCodec::client();
        let mut assembler = Assembler::default();
        let (mut buffer, mut kinds) = (BytesMut::new(), Vec::new());
        // in two parts, as a socket may deliver them
        let half = input.first().map_or(0, |first| usize::from(*first).min(input.len()));
        for part in [&input[..half], &input[half..]] {
            buffer.extend_from_slice(part);
            loop {
                match codec.decode(&mut buffer) {
                    Ok(None) => break,
                    Err(error) => return outcome((kinds, std::mem::discriminant(&error))),
                    Ok(Some(frame)) => match assembler.accept(frame) {
                        Err(error) => return outcome((kinds, std::mem::discriminant(&error))),
                        Ok(message) => kinds.push(message.map(|message| {
                            assert!(message.text_len() <= MAX_MESSAGE);
                            kind(&message)
                        })),
                    },
                }
            }
        }
        kinds.truncate(8);
        outcome((kinds, buffer.is_empty()))
    };
    Target { name: "socket", seeds, tokens: &[], short: 5_000, run: Box::new(run) }
}

/// A frame from a server, which does not mask.
fn frame(head: u8, content: &[u8]) -> Vec<u8> {
    let length = match u8::try_from(content.len()) {
        Ok(short) if short < 126 => vec![short],
        _ => [&[126][..], &u16::try_from(content.len()).unwrap().to_be_bytes()].concat(),
    };
    [&[head][..], &length, content].concat()
}

fn kind(message: &Incoming) -> u8 {
    match message {
        Incoming::Text(_) => 0,
        Incoming::Binary(_) => 1,
        Incoming::Ping(_) => 2,
        Incoming::Pong => 3,
        Incoming::Close(_) => 4,
    }
}

fn frame_texts() -> Vec<Vec<u8>> {
    seeds(&[
        r#"["option_trades:SPY",{"id":"8fb9485b-5a73-4082-99dc-b58ca9f85559","underlying_symbol":"SPY","executed_at":1747419592926,"size":42,"price":"6.50","option_symbol":"SPY250523C00565000","tags":["ask_side"],"canceled":false}]"#,
        r#"["flow-alerts",{"rule_name":"RepeatedHits","ticker":"DIA","option_chain":"DIA241018C00415000","total_size":50,"total_premium":36466.5,"id":"29ed5829-e4ce-4934-876b-51985d2f9b70","executed_at":1726670212748}]"#,
        r#"["price:SPY",{"ticker":"SPY","close":"562.82","time":1726670327692,"vol":6015555}]"#,
        r#"["gex:SPY",{"ticker":"SPY","timestamp":1726670396000,"price":"562.86","delta_per_one_percent_move_oi":""}]"#,
        r#"["gex_strike",{"ticker":"QQQ","timestamp":1726670426000,"strike":"290","price":"562.96"}]"#,
        r#"["gex_strike_expiry:SPY",{"ticker":"SPY","expiry":"2025-01-24","timestamp":1726670426000,"strike":"290"}]"#,
        r#"["news",{"headline":"a \"quoted\" \u00e9\ud83d\ude00","timestamp":"2025-06-11T21:40:56Z","tickers":["SPY","QQQ","BRK.B"]}]"#,
        r#" [ "ne\u0077s" , {"tickers":[], "a":{"b":[1,2,{"c":null}]}} ] "#,
        r#"["gex:SPY",{"response":{},"status":"ok"}]"#,
        r#"["gex:SPY",{"response":{"reason":"x"},"status":"error"}]"#,
        r#"{"error":"Channel subscription limit of 50 reached"}"#,
    ])
}

const TOKENS: &[&str] = &[
    "\"ticker\":",
    "\"tickers\":[",
    "\"underlying_symbol\":\"SPY\"",
    "\"symbol\":",
    "\"strike\":\"",
    "\"expiry\":\"2025-01-24\"",
    "\"timestamp\":",
    "\"status\":\"ok\"",
    "\"response\":{}",
    "[\"news\",",
    "[\"option_trades\",",
    "\"SPY\",",
    "}]",
    "\u{e9}",
];

fn decoder() -> FrameDecoder {
    let plan = plan(&CHANNELS, "*");
    let keys = KeySettings { targets: plan.targets.clone(), ..keys() };
    let mut topics: Vec<Topic> = CHANNELS.iter().map(|name| topic(name)).collect();
    topics.extend(["price:SPY", "option_trades:SPY", "gex:SPY", "gex_strike_expiry:SPY"].map(topic));
    let channels = channels_of(&plan);
    let connections = [("all", topics.as_slice())];
    let dropped = Arc::new(AtomicU64::new(0));
    let observations = Observations::new("fuzz".into(), "0", &channels, &connections, 2, dropped);
    let router = Router::new(&plan, &keys, 2, &topics);
    FrameDecoder::new(router, Arc::new(observations), Box::new(str::to_owned), Logger::root(Discard, o!()))
}

/// Texts of frames: what becomes an event can be recorded, under keys of the service only.
pub(crate) fn text() -> Target {
    let mut decoder = decoder();
    let mut records = Records::new();
    let run = move |input: &[u8]| {
        let frame = Bytes::copy_from_slice(input);
        match decoder.take(&frame, now()) {
            Decoded::Event(event) => {
                check(&event, &frame, &mut records);
                outcome((0, event.route.channel.0, event.route.destinations.len(), event.cell.is_some()))
            }
            Decoded::Filtered => outcome(1),
            Decoded::Acknowledged(topic) => outcome((2, magnitude(topic.len()))),
            Decoded::Refused(topic, _) => outcome((3, magnitude(topic.len()))),
            Decoded::Nothing => outcome((4, magnitude(input.len()))),
        }
    };
    Target { name: "frame", seeds: frame_texts(), tokens: TOKENS, short: 5_000, run: Box::new(run) }
}

fn check(event: &Event, frame: &Bytes, records: &mut Records) {
    assert!(frame.as_ptr_range().start <= event.payload.as_ptr(), "the payload is a part of the frame");
    assert!(std::str::from_utf8(&event.payload).is_ok());
    let id = EntryId { ms: 1, seq: 1 };
    records.clear(1);
    let destinations = &event.route.destinations;
    for destination in destinations {
        let name = destination.stream.strip_prefix("uw:ws:").expect("a key of the service");
        let channel = name.split(':').next().unwrap();
        assert!(CHANNELS.contains(&channel), "{name}");
    }
    let channel = CHANNELS[usize::from(event.route.channel.0)];
    let symbols = destinations.iter().map(|place| (place.symbol.as_ref().map(Symbol::as_str), id));
    records.push(channel, event.received_us, symbols, &event.payload).expect("it can be recorded");
}

fn now() -> ReadAt {
    ReadAt { unix_us: 1_796_072_400_000_000, instant: Instant::now() }
}
