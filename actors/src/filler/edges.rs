//! The entries of an interval that Redis has already: live events, and rows fetched for other gaps.

use uw_websocket_core::backfill::job::{Edges, FillJob, MAX_EDGES};
use uw_websocket_core::backfill::key;
use uw_websocket_core::backfill::known::KnownRows;
use uw_websocket_core::channel::fill::{FillSource, RowIdentity};
use uw_websocket_core::event::{EntryId, Scope};

use super::at_key::AtKey;
use super::records::FillRecords;
use crate::writer::store::fault::{Refusal, StoreFault};
use crate::writer::store::pages::{End, MAX_ENTRY, StreamEntry, StreamRange};

/// Entries per query: some 300 µs of Redis' time.
const PAGE: usize = 250;
/// Additional time before a gap whose events are read, in milliseconds: clocks differ.
const BEFORE_MS: u64 = 5_000;
/// Additional time after a gap whose events are read, in milliseconds: an event arrives seconds after it happened.
const AFTER_MS: u64 = 30_000;

/// Maximum number of events and rows that those of an answer are compared with: nothing was received in a gap, so there are
/// some thousand. Beyond it the edges count as trimmed.
pub(super) const MAX_KNOWN: usize = 1_000_000;

/// The known entries around a gap.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    pub known: KnownRows,
    /// Whether the live stream has lost events of that time.
    pub are_trimmed: bool,
    /// Whether the live stream has events that arrived in the interval asked for.
    pub has_events: bool,
}

/// Returns the time at which all live events are there that may be rows of the interval, in Unix microseconds.
pub(super) fn complete_us(source: &FillSource, job: &FillJob) -> u64 {
    job.to_us.saturating_add((source.margin_ms + AFTER_MS) * 1000)
}

/// Reads the events before a gap, when it has closed: a cap may trim them until it is filled.
pub(super) async fn early(
    records: &mut FillRecords,
    source: &FillSource,
    job: &FillJob,
) -> Result<Option<Edges>, StoreFault> {
    if source.identity == RowIdentity::None || !has_stream(job) {
        return Ok(None);
    }
    let stream = records.live(&job.topic);
    let after = before(source, job);
    let until = EntryId { ms: job.from_us / 1000, seq: u64::MAX };
    let mut fingerprints = Vec::new();
    let found = async {
        let are_trimmed = has_lost(records, &stream, after).await?;
        read(records, &stream, after, Some(until), |(_, fields)| {
            fingerprints.extend(payload(fields).and_then(|payload| key::of_event(source.identity, payload)));
            fingerprints.len() <= MAX_EDGES
        })
        .await?;
        Ok(are_trimmed)
    };
    let are_trimmed = or_trimmed(found.await)?;
    Ok(Some(Edges::new(&fingerprints, are_trimmed)))
}

/// Takes a key that is no stream for one that has lost everything.
fn or_trimmed(found: Result<bool, StoreFault>) -> Result<bool, StoreFault> {
    match found {
        Err(StoreFault::Refused { refusal: Refusal::WrongType, .. }) => Ok(true),
        found => found,
    }
}

/// Reads everything that is known of a gap's interval.
pub(super) async fn around(
    records: &mut FillRecords,
    source: &FillSource,
    job: &FillJob,
    has_streams: bool,
) -> Result<Surroundings, StoreFault> {
    let mut around = Surroundings::default();
    if source.identity == RowIdentity::None {
        return Ok(around);
    }
    let margin_ms = source.margin_ms;
    if has_streams && has_stream(job) {
        let stream = records.live(&job.topic);
        let after = before(source, job);
        let until = EntryId { ms: complete_us(source, job) / 1000, seq: u64::MAX };
        let early = job.edges.as_ref().filter(|edges| !edges.are_trimmed);
        let needed = if early.is_some() { EntryId { ms: job.from_us / 1000, seq: 0 } } else { after };
        let from_ms = (job.from_us / 1000).saturating_sub(margin_ms);
        let to_ms = (job.to_us / 1000).saturating_add(margin_ms).saturating_sub(1_000);
        let mut live = Vec::new();
        let found = async {
            let has_lost = has_lost(records, &stream, needed).await?;
            read(records, &stream, after, Some(until), |(id, fields)| {
                around.has_events |= (from_ms..to_ms).contains(&id.ms);
                live.extend(payload(fields).and_then(|payload| key::of_event(source.identity, payload)));
                live.len() < MAX_KNOWN
            })
            .await?;
            Ok(has_lost)
        };
        let has_lost = or_trimmed(found.await)?;
        around.are_trimmed = has_lost || live.len() >= MAX_KNOWN;
        // those of before the gap may be in both; where events may be equal, each must count once
        let early = early.into_iter().flat_map(Edges::iter);
        match source.identity {
            RowIdentity::Shared(_) if !live.is_empty() => {}
            _ => early.for_each(|fingerprint| around.known.add(fingerprint)),
        }
        for fingerprint in live {
            around.known.add(fingerprint);
        }
    } else {
        around.are_trimmed = true;
    }
    // a row is written after it happened
    let stream = records.backfill(&job.topic);
    read(records, &stream, before(source, job), None, |(_, fields)| {
        let row = payload(fields).and_then(|payload| serde_json::from_slice::<key::Object>(payload).ok());
        if let Some(fingerprint) = row.and_then(|row| key::of_row(source.identity, &row)) {
            around.known.add(fingerprint);
        }
        around.known.len() < MAX_KNOWN
    })
    .await?;
    around.are_trimmed |= around.known.len() >= MAX_KNOWN;
    Ok(around)
}

/// A channel that is joined for the whole market has a stream per symbol, and none with all events.
fn has_stream(job: &FillJob) -> bool {
    job.parts().is_some_and(|topic| topic.symbol.is_some() || topic.channel.scope() == Scope::Global)
}

fn before(source: &FillSource, job: &FillJob) -> EntryId {
    EntryId { ms: (job.from_us / 1000).saturating_sub(source.margin_ms + BEFORE_MS), seq: 0 }
}

/// Whether a stream has lost entries above an ID.
async fn has_lost(records: &mut FillRecords, stream: &str, above: EntryId) -> Result<bool, StoreFault> {
    let first = records.store.ends(&[stream], End::First).await.at(stream)?.pop().unwrap_or_default();
    if first <= above && first != EntryId::default() {
        return Ok(false);
    }
    records.store.connection().await?.was_trimmed(stream).await
}

/// Reads a part of a stream for as long as `visit` wants more of it.
async fn read(
    records: &mut FillRecords,
    stream: &str,
    mut after: EntryId,
    until: Option<EntryId>,
    mut visit: impl FnMut(&StreamEntry) -> bool,
) -> Result<(), StoreFault> {
    loop {
        let range = StreamRange::new(stream, after, until, (PAGE, MAX_ENTRY));
        let page = records.store.pages(&[range]).await.at(stream)?.pop().unwrap_or_default();
        if !page.entries.iter().all(&mut visit) {
            return Ok(());
        }
        let last = page.entries.last().map(|(id, _)| *id);
        // larger than any event of the feed: another program's
        let Some(last) = page.too_large.or(last).filter(|_| page.has_more) else { return Ok(()) };
        after = last;
    }
}

fn payload(fields: &[Vec<u8>]) -> Option<&[u8]> {
    fields.chunks_exact(2).find(|pair| pair[0] == b"payload").map(|pair| &pair[1][..])
}
