//! Hands what Redis has of the fetched rows to the archive, if there is one.
//!
//! Nothing waits for it. Rows are handed over when Redis has them; a stream of which that was not possible is read from the
//! archive's position on. So whatever ends in between, the archive gets each entry once, as long as Redis has it.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use slog::{Logger, error};
use uw_websocket_core::archive::StreamPosition;
use uw_websocket_core::backfill::answer::FetchedRow;
use uw_websocket_core::backfill::job::{BatchWriting, FillJob, parse_topic};
use uw_websocket_core::event::EntryId;

use super::ended::EndedFill;
use super::records::FillRecords;
use crate::archive::fetched::{FetchedPart, FetchedRows, MAX_TOPICS, RowLoss};
use crate::log_throttle::LogThrottle;
use crate::observation::Observations;
use crate::wall_clock::unix_micros;
use crate::writer::store::fault::StoreFault;
use crate::writer::store::pages::{End, MAX_ENTRY, StreamRange};

/// Entries per query, as many as a batch has.
const PAGE: usize = 250;
/// Pages read at a time: between two looks for new gaps the filler has other work.
const PAGES_AT_ONCE: usize = 8;
/// Time before now of the ended fills whose rows may not be archived, in milliseconds: a week.
const LOOK_BACK_MS: u64 = 7 * 24 * 3_600 * 1_000;

/// The archive as the filler sees it.
pub(super) struct Archiving {
    /// `None` without an archive.
    way: Option<Arc<FetchedRows>>,
    observations: Arc<Observations>,
    complaints: LogThrottle,
    log: Logger,
}

impl Archiving {
    pub(super) fn new(
        way: Option<Arc<FetchedRows>>,
        observations: Arc<Observations>,
        log: Logger,
    ) -> Archiving {
        if let Some(way) = &way {
            way.begin();
        }
        Archiving { way, observations, complaints: LogThrottle::default(), log }
    }

    /// Looks for the topics whose rows an earlier process may have left.
    pub(super) async fn remember_topics(&self, records: &mut FillRecords) -> Result<(), StoreFault> {
        let Some(way) = &self.way else { return Ok(()) };
        let since = EntryId { ms: (unix_micros() / 1000).saturating_sub(LOOK_BACK_MS), seq: 0 };
        let has_rows = |fill: &EndedFill| fill.rows > 0 && parse_topic(&fill.topic).is_some();
        for fill in records.ended_after(since, has_rows).await? {
            way.stand(&fill.topic);
        }
        Ok(())
    }

    /// Notes that a job has or may have rows.
    pub(super) fn expect_rows(&self, job: &FillJob) {
        if let Some(way) = self.way.as_ref().filter(|_| job.source().is_some()) {
            way.stand(&job.topic);
        }
    }

    /// Reads a topic's stream up to its end, so that the next rows can be handed over at once.
    pub(super) async fn catch_up(&self, records: &mut FillRecords, topic: &str) -> Result<(), StoreFault> {
        let Some(way) = &self.way else { return Ok(()) };
        if way.is_new(topic) {
            let stream = records.backfill(topic);
            let info = records.store.connection().await?.stream_info(&stream).await?;
            way.begin_topic(topic, info.gone().unwrap_or_default());
        }
        if way.stand(topic).is_some_and(|stand| !stand.is_level) {
            read_on(way, records, topic).await?;
        }
        Ok(())
    }

    /// Reads what the archive has not got of all topics, some of it at a time.
    pub(super) async fn catch_up_all(&self, records: &mut FillRecords) -> Result<(), StoreFault> {
        let Some(way) = &self.way else { return Ok(()) };
        for topic in way.behind() {
            read_on(way, records, &topic).await?;
        }
        Ok(())
    }

    /// Hands over a batch that Redis has stored, if everything before it is handed over.
    pub(super) fn hand_over(&mut self, topic: &str, rows: &[FetchedRow], writing: &BatchWriting) {
        let Some(way) = &self.way else { return };
        let stand = way.stand(topic);
        let mut is_handed_over = false;
        if let Some(position) = stand.filter(|stand| stand.is_level).and_then(|stand| stand.position) {
            let ids = (writing.first.seq..).map(|seq| EntryId { ms: writing.first.ms, seq });
            let next = StreamPosition { id: writing.last(), added: position.added + writing.rows };
            let rows = ids.zip(rows.iter().map(|row| row.bytes.clone())).collect();
            let part = FetchedPart { topic: topic.to_owned(), rows, position: next, loss: None };
            is_handed_over = way.hand_over(part, Some(position), true);
        }
        if !is_handed_over {
            way.fall_behind(topic, writing.rows);
        }
        if stand.is_none() && way.is_full_without(topic) {
            self.skip(writing.rows);
        }
    }

