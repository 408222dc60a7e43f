//! Reads the ended fills back.

use uw_websocket_core::backfill::job::FillJob;
use uw_websocket_core::backfill::outcome::{FillReason, FillStatus};
use uw_websocket_core::event::EntryId;

use super::at_key::AtKey;
use super::records::FillRecords;
use crate::ledger::gap::MAX_NAME;
use crate::writer::store::fault::StoreFault;
use crate::writer::store::pages::{MAX_ENTRY, StreamRange};

/// Entries per query.
const PAGE: usize = 500;

/// A fill that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedFill {
    /// The gap's entry in the ledger.
    pub gap: EntryId,
    /// The topic.
    pub topic: String,
    /// How it ended.
    pub status: FillStatus,
    /// Why it is not complete.
    pub reason: Option<FillReason>,
    /// Rows written.
    pub rows: u64,
    /// Requests.
    pub requests: u64,
}

impl EndedFill {
    /// Returns the name of its job, as long as there was one.
    #[must_use]
    pub fn name(&self) -> String {
        FillJob::new(self.gap, self.topic.clone(), (0, 0)).field()
    }

    /// `None` for an entry of another program.
    fn read(fields: &[Vec<u8>]) -> Option<EndedFill> {
        let field = |name: &[u8]| {
            let pair = fields.chunks_exact(2).find(|pair| pair[0] == name)?;
            std::str::from_utf8(&pair[1]).ok()
        };
        let number = |name| field(name).and_then(|text| text.parse().ok()).unwrap_or_default();
        Some(EndedFill {
            gap: field(b"gap")?.parse().ok()?,
            topic: field(b"topic").filter(|topic| topic.len() <= MAX_NAME)?.to_owned(),
            status: FillStatus::parse(field(b"status")?)?,
            reason: field(b"reason").and_then(FillReason::parse),
            rows: number(b"rows"),
            requests: number(b"requests"),
        })
    }
}

impl FillRecords {
    /// Returns those of the fills that have ended after an ID that are wanted, oldest first.
    pub async fn ended_after(
        &mut self,
        mut after: EntryId,
        is_wanted: impl Fn(&EndedFill) -> bool,
    ) -> Result<Vec<EndedFill>, StoreFault> {
        let stream = self.fills().to_owned();
        let mut ended = Vec::new();
        loop {
            let range = StreamRange::new(&stream, after, None, (PAGE, MAX_ENTRY));
            let page = self.store.pages(&[range]).await.at(&stream)?.pop().unwrap_or_default();
            let read = page.entries.iter().filter_map(|(_, fields)| EndedFill::read(fields));
            ended.extend(read.filter(&is_wanted));
            let last = page.entries.last().map(|(id, _)| *id);
            let Some(last) = page.too_large.or(last).filter(|_| page.has_more) else { return Ok(ended) };
            after = last;
        }
    }
}
