//! Events that another instance has stored while it was the owner.
//!
//! Two instances may receive the same event around a change of the owner: one that was paused reads what its sockets still
//! hold, one that could not ask Redis presumes to be the owner. The late events of our queue are therefore compared
//! with what their streams got since we last held the lease, by content; by their IDs they were looked up before.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use sha1::{Digest as _, Sha1};
use slog::warn;
use uw_websocket_core::event::{Destination, EntryId, Event};

use super::scope::WriterScope;
use super::store::RedisConnection;
use super::store::digests::Digest;
use super::store::fault::StoreFault;
use crate::ledger::left_queue::Late;
use crate::queue::batch::EventBatch;

/// Maximum number of entries compared with, over all streams: some 64 MiB. Events of further streams are stored without
/// a comparison, and logged.
const MAX_DIGESTS: usize = 1_000_000;
/// Time by which IDs may be behind our clock, in milliseconds: the clocks of two machines differ.
const SKEW_MS: u64 = 60_000;

/// The payloads of streams since this instance last held the lease.
#[derive(Debug, Default)]
pub struct Overlap {
    streams: HashMap<Arc<str>, HashSet<Digest, RandomState>, RandomState>,
    digests: usize,
}

impl Overlap {
    /// Whether no stream was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Forgets everything: no event is late any more.
    pub fn clear(&mut self) {
        *self = Overlap::default();
    }

    /// Reads the streams of the late events of a batch, each once.
    pub async fn read(
        &mut self,
        connection: &mut RedisConnection,
        batch: &EventBatch,
        late: Late,
        scope: &WriterScope,
    ) -> Result<(), StoreFault> {
        for event in batch.events().iter().filter(|event| is_compared(event, late, scope)) {
            for destination in &event.route.destinations {
                if !self.streams.contains_key(&destination.stream) {
                    let digests = self.read_stream(connection, &destination.stream, late, scope).await?;
                    self.digests += digests.len();
                    self.streams.insert(Arc::clone(&destination.stream), digests);
                }
            }
        }
        Ok(())
    }

    async fn read_stream(
        &self,
        connection: &mut RedisConnection,
        stream: &Arc<str>,
        late: Late,
        scope: &WriterScope,
    ) -> Result<HashSet<Digest, RandomState>, StoreFault> {
        let mut digests = HashSet::default();
        let mut after = EntryId { ms: (late.since / 1000).saturating_sub(SKEW_MS), seq: 0 };
        loop {
            scope.beat.beat();
            let next = connection
                .digests(stream, after, |digest| {
                    digests.insert(digest);
                })
                .await?;
            match next {
                Some(next) if next > after => after = next,
                _ => return Ok(digests),
            }
            if self.digests + digests.len() > MAX_DIGESTS {
                warn!(scope.log, "late events not compared"; "stream" => stream);
                return Ok(HashSet::default());
            }
        }
    }

    /// Whether a late event is in a stream already.
    #[must_use]
    pub fn has(&self, event: &Event, destination: &Destination) -> bool {
        let digests = self.streams.get(&*destination.stream);
        digests.is_some_and(|digests| !digests.is_empty() && digests.contains(&digest_of(&event.payload)))
    }
}

/// Whether an event is late and of a channel whose events have an identity: others may repeat legitimately.
pub fn is_compared(event: &Event, late: Late, scope: &WriterScope) -> bool {
    event.received_us < late.before
        && scope.observations.channel(event.route.channel).channel.spec().is_some()
}

fn digest_of(payload: &[u8]) -> Digest {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digest = [0; 40];
    for (byte, digits) in Sha1::digest(payload).iter().zip(digest.chunks_exact_mut(2)) {
        digits.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_redis() {
        assert_eq!(&digest_of(b"abc"), b"a9993e364706816aba3e25717850c26c9cd0d89d");
    }
}
