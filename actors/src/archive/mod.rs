//! The archive's thread: it copies what Redis has stored from the disk queues to files, and lets it go.
//!
//! One thread of low priority, beside all actors: nothing waits for it. It reads the segments itself, up to the position
//! that each queue has published ([`Archiving`](crate::queue::archiving::Archiving)), and tells back what is archived. A queue keeps the rest, unless it needs
//! the room. `source` reads a queue, [`fetched`] brings the rows that the filler has fetched, `upkeep` removes old days; the files are written by [`ArchiveStore`].
//!
//! [`ArchiveStore`]: uw_websocket_core::archive::ArchiveStore

pub mod fetched;
mod source;
mod thread;
mod upkeep;

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Builder;
use std::time::Duration;

use slog::{Logger, warn};

pub use thread::ArchiveParts;

/// The running archive.
#[derive(Debug)]
pub struct Archive {
    stop: SyncSender<()>,
    ended: Receiver<()>,
    log: Logger,
}

impl Archive {
    /// Starts the thread. It opens the folder itself, and tries again if it cannot: an archive that is unusable holds
    /// nobody up.
    pub fn start(parts: ArchiveParts) -> io::Result<Archive> {
        let (stop, stopped) = sync_channel(1);
        let (ends, ended) = sync_channel::<()>(0);
        let log = parts.log.clone();
        parts.observations.archive.is_on.set(true);
        let guard = parts.deaths.guard("archive".to_owned(), log.clone());
        Builder::new().name("archive".into()).spawn(move || {
            let (_ends, _guard) = (ends, guard);
            thread::run(parts, &stopped);
        })?;
        Ok(Archive { stop, ended, log })
    }

    /// Writes what is stored, within `patience`, and ends the thread. The rest waits in the disk queue for the next
    /// process.
    pub fn finish(self, patience: Duration) {
        // it is told once, or has ended
        self.stop.try_send(()).ok();
        if self
            .ended
            .recv_timeout(patience)
            .is_err_and(|error| error == std::sync::mpsc::RecvTimeoutError::Timeout)
        {
            warn!(self.log, "archive not finished in time");
        }
    }
}
