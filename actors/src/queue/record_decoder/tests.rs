use bytes::Bytes;
use uw_websocket_core::event::EntryId;

use super::*;
use crate::fixtures::observations;
use uw_websocket_core::fixtures::{RECEIVED_US, keys};

const SIZE: TransactionSize = TransactionSize { events: 3, weight: 100 };

fn decoder() -> RecordDecoder {
    RecordDecoder::new(
        keys(),
        4,
        SIZE,
        observations(&["price", "news", "gex_strike", "gex_strike_expiry"], 5),
    )
}

/// A record for these symbols; an empty one means the full stream.
fn record(seq: u64, channel: &str, symbols: &[&str], payload: &str) -> Record {
    let destination =
        |(symbol, nth): (&&str, u64)| (Symbol::parse(symbol).ok(), EntryId { ms: 1000 + seq, seq: nth });
    Record {
        seq,
        received_us: RECEIVED_US,
        channel: channel.into(),
        destinations: symbols.iter().zip(0..).map(destination).collect(),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
    }
}

/// Returns the record numbers of each batch.
fn batches(records: Vec<Record>) -> Vec<Vec<u64>> {
    let batches = decoder().batches(records);
    let seqs = |(first, batch): &(u64, EventBatch)| {
        // the IDs identify the records
        let seqs: Vec<u64> = batch.events().iter().map(|event| event.ids.get(0).ms - 1000).collect();
        assert_eq!(seqs.first(), Some(first));
        seqs
    };
    batches.iter().map(seqs).collect()
}

fn prices(seqs: impl IntoIterator<Item = u64>) -> Vec<Record> {
    seqs.into_iter().map(|seq| record(seq, "price", &["SPY"], "{}")).collect()
}

#[test]
fn an_event_comes_back_with_its_outlets_and_ids_for_this_shard() {
    let mut decoder = decoder();
    let event = decoder.event(record(7, "news", &["", "SPY"], "{\"a\":1}")).unwrap();
    let streams: Vec<&str> =
        event.route.destinations.iter().map(|destination| &*destination.stream).collect();
    assert_eq!(streams, ["uw:ws:news", "uw:ws:news:SPY"]);
    assert_eq!((event.route.channel, event.route.shard), (ChannelIndex(1), 4));
    assert_eq!(event.ids.as_slice(), [EntryId { ms: 1007, seq: 0 }, EntryId { ms: 1007, seq: 1 }]);
    assert_eq!((&event.payload[..], event.received_us), (&b"{\"a\":1}"[..], RECEIVED_US));
    assert!(event.cell.is_none());
}

#[test]
fn streams_have_the_caps_and_prefix_of_today() {
    let keys = KeySettings { prefix: "desk".into(), maxlen: Some(17), ..keys() };
    let mut decoder = RecordDecoder::new(keys, 0, SIZE, observations(&["price"], 1));
    let event = decoder.event(record(0, "price", &["SPY"], "{}")).unwrap();
    let destination = &event.route.destinations[0];
    assert_eq!(
        (&*destination.stream, &*destination.latest),
        ("desk:ws:price:SPY", "desk:ws:latest:price:SPY")
    );
    assert_eq!(destination.maxlen, 17);
}

#[test]
fn events_with_the_same_outlets_share_a_route() {
    let mut decoder = decoder();
    let mut route =
        |channel: &str, symbols: &[&str]| decoder.event(record(0, channel, symbols, "{}")).unwrap().route;
    let spy = route("price", &["SPY"]);
    assert!(Arc::ptr_eq(&spy, &route("price", &["SPY"])));
    assert!(!Arc::ptr_eq(&spy, &route("price", &["QQQ"])));
    assert!(!Arc::ptr_eq(&spy, &route("gex_strike", &["SPY"])));
    assert!(!Arc::ptr_eq(&route("news", &["AB", "C"]), &route("news", &["A", "BC"])));
    let full = route("news", &[""]);
    assert!(!Arc::ptr_eq(&full, &route("news", &["", "SPY"])));
    assert_eq!(full.destinations[0].symbol, None);
}

#[test]
fn routes_are_remembered_within_a_bound() {
    let mut decoder = decoder();
    for number in 0..=decoder.max_routes {
        decoder.event(record(0, "price", &[&format!("S{number}")], "{}")).unwrap();
    }
    assert_eq!((decoder.routes.len(), decoder.take_forgotten()), (1, decoder.max_routes as u64));
    decoder.event(record(0, "news", &["", "SPY", "QQQ"], "{}")).unwrap();
    assert_eq!(decoder.routes.len(), 1, "combinations of symbols are without end");
}

#[test]
fn a_gex_row_sets_its_cell_as_when_it_came() {
    let mut decoder = decoder();
    let mut cell = |channel: &str, payload: &str| {
        let cell = decoder.event(record(0, channel, &["SPY"], payload)).unwrap().cell;
        cell.map(|cell| (cell.field.into_string(), cell.session))
    };
    let session = uw_websocket_core::calendar::day_of("2025-05-16").unwrap();
    assert_eq!(cell("gex_strike", r#"{"strike":"600"}"#), Some(("600".into(), session)));
    let row = r#"{"strike":"600","expiry":"2025-06-20"}"#;
    assert_eq!(cell("gex_strike_expiry", row), Some(("2025-06-20:600".into(), session)));
    assert_eq!(cell("gex_strike", "no json"), None);
    assert_eq!(cell("price", r#"{"strike":"600"}"#), None);
}

#[test]
fn records_of_a_channel_that_nobody_counts_are_left_out() {
    let mut records = prices(0..2);
    records.insert(1, record(9, "lit_trades", &["SPY"], "{}"));
    assert_eq!(batches(records), [[0, 1]]);
    assert_eq!(batches(vec![record(0, "no channel", &[""], "{}")]), Vec::<Vec<u64>>::new());
}

#[test]
fn batches_are_as_large_as_transactions() {
    assert_eq!(batches(prices(0..8)), [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7]]);
    let heavy = (0..3).map(|seq| record(seq, "price", &["SPY"], &"x".repeat(100))).collect();
    assert_eq!(batches(heavy), [[0], [1], [2]]);
}

#[test]
fn a_hole_in_the_numbers_begins_a_batch() {
    assert_eq!(batches(prices([0, 1, 3, 4, 9])), [vec![0, 1], vec![3, 4], vec![9]]);
}
