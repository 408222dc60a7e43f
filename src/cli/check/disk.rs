//! Checks the folder of the disk queue without leaving files in it.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::statvfs;
use uw_websocket_actors::settings::{SpoolMode, SpoolSettings};
use uw_websocket_core::private::{self, Exposure};
use uw_websocket_core::spool::{SpoolError, look_at_lock};

use super::plan::mebibytes;
use super::report::{Finding, Report};
use crate::archive_forecast::nearest;
use crate::exit::Exit;
use crate::exposed;
use crate::logging::{self, LoggingError};
use crate::settings::units::shown_size;

/// Maximum wait for the disk: a disconnected network share never answers.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// Runs the checks and reports the findings. Returns whether a running service has the folder; `None` if unknown.
pub(super) fn look(settings: &SpoolSettings, report: &mut Report<impl Write>) -> Option<bool> {
    report.section("Disk queue", &settings.dir.display().to_string());
    if settings.mode == SpoolMode::Off {
        let text = "off: a kill -9 or a long outage of redis costs what is in memory";
        report.add(&Finding::doubt("mode", text, "SPOOL_MODE=always"));
        return None;
    }
    let (done, findings) = mpsc::sync_channel(1);
    let asked = settings.clone();
    // abandoned if the disk hangs; the process ends without waiting
    std::thread::spawn(move || {
        done.send((findings_of(&asked), matches!(look_at_lock(&asked.dir), Err(SpoolError::Held { .. }))))
    });
    if let Ok((findings, is_held)) = findings.recv_timeout(LIMIT) {
        for finding in &findings {
            report.add(finding);
        }
        return Some(is_held);
    }
    report.add(&unusable("folder", format!("the disk does not answer within {LIMIT:?}")));
    None
}

fn findings_of(settings: &SpoolSettings) -> Vec<Finding> {
    let dir = &settings.dir;
    let there = nearest(dir);
    let is_there = there == *dir;
    if let Err(error) = try_to_write(&there) {
        let verb = if is_there { "written to" } else { "created" };
        return vec![unusable("folder", format!("cannot be {verb}: {}: {error}", there.display()))];
    }
    let folder = if is_there { "exists and is writable" } else { "does not exist and can be created" };
    let mut findings = vec![Finding::fine("folder", folder)];
    findings.push(match look_at_lock(dir) {
        Ok(()) => Finding::fine("lock", "free"),
        Err(held @ SpoolError::Held { is_exposed: true, .. }) => {
            let advice = "if no service runs there, remove the file `lock` in it";
            Finding::doubt("lock", held.to_string(), advice)
        }
        Err(SpoolError::Held { pid, .. }) => {
            let pid = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
            let text = format!("a running service has the folder{pid}: a second one needs another SPOOL_DIR");
            Finding::fine("lock", text)
        }
        Err(error) => unusable("lock", error.to_string()),
    });
    findings.push(room(settings, &there));
    findings.extend(exposed_to_others(exposed::of_spool(dir)));
    findings
}

/// Checks the log files in a folder.
pub(super) fn look_at_logs(dir: &Path, report: &mut Report<impl Write>) {
    report.section("Log files", &dir.display().to_string());
    if let Err(error) = logging::refuse_planted(dir).and_then(|()| try_to_write(&nearest(dir))) {
        let text = LoggingError::of_folder(dir, error).to_string();
        let advice = "name a folder that the service may create or write to, or leave LOG_DIR empty";
        return report.add(&Finding::failed(Exit::BadSettings, "folder", text, advice));
    }
    match exposed_to_others(exposed::of_logs(dir)) {
        Some(finding) => report.add(&finding),
        None => report.add(&Finding::fine("modes", "other users cannot open them")),
    }
}

pub(super) fn exposed_to_others(found: io::Result<Option<Exposure>>) -> Option<Finding> {
    const SUBJECT: &str = "modes";
    match found {
        Ok(None) => None,
        Ok(Some(Exposure { path, mode, entries })) => {
            let text = format!(
                "other users can open {entries} of its entries, first {} (mode {mode:o})",
                path.display()
            );
            Some(Finding::doubt(SUBJECT, text, exposed::ADVICE))
        }
        Err(error) => Some(Finding::doubt(SUBJECT, format!("not known: {error}"), exposed::ADVICE)),
    }
}

