//! The files of the service are for its user alone, and its log for nobody else to redirect.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::support::sample::{payload, payloads};
use crate::support::{Feed, RedisServer, Service, Setup};

/// The message of the record about files that other users may open.
const EXPOSED: &str = "files open to other users";

/// Every entry below a folder, and the folder, with its permission bits.
fn modes(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
    let mut found = vec![(folder.to_owned(), mode(folder))];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(modes(&path));
        } else {
            let mode = mode(&path);
            found.push((path, mode));
        }
    }
    found
}

/// The newest segment of the disk queue.
fn newest_segment(service: &Service) -> PathBuf {
    let files = modes(&service.folder().join("data/spool")).into_iter().map(|(path, _)| path);
    let mut segments: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|ending| ending == "seg")).collect();
    segments.sort_by_key(|path| path.file_name().unwrap().to_owned());
    segments.pop().unwrap()
}

#[test]
fn whatever_the_umask_is_other_users_can_open_none_of_the_files() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    redis.command::<()>(&["SET", "uw:ws:price:SPY", "not a stream"]);
    let setup = Setup::new(&feed, &redis).set("LOG_DIR", "logs").under_umask("000");
    let mut service = setup.clone().start_ready();
    feed.send_all("price:SPY", &payloads("price", "SPY", 0, 5));
    feed.send("price:QQQ", &payload("price", "QQQ", 0));
    service.wait_for_metric("uw_ws_events_quarantined_total", &[("channel", "price")], 5);
    service.wait_until_settled();
    service.kill9();
    let mut segment = fs::File::options().append(true).open(newest_segment(&service)).unwrap();
    segment.write_all(b"cut off by a crash").unwrap();
    // the folders of the first life are adopted, and their damage is put aside
    let service = service.start_again(&setup.set("WRITER_SHARDS", "3"));
    service.wait_until_ready();
    service.wait_until_settled();
    let found = [modes(&service.folder().join("data")), modes(&service.folder().join("logs"))].concat();
    for (path, mode) in &found {
        assert_eq!(*mode, if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    }
    for name in ["lock", "instance", "state.json", "quarantine.jsonl", "cursor", "aside", "ledger", "logs"] {
        assert!(found.iter().any(|(path, _)| path.ends_with(name)), "{name} is in {found:?}");
    }
    for ending in [".seg", ".bad", ".log"] {
        let has_ending = |(path, _): &(PathBuf, u32)| path.to_string_lossy().ends_with(ending);
        assert!(found.iter().any(has_ending), "{ending} is in {found:?}");
    }
    assert_eq!(service.count_logs(EXPOSED), 0);
    service.finish();
}

#[test]
fn files_that_are_open_to_others_are_reported_once_for_each_folder_and_by_check() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis).set("LOG_DIR", "logs");
    let mut service = setup.clone().start_ready();
    assert_eq!(service.terminate(), Some(0));
    assert_eq!(service.count_logs(EXPOSED), 0);
    let lock = setup.folder().join("data/spool/lock");
    let logs = setup.folder().join("logs");
    fs::set_permissions(&lock, Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(&logs, Permissions::from_mode(0o755)).unwrap();
    let (code, said) = setup.command(&["check"]);
    assert_eq!(code, Some(0));
    for line in [
        "! modes           other users can open 1 of its entries, first data/spool/lock (mode 644)",
        "! modes           other users can open 1 of its entries, first logs (mode 755)",
    ] {
        assert!(said.contains(line), "no `{line}` in\n{said}");
    }
    let service = setup.start_ready();
    let records = service.records().into_iter().filter(|record| record.msg == EXPOSED);
    let shown: Vec<_> = records.map(|r| [r.text("path"), r.text("mode"), r.text("entries")]).collect();
    assert_eq!(shown, [["data/spool/lock", "644", "1"], ["logs", "755", "1"]]);
    // other users cannot hold the lock any more
    assert_eq!(fs::metadata(lock).unwrap().permissions().mode() & 0o7777, 0o600);
    service.finish();
}

#[test]
fn a_link_under_the_name_of_the_log_file_is_not_followed() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis).set("LOG_DIR", "logs").set("ENABLE_WEBSOCKET", "false");
    let (logs, target) = (setup.folder().join("logs"), setup.folder().join("target"));
    fs::create_dir(&logs).unwrap();
    fs::write(&target, "whole").unwrap();
    // the names of the next seconds, and those before in case the clock is a little behind
    let now = jiff::Timestamp::now();
    for second in -5..120 {
        let at = now + jiff::SignedDuration::from_secs(second);
        let name = format!("uw_websocket_{}.log", at.strftime("%Y%m%d_%H%M%S"));
        std::os::unix::fs::symlink(&target, logs.join(name)).unwrap();
    }
    assert_eq!(setup.command(&["run"]).0, Some(0));
    assert_eq!(fs::read_to_string(target).unwrap(), "whole");
    let files = fs::read_dir(&logs).unwrap().map(|entry| entry.unwrap());
    let written: Vec<_> = files.filter(|entry| entry.file_type().unwrap().is_file()).collect();
    assert_eq!(written.len(), 1);
    assert!(fs::read_to_string(written[0].path()).unwrap().contains("disabled"));
}

/// The sources of the product, without their tests.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("tests") {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

#[test]
fn one_module_creates_all_files_and_folders() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "core/src", "actors/src", "simulator/src"] {
        sources(&root.join(folder), &mut files);
    }
    let (mut creators, mut faults) = (0, Vec::new());
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let product = text.split("\nmod tests {").next().unwrap();
        let is_private = path.ends_with("core/src/private.rs");
        for (index, line) in product.lines().enumerate() {
            let creates = [
                "File::create",
                "fs::write(",
                "create_dir",
                "DirBuilder::new",
                "OpenOptions::new",
                "fs::copy(",
            ]
            .iter()
            .any(|call| line.contains(call))
                || (line.contains("File::options()") && line.contains("create"));
            if creates && is_private {
                creators += 1;
            } else if creates {
                faults.push(format!("{}:{}: {}", path.display(), index + 1, line.trim()));
            }
        }
    }
    assert!(creators > 0 && faults.is_empty(), "not through private.rs: {faults:#?}");
}
