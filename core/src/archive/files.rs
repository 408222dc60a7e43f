//! The archive's operations on the disk, behind a trait so that tests can end them at any byte.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::private;

/// Writes at a position.
pub(super) fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    let allowed = allowance(bytes.len())?;
    file.write_all_at(bytes.get(..allowed).unwrap_or_default(), at)?;
    exhausted(allowed < bytes.len())
}

/// Sets the length of a file.
pub(super) fn cut(file: &File, len: u64) -> io::Result<()> {
    allowance(1)?;
    file.set_len(len)
}

/// Opens a file for writing, created if missing.
pub(super) fn open(path: &Path) -> io::Result<File> {
    allowance(1)?;
    private::options().read(true).write(true).create(true).open(path)
}

/// Creates a folder in one that exists: a folder above it that has vanished, as with its disk, is not replaced. Returns
/// whether it is new.
pub(super) fn create_folder(path: &Path) -> io::Result<bool> {
    if path.is_dir() {
        return Ok(false);
    }
    allowance(1)?;
    private::create_one_folder(path).map(|()| true)
}

/// Makes what was written to a file, or to the entries of a folder, survive a power cut.
pub(super) fn sync(file: &File) -> io::Result<()> {
    allowance(1)?;
    // tests end the process and not the power, thousands of times
    if cfg!(test) { Ok(()) } else { file.sync_all() }
}

/// Replaces a file atomically; to survive a power cut its folder has to be synced.
pub(super) fn replace(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let temporary = folder.join(format!("{name}.tmp"));
    let written = open(&temporary).and_then(|file| {
        cut(&file, 0)?;
        write_at(&file, content, 0)?;
        sync(&file)?;
        allowance(1)?;
        fs::rename(&temporary, folder.join(name))
    });
    written.inspect_err(|_| {
        if allowance(1).is_ok() {
            fs::remove_file(&temporary).ok();
        }
    })
}

#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "tests limit it")]
fn allowance(bytes: usize) -> io::Result<usize> {
    Ok(bytes)
}

#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "tests limit it")]
fn exhausted(_: bool) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(super) use limited::LEFT;
#[cfg(test)]
use limited::{allowance, exhausted};

#[cfg(test)]
mod limited {
    use std::cell::Cell;
    use std::io;

    thread_local! {
        /// Bytes and other changes left to this thread until its disk is full; the process is killed for whoever takes
        /// the error as that.
        pub(crate) static LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
    }

    /// Takes up to `bytes` from what is left; an error if nothing is.
    pub(super) fn allowance(bytes: usize) -> io::Result<usize> {
        let left = LEFT.get();
        LEFT.set(left.saturating_sub(bytes));
        exhausted(left == 0)?;
        Ok(bytes.min(left))
    }

    pub(super) fn exhausted(is_so: bool) -> io::Result<()> {
        if is_so { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}
