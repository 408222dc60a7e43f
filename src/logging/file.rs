//! The log file.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use jiff::Timestamp;
use rustix::process::geteuid;
use uw_websocket_core::private;

/// The beginning of the file's name.
const PREFIX: &str = "uw_websocket_";
/// The end of the file's name.
const SUFFIX: &str = ".log";
/// Maximum number of names per second. A service that exits immediately may be restarted a few times per second, and in
/// a folder writable by others the names may be taken deliberately.
const NAMES_PER_SECOND: u32 = 100;

/// Creates `uw_websocket_<YYYYMMDD_HHMMSS>.log` (UTC) in `dir`, and the folder if necessary. Operators look for the
/// latest of these names. Further ones of the same second end with `_1`, `_2` and so on.
///
/// The file is always new: an existing one, including a link, may belong to another user.
pub(super) fn create(dir: &Path, now: Timestamp) -> io::Result<File> {
    refuse_planted(dir)?;
    private::create_folder(dir)?;
    let stem = format!("{PREFIX}{}", now.strftime("%Y%m%d_%H%M%S"));
    let first = format!("{stem}{SUFFIX}");
    let later = (1..NAMES_PER_SECOND).map(|n| format!("{stem}_{n}{SUFFIX}"));
    let mut taken = io::Error::from(ErrorKind::AlreadyExists);
    for name in std::iter::once(first).chain(later) {
        match private::options().append(true).create_new(true).open(dir.join(name)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => taken = error,
            opened => return opened,
        }
    }
    Err(taken)
}

/// Refuses a folder that is a link of another user.
pub(crate) fn refuse_planted(dir: &Path) -> io::Result<()> {
    match fs::symlink_metadata(dir) {
        Ok(link) if link.is_symlink() && !may_link(link.uid(), geteuid().as_raw()) => {
            let planted = format!("is a link of user {}, which is not followed", link.uid());
            Err(io::Error::new(ErrorKind::PermissionDenied, planted))
        }
        _ => Ok(()),
    }
}

/// Returns whether a path is that of a log file.
pub(crate) fn is_log(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy());
    name.is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX))
}

/// Returns whether a link owned by this user is accepted as the folder: only our own or the superuser's.
fn may_link(owner: u32, us: u32) -> bool {
    owner == us || owner == 0
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::symlink;

    use super::*;

    fn now() -> Timestamp {
        "2025-10-04T23:05:09+02:00".parse().unwrap()
    }

    #[test]
    fn the_file_is_named_after_the_time_in_utc_and_its_folder_created() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("a/b");
        create(&dir, now()).unwrap();
        assert!(dir.join("uw_websocket_20251004_210509.log").is_file());
        assert!(is_log(&dir.join("uw_websocket_20251004_210509.log")) && !is_log(&dir));
    }

    #[test]
    fn every_start_of_a_second_has_a_file_of_its_own_until_the_names_are_used_up() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..NAMES_PER_SECOND {
            create(folder.path(), now()).unwrap();
        }
        let files = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        assert_eq!(files.filter(|path| is_log(path)).count(), NAMES_PER_SECOND as usize);
        assert_eq!(create(folder.path(), now()).unwrap_err().kind(), ErrorKind::AlreadyExists);
    }

    #[test]
    fn what_was_planted_under_the_name_is_neither_followed_nor_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        fs::write(&target, "of another user").unwrap();
        let name = |end: &str| folder.path().join(format!("uw_websocket_20251004_210509{end}.log"));
        symlink(&target, name("")).unwrap();
        symlink(folder.path().join("absent"), name("_1")).unwrap();
        fs::hard_link(&target, name("_2")).unwrap();
        create(folder.path(), now()).unwrap().write_all(b"ours").unwrap();
        assert_eq!(fs::read_to_string(name("_3")).unwrap(), "ours");
        assert_eq!(fs::read_to_string(&target).unwrap(), "of another user");
        assert!(!folder.path().join("absent").exists());
    }

    #[test]
    fn a_folder_may_be_a_link_of_the_operator_and_of_nobody_else() {
        let root = tempfile::tempdir().unwrap();
        let (folder, link) = (root.path().join("folder"), root.path().join("link"));
        fs::create_dir(&folder).unwrap();
        symlink(&folder, &link).unwrap();
        create(&link, now()).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        assert!(may_link(7, 7) && may_link(0, 7) && !may_link(8, 7) && !may_link(7, 0));
    }
}
