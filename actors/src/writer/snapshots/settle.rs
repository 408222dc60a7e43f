//! Updates bodies concurrently with the fetcher.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::yield_now;

use super::budget::Haste;
use super::flush::{CHUNK, Flush};
use super::pending::RestEvent;
use super::script::{BodyAnswer, Wanted};
use crate::observation::{SnapshotKind, SnapshotTrouble};
use crate::writer::store::fault::StoreFault;

/// Maximum attempts to write a body while the fetcher writes it concurrently; then it is postponed to the next
/// check.
const MAX_TRIES: usize = 8;
/// A body of at most this memory never waits for the budget: it delays no client.
const SMALL: usize = 256 * 1024;

impl Flush {
    /// Updates the hashes of these bodies; returns the written ones. `events` are merged again into content written
    /// by others meanwhile.
    pub(super) async fn settle(
        &mut self,
        mut keys: Vec<Arc<str>>,
        events: &[(Arc<str>, &[RestEvent])],
        haste: Haste,
    ) -> Result<Vec<Arc<str>>, StoreFault> {
        let mut written = Vec::new();
        for _ in 0..MAX_TRIES {
            let (mut conflicts, mut unwritten) = (Vec::new(), Vec::new());
            let mut rest = std::mem::take(&mut keys).into_iter();
            loop {
                let wanted = self.some_wanted(&mut rest, haste).await;
                if wanted.is_empty() {
                    break;
                }
                let answers = self.script.write_if_unchanged(&mut self.store, &wanted).await?;
                for (Wanted { key, hash, .. }, answer) in wanted.into_iter().zip(answers) {
                    match answer {
                        BodyAnswer::Written => {
                            if let Some(held) = self.bodies.get(&key) {
                                held.written(&hash);
                            }
                            written.push(key);
                        }
                        BodyAnswer::Conflict => conflicts.push(key),
                        BodyAnswer::NoScript => unwritten.push(key),
                        BodyAnswer::Refused(text) => self.note_refused(&key, &text),
                    }
                }
            }
            self.observed().troubles.of(SnapshotTrouble::Conflict).add(conflicts.len() as u64);
            self.read(&conflicts).await?;
            for (key, events) in events.iter().filter(|(key, _)| conflicts.contains(key)) {
                self.merge(key, events, false).await;
            }
            keys = [conflicts, unwritten].concat();
            if keys.is_empty() {
                break;
            }
        }
        self.observed().writes.of(SnapshotKind::Rest).add(written.len() as u64);
        self.observed().troubles.of(SnapshotTrouble::PutOff).add(keys.len() as u64);
        Ok(written)
    }

    /// Returns the next bodies to write, up to a number of bytes. Those that exceed the budget are owed.
    pub(super) async fn some_wanted(
        &mut self,
        keys: &mut impl Iterator<Item = Arc<str>>,
        haste: Haste,
    ) -> Vec<Wanted> {
        let (mut wanted, mut bytes) = (Vec::new(), 0);
        while bytes < CHUNK
            && let Some(key) = keys.next()
        {
            let is_large = self.bodies.get(&key).is_some_and(|held| held.bytes() > SMALL);
            if is_large && haste == Haste::WhenAffordable && !self.budget.is_open(Instant::now()) {
                if !self.owed.contains(&key) {
                    self.owed.push(key);
                }
                continue;
            }
            if let Some(held) = self.bodies.get(&key)
                && let Some(hash) = held.wanted()
            {
                let seen = held.seen().to_owned();
                bytes += hash.payload.len();
                self.budget.spend(hash.payload.len(), Instant::now());
                wanted.push(Wanted { key, hash, seen });
                yield_now().await;
            }
        }
        wanted
    }
}