    /// Notes that what the archive has of a topic is not known to be all.
    pub(super) fn fall_behind(&self, topic: &str) {
        if let Some(way) = &self.way {
            way.fall_behind(topic, 0);
        }
    }

    /// Counts rows of a topic for which there is no place.
    fn skip(&mut self, rows: u64) {
        self.observations.archive.skipped.add(rows);
        if self.complaints.is_due(Instant::now()) {
            error!(self.log, "archive skips events"; "events" => rows,
                "reason" => format!("it has fetched rows of {MAX_TOPICS} topics"));
        }
    }
}

/// Hands over what the stream has behind the position, as far as there is room.
async fn read_on(way: &FetchedRows, records: &mut FillRecords, topic: &str) -> Result<(), StoreFault> {
    let stream = records.backfill(topic);
    for _ in 0..PAGES_AT_ONCE {
        let Some(stand) = way.stand(topic).filter(|_| way.has_room()) else { return Ok(()) };
        let info = records.store.connection().await?.stream_info(&stream).await?;
        let known = stand.position.unwrap_or_default();
        let gone = info.gone();
        let has_stream = info.last > EntryId::default();
        if info.last <= known.id {
            // with less than before Redis has lost what the archive has, or what it has not
            let id = if has_stream { info.last } else { known.id };
            let position = StreamPosition { id, added: info.added.unwrap_or(known.added) };
            let rows = Some(stand.unread).filter(|rows| !has_stream && *rows > 0);
            let loss = rows.map(|rows| RowLoss { rows: Some(rows), between: since(known.id) });
            let part = FetchedPart { topic: topic.to_owned(), position, loss, ..FetchedPart::default() };
            way.hand_over(part, stand.position, true);
            return Ok(());
        }
        let range = StreamRange::new(&stream, known.id, None, (PAGE, MAX_ENTRY));
        let page = records.store.pages(&[range]).await?.pop().unwrap_or_default();
        let last = page.too_large.or(page.entries.last().map(|(id, _)| *id)).unwrap_or(info.last);
        let first = page.entries.first().map_or(last, |(id, _)| *id);
        let read = page.entries.len() as u64 + u64::from(page.too_large.is_some());
        let mut position =
            StreamPosition { id: last, added: known.added.max(gone.unwrap_or_default()) + read };
        // what has gone before there was an archive is nobody's loss
        let mut missing = stand.position.map_or(0, |known| position.added - read - known.added);
        if let Some(added) = info.added.filter(|_| !page.has_more) {
            missing += added.saturating_sub(position.added);
            position.added = added;
        }
        let rows: Vec<(EntryId, Bytes)> = page.entries.into_iter().filter_map(row).collect();
        // what is no row is not archived
        missing += read - rows.len() as u64;
        let is_uncounted = gone.is_none()
            && known.id > EntryId::default()
            && records.store.ends(&[&stream], End::First).await?.first() > Some(&known.id);
        let between = (since(known.id).0, first.ms.saturating_mul(1000));
        let loss = (missing > 0 || is_uncounted)
            .then(|| RowLoss { rows: Some(missing).filter(|_| !is_uncounted), between });
        let part = FetchedPart { topic: topic.to_owned(), rows, position, loss };
        if !way.hand_over(part, stand.position, !page.has_more) || !page.has_more {
            return Ok(());
        }
    }
    Ok(())
}

/// The time from the writing of an entry until now, in Unix microseconds.
fn since(id: EntryId) -> (u64, u64) {
    (id.ms.saturating_mul(1000), unix_micros())
}

fn row((id, fields): (EntryId, Vec<Vec<u8>>)) -> Option<(EntryId, Bytes)> {
    let at = fields.chunks_exact(2).position(|pair| pair[0] == b"payload")?;
    let payload = fields.into_iter().nth(2 * at + 1)?;
    Some((id, payload.into()))
}
