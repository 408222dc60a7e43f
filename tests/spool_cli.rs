//! `uw-websocket spool` from the outside, on folders that the queue itself wrote.
#![cfg(test)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use uw_websocket::event_lines::{EventLine, NumberedLines};
use uw_websocket_core::event::EntryId;
use uw_websocket_core::spool::{Limits, Records, ShardFolder, Spool, SpoolLock};

const LIMITS: Limits = Limits {
    segment_bytes: 1,
    segment_age: Duration::from_secs(60),
    max_bytes: 1 << 30,
    durable: false,
    max_streams: 1_000,
};

/// A spool folder with one shard: three events of `price`, then two of `news`; the first is acknowledged.
struct Queue {
    root: TempDir,
    spool: Spool,
    _lock: SpoolLock,
}

impl Queue {
    fn new() -> Queue {
        let root = tempfile::tempdir().unwrap();
        let now = Instant::now();
        let lock = SpoolLock::acquire(&root.path().join("data/spool")).unwrap();
        let folder = ShardFolder::new(&root.path().join("data/spool"), 0, 2);
        let (spool, _) = Spool::open(&folder.path, LIMITS, now).unwrap();
        let mut queue = Queue { root, spool, _lock: lock };
        queue.append("price", &["{\"a\": 1}", "{\"a\":2}", "{\"a\":3}"]);
        queue.append("news", &["{\"headline\":\"one\"}", "no json"]);
        queue.spool.acknowledge(1, &[], now).unwrap();
        queue.spool.persist_cursor().unwrap();
        queue
    }

    fn append(&mut self, channel: &str, payloads: &[&str]) {
        let mut records = Records::new();
        records.clear(self.spool.next_seq());
        for payload in payloads {
            let us = 1_767_323_045_000_006 + records.next_seq();
            let id = EntryId { ms: us / 1000, seq: records.next_seq() };
            let destinations = [(None, id), (Some("SPY"), id)].into_iter();
            records.push(channel, us, destinations, payload.as_bytes()).unwrap();
        }
        self.spool.append(&records, Instant::now()).unwrap();
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join("data/spool")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_uw-websocket"));
        command.arg("spool").args(args).env_clear().current_dir(self.root.path()).stdin(Stdio::null());
        command
    }

    /// Exit code, stdout, stderr.
    fn run(&self, args: &[&str]) -> (i32, String, String) {
        outcome(self.command(args).output().unwrap())
    }

    /// Every file and its content.
    fn snapshot(&self) -> Vec<(PathBuf, Vec<u8>)> {
        fn walk(folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, files);
                } else {
                    files.push((path.clone(), fs::read(&path).unwrap()));
                }
            }
        }
        let mut files = Vec::new();
        walk(self.root.path(), &mut files);
        files.sort();
        files
    }
}

fn outcome(Output { status, stdout, stderr }: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().expect("ended by itself"), text(stdout), text(stderr))
}

#[test]
fn help_has_examples_and_a_wrong_line_is_64() {
    let queue = Queue::new();
    for args in [&["--help"][..], &["inspect", "--help"], &["verify", "--help"], &["export", "--help"]] {
        let (code, stdout, stderr) = queue.run(args);
        assert_eq!((code, stderr.as_str()), (0, ""), "{args:?}");
        assert!(stdout.contains("Example"), "{args:?}: {stdout}");
    }
    assert_eq!(queue.run(&["fly"]).0, 64);
}

