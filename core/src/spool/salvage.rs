//! The salvage folder: bytes that are not records, kept for inspection.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::damage::{Damage, DamageKind};
use super::scan::read_readable;
use crate::private;

/// Name of the salvage folder.
pub const SALVAGE: &str = "aside";
/// Suffix of copies of bad bytes.
const COPY: &str = ".bad";
/// Maximum size of all copies; beyond it the oldest are deleted, which is reported. Damage usually affects a few
/// records. Whole files moved here are not counted and never deleted: they may be valid for a later version.
const MAX_COPIES: u64 = 64 * 1024 * 1024;
/// Bytes per read.
const BLOCK: usize = 1024 * 1024;

/// Copies bytes of a segment. The file name contains their position, so the same bytes are copied once.
pub(super) fn copy(folder: &Path, segment: &str, (offset, len): (u64, u64)) -> io::Result<()> {
    let aside = folder.join(SALVAGE);
    private::create_folder(&aside)?;
    let source = File::open(folder.join(segment))?;
    let name = aside.join(format!("{segment}-{offset}{COPY}"));
    let mut target = private::create_file(&name)?;
    let end = offset + len.min(MAX_COPIES);
    let mut block = vec![0; BLOCK];
    let mut at = offset;
    while at < end {
        let size = usize::try_from(end - at).unwrap_or(BLOCK).min(BLOCK);
        let read = read_readable(&source, &mut block[..size], at)?;
        io::Write::write_all(&mut target, &block[..read])?;
        if read == 0 {
            break;
        }
        at += read as u64;
    }
    Ok(())
}

/// Moves a file here without replacing others of its name.
pub(super) fn move_away(folder: &Path, name: &str) -> io::Result<()> {
    let aside = folder.join(SALVAGE);
    private::create_folder(&aside)?;
    let (mut target, mut others) = (aside.join(name), 0u64);
    while target.try_exists()? {
        others += 1;
        target = aside.join(format!("{name}.{others}"));
    }
    fs::rename(folder.join(name), target)
}

/// Lists the folder's files: names and bytes.
pub(super) fn list(folder: &Path) -> io::Result<Vec<(String, u64)>> {
    let entries = match fs::read_dir(folder.join(SALVAGE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        files.push((entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.len()));
    }
    files.sort_unstable();
    Ok(files)
}

/// Deletes the oldest copies beyond the bound.
pub(super) fn trim(folder: &Path) -> io::Result<Option<Damage>> {
    trim_to(folder, MAX_COPIES)
}

fn trim_to(folder: &Path, max_bytes: u64) -> io::Result<Option<Damage>> {
    let mut copies = Vec::new();
    for (name, bytes) in list(folder)?.into_iter().filter(|(name, _)| name.ends_with(COPY)) {
        let path = folder.join(SALVAGE).join(name);
        copies.push((fs::metadata(&path)?.modified()?, path, bytes));
    }
    copies.sort_unstable();
    let mut surplus = copies.iter().map(|copy| copy.2).sum::<u64>().saturating_sub(max_bytes);
    let (mut files, mut deleted) = (0, 0);
    for (_, path, bytes) in copies {
        if surplus == 0 {
            break;
        }
        fs::remove_file(path)?;
        (files, deleted) = (files + 1, deleted + bytes);
        surplus = surplus.saturating_sub(bytes);
    }
    Ok((files > 0).then(|| {
        let detail = format!("the {files} oldest copies of bad bytes were deleted");
        Damage { bytes: deleted, ..Damage::new(DamageKind::AsideFull, SALVAGE, detail) }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_bound_the_oldest_copies_go_and_whole_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..4 {
            fs::write(folder.path().join("s.seg"), [n; 10]).unwrap();
            copy(folder.path(), "s.seg", (u64::from(n), 10 - u64::from(n))).unwrap();
        }
        move_away(folder.path(), "s.seg").unwrap();
        let damage = trim_to(folder.path(), 20).unwrap().unwrap();
        assert_eq!((damage.kind, damage.bytes), (DamageKind::AsideFull, 19));
        let names: Vec<String> = list(folder.path()).unwrap().into_iter().map(|file| file.0).collect();
        assert_eq!(names, ["s.seg", "s.seg-2.bad", "s.seg-3.bad"]);
        assert_eq!(trim_to(folder.path(), 20).unwrap(), None);
    }

    #[test]
    fn files_of_the_same_name_stand_side_by_side() {
        let folder = tempfile::tempdir().unwrap();
        for content in ["a", "bb"] {
            fs::write(folder.path().join("s.seg"), content).unwrap();
            move_away(folder.path(), "s.seg").unwrap();
        }
        assert_eq!(list(folder.path()).unwrap(), [("s.seg".into(), 1), ("s.seg.1".into(), 2)]);
    }
}
