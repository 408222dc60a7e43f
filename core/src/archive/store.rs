//! Writes the archive: frames to the ends of their files, then the checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;
use zstd::bulk::Compressor;
use zstd::zstd_safe::{CParameter, compress_bound};

use super::checkpoint::{ArchiveCheckpoint, ArchivePosition, CHECKPOINT, StreamPosition};
use super::files;
use super::frames::Frames;
use super::path::FilePath;
use crate::private;
use crate::sealed::Loaded;

/// File name of the lock.
const LOCK: &str = "lock";
/// The fastest level: of the others, 3 takes twice the time for a tenth less.
const LEVEL: i32 = 1;

/// The archive cannot be opened or written.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// Another process writes there.
    #[error("the archive {} is in use by another process", .0.display())]
    Held(PathBuf),
    /// The folder is another one than before, as without its disk.
    #[error("the archive {} has vanished: it is not the folder that it was", .0.display())]
    Vanished(PathBuf),
    /// An I/O error.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// The failed operation, a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ArchiveError {
    let path = path.to_owned();
    move |source| ArchiveError::Io { action, path, source }
}

/// A file or checkpoint that was not as the last process left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trimmed {
    /// The file.
    pub file: String,
    /// The findings, and the repairs.
    pub detail: String,
    /// Whether something is lost or may be there twice; otherwise a write was interrupted, which is repeated.
    pub is_damage: bool,
}

/// The open archive, written by one thread of one process.
///
/// # Guarantees
///
/// - After [`ArchiveStore::commit`] has returned, the lines are on disk and survive a power cut, and so do the positions.
/// - Whenever the process ends, the next [`ArchiveStore::open`] restores lengths and positions of the last commit: what was
///   written after it is cut off, and the caller archives it again.
/// - A failed commit changes nothing, and may be repeated.
pub struct ArchiveStore {
    folder: PathBuf,
    root: File,
    _lock: File,
    checkpoint: ArchiveCheckpoint,
    /// Whether the checkpoint survives a power cut.
    is_synced: bool,
    compressor: Compressor<'static>,
    /// The last frame, whose memory the next one has.
    frame: Vec<u8>,
}

