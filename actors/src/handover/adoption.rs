//! Appends records of another instance's disk queue to our own.

use std::collections::BTreeMap;
use std::sync::Arc;

use uw_websocket_core::event::{Channel, Symbol};
use uw_websocket_core::routing::home_shard;
use uw_websocket_core::settings::KeySettings;
use uw_websocket_core::spool::Record;

use crate::observation::Observations;
use crate::queue::backlog::Position;
use crate::queue::batch::TransactionSize;
use crate::queue::record_decoder::RecordDecoder;
use crate::queue::shard::Shard;

/// The IDs of adopted events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdoptedIds {
    /// Those of their records, under which they may have been stored.
    Kept,
    /// New ones, behind everything received so far.
    New,
}

/// Our queues, as the heirs of another instance's.
#[derive(Clone, Debug)]
pub struct Heir {
    /// The queues.
    pub shards: Vec<Shard>,
    /// Stream names.
    pub keys: KeySettings,
    /// Maximum size of a batch.
    pub size: TransactionSize,
    /// Whether an archive takes what our queues have stored.
    pub is_archived: bool,
    /// State and counters.
    pub observations: Arc<Observations>,
}

impl Heir {
    /// Appends records to the queues of their shards, and waits until they are on disk. Returns the position after them,
    /// by shard.
    pub async fn adopt(&self, records: Vec<Record>, ids: AdoptedIds) -> Vec<(usize, Position)> {
        let mut shards: BTreeMap<usize, Vec<Record>> = BTreeMap::new();
        for record in records {
            let symbol = record.destinations.first().and_then(|(symbol, _)| symbol.as_ref());
            // a name that is none has no counters either, which is checked before
            let Ok(channel) = Channel::parse(&record.channel) else { continue };
            let home = home_shard(&channel, symbol.map(Symbol::as_str), self.shards.len());
            let records = shards.entry(home).or_default();
            let seq = records.len() as u64;
            records.push(Record { seq, ..record });
        }
        let mut ends = Vec::new();
        for (shard, records) in shards {
            let batches = self.decoder(shard).batches(records);
            let queue = &self.shards[shard].queue;
            let last = batches.into_iter().map(|(_, batch)| match ids {
                AdoptedIds::Kept => queue.adopt_as_they_are(batch),
                AdoptedIds::New => queue.adopt(batch),
            });
            ends.extend(last.last().map(|end| (shard, end)));
            queue.keep().await;
        }
        ends
    }

    /// Returns a decoder of records for the streams of the present settings.
    #[must_use]
    pub fn decoder(&self, shard: usize) -> RecordDecoder {
        RecordDecoder::new(self.keys.clone(), shard, self.size, Arc::clone(&self.observations))
    }
}
