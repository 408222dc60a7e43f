use std::fmt::Write;
use std::sync::Mutex;

use slog::{Drain, KV, OwnedKVList, Record, o};
use uw_websocket_core::calendar;
use uw_websocket_core::event::{Channel, Symbol, Topic};
use uw_websocket_core::feed::map_cell::MAX_FIELD;
use uw_websocket_core::settings::{ChannelChoice, PlanSettings, Targets, WhenJoinsExceed};

use super::*;
use crate::fixtures::observations;
use uw_websocket_core::fixtures::{RECEIVED_US, keys, read_at};

const TOKEN: &str = "a-token-that-nobody-may-see";
const CHANNELS: [&str; 5] = ["price", "news", "gex_strike", "gex_strike_expiry", "option_trades"];

/// Collects log records as text: the message and its values.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Drain for Log {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &Record<'_>, _: &OwnedKVList) -> Result<(), slog::Never> {
        let mut text = record.msg().to_string();
        record.kv().serialize(record, &mut Values(&mut text)).unwrap();
        self.0.lock().unwrap().push(text);
        Ok(())
    }
}

/// Appends values to a message.
struct Values<'t>(&'t mut String);

impl slog::Serializer for Values<'_> {
    fn emit_arguments(&mut self, key: slog::Key, value: &std::fmt::Arguments<'_>) -> slog::Result {
        write!(self.0, " {key}={value}").map_err(slog::Error::Fmt)
    }
}

/// A decoder that has joined every channel for SPY, and its effects.
struct World {
    decoder: FrameDecoder,
    observations: Arc<Observations>,
    log: Log,
}

impl World {
    fn new() -> World {
        let channels = CHANNELS.map(|name| Channel::parse(name).unwrap());
        let spy = Symbol::parse("SPY").unwrap();
        let topics = channels.clone().map(|channel| {
            let symbol = (channel != Channel::parse("news").unwrap()).then(|| spy.clone());
            Topic { channel, symbol }
        });
        let plan = PlanSettings {
            channels: channels.map(ChannelChoice::Channel).to_vec(),
            targets: Targets::Symbols(vec![spy]),
            max_connections: 1,
            max_joins_per_connection: 50,
            when_joins_exceed: WhenJoinsExceed::Refuse,
        };
        let observations = observations(&CHANNELS, 2);
        let log = Log::default();
        let decoder = FrameDecoder::new(
            Router::new(&plan, &keys(), 2, &topics),
            Arc::clone(&observations),
            Box::new(|text| text.replace(TOKEN, "***")),
            Logger::root(log.clone(), o!()),
        );
        World { decoder, observations, log }
    }

    fn take(&mut self, frame: &str) -> Decoded {
        self.decoder.take(&Bytes::copy_from_slice(frame.as_bytes()), read_at())
    }

    #[track_caller]
    fn event(&mut self, frame: &str) -> Event {
        match self.take(frame) {
            Decoded::Event(event) => event,
            other => panic!("{frame} is {other:?}"),
        }
    }

