//! Maps with as many fields as they may have.

use std::sync::Arc;
use std::time::Instant;

use slog::warn;

use super::flush::Flush;
use super::hashes::{LeftOut, MAX_FIELDS};
use super::pending::{Cells, News};
use super::questions::key_fault;
use crate::observation::SnapshotTrouble;
use crate::writer::store::fault::StoreFault;
use crate::writer::store::resp::{Commands, Reply};

/// Fields queried at once.
const ASKED_AT_ONCE: usize = 1_024;

impl Flush {
    /// Returns the cells that would be one field too many of their map. These are counted and are in their streams only.
    pub(super) async fn cells_without_room<'n>(
        &mut self,
        news: impl Iterator<Item = &'n News>,
    ) -> Result<LeftOut, StoreFault> {
        let mut left_out = LeftOut::default();
        let crowded: Vec<_> = news.filter_map(|news| self.sessions.may_be_full(news)).collect();
        if crowded.is_empty() {
            return Ok(left_out);
        }
        let mut questions = Commands::default();
        for (map, _) in &crowded {
            questions.command(&[b"HLEN", map.as_bytes()]);
        }
        let sizes = self.sizes(&questions).await?;
        for ((map, cells), fields) in crowded.into_iter().zip(sizes) {
            self.sessions.learn_fields(map, fields);
            if fields + cells.fields.len() > MAX_FIELDS {
                let without_room = self.absent_of(map, cells, MAX_FIELDS.saturating_sub(fields)).await?;
                self.note_full(map, without_room.len());
                left_out.insert(Arc::clone(map), without_room.into_iter().collect());
            }
        }
        Ok(left_out)
    }

    /// Returns the fields that a map lacks, without `room` of them.
    async fn absent_of(
        &mut self,
        map: &Arc<str>,
        cells: &Cells,
        room: usize,
    ) -> Result<Vec<Box<str>>, StoreFault> {
        let fields: Vec<&Box<str>> = cells.fields.keys().collect();
        let mut absent: Vec<Box<str>> = Vec::new();
        for fields in fields.chunks(ASKED_AT_ONCE) {
            let mut questions = Commands::default();
            for field in fields {
                questions.command(&[b"HSTRLEN", map.as_bytes(), field.as_bytes()]);
            }
            let sizes = self.sizes(&questions).await?;
            let lacking = fields.iter().zip(sizes).filter(|(_, bytes)| *bytes == 0);
            absent.extend(lacking.map(|(field, _)| (*field).clone()));
        }
        Ok(absent.split_off(room.min(absent.len())))
    }

    /// Queries sizes; zero for a key of another type, which is refused when it is written.
    async fn sizes(&mut self, questions: &Commands) -> Result<Vec<usize>, StoreFault> {
        let mut sizes = Vec::with_capacity(questions.count());
        self.store
            .ask(questions, |reply| {
                sizes.push(match &reply {
                    Reply::Integer(size) => usize::try_from(*size).unwrap_or_default(),
                    Reply::Error(text) => key_fault(text).map(|_| 0)?,
                    reply => return Err(StoreFault::answered(reply)),
                });
                Ok(())
            })
            .await?;
        Ok(sizes)
    }

    fn note_full(&mut self, map: &str, cells: usize) {
        self.observed().troubles.of(SnapshotTrouble::Full).add(cells as u64);
        if cells > 0 && self.full.is_due(Instant::now()) {
            warn!(self.scope.log, "map full"; "key" => map, "fields" => MAX_FIELDS, "left_out" => cells);
        }
    }
}
