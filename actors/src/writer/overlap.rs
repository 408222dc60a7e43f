//! Events that another instance has stored while it was the owner.
//!
//! Two instances may receive the same event around a change of the owner: one that was paused reads what its sockets still
//! hold, one that could not ask Redis presumes to be the owner. The late events of our queue are therefore compared
//! with what their streams got since we last held the lease, by content; by their IDs they were looked up before.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use sha1::{Digest as _, Sha1};
use slog::{Logger, warn};
use uw_websocket_core::event::{Destination, EntryId, Event};

use super::store::RedisConnection;
use super::store::digests::Digest;
use super::store::fault::StoreFault;
use crate::ledger::left_queue::Late;
use crate::observation::Observations;
use crate::supervisor::Heartbeat;

/// Maximum number of entries compared with, over all streams: some 16 MiB. Events of further streams are stored without
/// a comparison, and logged.
const MAX_DIGESTS: usize = 1_000_000;
/// Time by which IDs may be behind our clock, in milliseconds: the clocks of two machines differ.
const SKEW_MS: u64 = 60_000;

/// The payloads of streams since this instance last held the lease.
#[derive(Debug)]
pub struct Overlap {
    observations: Arc<Observations>,
    beat: Heartbeat,
    log: Logger,
    streams: HashMap<Arc<str>, HashSet<Digest, RandomState>, RandomState>,
    digests: usize,
}

impl Overlap {
    /// Creates an empty comparison.
    #[must_use]
    pub fn new(observations: Arc<Observations>, beat: Heartbeat, log: Logger) -> Overlap {
        Overlap { observations, beat, log, streams: HashMap::default(), digests: 0 }
    }

    /// Whether no stream was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Forgets everything: no event is late any more.
    pub fn clear(&mut self) {
        self.streams = HashMap::default();
        self.digests = 0;
    }

    /// Reads the streams of late events, each once.
    pub async fn read(
        &mut self,
        connection: &mut RedisConnection,
        events: &[Event],
        late: Late,
    ) -> Result<(), StoreFault> {
        for event in events {
            if !self.compares(event, late) {
                continue;
            }
            for destination in &event.route.destinations {
                if !self.streams.contains_key(&destination.stream) {
                    let digests = self.read_stream(connection, &destination.stream, late).await?;
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
    ) -> Result<HashSet<Digest, RandomState>, StoreFault> {
        let mut digests = HashSet::default();
        let mut after = EntryId { ms: (late.since / 1000).saturating_sub(SKEW_MS), seq: 0 };
        loop {
            self.beat.beat();
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
                warn!(self.log, "late events not compared"; "stream" => stream);
                return Ok(HashSet::default());
            }
        }
    }

    /// Whether an event is late and of a channel whose events have an identity: others may repeat legitimately.
    fn compares(&self, event: &Event, late: Late) -> bool {
        let channel = &self.observations.channel(event.route.channel).channel;
        event.received_us < late.before && channel.spec().is_some()
    }

    /// Whether an event is late and in a stream already.
    #[must_use]
    pub fn has(&self, event: &Event, destination: &Destination, late: Late) -> bool {
        if !self.compares(event, late) {
            return false;
        }
        let digests = self.streams.get(&*destination.stream);
        digests.is_some_and(|digests| !digests.is_empty() && digests.contains(&digest_of(&event.payload)))
    }
}

fn digest_of(payload: &[u8]) -> Digest {
    let first = Sha1::digest(payload).first_chunk().copied();
    first.map_or(0, Digest::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_redis() {
        assert_eq!(digest_of(b"abc"), 0xa999_3e36_4706_816a);
    }
}