#[test]
fn inspect_tells_what_there_is_while_the_service_has_the_lock() {
    let queue = Queue::new();
    let shard = queue.dir().join("shard-0-of-2");
    fs::create_dir(shard.join("aside")).unwrap();
    fs::write(shard.join("aside/x.bad"), "1234").unwrap();
    let line = |n| format!("{{\"reason\":\"wrongtype\",\"at\":\"day {n}\"}}\n");
    let lines = (0..7).map(line).collect::<Vec<_>>().concat();
    fs::write(queue.dir().join("quarantine.jsonl"), lines + "half").unwrap();
    let before = queue.snapshot();
    let (code, stdout, stderr) = queue.run(&["inspect"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(queue.snapshot(), before, "nothing is changed");
    for line in [
        "shard 0 of 2: data/spool/shard-0-of-2",
        "  events          5, of which 4 unacknowledged; numbers 0 to below 5",
        "  received        2026-01-02T03:04:05.000006+00:00 to 2026-01-02T03:04:05.000010+00:00",
        "  news            2, of which 2 unacknowledged",
        "  price           3, of which 2 unacknowledged",
        "  set aside       x.bad, 4 bytes",
        "data/spool/quarantine.jsonl: 8 lines; the last:",
        "  day 6 wrongtype",
        "  not a JSON object",
    ] {
        assert!(stdout.lines().any(|shown| shown == line), "{line}\n{stdout}");
    }
    assert!(!stdout.contains("day 2") && !stdout.contains("damage"), "{stdout}");
}

#[test]
fn the_folder_is_that_of_the_settings_unless_named() {
    let queue = Queue::new();
    let dir = queue.dir();
    let elsewhere = tempfile::tempdir().unwrap();
    let run = |change: &dyn Fn(&mut Command)| {
        let mut command = queue.command(&["verify"]);
        command.current_dir(elsewhere.path());
        change(&mut command);
        outcome(command.output().unwrap())
    };
    let (code, stdout, stderr) = run(&|_| {});
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert_eq!(stderr, "uw-websocket: data/spool is not a folder: there is no disk queue\n");
    assert_eq!(run(&|command| _ = command.arg("--dir").arg(&dir)).0, 0);
    assert_eq!(run(&|command| _ = command.env("SPOOL_DIR", &dir)).0, 0);
    fs::write(elsewhere.path().join(".env"), format!("SPOOL_DIR={}\n", dir.display())).unwrap();
    assert_eq!(run(&|_| {}).0, 0);
}

#[test]
fn verify_is_1_only_for_damage() {
    let queue = Queue::new();
    let shard = queue.dir().join("shard-0-of-2");
    fs::write(shard.join("notes"), "").unwrap();
    let (code, stdout, _) = queue.run(&["verify"]);
    assert_eq!(code, 0, "{stdout}");
    assert!(stdout.starts_with("data/spool/shard-0-of-2: ok, 5 events in 2 segments\n"), "{stdout}");
    assert!(stdout.contains("foreign_file: notes:"), "{stdout}");
    let segment = shard.join("00000000000000000000.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let before = queue.snapshot();
    let (code, stdout, _) = queue.run(&["verify"]);
    assert_eq!((code, queue.snapshot()), (1, before));
    assert!(stdout.contains("damaged, 4 events") && stdout.contains("1 unacknowledged events"), "{stdout}");
    // a reader that has gone does not make it whole
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(queue.command(&["verify"]).stdout(writer).output().unwrap().status.code(), Some(1));
}

#[test]
fn export_gives_the_events_as_they_came() {
    let queue = Queue::new();
    let (code, stdout, _) = queue.run(&["export"]);
    assert_eq!(code, 0);
    let first = "{\"received_at\":\"2026-01-02T03:04:05.000007+00:00\",\"topic\":\"price\",\"id\":\"1767323045000-1\",\
        \"payload\":{\"a\":2}}";
    assert_eq!(stdout.lines().next(), Some(first));
    assert_eq!(stdout.lines().count(), 4);
    assert!(stdout.ends_with("\"payload\":\"no json\"}\n"), "{stdout}");
    let (_, stdout, _) = queue.run(&["export", "--channel", "price", "--all"]);
    assert_eq!(stdout.lines().count(), 3);
    assert!(stdout.lines().next().unwrap().ends_with("\"payload\":{\"a\": 1}}"), "byte for byte: {stdout}");
}

#[test]
fn a_payload_with_line_breaks_is_exported_on_one_line_that_is_read_back_unchanged() {
    let mut queue = Queue::new();
    let payloads = ["{\n\"a\":4}", "{\r\"a\":5}", "{\r\n\"a\" : [\n]}"];
    queue.append("price:SPY", &payloads);
    let (code, stdout, _) = queue.run(&["export", "--channel", "price:SPY"]);
    assert_eq!((code, stdout.lines().count()), (0, payloads.len()), "{stdout}");
    let read: Vec<String> = NumberedLines::new(stdout.as_bytes())
        .map(|line| match line.unwrap() {
            EventLine::Event(_, frame) => String::from_utf8(frame.payload).unwrap(),
            EventLine::NoEvent => panic!("{stdout}"),
        })
        .collect();
    assert_eq!(read, payloads);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut queue = Queue::new();
    for _ in 0..20 {
        queue.append("price", &["{\"a\":1}"; 500]);
    }
    let mut child = queue.command(&["export"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn a_record_that_is_being_written_is_no_damage() {
    let mut queue = Queue::new();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let payload = format!("{{\"pad\":\"{}\"}}", "x".repeat(50_000));
    let dir = queue.dir();
    std::thread::scope(|scope| {
        let verify = scope.spawn(|| {
            let tools = Command::new(env!("CARGO_BIN_EXE_uw-websocket"))
                .args(["spool", "verify", "--dir"])
                .arg(&dir)
                .output()
                .unwrap();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            outcome(tools)
        });
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            queue.append("price", &[payload.as_str(); 20]);
            let (below, now) = (queue.spool.next_seq(), Instant::now());
            queue.spool.acknowledge(below, &[], now).unwrap();
            queue.spool.sweep(now, Duration::ZERO).unwrap();
        }
        let (code, stdout, stderr) = verify.join().unwrap();
        assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    });
}

/// Of an earlier release: `actors/tests/fixtures/README.md` tells what the folders are.
fn of_release(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("actors/tests/fixtures/spool-0.1.0").join(name)
}

fn tool(args: &[&str], dir: &Path) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_uw-websocket"));
    outcome(command.arg("spool").args(args).arg("--dir").arg(dir).env_clear().output().unwrap())
}

/// A line of that release in the form of the archive.
fn archived(line: &str) -> String {
    let (head, payload) = line.split_once(",\"payload\":").unwrap();
    let head: serde_json::Value = serde_json::from_str(&format!("{head}}}")).unwrap();
    let stream = &head["streams"][0];
    let (at, topic, id) = (&head["received_at"], &stream["stream"], &stream["id"]);
    format!("{{\"received_at\":{at},\"topic\":{topic},\"id\":{id},\"payload\":{payload}\n")
}

#[test]
fn the_queue_of_an_earlier_release_is_read_as_it_read_it_itself() {
    for (name, damage) in [
        ("backlog", None),
        ("removed", None),
        ("shards", None),
        ("torn", Some("torn_tail")),
        ("damaged", Some("bad_bytes")),
        ("dropping", Some("dropped")),
        ("absent", None),
    ] {
        let folder = of_release(name);
        let (code, stdout, stderr) = tool(&["export", "--all"], &folder.join("spool"));
        assert_eq!((code, stderr.as_str()), (0, ""), "{name}");
        let expected = fs::read_to_string(folder.join("events.jsonl")).unwrap();
        assert!(stdout == expected.lines().map(archived).collect::<String>(), "{name}: {stdout}");
        let (code, stdout, _) = tool(&["verify"], &folder.join("spool"));
        assert_eq!(code, i32::from(damage.is_some()), "{name}: {stdout}");
        let shown: Vec<&str> = stdout.lines().filter_map(|line| line.strip_prefix("  damage ")).collect();
        let kinds: Vec<&str> = shown.iter().map(|line| line.trim().split(':').next().unwrap()).collect();
        assert_eq!(kinds, Vec::from_iter(damage), "{name}: {stdout}");
    }
}

#[test]
fn a_rewriting_of_an_earlier_release_that_a_kill_interrupted_is_seen() {
    let (code, stdout, stderr) = tool(&["inspect"], &of_release("reassign").join("spool"));
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.contains("\n  rewriting "), "{stdout}");
}
