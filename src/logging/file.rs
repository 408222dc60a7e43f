//! The log file.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use jiff::Timestamp;

/// Creates `uw_websocket_<YYYYMMDD_HHMMSS>.log` (UTC) in `dir`, and the folder if need be. Operators look for the newest
/// of these names. A second start in the same second adds to the file.
pub(super) fn create(dir: &Path, now: Timestamp) -> io::Result<File> {
    fs::create_dir_all(dir)?;
    let name = format!("uw_websocket_{}.log", now.strftime("%Y%m%d_%H%M%S"));
    OpenOptions::new().create(true).append(true).open(dir.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_named_after_the_time_in_utc_and_its_folder_created() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("a/b");
        create(&dir, "2025-10-04T23:05:09+02:00".parse().unwrap()).unwrap();
        assert!(dir.join("uw_websocket_20251004_210509.log").is_file());
    }
}
