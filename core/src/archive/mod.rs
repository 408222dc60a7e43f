//! The archive: what Redis has stored, in files of a day, a channel and an hour.
//!
//! ```text
//! ARCHIVE_DIR/
//!   lock                                  held by the writing process (flock)
//!   checkpoint                            how far each disk queue and each stream of fetched rows is archived, and how
//!                                         long the files are
//!   <session date>/<channel>/<hour>.jsonl.zst
//!   <session date>/backfill/<channel>/<hour>.jsonl.zst    rows fetched over REST
//! ```
//!
//! A [`ArchiveLine`] is one event as JSON, shared with `spool export`. [`FilePath`] is the place of a file, [`Frames`] collects
//! lines until they are written together, [`ArchiveStore`] writes them, `checkpoint` makes that exactly once. [`Reading`] reads a
//! file however damaged, [`Days`] lists what there is. Files are created by [`crate::private`].
//!
//! No threads, timers, logs or clock: it is called from one thread, and `now` is a parameter.

mod checkpoint;
mod days;
mod files;
mod frames;
mod line;
mod path;
mod reading;
mod store;

pub use checkpoint::{ArchivePosition, StreamPosition};
pub use days::{ArchiveFile, Days, Surplus};
pub use frames::{FRAME_BYTES, Frames};
pub use line::ArchiveLine;
pub use path::{FilePath, HourClock};
pub use reading::{Bad, Reading, lines};
pub use store::{ArchiveError, ArchiveStore, Trimmed};

#[cfg(test)]
mod tests;
