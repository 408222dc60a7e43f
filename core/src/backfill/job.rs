//! A fill under way: one topic of one gap. Its JSON is what survives a crash.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::outcome::{FillReason, FillStatus};
use crate::channel::fill::FillSource;
use crate::event::{Channel, EntryId, Symbol, Topic};

/// Maximum number of fingerprints kept with a job, 16 bytes each: ten seconds before a gap at 80 events per second are
/// 800.
pub const MAX_EDGES: usize = 8_192;
/// Maximum length of a detail, in bytes: one line for people.
const MAX_DETAIL: usize = 300;

/// A fill of one topic of one gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FillJob {
    /// The gap's entry in the ledger.
    #[serde(with = "as_text")]
    pub gap: EntryId,
    /// The topic, such as `option_trades:SPY`.
    pub topic: String,
    /// The beginning of the gap, or of the part that is fetched.
    pub from_us: u64,
    /// The end of the gap.
    pub to_us: u64,
    /// All rows before it are written; zero before the first.
    pub cursor_us: u64,
    /// Length of the next chunk, in microseconds; zero for the usual one.
    pub span_us: u64,
    /// Rows written.
    pub rows: u64,
    /// Rows that the live stream had, or an earlier fill.
    pub known: u64,
    /// Rows written that the vendor calls cancelled.
    pub canceled: u64,
    /// Requests so far.
    pub requests: u32,
    /// Failures in a row.
    pub failures: u32,
    /// Time of the first of them; zero without one.
    pub failing_since_us: u64,
    /// Not to be continued before.
    pub next_us: u64,
    /// The entries of the live stream around the gap when it closed; `None` until they were read.
    pub edges: Option<Edges>,
    /// Rows that may be in Redis: their entry IDs are reserved.
    pub writing: Option<BatchWriting>,
    /// The first of reserved IDs that were not used: they are used first.
    #[serde(with = "as_text", default, skip_serializing_if = "is_zero")]
    pub unused: EntryId,
    /// The first reason why it cannot be complete.
    pub flaw: Option<Flaw>,
    /// Whether an answer without rows was doubted once.
    pub was_doubted: bool,
    /// The end, once reached; the job goes when the entry about it is written.
    pub ended: Option<Ended>,
}

/// Fingerprints of live events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edges {
    /// The fingerprints in hexadecimal, 16 digits each.
    pub fingerprints: String,
    /// Whether the live stream had lost events of that time already.
    pub are_trimmed: bool,
}

/// The entry IDs of a batch on its way: consecutive sequence numbers from `first` on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchWriting {
    /// The first ID.
    #[serde(with = "as_text")]
    pub first: EntryId,
    /// The number of rows.
    pub rows: u64,
    /// Of them, the cancelled ones.
    pub canceled: u64,
    /// Known rows between them.
    pub known: u64,
    /// The cursor once they are written.
    pub cursor_us: u64,
}

/// Why a job cannot end complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flaw {
    /// The reason.
    #[serde(with = "as_label")]
    pub reason: FillReason,
    /// More, for people.
    pub detail: String,
}

/// The end of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The ID of the entry about it.
    #[serde(with = "as_text")]
    pub id: EntryId,
    /// The status.
    #[serde(with = "status_label")]
    pub status: FillStatus,
    /// The reason, unless complete.
    pub flaw: Option<Flaw>,
    /// The time, in Unix microseconds.
    pub at_us: u64,
}

impl Flaw {
    /// Creates a flaw; the detail is cut to one line of some hundred characters.
    #[must_use]
    pub fn new(reason: FillReason, detail: impl fmt::Display) -> Flaw {
        let mut detail = detail.to_string().replace(['\n', '\r'], " ");
        let cut = (0..=MAX_DETAIL.min(detail.len())).rev().find(|at| detail.is_char_boundary(*at));
        detail.truncate(cut.unwrap_or_default());
        Flaw { reason, detail }
    }
}

impl Edges {
    /// Keeps fingerprints; those beyond [`MAX_EDGES`] are left out, and the edges count as trimmed.
    #[must_use]
    pub fn new(fingerprints: &[u64], are_trimmed: bool) -> Edges {
        let kept = &fingerprints[..fingerprints.len().min(MAX_EDGES)];
        let mut digits = String::with_capacity(kept.len() * 16);
        for fingerprint in kept {
            // writing to a `String` cannot fail
            write!(digits, "{fingerprint:016x}").ok();
        }
        Edges { fingerprints: digits, are_trimmed: are_trimmed || kept.len() < fingerprints.len() }
    }

    /// Iterates over the fingerprints; what is not one is passed over, since only this service writes them.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        let digits = self.fingerprints.as_bytes().chunks(16);
        digits.filter_map(|digits| u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok())
    }
}

impl BatchWriting {
    /// Returns the last ID.
    #[must_use]
    pub fn last(&self) -> EntryId {
        EntryId { ms: self.first.ms, seq: self.first.seq.saturating_add(self.rows.saturating_sub(1)) }
    }
}