impl fmt::Debug for ArchiveStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArchiveStore").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl ArchiveStore {
    /// Opens the archive in a folder, created if missing. `is_known` states that this process had it open before: then
    /// a folder without a checkpoint is not that archive. Also returns what was not as the last process left it.
    pub fn open(folder: &Path, is_known: bool) -> Result<(ArchiveStore, Vec<Trimmed>), ArchiveError> {
        if !is_known {
            private::create_folder(folder).map_err(failed("create", folder))?;
        }
        let root = File::open(folder).map_err(failed("open", folder))?;
        let path = folder.join(CHECKPOINT);
        if is_known && !path.exists() {
            return Err(ArchiveError::Vanished(folder.to_owned()));
        }
        let lock = locked(folder)?;
        let mut found = Vec::new();
        let checkpoint = match ArchiveCheckpoint::load(folder) {
            Loaded::Whole(checkpoint) => checkpoint,
            Loaded::Missing => ArchiveCheckpoint::default(),
            Loaded::Bad(reason) => {
                let detail = format!("{reason}; the last events may be archived twice");
                found.push(Trimmed { file: CHECKPOINT.to_owned(), detail, is_damage: true });
                ArchiveCheckpoint::default()
            }
        };
        let compressor = compressor().map_err(failed("compress for", folder))?;
        let folder = folder.to_owned();
        let (is_synced, frame) = (true, Vec::new());
        let mut store = ArchiveStore { folder, root, _lock: lock, checkpoint, is_synced, compressor, frame };
        for (path, length) in store.checkpoint.files.clone() {
            found.extend(store.restore(&path, length)?);
        }
        // a folder without a checkpoint is recognised as vanished later
        store.write_checkpoint(store.checkpoint.clone())?;
        Ok((store, found))
    }

    /// Cuts a file to its known length.
    fn restore(&mut self, path: &FilePath, length: u64) -> Result<Option<Trimmed>, ArchiveError> {
        let place = self.place(path);
        let actual = match fs::metadata(&place) {
            // its day was removed, or it had not been created yet
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.checkpoint.files.remove(path);
                return Ok(None);
            }
            metadata => metadata.map_err(failed("look at", &place))?.len(),
        };
        let found = |detail, is_damage| Some(Trimmed { file: path.to_string(), detail, is_damage });
        if actual < length {
            self.checkpoint.files.insert(path.clone(), actual);
            let detail = format!("{} bytes are missing at its end", length - actual);
            return Ok(found(detail, true));
        }
        if actual == length {
            return Ok(None);
        }
        let file = files::open(&place).map_err(failed("open", &place))?;
        files::cut(&file, length).and_then(|()| files::sync(&file)).map_err(failed("cut", &place))?;
        Ok(found(format!("{} bytes of an interrupted write cut off", actual - length), false))
    }

    /// Returns how far each queue is archived.
    #[must_use]
    pub fn positions(&self) -> &[ArchivePosition] {
        &self.checkpoint.positions
    }

    /// Returns how far the fetched rows of each topic are archived.
    #[must_use]
    pub fn fetched(&self) -> &BTreeMap<String, StreamPosition> {
        &self.checkpoint.fetched
    }

    /// Whether the folder is still the one that was opened.
    #[must_use]
    pub fn is_there(&self) -> bool {
        let place = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        fs::metadata(&self.folder).ok().map(place) == self.root.metadata().ok().map(place)
    }

    /// Writes the frames and the positions that follow them; returns the bytes that the files have grown by. A day in
    /// which it creates a file that was removed meanwhile is begun again.
    pub fn commit(&mut self, frames: &Frames, positions: &[ArchivePosition]) -> Result<u64, ArchiveError> {
        if !self.is_there() {
            return Err(ArchiveError::Vanished(self.folder.clone()));
        }
        if !self.is_synced {
            files::sync(&self.root).map_err(failed("sync", &self.folder))?;
            self.is_synced = true;
        }
        let mut before = self.checkpoint.clone();
        for (path, _) in frames.iter() {
            let place = self.place(path);
            let actual = match fs::metadata(&place) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                metadata => metadata.map_err(failed("look at", &place))?.len(),
            };
            let known = before.files.get(path).copied().unwrap_or(actual);
            before.files.insert(path.clone(), known.min(actual));
        }
        if before.files != self.checkpoint.files {
            before.bound(|path| frames.iter().any(|(written, _)| written == path));
            self.write_checkpoint(before)?;
        }
        let written = self.append(frames);
        let mut after = match written {
            Ok(after) => after,
            Err(error) => {
                // makes room on a full disk immediately; otherwise the next commit or opening does it
                for (path, _) in frames.iter() {
                    if let (Ok(file), Some(length)) =
                        (files::open(&self.place(path)), self.checkpoint.files.get(path))
                    {
                        files::cut(&file, *length).ok();
                    }
                }
                return Err(error);
            }
        };
        let grown = after
            .files
            .iter()
            .map(|(path, length)| length - self.checkpoint.files.get(path).unwrap_or(length));
        let grown = grown.sum();
        after.positions = positions.to_vec();
        after.fetched.extend(frames.advanced().map(|(topic, position)| (topic.clone(), position)));
        self.write_checkpoint(after)?;
        Ok(grown)
    }

    /// Appends the frames to their files; returns the checkpoint with their new lengths.
    fn append(&mut self, frames: &Frames) -> Result<ArchiveCheckpoint, ArchiveError> {
        let mut after = self.checkpoint.clone();
        let mut folders = BTreeSet::new();
        for (path, lines) in frames.iter() {
            let place = self.place(path);
            let known = self.checkpoint.files.get(path).copied().unwrap_or_default();
            if known == 0 {
                let above: Vec<&Path> =
                    place.ancestors().skip(1).take_while(|above| *above != self.folder).collect();
                for folder in above.iter().rev() {
                    files::create_folder(folder).map_err(failed("create", folder))?;
                }
                folders.insert(self.folder.clone());
                folders.extend(above.into_iter().map(Path::to_owned));
            }
            self.frame.clear();
            self.frame.reserve(compress_bound(lines.len()));
            self.compressor
                .compress_to_buffer(lines, &mut self.frame)
                .map_err(failed("compress for", &place))?;
            let file = files::open(&place).map_err(failed("open", &place))?;
            if file.metadata().map_err(failed("look at", &place))?.len() > known {
                files::cut(&file, known).map_err(failed("cut", &place))?;
            }
            files::write_at(&file, &self.frame, known).map_err(failed("write", &place))?;
            files::sync(&file).map_err(failed("sync", &place))?;
            after.files.insert(path.clone(), known + self.frame.len() as u64);
        }
        for folder in folders {
            let synced = File::open(&folder).and_then(|open| files::sync(&open));
            synced.map_err(failed("sync", &folder))?;
        }
        Ok(after)
    }

    fn write_checkpoint(&mut self, checkpoint: ArchiveCheckpoint) -> Result<(), ArchiveError> {
        let text = checkpoint.encode();
        files::replace(&self.folder, CHECKPOINT, text.as_bytes())
            .map_err(failed("write", &self.folder.join(CHECKPOINT)))?;
        // from here on, treating the commit as failed would repeat completed work: the next one begins with the sync
        self.checkpoint = checkpoint;
        self.is_synced = files::sync(&self.root).is_ok();
        Ok(())
    }

    /// Removes a day with all its files.
    pub fn remove_day(&self, day: &str) -> Result<(), ArchiveError> {
        let path = self.folder.join(day);
        fs::remove_dir_all(&path).map_err(failed("remove", &path))
    }

    fn place(&self, path: &FilePath) -> PathBuf {
        self.folder.join(path.to_string())
    }
}

fn compressor() -> io::Result<Compressor<'static>> {
    let mut compressor = Compressor::new(LEVEL)?;
    // a reader detects damage by it
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    Ok(compressor)
}

/// Takes the lock of the folder. The system releases it when the process ends.
fn locked(folder: &Path) -> Result<File, ArchiveError> {
    let path = folder.join(LOCK);
    let file =
        private::options().read(true).write(true).create(true).open(&path).map_err(failed("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ArchiveError::Held(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
    }
}
