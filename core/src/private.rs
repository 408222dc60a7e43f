//! The files and folders of the service. They hold what the feed sent under the operator's token, so they are created for
//! the user of the service alone, whatever its umask is; nothing else in the product creates any.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// Mode of a file: its user reads and writes.
pub const FILE_MODE: u32 = 0o600;
/// Mode of a folder: its user reads, writes and enters.
pub const FOLDER_MODE: u32 = 0o700;
/// Maximum size of a file of state: the disk queue's IDs of all streams, with the longest names and IDs.
pub const MAX_STATE: u64 = 8 * 1024 * 1024;
/// The bits of a mode that give rights to other users.
const OTHERS: u32 = 0o077;
/// The bit of a mode by which any user may write.
const ANYBODY_WRITES: u32 = 0o002;

/// The access of other users to the entries of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// The first of the entries, in the order of their paths.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// The number of such entries.
    pub entries: u64,
}

/// Creates a folder, with those above it that are missing. One that exists keeps its mode.
pub fn create_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)
}

/// Creates a folder in one that exists; no effect if it exists.
pub fn create_one_folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(FOLDER_MODE).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        created => created,
    }
}

/// Options for a file that may be created: it gets [`FILE_MODE`]. A symbolic link under its name is an error and not
/// followed, and so is a pipe, whose other end would be waited for.
#[must_use]
pub fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // the bits of the flags fit into an int on every system that has them
    options.mode(FILE_MODE).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    options
}

/// Opens a file for reading. What is no regular file is an error, and not waited for.
pub fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("no regular file")) }
}

/// Reads a file whole, of at most `limit` bytes.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open(path)?.take(limit.saturating_add(1)).read_to_end(&mut content)?;
    if content.len() as u64 > limit {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("more than {limit} bytes")));
    }
    Ok(content)
}

/// Reads a text of at most `limit` bytes.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(read(path, limit)?).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

/// Opens a file for writing from its beginning, empty.
pub fn create_file(path: &Path) -> io::Result<File> {
    let file = options().write(true).create(true).truncate(true).open(path)?;
    // only opening is not to wait: a slow disk is no failing one
    rustix::fs::fcntl_setfl(&file, OFlags::empty())?;
    Ok(file)
}

/// Writes a file that has this content and no other.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    #[cfg(test)]
    if let Some(kind) = tests::NEXT_WRITE_FAILS.take() {
        return Err(kind.into());
    }
    create_file(path)?.write_all(content)
}

/// Whether other users may do anything with a file or folder. Of one that belongs to another user, such as the root of a
/// mounted volume, the mode is not ours to choose: it counts if anybody may write there.
#[must_use]
pub fn is_exposed(metadata: &Metadata, user: u32) -> bool {
    let counted = if metadata.uid() == user { OTHERS } else { ANYBODY_WRITES };
    metadata.mode() & counted != 0
}

/// Looks for what other users may read or write: the folder itself, and below it the entries that `is_ours` accepts by
/// their paths. Nothing if the folder does not exist. Symbolic links are passed over: they have no mode of their own.
pub fn exposure(folder: &Path, user: u32, is_ours: &dyn Fn(&Path) -> bool) -> io::Result<Option<Exposure>> {
    let metadata = match fs::metadata(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        metadata => metadata?,
    };
    let mut found = None;
    note(&mut found, folder, &metadata, user);
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            // a running service removes files and folders
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            let metadata = match entry.metadata() {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            if metadata.is_symlink() || !is_ours(&path) {
                continue;
            }
            note(&mut found, &path, &metadata, user);
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    Ok(found)
}

/// Counts an entry if it is exposed, and keeps the first one.
fn note(found: &mut Option<Exposure>, path: &Path, metadata: &Metadata, user: u32) {
    if !is_exposed(metadata, user) {
        return;
    }
    let mode = metadata.mode() & 0o7777;
    let exposure = found.get_or_insert_with(|| Exposure { path: path.to_owned(), mode, entries: 0 });
    exposure.entries += 1;
    if path < exposure.path.as_path() {
        (exposure.path, exposure.mode) = (path.to_owned(), mode);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    thread_local! {
        /// With this error the next [`write`] of the thread fails. No link to `/dev/full` would be followed.
        pub(crate) static NEXT_WRITE_FAILS: Cell<Option<ErrorKind>> = const { Cell::new(None) };
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn own(path: &Path) -> u32 {
        fs::metadata(path).unwrap().uid()
    }

    #[test]
    fn what_is_created_is_for_its_user_alone() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        create_folder(&folder).unwrap();
        write(&folder.join("file"), b"x").unwrap();
        assert_eq!((mode(&root.path().join("a")), mode(&folder)), (0o700, 0o700));
        assert_eq!(mode(&folder.join("file")), 0o600);
    }

    #[test]
    fn a_link_is_not_written_through() {
        let root = tempfile::tempdir().unwrap();
        let (target, link) = (root.path().join("target"), root.path().join("link"));
        fs::write(&target, "whole").unwrap();
        symlink(&target, &link).unwrap();
        assert!(write(&link, b"x").is_err());
        symlink(root.path().join("absent"), root.path().join("dangling")).unwrap();
        assert!(write(&root.path().join("dangling"), b"x").is_err());
        assert_eq!(fs::read_to_string(&target).unwrap(), "whole");
        assert!(!root.path().join("absent").exists());
    }

    #[test]
    fn what_others_may_open_is_found_and_counted() {
        let root = tempfile::tempdir().unwrap();
        set_mode(root.path(), 0o700);
        let user = own(root.path());
        let all = |_: &Path| true;
        let (folder, file) = (root.path().join("b"), root.path().join("b/file"));
        create_folder(&folder).unwrap();
        write(&file, b"").unwrap();
        symlink("/", root.path().join("link")).unwrap();
        assert_eq!(exposure(root.path(), user, &all).unwrap(), None);
        assert_eq!(exposure(&root.path().join("none"), user, &all).unwrap(), None);
        for wide in [0o640, 0o604, 0o660, 0o601] {
            set_mode(&file, wide);
            let expected = Exposure { path: file.clone(), mode: wide, entries: 1 };
            assert_eq!(exposure(root.path(), user, &all).unwrap(), Some(expected));
        }
        assert_eq!(exposure(root.path(), user, &|path| path != folder).unwrap(), None);
        set_mode(root.path(), 0o755);
        let expected = Exposure { path: root.path().to_owned(), mode: 0o755, entries: 2 };
        assert_eq!(exposure(root.path(), user, &all).unwrap(), Some(expected));
    }

    #[test]
    fn the_mode_of_what_belongs_to_another_user_counts_where_anybody_may_write() {
        let root = tempfile::tempdir().unwrap();
        let another = own(root.path()) + 1;
        for (mode, counts) in [(0o2775, false), (0o755, false), (0o777, true), (0o1777, true)] {
            set_mode(root.path(), mode);
            assert_eq!(is_exposed(&fs::metadata(root.path()).unwrap(), another), counts, "{mode:o}");
        }
    }

    #[test]
    fn a_pipe_or_folder_in_place_of_a_file_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, file) = (folder.path().join("pipe"), folder.path().join("file"));
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        for path in [&pipe, folder.path()] {
            assert!(
                open(path).is_err() && read_text(path, 9).is_err() && write(path, b"x").is_err(),
                "{path:?}"
            );
        }
        write(&file, b"123456789").unwrap();
        assert_eq!(read_text(&file, 9).unwrap(), "123456789");
        assert_eq!(read(&file, 8).unwrap_err().kind(), ErrorKind::FileTooLarge);
    }
}