impl FillJob {
    /// Creates the job of a topic, for the interval of its gap.
    #[must_use]
    pub fn new(gap: EntryId, topic: String, (from_us, to_us): (u64, u64)) -> FillJob {
        FillJob {
            gap,
            topic,
            from_us,
            to_us,
            cursor_us: 0,
            span_us: 0,
            rows: 0,
            known: 0,
            canceled: 0,
            requests: 0,
            failures: 0,
            failing_since_us: 0,
            next_us: 0,
            edges: None,
            writing: None,
            unused: EntryId::default(),
            flaw: None,
            was_doubted: false,
            ended: None,
        }
    }

    /// Returns its field in the hash of jobs.
    #[must_use]
    pub fn field(&self) -> String {
        format!("{} {}", self.gap, self.topic)
    }

    /// Returns the topic's parts; `None` for a name that no topic has.
    #[must_use]
    pub fn parts(&self) -> Option<Topic> {
        parse_topic(&self.topic)
    }

    /// Returns the endpoint of its channel.
    #[must_use]
    pub fn source(&self) -> Option<&'static FillSource> {
        self.parts()?.channel.spec()?.fill
    }

    /// Notes the first reason why it cannot be complete; later ones are dropped.
    pub fn mar(&mut self, flaw: Flaw) {
        self.flaw.get_or_insert(flaw);
    }

    /// Notes that a batch was not written: its IDs are free.
    pub fn forget_writing(&mut self) {
        if let Some(writing) = self.writing.take() {
            self.unused = writing.first;
        }
    }

    /// Notes that a batch is written.
    pub fn settle_writing(&mut self) {
        if let Some(writing) = self.writing.take() {
            self.rows += writing.rows;
            self.canceled += writing.canceled;
            self.known += writing.known;
            self.cursor_us = self.cursor_us.max(writing.cursor_us);
        }
    }
}

/// Parses a topic such as `price:SPY`.
#[must_use]
pub fn parse_topic(topic: &str) -> Option<Topic> {
    let (channel, symbol) = topic.split_once(':').map_or((topic, None), |(c, s)| (c, Some(s)));
    let symbol = symbol.map(Symbol::parse).transpose().ok()?;
    Some(Topic { channel: Channel::parse(channel).ok()?, symbol })
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_zero(id: &EntryId) -> bool {
    *id == EntryId::default()
}

mod as_text {
    use super::{Deserialize, Deserializer, EntryId, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
    pub(super) fn serialize<S: Serializer>(id: &EntryId, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<EntryId, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

mod as_label {
    use super::{Deserialize, Deserializer, FillReason, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
    pub(super) fn serialize<S: Serializer>(reason: &FillReason, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(reason.label())
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<FillReason, D::Error> {
        let label = String::deserialize(from)?;
        FillReason::parse(&label).ok_or_else(|| serde::de::Error::custom("not a reason of a fill"))
    }
}

mod status_label {
    use super::{Deserialize, Deserializer, FillStatus, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
    pub(super) fn serialize<S: Serializer>(status: &FillStatus, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(status.label())
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<FillStatus, D::Error> {
        let label = String::deserialize(from)?;
        FillStatus::parse(&label).ok_or_else(|| serde::de::Error::custom("not a status of a fill"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_comes_back_from_its_json() {
        let mut job = FillJob::new(EntryId { ms: 7, seq: 1 }, "option_trades:SPY".into(), (1, 2));
        job.edges = Some(Edges::new(&[1, u64::MAX], false));
        job.writing = Some(BatchWriting {
            first: EntryId { ms: 9, seq: 3 },
            rows: 4,
            canceled: 1,
            known: 2,
            cursor_us: 5,
        });
        job.mar(Flaw::new(FillReason::Budget, "x"));
        job.ended = Some(Ended {
            id: EntryId { ms: 1, seq: 0 },
            status: FillStatus::Partial,
            flaw: job.flaw.clone(),
            at_us: 3,
        });
        let json = serde_json::to_string(&job).unwrap();
        assert_eq!(serde_json::from_str::<FillJob>(&json).unwrap(), job);
        assert_eq!(job.edges.as_ref().unwrap().iter().collect::<Vec<_>>(), [1, u64::MAX]);
        assert_eq!(job.writing.as_ref().unwrap().last(), EntryId { ms: 9, seq: 6 });
        job.settle_writing();
        assert_eq!((job.rows, job.canceled, job.known, job.cursor_us), (4, 1, 2, 5));
        assert_eq!(job.field(), "7-1 option_trades:SPY");
        assert!(job.source().is_some());
    }

    #[test]
    fn too_many_edges_count_as_trimmed() {
        let edges = Edges::new(&vec![3; MAX_EDGES + 1], false);
        assert!(edges.are_trimmed);
        assert_eq!(edges.iter().count(), MAX_EDGES);
    }

    #[test]
    fn a_detail_is_one_short_line() {
        let flaw = Flaw::new(FillReason::Expired, "é\n".repeat(MAX_DETAIL));
        assert!(flaw.detail.len() <= MAX_DETAIL && !flaw.detail.contains('\n'));
    }
}
