//! The programs of `examples/python` beside the running service, as the user `reader` of `config/redis-users.acl`, and
//! the excerpts of them in `docs/reading.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use deadpool_redis::redis::cmd;
use rustix::process::Signal;
use tempfile::TempDir;
use uw_websocket_simulator::{Rate, Simulator, SimulatorHandle, SimulatorOptions};

use crate::configured::{configured, connect_as, give, url_of};
use crate::support::python::interpreter;
use crate::support::tool::Tool;
use crate::support::{Feed, RedisServer, SOON, Service, Setup, wait_for, wait_until};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/python");
/// What follows of a stream is compared over so many events.
const EVENTS: usize = 60;
const TRADES: &str = "uw:ws:option_trades:SPY";

/// The service between a simulated feed and the Redis of `config/`.
struct Stage {
    simulator: SimulatorHandle,
    redis: RedisServer,
    _users: TempDir,
    service: Service,
}

impl Stage {
    fn begin() -> Stage {
        let options = SimulatorOptions { rate: Rate::PerSecond(500), ..SimulatorOptions::default() };
        let simulator = Simulator::start(options).unwrap();
        let (redis, users) = configured();
        // its own feed is replaced by the simulator
        let setup = Setup::new(&Feed::start(), &redis)
            .set("UNUSUAL_WHALES_WEBSOCKET_URL", &simulator.url())
            .set("REDIS_URL", &url_of(&redis, "uw"))
            .set("TARGET_SYMBOLS", "SPY");
        let service = setup.start_ready();
        Stage { simulator, redis, _users: users, service }
    }

    /// Waits until a stream has so many entries.
    fn wait_for_entries(&self, stream: &str, least: usize) {
        let mut reader = connect_as(&self.redis, "reader");
        wait_for(&format!("{stream} has {least} entries"), SOON, || {
            let length: usize = cmd("XLEN").arg(stream).query(&mut reader).unwrap();
            if length >= least { Ok(()) } else { Err(length.to_string()) }
        });
    }

    /// Waits until a hash is there.
    fn wait_for_hash(&self, key: &str) {
        let mut reader = connect_as(&self.redis, "reader");
        wait_for(&format!("{key} is there"), SOON, || {
            let hash: BTreeMap<String, String> = cmd("HGETALL").arg(key).query(&mut reader).unwrap();
            if hash.is_empty() { Err("no field".to_owned()) } else { Ok(()) }
        });
    }

