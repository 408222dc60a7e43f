use super::*;
use uw_websocket_core::fixtures::{self, plan};

const HOUR: Duration = Duration::from_secs(3_600);

/// Event streams alone, with one cap.
fn keys(maxlen: u64) -> KeySettings {
    KeySettings { maxlen: Some(maxlen), snapshots: false, ..fixtures::keys() }
}

fn forecast(channels: &[&str], targets: &str, keys: &KeySettings, retention: Retention) -> Forecast {
    Forecast::new(&plan(channels, targets), keys, retention, &Measured::default())
}

/// The bytes of one channel.
fn bytes(channel: &str, targets: &str, keys: &KeySettings, retention: Retention) -> Option<u64> {
    forecast(&[channel], targets, keys, retention).channels[0].bytes
}

#[test]
fn a_capped_channel_comes_to_cap_times_streams_times_bytes() {
    let day = Retention::Sessions(1);
    assert_eq!(bytes("option_trades", "SPY,QQQ,IWM", &keys(1_000), day), Some(1_000 * 3 * 1_030));
    assert_eq!(bytes("news", "SPY,QQQ,IWM", &keys(1_000), day), Some(1_000 * 4 * 260), "and the full stream");
    assert_eq!(bytes("option_trades:SPXW", "SPY", &keys(1_000), day), Some(1_000 * 1_030));
    assert_eq!(bytes("lit_trades", "SPY", &keys(1_000), day), Some(1_000 * 2 * UNKNOWN_BYTES));
    let both = &forecast(&["price", "price:SPXW"], "SPY", &keys(10), day).channels;
    assert_eq!((both.len(), both[0].streams, both[0].stream_bytes), (1, 2, Some(920)));
}

#[test]
fn an_uncapped_channel_comes_to_what_the_age_limit_keeps() {
    for (retention, half_hours) in [
        (Retention::Sessions(1), 2 * 13),
        (Retention::Sessions(30), 31 * 13),
        (Retention::Span(2 * HOUR), 4),
        (Retention::Span(12 * HOUR), 13),
        (Retention::Span(24 * HOUR), 13),
        (Retention::Span(26 * HOUR), 13 + 4),
    ] {
        let trades = Some(80 * 2 * half_hours * 1_800 * 1_030);
        assert_eq!(bytes("option_trades", "SPY,QQQ", &keys(0), retention), trades, "{retention:?}");
    }
}

#[test]
fn the_symbols_of_a_global_channel_have_its_events_once_more_together() {
    let alerts = bytes("flow-alerts", "SPY,QQQ,IWM", &keys(0), Retention::Span(HOUR));
    assert_eq!(alerts, Some(2 * 3_600 * 2 * 2_100));
}

#[test]
fn without_a_cap_and_a_limit_there_is_no_bound() {
    let forecast = forecast(&["price", "news"], "SPY", &keys(0), Retention::Off);
    assert_eq!((forecast.bytes, forecast.is_bounded), (0, false));
    assert_eq!(forecast.channels[0].stream_bytes, None);
    assert_eq!(bytes("lit_trades", "SPY", &keys(0), Retention::Sessions(1)), None, "nobody knows its rate");
}

#[test]
fn boards_are_large_and_of_some_tickers() {
    let default = KeySettings { snapshots: true, ..fixtures::keys() };
    let forecast =
        |targets| forecast(&["periscope"], targets, &default, Retention::Sessions(1)).channels[0].clone();
    let one = forecast("SPY,SPX");
    // 500 frames of 100 KB, the newest, and the board's 17
    assert_eq!((one.streams, one.cap, one.bytes), (1, 500, Some((500 + 1 + 17) * 100_000)));
    assert_eq!(forecast("*").streams, 4);
}

#[test]
fn the_whole_market_counts_as_some_hundred_full_streams() {
    let forecast = forecast(&["price"], "*", &keys(1_000), Retention::Off);
    let price = &forecast.channels[0];
    assert!(forecast.is_market);
    assert_eq!((price.streams, price.stream_bytes), (MARKET_SYMBOLS, Some(92_000)));
    assert_eq!(price.bytes, Some(MARKET_SYMBOLS * 92_000));
    let uncapped = bytes("option_trades", "*", &keys(0), Retention::Span(HOUR));
    assert_eq!(uncapped, Some(6 * 80 * 3_600 * 1_030));
}

