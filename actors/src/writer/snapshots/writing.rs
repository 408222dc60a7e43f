//! Writes the hashes of newest events and maps. What Redis refuses because of its key stays due.

use std::time::Instant;

use slog::warn;

use super::flush::{CHUNK, Flush};
use super::pending::News;
use super::questions::key_fault;
use crate::observation::{SnapshotKind, SnapshotTrouble, Table};
use crate::writer::store::fault::StoreFault;
use crate::writer::store::resp::{Commands, Reply};

/// The commands of one hash.
struct Part {
    /// Index of the content.
    news: usize,
    kind: SnapshotKind,
    /// Number of commands up to its last one.
    end: usize,
    /// Number of values that it writes.
    count: usize,
}

/// Commands to be sent at once.
#[derive(Default)]
struct Batch {
    commands: Commands,
    parts: Vec<Part>,
}

impl Batch {
    fn close(&mut self, news: usize, kind: SnapshotKind, count: usize) {
        if count > 0 {
            self.parts.push(Part { news, kind, end: self.commands.count(), count });
        }
    }

    fn clear(&mut self) {
        self.commands.clear(CHUNK);
        self.parts.clear();
    }
}

impl Flush {
    /// Writes the hashes of newest events and maps; returns those that Redis refused, by index and kind.
    pub(super) async fn write_hashes(
        &mut self,
        news: &[News],
    ) -> Result<Vec<(usize, SnapshotKind)>, StoreFault> {
        let unknown: Vec<&News> = news.iter().filter(|news| self.sessions.must_look(news)).collect();
        let known = self.newest_of(&unknown).await?;
        let mut known = unknown.iter().zip(known);
        let mut next = known.next();
        let mut wanted = Vec::with_capacity(news.len());
        for (at, news) in news.iter().enumerate() {
            let mut is_news = true;
            if let Some((unknown, known_here)) = &next
                && std::ptr::eq(**unknown, news)
            {
                is_news = self.sessions.learn(news, known_here);
                next = known.next();
            }
            if is_news {
                wanted.push((at, news));
            }
        }
        let left_out = self.cells_without_room(wanted.iter().map(|(_, news)| *news)).await?;
        let (mut batch, mut refused) = (Batch::default(), Vec::new());
        for (at, one) in wanted {
            let cells = self.sessions.write_cells(one, &left_out, &mut batch.commands);
            batch.close(at, SnapshotKind::Map, cells);
            let latest = one.write_newest(&mut batch.commands);
            batch.close(at, SnapshotKind::Latest, latest);
            if batch.commands.bytes().len() >= CHUNK {
                self.send(news, &batch, &mut refused).await?;
                batch.clear();
            }
        }
        self.send(news, &batch, &mut refused).await?;
        // a map that was not written has no session here
        for (at, _) in refused.iter().filter(|(_, kind)| *kind == SnapshotKind::Map) {
            self.sessions.forget(&news[*at]);
        }
        let forgotten = self.sessions.take_forgotten();
        self.scope.note_forgotten(Table::Maps, forgotten);
        Ok(refused)
    }

    /// Sends commands and counts what they wrote; adds the hashes refused because of their key to `refused`.
    async fn send(
        &mut self,
        news: &[News],
        batch: &Batch,
        refused: &mut Vec<(usize, SnapshotKind)>,
    ) -> Result<(), StoreFault> {
        let (mut faults, mut position) = (Vec::new(), 0);
        self.store
            .ask(&batch.commands, |reply| {
                let replies = if let Reply::Array(Some(replies)) = &reply { &replies[..] } else { &[] };
                for reply in std::iter::once(&reply).chain(replies) {
                    if let Reply::Error(text) = reply {
                        faults.push((position, key_fault(text)?));
                    }
                }
                position += 1;
                Ok(())
            })
            .await?;
        let mut faults = faults.into_iter().peekable();
        for part in &batch.parts {
            let mut is_refused = false;
            let key = news.get(part.news).and_then(|news| news.key(part.kind)).unwrap_or_default();
            while let Some((_, text)) = faults.next_if(|(at, _)| *at < part.end) {
                self.note_refused(key, &text);
                is_refused = true;
            }
            if is_refused {
                refused.push((part.news, part.kind));
            } else {
                self.observed().writes.of(part.kind).add(part.count as u64);
            }
        }
        Ok(())
    }

    pub(super) fn note_refused(&mut self, key: &str, text: &str) {
        self.observed().troubles.of(SnapshotTrouble::Refused).add(1);
        if self.refused.is_due(Instant::now()) {
            warn!(self.scope.log, "snapshot refused"; "key" => key, "error" => text);
        }
    }
}
