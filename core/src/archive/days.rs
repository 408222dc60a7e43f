//! The content of an archive, read without a lock or a change, also while a service writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::checkpoint::ArchiveCheckpoint;
use super::path::{FETCHED, FilePath};
use crate::calendar::iso_date;
use crate::sealed::Loaded;

/// A file of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveFile {
    /// Its place below the archive's folder.
    pub path: FilePath,
    /// Its size; of one that is being written, up to the last commit.
    pub bytes: u64,
}

/// The files of an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Days {
    folder: PathBuf,
    /// In the order of date, channel and hour; those of fetched rows behind the others of their date.
    pub files: Vec<ArchiveFile>,
}

impl Days {
    /// Lists the files. Folders and files of other names are ignored, and so is what vanishes meanwhile.
    pub fn read(folder: &Path) -> io::Result<Days> {
        let found = files(folder)?;
        // Written files are in the checkpoint before they grow. So it is read between the sizes of the files that it does
        // not list, and of those that it lists: none of them is taken for longer than its last commit.
        let known = match ArchiveCheckpoint::load(folder) {
            Loaded::Whole(checkpoint) => checkpoint.files,
            Loaded::Missing | Loaded::Bad(_) => BTreeMap::new(),
        };
        let committed = |mut file: ArchiveFile| match known.get(&file.path) {
            None => Some(file),
            Some(length) => {
                file.bytes = size(&folder.join(file.path.to_string()))?.min(*length);
                Some(file)
            }
        };
        let mut files: Vec<ArchiveFile> = found.into_iter().filter_map(committed).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Days { folder: folder.to_owned(), files })
    }

    /// Returns the place of a file.
    #[must_use]
    pub fn place(&self, file: &ArchiveFile) -> PathBuf {
        self.folder.join(file.path.to_string())
    }

    /// Returns the size of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Returns the dates, oldest first.
    #[must_use]
    pub fn dates(&self) -> Vec<i32> {
        let dates: BTreeSet<i32> = self.files.iter().map(|file| file.path.date).collect();
        dates.into_iter().collect()
    }

    /// Returns the size of a day.
    #[must_use]
    pub fn bytes_of(&self, date: i32) -> u64 {
        self.files.iter().filter(|file| file.path.date == date).map(|file| file.bytes).sum()
    }

    /// Returns the days to remove, oldest first: those before `first_kept`, and the oldest that exceed `max_bytes`. The
    /// newest day is always kept.
    #[must_use]
    pub fn surplus(&self, first_kept: Option<i32>, max_bytes: Option<u64>) -> Vec<Surplus> {
        let (dates, mut bytes) = (self.dates(), self.bytes());
        let mut surplus = Vec::new();
        for date in dates.iter().take(dates.len().saturating_sub(1)) {
            let is_old = first_kept.is_some_and(|first| *date < first);
            if !is_old && max_bytes.is_none_or(|max| bytes <= max) {
                break;
            }
            let of_day = self.bytes_of(*date);
            bytes -= of_day;
            surplus.push(Surplus { day: iso_date(*date), bytes: of_day, is_old });
        }
        surplus
    }
}

/// A day to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surplus {
    /// The date.
    pub day: String,
    /// Its size.
    pub bytes: u64,
    /// Whether its time is over; otherwise its room is needed.
    pub is_old: bool,
}

/// Lists the files with their present sizes.
fn files(folder: &Path) -> io::Result<Vec<ArchiveFile>> {
    let mut files = Vec::new();
    for day in names(folder)? {
        let day = Path::new(&day);
        let of_feed = below(folder, day)?;
        for channel in of_feed.into_iter().chain(below(folder, &day.join(FETCHED))?) {
            let paths = below(folder, &channel)?;
            files.extend(paths.iter().filter_map(|file| {
                let path = FilePath::parse(file)?;
                Some(ArchiveFile { path, bytes: size(&folder.join(file))? })
            }));
        }
    }
    Ok(files)
}

/// Returns the size of a file; `None` if there is none.
fn size(file: &Path) -> Option<u64> {
    let metadata = fs::symlink_metadata(file).ok()?;
    metadata.is_file().then_some(metadata.len())
}

fn absent(error: io::Error) -> io::Result<Vec<std::ffi::OsString>> {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(Vec::new()),
        _ => Err(error),
    }
}

/// Lists what is in a folder below `root`; nothing if it is absent.
fn below(root: &Path, folder: &Path) -> io::Result<Vec<PathBuf>> {
    let names = names(&root.join(folder)).or_else(absent)?;
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

fn names(folder: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name())).collect()
}