#[test]
fn a_cap_lasts_for_hours_at_the_rate_of_the_busiest_ticker() {
    let hours =
        |channel: &str, cap| forecast(&[channel], "SPY", &keys(cap), Retention::Off).channels[0].cap_hours;
    assert_eq!(hours("option_trades", 288_000), Some(1.0));
    assert_eq!(hours("option_trades", 0), None);
    assert_eq!(hours("lit_trades", 1_000), None);
}

#[test]
fn hashes_count_as_entries_and_streams_that_are_off_do_not() {
    let both = KeySettings { snapshots: true, ..keys(1_000) };
    let hashes = KeySettings { streams: false, ..both.clone() };
    assert_eq!(bytes("gex_strike", "SPY", &both, Retention::Off), Some((1_000 + 401) * 1_030));
    assert_eq!(bytes("gex_strike", "SPY", &hashes, Retention::Off), Some(401 * 1_030));
    assert_eq!(forecast(&["price"], "SPY", &hashes, Retention::Off).channels[0].cap_hours, None);
}

#[test]
fn bytes_that_were_measured_count_more_than_usual_ones() {
    let mut measured = Measured::default();
    measured.note(Channel::parse("price").unwrap(), 10_000, 500 * 10_000);
    measured.note(Channel::parse("gex").unwrap(), 10, 10_000_000);
    let plan = plan(&["price", "gex"], "SPY");
    let forecast = Forecast::new(&plan, &keys(100), Retention::Off, &measured);
    let [price, gex] = &forecast.channels[..] else { panic!("two channels") };
    assert_eq!((price.entry_bytes, price.is_measured), (500, true));
    assert_eq!((gex.entry_bytes, gex.is_measured), (690, false), "of too few entries");
    assert_eq!(forecast.bytes, 100 * (500 + 690));
}

#[test]
fn absurd_settings_are_survived() {
    let forecast = forecast(&["price"], "*", &keys(u64::MAX), Retention::Span(Duration::MAX));
    assert_eq!(forecast.bytes, u64::MAX);
    assert_eq!(bytes("price", "SPY", &keys(0), Retention::Sessions(usize::MAX)), None);
    assert_eq!(bytes("price", "SPY", &keys(0), Retention::Span(Duration::MAX)), None);
}

#[test]
fn each_node_of_a_cluster_has_the_streams_of_its_slots() {
    use uw_websocket_core::slots::slot_of;

    use super::nodes::bytes_of_nodes;
    use crate::writer::store::resp::{Bound, parse};

    let price = Channel::parse("price").unwrap();
    let slots = ["SPY", "QQQ", "IWM"].map(|symbol| slot_of(format!("uw:ws:price:{symbol}").as_bytes()));
    // one node has the slot of SPY alone
    let node = |port: u16| format!("*2\r\n$1\r\nh\r\n:{port}\r\n");
    let range = |first: u16, last: u16, port| format!("*3\r\n:{first}\r\n:{last}\r\n{}", node(port));
    let wire = format!(
        "*3\r\n{}{}{}",
        range(0, slots[0] - 1, 1),
        range(slots[0], slots[0], 2),
        range(slots[0] + 1, 16_383, 1)
    );
    let reply = parse(wire.as_bytes(), Bound { bytes: 4096, items: 64 }).unwrap().unwrap().0;
    let map = SlotMap::of(&reply, "h").unwrap();
    let channels = [(&price, Some(3_000), Some(1_000))];
    let nodes = |of_first, of_second| BTreeMap::from([("h:1".into(), of_first), ("h:2".into(), of_second)]);
    let of_three = bytes_of_nodes(&channels, &plan(&["price"], "SPY,QQQ,IWM"), "uw", &map);
    assert_eq!(of_three, nodes(2_000, 1_000));
    assert_eq!(bytes_of_nodes(&channels, &plan(&["price"], "SPY"), "uw", &map), nodes(0, 1_000));
    let market = [(&price, Some(16_384_000), None)];
    assert_eq!(bytes_of_nodes(&market, &plan(&["price"], "*"), "uw", &map), nodes(16_383_000, 1_000));
}
