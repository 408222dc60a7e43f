//! The recipes of `docs/archive.md`, as they stand there, on an archive of the service.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use uw_websocket_core::archive::{ArchiveLine, Days, Reading, lines};

use super::{archive_of, send, setup, wait_until_complete};
use crate::support::{Feed, RedisServer};

const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/archive/requirements.txt");
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/archive.md");
/// A network that answers does so sooner; one that does not shall hold no test up for minutes.
const PIP: [&str; 10] = [
    "-m",
    "pip",
    "install",
    "--quiet",
    "--disable-pip-version-check",
    "--only-binary=:all:",
    "--timeout=20",
    "--retries=1",
    "--requirement",
    REQUIREMENTS,
];
const ROUNDS: u64 = 3;

/// An interpreter with the packages, in an environment that is made once; or why there is none.
fn interpreter() -> Result<PathBuf, String> {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("recipes");
    let (python, installed) = (venv.join("bin/python"), venv.join("installed.txt"));
    let wanted = fs::read_to_string(REQUIREMENTS).unwrap();
    if fs::read_to_string(&installed).is_ok_and(|present| present == wanted) {
        return Ok(python);
    }
    succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    succeed(Command::new(&python).args(PIP))?;
    fs::write(&installed, wanted).unwrap();
    Ok(python)
}

fn succeed(command: &mut Command) -> Result<String, String> {
    let Output { status, stdout, stderr } = command.output().map_err(|error| error.to_string())?;
    let complaint = String::from_utf8_lossy(&stderr).into_owned();
    if status.success() { Ok(String::from_utf8(stdout).unwrap()) } else { Err(complaint) }
}

/// The blocks of a language in the document.
fn blocks(language: &str) -> Vec<String> {
    let document = fs::read_to_string(DOCUMENT).unwrap();
    let fence = format!("\n```{language}\n");
    document.split(&fence).skip(1).map(|rest| rest.split_once("\n```").unwrap().0.to_owned()).collect()
}

/// The IDs of the trades of each file.
fn trades(archive: &Path) -> BTreeMap<String, Vec<String>> {
    let days = Days::read(archive).unwrap();
    let mut files = BTreeMap::<String, Vec<String>>::new();
    for file in days.files.iter().filter(|file| &*file.path.channel == "option_trades") {
        let ids = files.entry(file.path.to_string()).or_default();
        let mut reading = Reading::open(&days.place(file), Some(file.bytes)).unwrap();
        while let Some(text) = reading.next_lines().unwrap() {
            for line in lines(text) {
                let line = ArchiveLine::parse(line).unwrap();
                let payload: serde_json::Value = serde_json::from_slice(&line.payload).unwrap();
                ids.push(payload["id"].as_str().unwrap().to_owned());
            }
        }
    }
    files
}

#[test]
fn the_tools_of_the_recipes_read_what_is_archived() {
    let python = match interpreter() {
        Ok(python) => python,
        Err(reason) => return eprintln!("skipped: DuckDB, pandas and Polars cannot be installed: {reason}"),
    };
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = setup(&feed, &redis);
    let service = setup.clone().start_ready();
    send(&feed, 0..ROUNDS);
    service.finish();
    wait_until_complete(&setup, &archive_of(&setup), &redis);
    let files = trades(&archive_of(&setup));
    let first = files.keys().next().unwrap();
    let (day, hour) = (first.split_once('/').unwrap().0, first.rsplit_once('/').unwrap().1);
    let run = |code: &str| -> Vec<String> {
        let code = code.replace("2026-01-02", day).replace("09.jsonl.zst", hour);
        let output = succeed(Command::new(&python).arg("-c").arg(&code).current_dir(setup.folder()));
        let output = output.unwrap_or_else(|complaint| panic!("{code}\n{complaint}"));
        output.lines().map(str::to_owned).collect()
    };
    // an archive that was begun before midnight has two days, and the recipes read one
    let of_day = files.iter().filter(|(file, _)| file.starts_with(day));
    let all: Vec<String> = of_day.flat_map(|(_, ids)| ids.clone()).collect();
    assert!(!all.is_empty());

    let [duckdb] = blocks("sql").try_into().expect("one recipe in SQL");
    assert_eq!(duckdb.lines().count(), 1, "one line");
    let ids = run(&format!(
        "import duckdb\nduckdb.sql(\"\"\"{duckdb}\"\"\")\nfor row in duckdb.sql(\"SELECT id_1 FROM 'trades.parquet'\").fetchall(): print(row[0])"
    ));
    assert_eq!(ids, all, "DuckDB");
    let [pandas, polars] = blocks("python").try_into().expect("two recipes in Python");
    let ids = run(&format!(
        "import pandas as pd\n{pandas}\nfor payload in trades['payload']: print(payload['id'])"
    ));
    assert_eq!(ids, files[first], "pandas");
    let ids = run(&format!(
        "import polars as pl\n{polars}\nfor payload in trades['payload']: print(payload['id'])"
    ));
    assert_eq!(ids, all, "Polars");
}
