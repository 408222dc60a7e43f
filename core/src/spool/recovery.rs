//! Opens a folder as a queue, whatever the last process left.
//!
//! Opening reads and checks everything, and always begins a new segment.
//!
//! | found | done |
//! |---|---|
//! | bad bytes at the end of the last segment | salvaged and truncated |
//! | bad bytes elsewhere | salvaged, and skipped at each read |
//! | a bad segment header | rewritten; without any record, the file is salvaged and deleted |
//! | numbers missing between or before segments, or after the last | reported with their count, unless `absent` lists them |
//! | a segment of a later version | moved to the salvage folder whole; it can be moved back for that version |
//! | no cursor, or a bad one | every record counts as unacknowledged |
//! | unknown files | left alone, reported |
//! | temporary files, segments without a record | deleted |

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Instant;

use super::cursor::{self, CURSOR, Cursor, Removed};
use super::damage::{Damage, DamageKind};
use super::error::{Context as _, SpoolError, is_disk_full};
use super::examine::{Examined, Finding, Remedy};
use super::format::segment_header;
use super::hold::Holding;
use super::queue::{Limits, Spool, Unsynced};
use super::ranges::Ranges;
use super::segment::bound_last_ids;
use super::{reassign, salvage};
use crate::event::EntryId;
use crate::private;

/// The state found on opening.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Unacknowledged events, by channel.
    pub events: BTreeMap<String, u64>,
    /// Number of the next record.
    pub next_seq: u64,
    /// All records below this number are acknowledged.
    pub acknowledged: u64,
    /// Number of the first record on disk.
    pub kept_from: u64,
    /// The highest ID of any record, above which new IDs continue; 0-0 without records.
    pub highest_id: EntryId,
    /// The highest ID of any removed record, by stream.
    pub removed: Removed,
    /// Damage found. Record it before [`Spool::persist_cursor`] or a removal; until then it is reported again on
    /// every opening.
    pub damages: Vec<Damage>,
}

impl Spool {
    /// Opens the queue in `folder`, created if necessary. Damage is reported, salvaged and skipped, never an error.
    /// An error means that the folder is unusable.
    pub fn open(folder: &Path, limits: Limits, now: Instant) -> Result<(Spool, Recovery), SpoolError> {
        private::create_folder(folder).context("create", folder)?;
        let dir = File::open(folder).context("open", folder)?;
        if limits.durable
            && let Some(parent) = folder.parent()
        {
            File::open(parent).and_then(|parent| parent.sync_all()).context("sync", parent)?;
        }
        reassign::redo(folder).context("finish the rewriting of ids in", folder)?;
        let mut examined = Examined::read(folder, now)?;
        let mut damages = Vec::new();
        for finding in std::mem::take(&mut examined.findings) {
            damages.extend(remedied(folder, finding));
        }
        // failure to trim is no reason to refuse
        damages.extend(salvage::trim(folder).unwrap_or_else(|error| {
            let detail = format!("the oldest copies of bad bytes cannot be deleted: {error}");
            Some(Damage::new(DamageKind::AsideFull, salvage::SALVAGE, detail))
        }));
        for leftover in &examined.listing.leftovers {
            // remains are overwritten when the name is reused
            fs::remove_file(folder.join(leftover)).ok();
        }
        examined.forgotten +=
            bound_last_ids(&mut examined.segments, &mut examined.removed, limits.max_streams);
        let spool = Spool {
            folder: folder.to_owned(),
            dir,
            limits,
            bytes: examined.segments.iter().map(|segment| segment.bytes).sum(),
            segments: examined.segments.into(),
            writing: None,
            next_seq: examined.next_seq,
            cursor: Cursor { absent: examined.gaps, dropping: Ranges::default(), ..examined.cursor.clone() },
            removed: examined.removed,
            forgotten: examined.forgotten,
            place: None,
            found: Vec::new(),
            last_channel: "".into(),
            oldest: None,
            unsynced: Unsynced::default(),
            holding: Holding::default(),
        };
        if !examined.has_cursor {
            begin_cursor(folder, &Cursor { end: spool.next_seq, ..examined.cursor })?;
        }
        let recovery = Recovery {
            events: examined.unacknowledged,
            next_seq: spool.next_seq,
            acknowledged: spool.acknowledged(),
            kept_from: spool.kept_from(),
            highest_id: examined.highest_id,
            removed: spool.removed.clone(),
            damages,
        };
        Ok((spool, recovery))
    }
}

/// Without a cursor, the next opening could not detect missing records. A full disk does not prevent opening.
fn begin_cursor(folder: &Path, cursor: &Cursor) -> Result<(), SpoolError> {
    match cursor::replace(folder, CURSOR, &cursor.encode()) {
        Err(error) if is_disk_full(&error) => Ok(()),
        written => written.context("create", &folder.join(CURSOR)),
    }
}

/// Applies the remedy; returns the damage if it is to be reported.
fn remedied(folder: &Path, finding: Finding) -> Option<Damage> {
    let Finding { mut damage, remedy, is_known } = finding;
    let place = (damage.offset, damage.bytes);
    let done = match remedy {
        Remedy::None => Ok(()),
        Remedy::Copy if damage.bytes == 0 || is_known => Ok(()),
        Remedy::Copy => salvage::copy(folder, &damage.file, place),
        Remedy::Cut => salvage::copy(folder, &damage.file, place).and_then(|()| {
            File::options().write(true).open(folder.join(&damage.file))?.set_len(damage.offset)
        }),
        Remedy::Discard => salvage::copy(folder, &damage.file, place)
            .and_then(|()| fs::remove_file(folder.join(&damage.file))),
        Remedy::MoveAway => salvage::move_away(folder, &damage.file),
        Remedy::NewHeader(first) => new_header(&folder.join(&damage.file), first),
    };
    if let Err(error) = done {
        damage.detail = format!("{}; it stays where it is: {error}", damage.detail);
    }
    (!is_known).then_some(damage)
}

fn new_header(path: &Path, first: u64) -> io::Result<()> {
    File::options().write(true).open(path)?.write_all_at(&segment_header(first), 0)
}
