//! Boards that come in several frames.

use std::collections::BTreeMap;

use crate::support::{Feed, RedisServer, SOON, Setup, wait_for};

const MAP: &str = "uw:ws:map:periscope:SPX";
const LATEST: &str = "uw:ws:latest:periscope:SPX";
const AT_MS: u64 = 1_796_072_400_000;

/// A frame of a board of two rows per frame.
fn frame(board: u64, total: u64, frame: u64) -> String {
    let row =
        |strike| format!(r#"{{"strike":"{strike}","expiry":"2026-12-18","gamma":{board}.5,"charm":-0.3}}"#);
    format!(
        r#"{{"ticker":"SPX","timestamp":{},"total_rows":{total},"has_more":{},"rows":[{}, {}]}}"#,
        AT_MS + board,
        2 * (frame + 1) < total,
        row(2 * frame),
        row(2 * frame + 1)
    )
}

fn map(redis: &RedisServer) -> BTreeMap<String, String> {
    redis.command(&["HGETALL", MAP])
}

#[track_caller]
fn wait_for_latest(redis: &RedisServer, frame: &str) {
    wait_for("the frame is the newest", SOON, || {
        let newest = redis.command::<Option<String>>(&["HGET", LATEST, "payload"]);
        if newest.as_deref() == Some(frame) { Ok(()) } else { Err(format!("{newest:?}")) }
    });
}

#[track_caller]
fn wait_for_board(redis: &RedisServer, board: u64, rows: usize) -> BTreeMap<String, String> {
    wait_for("the board is in its map", SOON, || {
        let map = map(redis);
        let is_of_board = |row: &String| row.contains(&format!(r#""gamma":{board}.5"#));
        if map.len() == rows && map.values().all(is_of_board) { Ok(map) } else { Err(format!("{map:?}")) }
    })
}

#[test]
fn a_board_in_pieces_is_shown_when_it_is_complete_and_never_a_part_of_it() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis).set("CHANNELS", "periscope").set("TARGET_SYMBOLS", "SPX");
    let setup = setup.set("SPOOL_KEEP", "5m");
    let service = setup.clone().start_ready();
    feed.send("periscope:SPX", &frame(1, 6, 0));
    feed.send("periscope:SPX", &frame(1, 6, 1));
    service.wait_for_metric("uw_ws_events_stored_total", &[], 2);
    service.wait_until_settled();
    assert_eq!(redis.command::<u64>(&["EXISTS", MAP, LATEST]), 0, "nothing of a fragment");
    let last = frame(1, 6, 2);
    feed.send("periscope:SPX", &last);
    let shown = wait_for_board(&redis, 1, 6);
    assert_eq!(shown["2026-12-18:5"], r#"{"strike":"5","expiry":"2026-12-18","gamma":1.5,"charm":-0.3}"#);
    wait_for_latest(&redis, &last);

    // a smaller board takes its place as a whole; the beginning of the next one does not
    feed.send("periscope:SPX", &frame(2, 4, 0));
    feed.send("periscope:SPX", &frame(2, 4, 1));
    wait_for_board(&redis, 2, 4);
    feed.send("periscope:SPX", &frame(3, 4, 0));
    service.wait_for_metric("uw_ws_events_stored_total", &[], 6);
    service.wait_until_settled();
    wait_for_board(&redis, 2, 4);
    wait_for_latest(&redis, &frame(2, 4, 1));
    assert_eq!(redis.command::<u64>(&["XLEN", "uw:ws:periscope:SPX"]), 6);
    service.finish();

    // the next process finds the first part of the board in its disk queue
    let service = setup.start_ready();
    feed.send("periscope:SPX", &frame(3, 4, 1));
    wait_for_board(&redis, 3, 4);
    service.finish();
}

#[test]
fn implied_volatilities_have_a_map_of_the_newest_statements() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service =
        Setup::new(&feed, &redis).set("CHANNELS", "interpolated_iv,iv_term_structure").start_ready();
    let by_days = |days: u32, volatility: &str| {
        format!(r#"{{"ticker":"SPY","date":"2026-11-30","days":{days},"volatility":{volatility}}}"#)
    };
    let by_expiry = |expiry: &str, volatility: &str| {
        format!(r#"{{"ticker":"SPY","date":"2026-11-30","expiry":"{expiry}","volatility":{volatility}}}"#)
    };
    for payload in [by_days(30, "0.21"), by_days(60, "0.25"), by_days(30, "0.22"), by_days(30, "0.21")] {
        feed.send("interpolated_iv:SPY", &payload);
    }
    feed.send("iv_term_structure:SPY", &by_expiry("2099-12-18", "0.21"));
    feed.send("iv_term_structure:SPY", &by_expiry("2020-12-18", "0.21"));
    let becomes = |channel: &str, expected: BTreeMap<String, String>| {
        wait_for(&format!("the map of {channel}"), SOON, || {
            let map: BTreeMap<String, String> =
                redis.command(&["HGETALL", &format!("uw:ws:map:{channel}:SPY")]);
            if map == expected { Ok(()) } else { Err(format!("{map:?}")) }
        });
    };
    service.wait_for_metric("uw_ws_events_stored_total", &[], 6);
    let newest = [("30".to_owned(), by_days(30, "0.21")), ("60".to_owned(), by_days(60, "0.25"))];
    becomes("interpolated_iv", BTreeMap::from(newest));
    // an expiry that is past has no field
    let newest = [("2099-12-18".to_owned(), by_expiry("2099-12-18", "0.21"))];
    becomes("iv_term_structure", BTreeMap::from(newest));
    service.finish();
}
