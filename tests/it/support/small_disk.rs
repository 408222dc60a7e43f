//! A disk of a few megabytes that can be full.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// Written at a time.
const BLOCK: usize = 4096;

/// A file system in memory, in a namespace of its own: nobody needs to be root. It ends with the value.
pub(crate) struct SmallDisk {
    _folder: TempDir,
    /// Keeps the namespace until its standard input ends.
    holder: Child,
    path: PathBuf,
}

impl SmallDisk {
    /// Makes a disk of this size; `None` where the system allows no user namespaces.
    pub(crate) fn mount(bytes: u64) -> Option<SmallDisk> {
        let folder = tempfile::Builder::new().prefix("uw-disk-").tempdir().unwrap();
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "/bin/sh", "-c"])
            .arg(r#"mount -t tmpfs -o "size=$1,mode=700" tmpfs "$0" && echo mounted && exec cat"#)
            .arg(folder.path())
            .arg(bytes.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let inside = folder.path().strip_prefix("/").unwrap();
        let path = PathBuf::from(format!("/proc/{}/root", holder.id())).join(inside);
        let disk = SmallDisk { _folder: folder, holder, path };
        (line.trim() == "mounted").then_some(disk)
    }

    /// Its root, for every process of this user.
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Takes all of the room.
    #[track_caller]
    pub(crate) fn fill(&self) {
        let mut ballast = File::options().create(true).append(true).open(self.path.join("ballast")).unwrap();
        let full = std::iter::from_fn(|| Some(ballast.write_all(&[0; BLOCK]))).find_map(Result::err).unwrap();
        assert_eq!(full.kind(), ErrorKind::StorageFull);
    }

    /// Gives it back.
    pub(crate) fn make_room(&self) {
        fs::remove_file(self.path.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}
