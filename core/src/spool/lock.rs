//! The spool folder of all shards: its lock and its subfolders.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::error::{Context as _, SpoolError};

/// File name of the lock.
const LOCK: &str = "lock";

/// The exclusive right to write in a spool folder. The system releases it when the process ends, however it ends.
#[derive(Debug)]
pub struct SpoolLock {
    _file: File,
}

impl SpoolLock {
    /// Creates the folder if necessary and takes its lock.
    pub fn acquire(dir: &Path) -> Result<SpoolLock, SpoolError> {
        fs::create_dir_all(dir).context("create", dir)?;
        let path = dir.join(LOCK);
        let options = || File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = options().context("open", &path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(SpoolError::Held { dir: dir.to_owned(), pid: pid_in(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(error).context("lock", &path),
        }
        // only for the message of a second process: a full disk must not prevent the start
        note_pid(&mut file).ok();
        Ok(SpoolLock { _file: file })
    }
}

/// Checks whether a process holds the folder, without taking it: [`SpoolError::Held`] if so. A service that starts
/// at this moment is delayed by no more than the check.
pub fn look_at_lock(dir: &Path) -> Result<(), SpoolError> {
    let path = dir.join(LOCK);
    let mut file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened.context("open", &path)?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            Err(SpoolError::Held { dir: dir.to_owned(), pid: pid_in(&mut file) })
        }
        Err(TryLockError::Error(error)) => Err(error).context("lock", &path),
    }
}

fn note_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn pid_in(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// The folder of one shard.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShardFolder {
    /// Number of changes of the shard count: the contents of a folder precede those of later generations.
    pub generation: u64,
    /// Number of shards at its creation.
    pub of: usize,
    /// Index of the shard, from 0.
    pub shard: usize,
    /// Its path.
    pub path: PathBuf,
}

impl ShardFolder {
    /// Returns the folder of a shard in generation 0; it need not exist.
    #[must_use]
    pub fn new(dir: &Path, shard: usize, of: usize) -> ShardFolder {
        ShardFolder::in_generation(dir, 0, shard, of)
    }

    /// Returns the folder of a shard; it need not exist.
    #[must_use]
    pub fn in_generation(dir: &Path, generation: u64, shard: usize, of: usize) -> ShardFolder {
        let suffix = if generation == 0 { String::new() } else { format!("-{generation}") };
        ShardFolder { generation, of, shard, path: dir.join(format!("shard-{shard}-of-{of}{suffix}")) }
    }

    fn parse(dir: &Path, name: &str) -> Option<ShardFolder> {
        let (shard, of) = name.strip_prefix("shard-")?.split_once("-of-")?;
        let (of, generation) = of.split_once('-').unwrap_or((of, "0"));
        let (generation, shard) = (generation.parse().ok()?, shard.parse().ok()?);
        let folder = ShardFolder::in_generation(dir, generation, shard, of.parse().ok()?);
        // `shard-01-of-2` is foreign
        let is_ours = folder.path == dir.join(name) && folder.shard < folder.of;
        is_ours.then_some(folder)
    }
}

/// Lists the folders of all shards in order, including those of other shard counts. Empty if `dir` does not exist.
pub fn shard_folders(dir: &Path) -> Result<Vec<ShardFolder>, SpoolError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context("read", dir)?,
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry.context("read", dir)?;
        let Some(folder) = entry.file_name().to_str().and_then(|name| ShardFolder::parse(dir, name)) else {
            continue;
        };
        match fs::metadata(&folder.path) {
            Ok(metadata) if metadata.is_dir() => folders.push(folder),
            // a file is foreign, and so is a dangling link
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // it may contain events
            Err(error) => return Err(error).context("look at", &folder.path),
        }
    }
    folders.sort_unstable();
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_the_lock_until_it_is_dropped() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("made/here");
        let lock = SpoolLock::acquire(&dir).unwrap();
        match SpoolLock::acquire(&dir).unwrap_err() {
            SpoolError::Held { pid, .. } => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other}"),
        }
        drop(lock);
        SpoolLock::acquire(&dir).unwrap();
    }

    #[test]
    fn a_look_at_the_lock_takes_nothing() {
        let root = tempfile::tempdir().unwrap();
        look_at_lock(&root.path().join("none")).unwrap();
        let lock = SpoolLock::acquire(root.path()).unwrap();
        match look_at_lock(root.path()).unwrap_err() {
            SpoolError::Held { pid, .. } => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other}"),
        }
        drop(lock);
        look_at_lock(root.path()).unwrap();
        SpoolLock::acquire(root.path()).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_another_error() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        let error = SpoolLock::acquire(&root.path().join("file/spool")).unwrap_err();
        assert!(matches!(error, SpoolError::Io { action: "create", .. }), "{error:?}");
        fs::create_dir(root.path().join(LOCK)).unwrap();
        let error = SpoolLock::acquire(root.path()).unwrap_err();
        assert!(matches!(error, SpoolError::Io { action: "open", .. }), "{error:?}");
    }

    #[test]
    fn shards_of_every_number_are_found_in_order_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let names = [
            "shard-0-of-1-2",
            "shard-1-of-2",
            "shard-0-of-2",
            "shard-0-of-1",
            "shard-2-of-2",
            "shard-01-of-2",
            "shard-0-of-2-0",
            "shard-0-of-2-x",
            "other",
        ];
        for name in names {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        fs::write(root.path().join("shard-3-of-4"), "").unwrap();
        let of = |shard, of| ShardFolder::new(root.path(), shard, of);
        let later = ShardFolder::in_generation(root.path(), 2, 0, 1);
        assert_eq!(shard_folders(root.path()).unwrap(), [of(0, 1), of(0, 2), of(1, 2), later]);
        assert_eq!(shard_folders(&root.path().join("none")).unwrap(), []);
    }

    #[test]
    fn a_shard_that_cannot_be_looked_at_is_not_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(root.path().join(target), root.path().join(name)).unwrap();
        };
        link("nothing", "shard-0-of-2");
        assert_eq!(shard_folders(root.path()).unwrap(), []);
        link("shard-1-of-2", "shard-1-of-2");
        let error = shard_folders(root.path()).unwrap_err();
        assert!(matches!(error, SpoolError::Io { action: "look at", .. }), "{error}");
    }
}
