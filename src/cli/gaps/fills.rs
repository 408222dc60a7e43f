//! The outcomes of fills, for the columns FILLED and ROWS.

use std::collections::{HashMap, HashSet};

use crate::cli::complain;
use uw_websocket_actors::filler::ended::EndedFill;
use uw_websocket_actors::filler::records::FillRecords;
use uw_websocket_actors::writer::store::fault::StoreFault;
use uw_websocket_core::backfill::outcome::FillStatus;
use uw_websocket_core::event::EntryId;

/// The fills of all gaps.
#[derive(Debug, Default)]
pub(super) struct Fills {
    /// The newest end of each topic.
    ended: HashMap<EntryId, HashMap<String, EndedFill>>,
    /// Gaps with a fill under way.
    pending: HashSet<EntryId>,
}

impl Fills {
    /// Does the same as [`Fills::read`], but goes on without fills, and says so, where their keys are not what they should be.
    pub(super) async fn read_if_ours(records: &mut FillRecords, after: EntryId) -> Result<Fills, StoreFault> {
        match Fills::read(records, after).await {
            Err(fault @ StoreFault::TooLarge(_)) => complain(&format!("fills are not shown: {fault}")),
            Err(StoreFault::Refused { refusal, text }) if refusal.is_about_the_entry() => {
                complain(&format!("fills are not shown: {text}"));
            }
            read => return read,
        }
        Ok(Fills::default())
    }

    /// Reads the fills that ended after an ID, and those under way.
    pub(super) async fn read(records: &mut FillRecords, after: EntryId) -> Result<Fills, StoreFault> {
        let mut fills = Fills::default();
        for name in records.names().await? {
            let gap: Option<EntryId> = name.split_once(' ').and_then(|(gap, _)| gap.parse().ok());
            fills.pending.extend(gap);
        }
        for ended in records.ended_after(after, |_| true).await? {
            fills.ended.entry(ended.gap).or_default().insert(ended.topic.clone(), ended);
        }
        Ok(fills)
    }

    /// Returns what has become of a gap: `pending`, `complete`, `partial` or `impossible`, and the rows written; `None` if
    /// nothing is known of a fill.
    pub(super) fn of(&self, gap: EntryId) -> Option<(&'static str, u64)> {
        let ended = self.ended.get(&gap);
        let rows = ended.map_or(0, |topics| topics.values().map(|fill| fill.rows).sum());
        if self.pending.contains(&gap) {
            return Some(("pending", rows));
        }
        let topics = ended?;
        let all = |status| topics.values().all(|fill| fill.status == status);
        let status = if all(FillStatus::Complete) {
            FillStatus::Complete
        } else if all(FillStatus::Impossible) {
            FillStatus::Impossible
        } else {
            FillStatus::Partial
        };
        Some((status.label(), rows))
    }

    /// Returns how the fill of a topic ended.
    pub(super) fn topic(&self, gap: EntryId, topic: &str) -> Option<&EndedFill> {
        self.ended.get(&gap)?.get(topic)
    }
}
