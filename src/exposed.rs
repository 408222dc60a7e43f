//! Finds files of the service that other users may open, for the log at startup and for `check`.

use std::io;
use std::path::Path;

use rustix::process::geteuid;
use uw_websocket_core::private::{Exposure, exposure};

use crate::logging::is_log;
use crate::settings::Settings;

/// The remedy.
pub(crate) const ADVICE: &str =
    "give the service a folder of its own, and take the rights of other users away there: `chmod -R go-rwx`";

/// Finds the files in the folder of the disk queue, or in that of the archive, that others may open.
pub(crate) fn of_spool(dir: &Path) -> io::Result<Option<Exposure>> {
    exposure(dir, geteuid().as_raw(), &|_| true)
}

/// Finds the log files that others may open; other files in their folder do not belong to the service.
pub(crate) fn of_logs(dir: &Path) -> io::Result<Option<Exposure>> {
    exposure(dir, geteuid().as_raw(), &is_log)
}

/// Finds the files in any of the folders that others may open. An unreadable folder is reported by its user.
pub(crate) fn of_all(settings: &Settings) -> impl Iterator<Item = Exposure> {
    let archive = settings.actors.archive.as_ref().and_then(|archive| of_spool(&archive.dir).ok().flatten());
    let spool = of_spool(&settings.actors.spool.dir).ok().flatten();
    let logs = settings.log.dir.as_deref().and_then(|dir| of_logs(dir).ok().flatten());
    spool.into_iter().chain(archive).chain(logs)
}
