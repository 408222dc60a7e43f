//! Looking into a shard's folder from outside, also while the service works in it. Nothing is locked and nothing is
//! changed; what the service removes meanwhile is simply not seen.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use super::aside;
use super::cursor::{Cursor, Loaded};
use super::damage::Damage;
use super::error::{Context as _, SpoolError};
use super::examine::Examined;
use super::format::{SEGMENT_HEADER, SegmentHeader, StreamName, View};
use super::listing::{Listing, below};
use super::scan::{Met, Span, scan};
use super::segment::segment_name;
use crate::event::EntryId;

/// What a shard's folder holds.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Segments.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first record on disk.
    pub kept_from: u64,
    /// The number that the next record gets.
    pub next_seq: u64,
    /// All records below are acknowledged, by the file of the position.
    pub acknowledged: u64,
    /// Records and how many of them are unacknowledged, by channel.
    pub channels: BTreeMap<String, Counted>,
    /// Oldest and newest receive time, in Unix microseconds.
    pub times: Option<(u64, u64)>,
    /// Whether ids were being rewritten. The next start finishes that; until then single headers may look damaged.
    pub is_rewriting: bool,
    /// What is not as it should be.
    pub damages: Vec<Damage>,
    /// The same, but reported by the service before.
    pub known: Vec<Damage>,
    /// What was set aside: names and bytes.
    pub aside: Vec<(String, u64)>,
}

/// Records of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// On disk.
    pub events: u64,
    /// Of these, not acknowledged.
    pub unacknowledged: u64,
}

impl Survey {
    /// Reads all of a shard's folder. While the service runs, a record that is being written may look torn: what is
    /// found again by a second survey a moment later is real.
    pub fn take(folder: &Path) -> Result<Survey, SpoolError> {
        let examined = Examined::read(folder, Instant::now()).context("read", folder)?;
        let aside = aside::list(folder).context("read", folder)?;
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

    /// Keeps only the damage that `other` has too.
    pub fn confirm(&mut self, other: &Survey) {
        // a damage without a file is told by the numbers that are missing, which its text has
        let text = |damage: &Damage| damage.file.is_empty().then(|| damage.detail.clone());
        let place = |damage: &Damage| (damage.kind, damage.file.clone(), damage.offset, text(damage));
        self.damages.retain(|damage| other.damages.iter().any(|found| place(found) == place(damage)));
    }
}

/// A record where it lies in the file.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'b> {
    view: View<'b>,
    payload: &'b [u8],
    /// Whether it is stored already and only kept for a while.
    pub is_acknowledged: bool,
}

impl<'b> RecordView<'b> {
    /// Its number in the shard.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.view.seq
    }

    /// When its frame was read, in Unix microseconds.
    #[must_use]
    pub fn received_us(&self) -> u64 {
        self.view.received_us
    }

    /// The channel.
    #[must_use]
    pub fn channel(&self) -> &'b str {
        self.view.channel
    }

    /// Where it goes, with its ids there.
    pub fn streams(&self) -> impl Iterator<Item = (StreamName<'b>, EntryId)> {
        self.view.streams()
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &'b [u8] {
        self.payload
    }
}

/// Shows all good records of a folder to `visit`, in order, until it breaks off.
pub fn visit_records(
    folder: &Path,
    mut visit: impl FnMut(RecordView<'_>) -> ControlFlow<()>,
) -> Result<(), SpoolError> {
    let listing = Listing::read(folder).context("read", folder)?;
    let acknowledged = match Cursor::load(folder) {
        Loaded::Whole(cursor) => cursor.acknowledged,
        Loaded::Missing | Loaded::Bad(_) => 0,
    };
    let mut flow = ControlFlow::Continue(());
    for (nth, listed) in listing.segments.iter().enumerate() {
        // of another version, or of another place
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
