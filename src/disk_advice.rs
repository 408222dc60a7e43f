//! Advice for an unusable disk queue, for readers of the log of a service that has exited with 74.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::{getegid, geteuid};
use uw_websocket_actors::queue::folders::OpenError;
use uw_websocket_core::spool::SpoolError;

/// Returns the advice for `error`.
pub(crate) fn advice(error: &OpenError) -> String {
    match error {
        OpenError::Spool(SpoolError::Held { is_exposed: true, dir, .. }) => format!(
            "end the other process, or name another SPOOL_DIR; if no service runs there, another user holds the lock: \
             remove {}/lock",
            dir.display()
        ),
        OpenError::Spool(SpoolError::Held { .. }) => {
            "end the other process, or name another SPOOL_DIR".into()
        }
        OpenError::Spool(SpoolError::Io { path, source, .. }) => match source.kind() {
            ErrorKind::PermissionDenied => no_rights(path, (geteuid().as_raw(), getegid().as_raw())),
            ErrorKind::ReadOnlyFilesystem => {
                "mount a volume that can be written there, or name another SPOOL_DIR".into()
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on the disk".into(),
            _ => "SPOOL_DIR must be a folder on a disk that works".into(),
        },
        OpenError::Spool(_) => "look into SPOOL_DIR with `uw-websocket spool verify`".into(),
        OpenError::Threads(_) => "allow the service more threads".into(),
    }
}

/// Names the owner of the path, or of the folder that it would be in, and our own user and group (`we`).
fn no_rights(path: &Path, we: (u32, u32)) -> String {
    let (user, group) = we;
    let found = path.ancestors().find_map(|path| Some((path, fs::metadata(path).ok()?)));
    let whose = found.map_or_else(String::new, |(path, found)| {
        let (owner, mode) = (found.uid(), found.mode() & 0o7777);
        format!("{} belongs to user {owner} (mode {mode:o}), and ", path.display())
    });
    format!(
        "{whose}the service runs as user {user}: `chown -R {user}:{group}` the folder of SPOOL_DIR (in a container the \
         host's folder that is mounted there, or mount a named volume)"
    )
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn io_error(path: &Path, kind: ErrorKind) -> OpenError {
        SpoolError::Io { action: "open", path: path.to_owned(), source: kind.into() }.into()
    }

    #[test]
    fn a_folder_of_somebody_else_is_named_with_its_owner_and_who_should_own_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o750)).unwrap();
        let owner = fs::metadata(folder.path()).unwrap().uid();
        let advice = no_rights(&folder.path().join("not/there/lock"), (65532, 65533));
        let whose =
            format!("{} belongs to user {owner} (mode 750), and the service", folder.path().display());
        assert!(advice.starts_with(&whose), "{advice}");
        assert!(advice.contains("runs as user 65532: `chown -R 65532:65533`"), "{advice}");
    }

    #[test]
    fn every_cause_has_a_way_out_of_its_own() {
        let path = Path::new("/nowhere");
        let causes = [
            SpoolError::Held { dir: path.to_owned(), pid: None, is_exposed: false }.into(),
            SpoolError::Held { dir: path.to_owned(), pid: None, is_exposed: true }.into(),
            io_error(path, ErrorKind::PermissionDenied),
            io_error(path, ErrorKind::ReadOnlyFilesystem),
            io_error(path, ErrorKind::StorageFull),
            io_error(path, ErrorKind::NotADirectory),
            OpenError::Threads(io::Error::other("none left")),
        ];
        let mut ways: Vec<String> = causes.iter().map(advice).collect();
        ways.sort_unstable();
        ways.dedup();
        assert_eq!(ways.len(), causes.len(), "{ways:#?}");
    }
}