    /// Returns the map field and session of a channel's row.
    fn cell(&mut self, channel: &str, payload: &str) -> Option<(String, i32)> {
        let event = self.event(&format!(r#"["{channel}:SPY",{payload}]"#));
        event.cell.map(|cell| (cell.field.into(), cell.session))
    }

    fn logged(&self, start: &str) -> Vec<String> {
        let records = self.log.0.lock().unwrap();
        records.iter().filter(|record| record.starts_with(start)).cloned().collect()
    }
}

fn session(date: &str) -> i32 {
    calendar::day_of(date).unwrap()
}

#[test]
fn an_event_keeps_the_bytes_of_its_frame() {
    let mut world = World::new();
    let frame = Bytes::from_static(b" [ \"price:SPY\" , {\"close\": 1.50,\r\n\"x\":\"\\u00e9\"} ]");
    let Decoded::Event(event) = world.decoder.take(&frame, read_at()) else { panic!("no event") };
    assert_eq!(&event.payload[..], b"{\"close\": 1.50,\r\n\"x\":\"\\u00e9\"}");
    assert!(
        frame.as_ptr_range().contains(&event.payload.as_ptr()),
        "the payload is copied by its batch, not before"
    );
    assert_eq!(event.route.destinations[0].stream.as_ref(), "uw:ws:price:SPY");
    assert_eq!(event.received_us, RECEIVED_US);
    assert_eq!(event.cell, None);
}

#[test]
fn an_acknowledgement_names_its_topic_and_is_no_event() {
    let mut world = World::new();
    let taken = world.take(r#"["price:SPY",{"response":{},"status":"ok"}]"#);
    assert!(matches!(taken, Decoded::Acknowledged(topic) if topic == "price:SPY"));
    assert_eq!(world.observations.channels[0].last_event_at.get(), None);
}

#[test]
fn the_text_of_a_refused_join_is_cut_and_redacted() {
    let mut world = World::new();
    // two-byte characters at odd offsets, and a token across the cut
    let before = format!("x{}", "é".repeat(75));
    let frame = format!(
        r#"["price:SPY",{{"status":"error","response":{{"r":"{before}{TOKEN}{}"}}}}]"#,
        "é".repeat(500)
    );
    let Decoded::Refused(topic, text) = world.take(&frame) else { panic!("not refused") };
    assert_eq!(topic, "price:SPY");
    assert!((EXCERPT - 3..=EXCERPT).contains(&text.len()), "{} bytes", text.len());
    assert!(text.starts_with(r#"{"status":"error","#) && text.contains("é***é"), "{text}");
}

#[test]
fn no_excerpt_ends_within_a_secret() {
    for length in EXCERPT - TOKEN.len() - 2..EXCERPT + 2 {
        let mut world = World::new();
        world.take(&format!("{}{TOKEN}", "y".repeat(length)));
        let record = world.logged("frame rejected").join("");
        assert!(record.contains("yyy") && !record.contains("ya-"), "{length}: {record}");
    }
}

#[test]
fn every_frame_that_is_no_event_is_counted_by_its_kind_and_logged_once() {
    let deep = format!(r#"["price:SPY",{}]"#, "[".repeat(100));
    for (frame, kind) in [
        (&b"hello"[..], Rejection::NotJson),
        (br#"["price:SPY",{"a":}]"#, Rejection::NotJson),
        (br#"["price:SPY",[1]]"#, Rejection::WrongShape),
        (b"[\"price:SPY\",{\"a\":\"\xff\"}]", Rejection::InvalidUtf8),
        (deep.as_bytes(), Rejection::TooDeep),
        (br#"["lit_trades",{"a":1}]"#, Rejection::UnknownChannel),
        (br#"{"error":"over the limit"}"#, Rejection::ServerNotice),
    ] {
        let mut world = World::new();
        for _ in 0..3 {
            let taken = world.decoder.take(&Bytes::copy_from_slice(frame), read_at());
            assert!(matches!(taken, Decoded::Nothing), "{taken:?}");
        }
        for counted in Rejection::ALL {
            let expected = if *counted == kind { 3 } else { 0 };
            assert_eq!(world.observations.rejected(*counted).get(), expected, "{counted} of {kind}");
        }
        let records = world.logged("frame rejected");
        assert_eq!(records.len(), 1, "{records:?}");
        let bytes = format!("bytes={}", frame.len());
        assert!(records[0].contains(kind.label()) && records[0].contains(&bytes), "{records:?}");
    }
}

#[test]
fn one_kind_of_rejection_does_not_hide_another() {
    let mut world = World::new();
    for kind in Rejection::ALL {
        world.decoder.reject(*kind, b"input");
    }
    assert_eq!(world.logged("frame rejected").len(), Rejection::ALL.len());
}

#[test]
fn the_first_frame_of_each_channel_is_logged_and_a_drifted_shape_counted() {
    let mut world = World::new();
    for _ in 0..2 {
        world.event(r#"["price:SPY",{"unexpected":1}]"#);
        world.event(r#"["news",{"unexpected":1}]"#);
    }
    let records = world.logged("first frame");
    assert_eq!(records.len(), 2, "{records:?}");
    assert!(records[0].contains("channel=price") && records[1].contains("channel=news"), "{records:?}");
    assert_eq!(world.observations.channels[0].drifted.get(), 1);
    assert_eq!(world.observations.channels[0].last_event_at.get(), Some(RECEIVED_US));
}

#[test]
fn the_text_of_a_drifted_shape_is_cut_and_redacted() {
    for length in EXCERPT - TOKEN.len()..EXCERPT + 2 {
        let mut world = World::new();
        world.event(&format!(r#"["price:SPY",{{"close":"1","time":"{}{TOKEN}"}}]"#, "y".repeat(length)));
        let record = world.logged("shape drifted").join("");
        assert!(record.contains("yyy") && !record.contains("ya-"), "{length}: {record}");
        assert!(record.len() <= "shape drifted channel=price error=".len() + EXCERPT, "{record}");
    }
}

#[test]
fn an_event_for_no_target_is_received_and_filtered() {
    let mut world = World::new();
    assert!(matches!(world.take(r#"["price:AAPL",{"close":"1"}]"#), Decoded::Filtered));
    let price = &world.observations.channels[0];
    assert_eq!((price.received.get(), price.filtered.get(), price.pending()), (1, 1, 0));
}

#[test]
fn a_cancelled_trade_is_an_event_like_any_other() {
    let mut world = World::new();
    let trade = r#"{"id":"a4dc6020","underlying_symbol":"SPY","canceled":true}"#;
    let event = world.event(&format!(r#"["option_trades:SPY",{trade}]"#));
    assert_eq!(&event.payload[..], trade.as_bytes());
    assert_eq!(event.route.destinations[0].stream.as_ref(), "uw:ws:option_trades:SPY");
}

#[test]
fn a_gex_row_sets_the_cell_of_its_strike_in_its_session() {
    let mut world = World::new();
    let evening_before = 1_747_364_399_000_u64; // 2025-05-15 22:59:59 in New York
    let row = format!(r#"{{"strike":"590.5","timestamp":{evening_before}}}"#);
    assert_eq!(world.cell("gex_strike", &row), Some(("590.5".into(), session("2025-05-15"))));
    let today = session("2025-05-16");
    assert_eq!(world.cell("gex_strike", r#"{"strike":590}"#), Some(("590".into(), today)));
    assert_eq!(world.cell("gex_strike", r#"{"timestamp":1747364399000}"#), None);
    assert_eq!(world.cell("price", r#"{"strike":"1"}"#), None);
}

#[test]
fn a_row_from_the_future_belongs_to_the_session_it_was_received_in() {
    let mut world = World::new();
    for future in [RECEIVED_US / 1000 + 86_400_000, RECEIVED_US, i64::MAX.unsigned_abs()] {
        let row = format!(r#"{{"strike":"1","timestamp":{future}}}"#);
        assert_eq!(world.cell("gex_strike", &row), Some(("1".into(), session("2025-05-16"))), "{future}");
    }
}

#[test]
fn a_row_of_a_past_expiry_sets_no_cell() {
    let mut world = World::new();
    let mut cell = |expiry: &str| {
        world
            .cell("gex_strike_expiry", &format!(r#"{{"strike":"5","expiry":"{expiry}"}}"#))
            .map(|cell| cell.0)
    };
    assert_eq!(cell("2025-05-15"), None);
    assert_eq!(cell("2025-05-16").as_deref(), Some("2025-05-16:5"));
    assert_eq!(cell("2027-01-15").as_deref(), Some("2027-01-15:5"));
    assert_eq!(world.cell("gex_strike_expiry", r#"{"strike":"5"}"#), None);
}

#[test]
fn a_field_that_is_too_long_is_no_cell() {
    let mut world = World::new();
    let mut cell =
        |length: usize| world.cell("gex_strike", &format!(r#"{{"strike":"{}"}}"#, "1".repeat(length)));
    assert!(cell(MAX_FIELD).is_some());
    assert_eq!(cell(MAX_FIELD + 1), None);
}
