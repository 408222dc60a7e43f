//! The examples of REST bodies in `docs/snapshots.md` are what the code makes of them.
#![cfg(test)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use uw_websocket_core::event::BodyEndpoint;
use uw_websocket_core::event::EntryId;
use uw_websocket_core::snapshots::{Receipt, RestBody};

const BEGIN: &str = "<!-- bodies -->\n";
const END: &str = "<!-- /bodies -->";

struct Example {
    channel: &'static str,
    endpoint: BodyEndpoint,
    says: &'static str,
    before: &'static str,
    fetched_at: &'static str,
    event: &'static str,
    received_us: u64,
}

/// Shortened: REST has some ten to thirty fields a row.
const EXAMPLES: [Example; 4] = [
    Example {
        channel: "flow-alerts",
        endpoint: BodyEndpoint::FlowAlerts,
        says: "the alert is translated and put first",
        before: r#"{"data":[{"type":"put","ticker":"SPY","created_at":"2025-10-03T18:13:07.102593Z","price":"0.3","strike":"669","option_chain":"SPY251003P00669000","total_size":3500,"total_premium":"103373","iv_start":"0.0059"}]}"#,
        fetched_at: "2025-10-03T18:14:50.515417+00:00",
        event: r#"{"rule_name":"RepeatedHits","ticker":"SPY","option_chain":"SPY251003C00670500","total_size":50.0,"total_premium":36466.0,"price":7.3,"executed_at":1759515302748,"id":"29ed5829"}"#,
        received_us: 1_759_515_308_104_220,
    },
    Example {
        channel: "price",
        endpoint: BodyEndpoint::StockState,
        says: "the price replaces three fields, moves `volume` along and widens `high` or `low`",
        before: r#"{"data":{"close":"669.5999","high":"669.94","low":"668.6","open":"669.25","volume":6301169,"market_time":"regular","tape_time":"2025-10-03T18:14:43Z","total_volume":70492555,"prev_close":"669.21"}}"#,
        fetched_at: "2025-10-03T18:14:50.515417+00:00",
        event: r#"{"close":"670.10","time":1759515302692,"vol":70492600}"#,
        received_us: 1_759_515_302_731_544,
    },
    Example {
        channel: "gex",
        endpoint: BodyEndpoint::SpotExposures,
        says: "the row is appended to the session's series",
        before: r#"{"data":[{"time":"2025-10-03T18:14:00.000000Z","ticker":"SPY","price":"671.15","gamma_per_one_percent_move_oi":"-318084164.09"}]}"#,
        fetched_at: "2025-10-03T18:14:50.515417+00:00",
        event: r#"{"ticker":"SPY","timestamp":1759515302000,"price":"671.20","gamma_per_one_percent_move_oi":"-262444980.31","delta_per_one_percent_move_oi":""}"#,
        received_us: 1_759_515_302_100_000,
    },
    Example {
        channel: "gex_strike",
        endpoint: BodyEndpoint::SpotExposuresStrike,
        says: "the row of its strike is replaced; what the feed does not carry stays for ten minutes",
        before: r#"{"data":[{"ticker":"SPY","date":"2025-10-03","time":"2025-10-03T18:14:50.000000Z","strike":"510","call_gamma_oi":"4357422.04","call_gamma_ask":"-2223.18","call_delta_oi":"12.5"}]}"#,
        fetched_at: "2025-10-03T18:14:50.515417+00:00",
        event: r#"{"ticker":"SPY","timestamp":1759515302000,"strike":"510.0000000000","call_gamma_oi":"4361000.10","call_gamma_ask_vol":"-4064.62"}"#,
        received_us: 1_759_515_302_100_000,
    },
];

fn section(example: &Example) -> String {
    let mut body = RestBody::new(example.endpoint, "SPY", true);
    body.found_at(i64::MAX, "SPY", Some((example.before, example.fetched_at))).unwrap();
    body.add(example.event, Receipt::new(example.received_us, EntryId::default())).unwrap();
    let after = body.wanted().unwrap();
    let lines = |payload: &str| payload.replace("},{", "},\n {");
    let mut section = format!("`{}`: {}.\n\n```text\n", example.channel, example.says);
    writeln!(section, "REST   {}\n{}", example.fetched_at, lines(example.before)).unwrap();
    writeln!(section, "event\n{}", example.event).unwrap();
    writeln!(section, "then   {}\n{}\n```\n", after.fetched_at, lines(&after.payload)).unwrap();
    section
}

#[test]
fn the_documentation_shows_what_becomes_of_rest_bodies() {
    let examples: String = EXAMPLES.iter().map(section).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/snapshots.md");
    let document = fs::read_to_string(&path).unwrap();
    let (before, rest) = document.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{examples}{END}{after}")).unwrap();
    } else {
        assert_eq!(shown, examples, "UPDATE_DOCS=1 cargo test --test rest_bodies rewrites it");
    }
}
