//! The highest epoch seen, kept over restarts: Sentinels or nodes that have forgotten a failover must not lead back to the
//! server that was replaced.

use std::fs;
use std::io;
use std::path::PathBuf;

use tokio::task::spawn_blocking;
use uw_websocket_core::private;

/// The file of the highest epoch.
#[derive(Clone, Debug)]
pub struct EpochFile {
    path: PathBuf,
    /// Names the set-up: another one begins anew.
    title: String,
}

impl EpochFile {
    /// Names the file of a set-up, which need not exist.
    #[must_use]
    pub fn new(path: PathBuf, title: String) -> EpochFile {
        EpochFile { path, title }
    }

    /// Returns the path, for advice.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Reads the epoch; 0 if there is none of this set-up.
    pub fn read(&self) -> io::Result<u64> {
        let text = match private::read_text(&self.path, private::MAX_STATE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            text => text?,
        };
        let (title, epoch) = text.trim_end().rsplit_once('\n').unwrap_or_default();
        Ok(if title == self.title { epoch.parse().unwrap_or_default() } else { 0 })
    }

    /// Writes an epoch other than the one that was `written` last, on another thread.
    pub async fn keep(self, epoch: u64, written: &mut Option<u64>) -> io::Result<()> {
        if *written == Some(epoch) {
            return Ok(());
        }
        spawn_blocking(move || self.write(epoch)).await.map_err(io::Error::other).flatten()?;
        *written = Some(epoch);
        Ok(())
    }

    /// Replaces the epoch; blocks until it is written.
    pub fn write(&self, epoch: u64) -> io::Result<()> {
        let new = self.path.with_extension("new");
        private::write(&new, format!("{}\n{epoch}\n", self.title).as_bytes())?;
        fs::rename(new, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_of_the_same_set_up_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = |title: &str| EpochFile::new(folder.path().join("sentinel"), title.to_owned());
        assert_eq!(file("desk a:1").read().unwrap(), 0);
        file("desk a:1").write(7).unwrap();
        assert_eq!(file("desk a:1").read().unwrap(), 7);
        assert_eq!(file("desk b:1").read().unwrap(), 0, "other sentinels");
    }
}