    /// Starts a program in a folder that it may have worked in before.
    fn example(&self, name: &str, folder: &Path) -> Tool {
        let mut command = Command::new(interpreter());
        command.args(["-uB", &format!("{FOLDER}/{name}.py")]).current_dir(folder);
        command.env("REDIS_URL", url_of(&self.redis, "reader"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Tool::spawn(tempfile::tempdir().unwrap(), command)
    }

    /// Runs a program to its end, and returns what it printed.
    #[track_caller]
    fn output_of(&self, name: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let mut example = self.example(name, folder.path());
        assert_eq!(example.wait_for_exit(), Some(0), "{}", example.stderr());
        example.stdout()
    }

    /// The IDs of the first trades, as the service has written them.
    fn first_ids(&self, count: usize) -> Vec<String> {
        let mut reader = connect_as(&self.redis, "reader");
        let mut range = cmd("XRANGE");
        let range = range.arg(&[TRADES, "-", "+", "COUNT"]).arg(count);
        let entries: Vec<(String, Vec<String>)> = range.query(&mut reader).unwrap();
        entries.into_iter().map(|(id, _)| id).collect()
    }

    /// Waits until there are more trades than a reader has seen, and removes all but the last one.
    fn trim_beyond(&self, seen: usize) {
        self.wait_for_entries(TRADES, seen + EVENTS);
        give(&mut connect_as(&self.redis, "uw"), &format!("XTRIM {TRADES} MAXLEN 1")).unwrap();
    }

    fn end(self) {
        self.simulator.pause();
        self.service.finish();
    }
}

/// Ends a program as a crash would.
fn kill(mut example: Tool) -> Vec<String> {
    example.signal(Signal::KILL);
    assert_eq!(example.wait_for_exit(), None);
    example.stdout()
}

/// The IDs that lines begin with, each once.
fn ids_of(lines: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let ids = lines.iter().filter_map(|line| line.split(' ').next());
    ids.filter(|id| seen.insert((*id).to_owned())).map(str::to_owned).collect()
}

#[test]
fn the_newest_state_is_printed() {
    let stage = Stage::begin();
    stage.wait_for_hash("uw:ws:latest:price:SPY");
    stage.wait_for_hash("uw:ws:map:gex_strike:SPY");
    let lines = stage.output_of("newest");
    assert!(lines[0].starts_with("SPY ") && lines[0].ends_with(" s ago"), "{lines:?}");
    assert!(lines.len() > 1, "{lines:?}");
    for line in &lines[1..] {
        assert_eq!(line.split(' ').filter(|number| number.parse::<f64>().is_ok()).count(), 3, "{line}");
    }
    stage.end();
}

#[test]
fn a_reader_goes_on_where_it_stopped_and_says_what_was_trimmed() {
    let stage = Stage::begin();
    let folder = tempfile::tempdir().unwrap();
    let position = folder.path().join("follow.position");
    let mut printed = Vec::new();
    for _ in 0..2 {
        let example = stage.example("follow", folder.path());
        example.wait_for_lines(EVENTS);
        wait_until("a position is saved", SOON, || position.exists(), || example.stderr());
        printed.extend(kill(example));
    }
    // a page that was begun is read again
    let ids = ids_of(&printed);
    assert_eq!(ids, stage.first_ids(ids.len()));

    let last = fs::read_to_string(&position).unwrap();
    stage.trim_beyond(ids.len());
    let example = stage.example("follow", folder.path());
    example.wait_for_word(&format!("are missing after {last}"));
    stage.end();
}

#[test]
fn a_group_processes_every_event_and_outlives_its_stream() {
    let stage = Stage::begin();
    let folder = tempfile::tempdir().unwrap();
    let mut printed = Vec::new();
    for _ in 0..2 {
        let example = stage.example("group", folder.path());
        example.wait_for_lines(EVENTS);
        printed.extend(kill(example));
    }
    // what was not acknowledged is processed again
    let ids = ids_of(&printed);
    assert_eq!(ids, stage.first_ids(ids.len()));

    stage.trim_beyond(ids.len());
    let example = stage.example("group", folder.path());
    example.wait_for_word("are missing after ");
    let before = example.wait_for_lines(1).len();
    give(&mut connect_as(&stage.redis, "uw"), &format!("UNLINK {TRADES}")).unwrap();
    example.wait_for_word("the group has vanished and is created again");
    example.wait_for_lines(before + EVENTS);
    stage.end();
}

#[test]
fn several_streams_are_followed_with_asyncio() {
    let stage = Stage::begin();
    let folder = tempfile::tempdir().unwrap();
    let example = stage.example("follow_async", folder.path());
    for stream in ["uw:ws:price:SPY", "uw:ws:gex:SPY", "uw:ws:flow-alerts"] {
        wait_for(&format!("an event of {stream} is printed"), SOON, || {
            let lines = example.stdout();
            let is_there = lines.iter().any(|line| line.starts_with(&format!("{stream} ")));
            if is_there { Ok(()) } else { Err(format!("{lines:?} {}", example.stderr())) }
        });
    }
    stage.end();
}

#[test]
fn pandas_gets_numbers_where_the_feed_sends_text() {
    let has_pandas = Command::new(interpreter()).args(["-B", "-c", "import pandas"]).output();
    if !has_pandas.unwrap().status.success() {
        eprintln!("skipped: pandas is not installed, examples/python/frames.py is not tried");
        return;
    }
    let stage = Stage::begin();
    stage.wait_for_entries(TRADES, EVENTS);
    let lines = stage.output_of("frames");
    let after = |start: &str| lines.iter().find_map(|line| line.strip_prefix(start)).unwrap();
    let (text, number) = (after("as text: "), after("as number: "));
    assert_eq!(text.matches('.').count(), 3, "three decimals, one behind the other: {text}");
    assert!(number.parse::<f64>().is_ok(), "{number}");
    assert!(after("premium").trim_start().starts_with("float64"), "{lines:?}");
    assert!(after("executed_at").contains("UTC"), "{lines:?}");
    stage.end();
}

#[test]
fn gaps_are_printed() {
    let stage = Stage::begin();
    stage.simulator.cut_all();
    stage.wait_for_entries("uw:ws:gaps", 1);
    let lines = stage.output_of("gaps");
    let is_gap = |line: &String| line.contains(" disconnect 20") && line.ends_with("events: unknown");
    assert!(!lines.is_empty() && lines.iter().all(is_gap), "{lines:?}");
    stage.service.wait_until_ready();
    stage.end();
}

/// The row that REST has of a trade.
fn rest_row(payload: &str) -> serde_json::Value {
    let mut row: serde_json::Value = serde_json::from_str(payload).unwrap();
    let at = jiff::Timestamp::from_millisecond(row["executed_at"].as_i64().unwrap()).unwrap();
    row["executed_at"] = at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string().into();
    row["option_chain_id"] = row.as_object_mut().unwrap().remove("option_symbol").unwrap();
    row
}

#[test]
fn live_and_fetched_trades_become_one_sequence_with_each_once() {
    let stage = Stage::begin();
    stage.wait_for_entries(TRADES, 2 * EVENTS);
    stage.simulator.pause();
    wait_until("all trades are stored", SOON, || stage.simulator.is_written(), String::new);
    let mut writer = connect_as(&stage.redis, "uw");
    let entries: Vec<(String, BTreeMap<String, String>)> =
        cmd("XRANGE").arg(&[TRADES, "-", "+"]).arg("COUNT").arg(2 * EVENTS).query(&mut writer).unwrap();
    let backfill = "uw:ws:backfill:option_trades:SPY";
    for (number, (_, fields)) in entries.iter().enumerate().filter(|(number, _)| number % 2 == 0) {
        // every other row is known live, the others come between them; later ones are fetched first
        let mut row = rest_row(&fields["payload"]);
        if number % 4 == 0 {
            row["id"] = format!("fetched-{number:04}").into();
        }
        let fetched = ["gap", "1-1", "source", "option-trades", "payload"];
        let _: String =
            cmd("XADD").arg(backfill).arg("*").arg(&fetched).arg(row.to_string()).query(&mut writer).unwrap();
    }
    let lines = stage.output_of("merge");
    let ids: Vec<&str> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
    let live: usize = cmd("XLEN").arg(TRADES).query(&mut writer).unwrap();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "an id is there twice");
    assert_eq!(ids.iter().filter(|id| id.starts_with("fetched-")).count(), EVENTS / 2);
    assert_eq!(ids.len(), live + EVENTS / 2);
    let times: Vec<u64> = lines.iter().map(|line| line.split(' ').nth(1).unwrap().parse().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    stage.end();
}

/// The blocks of Python in a document, each with the file that the line above names.
fn excerpts(document: &str) -> Vec<(&str, &str)> {
    let blocks = document.split("\n```python\n").collect::<Vec<_>>();
    let pairs = blocks.windows(2).map(|pair| {
        let named = pair[0].lines().next_back().unwrap();
        let file = named.strip_prefix("<!-- examples/python/").and_then(|rest| rest.strip_suffix(" -->"));
        let file = file.unwrap_or_else(|| panic!("`{named}` stands above a block of Python"));
        (file, pair[1].split_once("```").unwrap().0)
    });
    pairs.collect()
}

#[test]
fn the_document_shows_the_programs_as_they_are() {
    let document = fs::read_to_string(Path::new(FOLDER).join("../../docs/reading.md")).unwrap();
    let excerpts = excerpts(&document);
    for (file, block) in &excerpts {
        let program = fs::read_to_string(Path::new(FOLDER).join(file)).unwrap();
        assert!(program.contains(&format!("\n{block}")) || program.starts_with(block), "{file}:\n{block}");
    }
    for entry in fs::read_dir(FOLDER).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(excerpts.iter().any(|(file, _)| *file == name), "{name} is not shown");
    }
}
