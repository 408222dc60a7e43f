//! Files that were cut or damaged, as the commands see them. `core/src/archive/tests/damage.rs` tries every byte.

use std::fs;
use std::path::Path;
use std::process::Command;

use uw_websocket_core::archive::{ArchiveLine, ArchiveStore, Days, Frames};
use uw_websocket_core::event::EntryId;

/// 2026-01-02, noon in New York.
const NOON_US: u64 = 1_767_373_200_000_000;
const FRAMES: u64 = 4;
/// Events of a frame and channel.
const EACH: u64 = 3;
const CHANNELS: [&str; 2] = ["news", "price"];
const DAMAGED: &str = "2026-01-02/price/12.jsonl.zst";

/// Writes an archive of two files; returns where the frames of the one that is to be damaged begin.
fn write(folder: &Path) -> Vec<usize> {
    let (mut store, _) = ArchiveStore::open(folder, false).unwrap();
    let mut begins = Vec::new();
    for frame in 0..FRAMES {
        begins
            .push(fs::metadata(folder.join(DAMAGED)).map_or(0, |file| usize::try_from(file.len()).unwrap()));
        let mut frames = Frames::default();
        for n in frame * EACH..(frame + 1) * EACH {
            for channel in CHANNELS {
                let payload = format!("{{\"n\":{n}}}").into_bytes();
                let id = EntryId { ms: n, seq: 0 };
                let line = ArchiveLine {
                    received_us: NOON_US + n,
                    topic: channel.into(),
                    id,
                    payload: payload.into(),
                };
                frames.push(&line);
            }
        }
        store.commit(&frames, &[]).unwrap();
    }
    begins
}

fn run(folder: &Path, command: &str) -> (Option<i32>, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_uw-websocket"));
    program.args(["archive", command, "--dir"]).arg(folder).env_clear().current_dir(folder);
    let output = program.output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// The numbers of a channel's events that `archive cat` prints.
fn printed(folder: &Path, channel: &str) -> Vec<u64> {
    let (_, text) = run(folder, "cat");
    let lines = text.lines().map(|line| ArchiveLine::parse(line.as_bytes()).unwrap());
    lines.filter(|line| line.topic == channel).map(|line| line.id.ms).collect()
}

/// Changes the file; `verify` names the byte, and everything but the events of this frame is printed.
#[track_caller]
fn assert_named(change: impl Fn(&mut Vec<u8>, &[usize]), frame: u64, lost: std::ops::Range<u64>) {
    let folder = tempfile::tempdir().unwrap();
    let begins = write(folder.path());
    assert_eq!(Days::read(folder.path()).unwrap().files.len(), CHANNELS.len());
    assert_eq!(run(folder.path(), "verify").0, Some(0));
    let path = folder.path().join(DAMAGED);
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes, &begins);
    fs::write(&path, bytes).unwrap();
    let (code, text) = run(folder.path(), "verify");
    let begin = begins[usize::try_from(frame).unwrap()];
    let named =
        text.lines().any(|line| line.contains(DAMAGED) && line.contains(&format!("from byte {begin} on")));
    assert!(code == Some(1) && named, "{begin}: {text}");
    assert_eq!(printed(folder.path(), "news"), (0..FRAMES * EACH).collect::<Vec<_>>());
    let left: Vec<u64> = (0..FRAMES * EACH).filter(|n| !lost.contains(n)).collect();
    assert_eq!(printed(folder.path(), "price"), left);
}

#[test]
fn a_damaged_byte_is_named_and_costs_the_events_of_its_frame() {
    for byte in [0, 7, 20] {
        assert_named(|file, begins| file[begins[1] + byte] ^= 0x55, 1, EACH..2 * EACH);
    }
}

#[test]
fn a_file_that_was_cut_is_printed_up_to_there_and_the_cut_is_named() {
    // what a cut frame still has is printed as well: here it has nothing
    assert_named(|file, begins| file.truncate(begins[2] + 6), 2, 2 * EACH..FRAMES * EACH);
}
