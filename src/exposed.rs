//! What other users may open of the service's files, for the log at startup and for `check`.

use std::io;
use std::path::Path;

use rustix::process::geteuid;
use uw_websocket_core::private::{Exposure, exposure};

use crate::logging::is_log;
use crate::settings::Settings;

/// What to do about it.
pub(crate) const ADVICE: &str =
    "give the service a folder of its own, and take the rights of other users away there: `chmod -R go-rwx`";

/// What others may open in the folder of the disk queue.
pub(crate) fn of_spool(dir: &Path) -> io::Result<Option<Exposure>> {
    exposure(dir, geteuid().as_raw(), &|_| true)
}

/// What others may open of the log files; what else is in their folder is not the service's.
pub(crate) fn of_logs(dir: &Path) -> io::Result<Option<Exposure>> {
    exposure(dir, geteuid().as_raw(), &is_log)
}

/// What others may open in either folder. One that cannot be looked at is reported by whoever uses it.
pub(crate) fn of_all(settings: &Settings) -> impl Iterator<Item = Exposure> {
    let spool = of_spool(&settings.actors.spool.dir).ok().flatten();
    let logs = settings.log.dir.as_deref().and_then(|dir| of_logs(dir).ok().flatten());
    spool.into_iter().chain(logs)
}
