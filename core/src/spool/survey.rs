//! A read-only view of a shard's folder, also while the service runs. Takes no lock and changes nothing; segments
//! that the service removes meanwhile are skipped.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use super::cursor::{Cursor, Loaded};
use super::damage::Damage;
use super::error::{Context as _, SpoolError};
use super::examine::Examined;
use super::format::{RecordStream, SEGMENT_HEADER, SegmentHeader, View};
use super::listing::{Listing, below};
use super::salvage;
use super::scan::{Met, Span, scan};
use super::segment::segment_name;
use crate::event::EntryId;

/// The content of a shard's folder.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Number of segments.
    pub segments: u64,
    /// Size of all segments.
    pub bytes: u64,
    /// Number of the first record on disk.
    pub kept_from: u64,
    /// Number of the next record.
    pub next_seq: u64,
    /// All records below this number are acknowledged, according to the cursor file.
    pub acknowledged: u64,
    /// Records and unacknowledged ones, by channel.
    pub channels: BTreeMap<String, Counted>,
    /// Oldest and newest receive time, in Unix microseconds.
    pub times: Option<(u64, u64)>,
    /// Whether an ID rewrite was in progress. The next opening completes it; until then single headers may appear
    /// damaged.
    pub is_rewriting: bool,
    /// Damage not reported before.
    pub damages: Vec<Damage>,
    /// Damage already reported by the service.
    pub known: Vec<Damage>,
    /// Salvaged files: names and bytes.
    pub aside: Vec<(String, u64)>,
}

/// Counts of one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Records on disk.
    pub events: u64,
    /// Unacknowledged records among them.
    pub unacknowledged: u64,
}

impl Survey {
    /// Reads a shard's whole folder. While the service runs, a record being written may look torn; only damage
    /// confirmed by a second survey a moment later is real.
    pub fn take(folder: &Path) -> Result<Survey, SpoolError> {
        let examined = Examined::read(folder, Instant::now())?;
        let aside = salvage::list(folder).context("read", folder)?;
        let mut survey = Survey {
            segments: examined.segments.len() as u64,
            bytes: examined.segments.iter().map(|segment| segment.bytes).sum(),
            kept_from: examined.segments.first().map_or(examined.next_seq, |segment| segment.first),
            next_seq: examined.next_seq,
            acknowledged: examined.cursor.acknowledged,
            is_rewriting: examined.listing.has_redo,
            aside,
            ..Survey::default()
        };
        for segment in &examined.segments {
            for (channel, events) in &segment.summary.channels {
                survey.channels.entry(channel.clone()).or_default().events += events;
            }
            let times = segment.summary.times.into_iter();
            survey.times = survey.times.into_iter().chain(times).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        }
        for (channel, events) in examined.unacknowledged {
            survey.channels.entry(channel).or_default().unacknowledged += events;
        }
        for finding in examined.findings {
            let list = if finding.is_known { &mut survey.known } else { &mut survey.damages };
            list.push(finding.damage);
        }
        Ok(survey)
    }

    /// Keeps only the damage that `other` also has.
    pub fn confirm(&mut self, other: &Survey) {
        // damage without a file is identified by the missing numbers, which its text contains
        let text = |damage: &Damage| damage.file.is_empty().then(|| damage.detail.clone());
        let place = |damage: &Damage| (damage.kind, damage.file.clone(), damage.offset, text(damage));
        self.damages.retain(|damage| other.damages.iter().any(|found| place(found) == place(damage)));
    }
}

/// A record borrowed from the file's block.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'b> {
    view: View<'b>,
    payload: &'b [u8],
    /// Whether it is already stored and only kept for a while.
    pub is_acknowledged: bool,
}

impl<'b> RecordView<'b> {
    /// Wraps a stored record.
    pub(super) fn stored(view: View<'b>) -> RecordView<'b> {
        RecordView { view, payload: view.payload(), is_acknowledged: true }
    }

    /// Returns the record number within the shard.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.view.seq
    }

    /// Returns the time at which its frame was read, in Unix microseconds.
    #[must_use]
    pub fn received_us(&self) -> u64 {
        self.view.received_us
    }

    /// Returns the channel name.
    #[must_use]
    pub fn channel(&self) -> &'b str {
        self.view.channel
    }

    /// Iterates over its streams, with its ID in each.
    pub fn streams(&self) -> impl Iterator<Item = (RecordStream<'b>, EntryId)> {
        self.view.streams()
    }

    /// Returns the payload.
    #[must_use]
    pub fn payload(&self) -> &'b [u8] {
        self.payload
    }
}

/// Passes all valid records of a folder to `visit` in order, until it breaks.
pub fn visit_records(
    folder: &Path,
    mut visit: impl FnMut(RecordView<'_>) -> ControlFlow<()>,
) -> Result<(), SpoolError> {
    let listing = Listing::read(folder)?;
    let acknowledged = match Cursor::load(folder) {
        Loaded::Whole(cursor) => cursor.acknowledged,
        Loaded::Missing | Loaded::Bad(_) => 0,
    };
    let mut flow = ControlFlow::Continue(());
    for (nth, listed) in listing.segments.iter().enumerate() {
        // of another version or another position
        if !matches!(listed.header, SegmentHeader::Bad) && listed.header != SegmentHeader::Ours(listed.first)
        {
            continue;
        }
        let path = folder.join(segment_name(listed.first));
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file.context("open", &path)?,
        };
        let below = below(&listing.segments, nth);
        let span = Span { offset: SEGMENT_HEADER as u64, seq: listed.first, len: listed.len, below };
        scan(&file, span, |met| {
            if let Met::Record(_, view) = met {
                let is_acknowledged = view.seq < acknowledged;
                flow = visit(RecordView { view, payload: view.payload(), is_acknowledged });
            }
            flow
        })
        .context("read", &path)?;
        if flow.is_break() {
            break;
        }
    }
    Ok(())
}
