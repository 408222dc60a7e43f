//! The log file of the moment: after some bytes or a day it is followed by another one, and old files are removed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use super::file::{create, is_log};

/// Maximum size of a file in bytes: one that editors open.
const FILE_BYTES: u64 = 64 << 20;
/// Maximum age of a file in seconds: a day has at most two.
const FILE_SECONDS: i64 = 86_400;
/// Maximum size of all files in bytes: months of a quiet service, and hours of the busiest at `debug`.
const FOLDER_BYTES: u64 = 1024 << 20;
/// Maximum time since the last write to a file that is kept.
const KEPT: Duration = Duration::from_secs(30 * 86_400);
/// Pause after a failure to create the next file, in seconds; meanwhile the present one grows.
const RETRY_SECONDS: i64 = 60;

/// Writes whole lines to the file of the moment.
pub(super) struct Rotation {
    dir: PathBuf,
    file: File,
    written: u64,
    began: Timestamp,
    /// No other file is tried before.
    next_try: Timestamp,
    now: fn() -> Timestamp,
}

impl Rotation {
    /// Begins with a new file in `dir`, and removes old ones.
    pub(super) fn begin(dir: &Path, now: fn() -> Timestamp) -> io::Result<Rotation> {
        let began = now();
        let file = create(dir, began)?;
        sweep(dir, FOLDER_BYTES);
        Ok(Rotation { dir: dir.to_owned(), file, written: 0, began, next_try: began, now })
    }

    fn rotate_if_due(&mut self, more: usize) {
        let now = (self.now)();
        let is_full = self.written > 0 && self.written + more as u64 > FILE_BYTES;
        let is_old = now.as_second() - self.began.as_second() >= FILE_SECONDS;
        if !(is_full || is_old) || now < self.next_try {
            return;
        }
        if let Ok(file) = create(&self.dir, now) {
            (self.file, self.written, self.began) = (file, 0, now);
            sweep(&self.dir, FOLDER_BYTES);
        } else {
            // a failure of the log cannot be logged: the lines go to the present file, or are counted as lost
            self.next_try = now.saturating_add(jiff::SignedDuration::from_secs(RETRY_SECONDS)).unwrap_or(now);
        }
    }
}

impl Write for Rotation {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.rotate_if_due(line.len());
        let written = self.file.write(line)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Removes log files that have not been written to for long, and the oldest ones above `max_bytes`. What cannot be
/// removed is tried again with the next file.
fn sweep(dir: &Path, max_bytes: u64) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let mut logs: Vec<(SystemTime, PathBuf, u64)> = entries
        .flatten()
        .filter(|entry| is_log(&entry.path()))
        .filter_map(|entry| {
            // of the entry itself: a link is not a file of the service
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((metadata.modified().ok()?, entry.path(), metadata.len()))
        })
        .collect();
    logs.sort();
    let newest = logs.pop();
    let mut bytes = newest.map_or(0, |(.., bytes)| bytes);
    for (modified, path, size) in logs.into_iter().rev() {
        bytes = bytes.saturating_add(size);
        if bytes > max_bytes || modified.elapsed().is_ok_and(|age| age > KEPT) {
            fs::remove_file(path).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static NOW: Cell<i64> = const { Cell::new(1_759_611_909) };
    }

    fn now() -> Timestamp {
        Timestamp::from_second(NOW.get()).unwrap()
    }

    fn files(dir: &Path) -> Vec<String> {
        let mut files: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        files
    }

    #[test]
    fn a_file_is_followed_by_another_after_a_day_or_when_it_is_full() {
        let folder = tempfile::tempdir().unwrap();
        let mut rotation = Rotation::begin(folder.path(), now).unwrap();
        rotation.write_all(b"one\n").unwrap();
        NOW.set(NOW.get() + FILE_SECONDS - 1);
        rotation.write_all(b"two\n").unwrap();
        NOW.set(NOW.get() + 1);
        rotation.write_all(b"three\n").unwrap();
        rotation.written = FILE_BYTES - 5;
        rotation.write_all(b"four\n").unwrap();
        rotation.write_all(b"five\n").unwrap();
        let text = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(
            files(folder.path()),
            [
                "uw_websocket_20251004_210509.log",
                "uw_websocket_20251005_210509.log",
                "uw_websocket_20251005_210509_1.log"
            ]
        );
        assert_eq!(text("uw_websocket_20251004_210509.log"), "one\ntwo\n");
        assert_eq!(text("uw_websocket_20251005_210509.log"), "three\nfour\n");
        assert_eq!(text("uw_websocket_20251005_210509_1.log"), "five\n");
    }

    #[test]
    fn a_folder_that_takes_no_other_file_costs_no_line() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("logs");
        let mut rotation = Rotation::begin(&dir, now).unwrap();
        fs::rename(&dir, folder.path().join("moved")).unwrap();
        fs::write(&dir, "no folder").unwrap();
        NOW.set(NOW.get() + FILE_SECONDS);
        rotation.write_all(b"one\n").unwrap();
        let moved = folder.path().join("moved");
        assert_eq!(fs::read_to_string(moved.join(&files(&moved)[0])).unwrap(), "one\n");
        fs::remove_file(&dir).unwrap();
        rotation.write_all(b"two\n").unwrap();
        assert!(!dir.exists(), "not tried again at once");
        NOW.set(NOW.get() + RETRY_SECONDS);
        rotation.write_all(b"three\n").unwrap();
        assert_eq!(files(&dir).len(), 1);
    }

    #[test]
    fn the_oldest_files_are_removed_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let log = |day: u64, bytes: usize| {
            let path = folder.path().join(format!("uw_websocket_2025100{day}_000000.log"));
            fs::write(&path, vec![b'x'; bytes]).unwrap();
            let age = Duration::from_secs((9 - day) * 86_400);
            File::options().write(true).open(&path).unwrap().set_modified(SystemTime::now() - age).unwrap();
        };
        fs::write(folder.path().join("another.log"), vec![b'x'; 5_000]).unwrap();
        (1..=4).for_each(|day| log(day, 1_000));
        sweep(folder.path(), 4_000);
        assert_eq!(files(folder.path()).len(), 5);
        sweep(folder.path(), 2_500);
        assert_eq!(files(folder.path()).len(), 3, "two logs and the other file");
        assert!(files(folder.path())[2].contains("20251004"));
        let old = folder.path().join("uw_websocket_20251003_000000.log");
        let long_ago = SystemTime::now() - KEPT - Duration::from_secs(60);
        File::options().write(true).open(old).unwrap().set_modified(long_ago).unwrap();
        sweep(folder.path(), u64::MAX);
        assert_eq!(files(folder.path()), ["another.log", "uw_websocket_20251004_000000.log"]);
    }
}