fn unusable(subject: &str, text: String) -> Finding {
    let advice = "SPOOL_DIR must name a folder of the service's user (in the image: 65532); the service would end with 74";
    Finding::failed(Exit::BadSettings, subject, text, advice)
}

/// Writes a file and removes it: the only way to detect missing permissions, quotas and read-only mounts.
pub(super) fn try_to_write(dir: &Path) -> io::Result<()> {
    let path = dir.join(format!(".uw-websocket-check-{}", std::process::id()));
    let created = private::options().write(true).create_new(true).open(&path);
    let written = created.and_then(|mut file| file.write_all(b"probe"));
    let removed = fs::remove_file(&path);
    written.and(removed)
}

fn room(settings: &SpoolSettings, there: &Path) -> Finding {
    const SUBJECT: &str = "room";
    let free = match statvfs(there) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => {
            return Finding::doubt(SUBJECT, format!("not known: {error}"), "check the disk with df");
        }
    };
    let used = bytes_in(&settings.dir);
    let text = format!(
        "{} free and {} used, of SPOOL_MAX_BYTES={}",
        mebibytes(free),
        mebibytes(used),
        shown_size(settings.max_bytes)
    );
    if free.saturating_add(used) < settings.max_bytes {
        let advice = "a full disk makes the service go on through 8 MiB of memory: lower SPOOL_MAX_BYTES, or make room";
        return Finding::doubt(SUBJECT, text, advice);
    }
    Finding::fine(SUBJECT, text)
}

/// Returns the bytes of the files under a folder; unreadable or vanished files count as zero.
fn bytes_in(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(bytes).sum()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use uw_websocket_actors::settings::{Fsync, WhenFull};
    use uw_websocket_core::spool::SpoolLock;

    use super::super::report::Mark;
    use super::*;

    fn settings(dir: PathBuf, max_bytes: u64) -> SpoolSettings {
        SpoolSettings {
            dir,
            mode: SpoolMode::Always,
            keep: Duration::ZERO,
            max_bytes,
            when_full: WhenFull::Block,
            fsync: Fsync::Never,
        }
    }

    fn marks(settings: &SpoolSettings) -> Vec<(String, Mark)> {
        findings_of(settings).into_iter().map(|finding| (finding.subject, finding.mark)).collect()
    }

    #[test]
    fn a_folder_that_can_be_made_is_not_made() {
        let root = tempfile::tempdir().unwrap();
        let findings = findings_of(&settings(root.path().join("a/b"), 1));
        assert!(findings.iter().all(|finding| finding.mark == Mark::Fine), "{findings:?}");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_path_through_a_file_is_a_wrong_setting() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let expected = [("folder".to_owned(), Mark::Failed(Exit::BadSettings))];
        assert_eq!(marks(&settings(file.path().join("a"), 1)), expected);
    }

    #[test]
    fn a_running_service_is_told_of_and_not_disturbed() {
        let root = tempfile::tempdir().unwrap();
        let _lock = SpoolLock::acquire(root.path()).unwrap();
        let findings = findings_of(&settings(root.path().to_owned(), 1));
        assert_eq!(findings[1].mark, Mark::Fine);
        assert!(findings[1].text.contains(&std::process::id().to_string()), "{findings:?}");
    }

    #[test]
    fn what_others_may_open_is_doubtful() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("spool");
        private::create_folder(&dir).unwrap();
        assert!(marks(&settings(dir.clone(), 1)).iter().all(|(_, mark)| *mark == Mark::Fine));
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o750)).unwrap();
        let findings = findings_of(&settings(dir.clone(), 1));
        let finding = findings.last().unwrap();
        assert_eq!((finding.subject.as_str(), finding.mark), ("modes", Mark::Doubt));
        assert!(finding.text.ends_with(&format!("first {} (mode 750)", dir.display())), "{}", finding.text);
    }

    #[test]
    fn a_disk_smaller_than_the_queue_may_grow_is_doubtful() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(marks(&settings(root.path().to_owned(), u64::MAX))[2], ("room".to_owned(), Mark::Doubt));
        fs::write(root.path().join("used"), [0; 10]).unwrap();
        assert_eq!(bytes_in(root.path()), 10);
    }
}
