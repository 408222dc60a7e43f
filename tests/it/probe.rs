//! `uw-websocket probe`: what it records, what it learns, and that it asks before.

use std::fs::{self, File};
use std::io::BufReader;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use uw_websocket::event_lines::{EventLine, NumberedLines};
use uw_websocket_core::settings::Secret;
use uw_websocket_simulator::{AboveLimit, Rate, RestOptions, Simulator, SimulatorHandle, SimulatorOptions};

use crate::support::service::TOKEN;
use crate::support::{Feed, RedisServer, Setup};

fn vendor(rest: RestOptions) -> (SimulatorHandle, Setup) {
    let options = SimulatorOptions {
        token: Some(Secret::new(TOKEN.to_owned())),
        rate: Rate::PerSecond(200),
        rest: Some(rest),
        ..SimulatorOptions::default()
    };
    let simulator = Simulator::start(options).unwrap();
    let setup = Setup::new(&Feed::start(), &RedisServer::start())
        .set("UNUSUAL_WHALES_WEBSOCKET_URL", &simulator.url())
        .set("UNUSUAL_WHALES_REST_URL", &simulator.rest_url());
    (simulator, setup)
}

#[track_caller]
fn assert_says(report: &str, texts: &[&str]) {
    for text in texts {
        let is_there = report.lines().any(|line| text.split(" … ").all(|part| line.contains(part)));
        assert!(is_there, "no `{text}` in\n{report}");
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// All files of a recording.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    files.into_iter().chain(folders.iter().flat_map(|folder| self::files(folder))).collect()
}

#[test]
fn what_came_is_recorded_for_the_simulator_and_the_open_questions_are_answered() {
    let (simulator, setup) = vendor(RestOptions::default());
    let args =
        ["probe", "--yes", "--for", "4s", "--into", "rec", "option_trades:SPY", "flow-alerts", "no_such:SPY"];
    let (code, report) = setup.command(&args);
    assert_eq!(code, Some(0));
    assert_says(
        &report,
        &[
            "handshake … accepted after",
            "join option_trades:SPY … {\"response\":{},\"status\":\"ok\"}",
            "answered again … ",
            "option_trades:SPY … events of … the first after",
            "our pings … answered after ms [",
            "option-trades … newest first … with `id`",
            "option-trades newer_than … the row's time as it is: the row is there",
            "option-trades older_than … its milliseconds: the row is not there",
            "option-trades older_than … a millisecond later: the row is there",
            "option-trades limit … of 501 asked for",
            "socket and REST … of option_trades:SPY … REST lacks 0, the socket 0",
            "content encoding … none",
            "usage headers … 0 answers",
        ],
    );
    let folder = setup.folder().join("rec");
    assert_eq!((mode(&folder), mode(&folder.join("rest"))), (0o700, 0o700));
    for file in files(&folder) {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
        assert!(!fs::read_to_string(&file).unwrap().contains(TOKEN), "{}", file.display());
    }
    let frames = NumberedLines::new(BufReader::new(File::open(folder.join("frames.jsonl")).unwrap()));
    let events = frames.filter(|line| matches!(line.as_ref().unwrap(), EventLine::Event(..))).count();
    assert!(events > 50, "{events}");
    assert!(fs::read_to_string(folder.join("timeline.jsonl")).unwrap().contains("\"what\":\"join\""));
    assert_eq!(fs::read_to_string(folder.join("report.txt")).unwrap().trim(), report.trim());
    let body = fs::read_to_string(folder.join("rest/01-option-trades.body")).unwrap();
    assert!(body.starts_with("{\"data\":[{"), "{body}");
    let head = fs::read_to_string(folder.join("rest/01-option-trades.head")).unwrap();
    assert!(
        head.starts_with("GET /api/option-trades?") && head.contains("x-uw-daily-req-count: 1"),
        "{head}"
    );
    assert_eq!(simulator.handshakes(), 1);
}

#[test]
fn another_vendor_gives_other_answers() {
    let rest = RestOptions {
        newer_than_is_inclusive: false,
        above_limit: AboveLimit::Refuse,
        ..RestOptions::default()
    };
    let (_simulator, setup) = vendor(rest);
    let (code, report) = setup.command(&["probe", "-y", "--for", "3s", "option_trades:SPY"]);
    assert_eq!(code, Some(0));
    assert_says(
        &report,
        &[
            "option-trades newer_than … the row's time as it is: the row is not there",
            "status 422 for our request",
        ],
    );
}

#[test]
fn without_a_person_it_needs_to_be_told_yes_and_without_the_feed_no_socket_is_opened() {
    let (simulator, setup) = vendor(RestOptions::default());
    let (code, _, stderr) = setup.output(&["probe"]);
    assert_eq!(code, Some(64));
    assert!(stderr.contains("may feed one socket per token only") && stderr.contains("--yes"), "{stderr}");
    let (code, report) = setup.command(&["probe", "--yes", "--no-feed", "--into", "a/b", "news"]);
    assert_eq!((code, simulator.handshakes()), (Some(0), 0));
    assert_says(&report, &["news/headlines … rows of 100 asked for"]);
    assert_eq!(setup.command(&["probe", "--yes", "--into", "a/b"]).0, Some(1), "it exists");
    let (code, _) =
        setup.set("UNUSUAL_WHALES_API_TOKEN", "another-token").command(&["probe", "--yes", "--no-rest"]);
    assert_eq!(code, Some(77));
}
