//! The end of a queue left by other settings.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use uw_websocket_core::event::{Channel, EntryId, Topic};
use uw_websocket_core::routing::home_shard;
use uw_websocket_core::spool::SpoolError;

use super::disk::{Answer, Disk, Job};

/// The end of an old queue.
pub struct Retirement {
    /// Its folder, which is removed.
    pub folder: PathBuf,
    /// The current queues by shard. Each takes over the last IDs of its streams: should Redis lose those entries, a
    /// later process must detect it.
    pub heirs: Vec<Disk>,
}

impl Retirement {
    /// Passes the IDs of removed records to the heirs; they answer once they have written them.
    #[must_use]
    pub fn bequeath(&self, removed: &HashMap<Arc<str>, EntryId>) -> Vec<WrittenAnswer> {
        let mut told = BTreeSet::new();
        for (name, id) in removed {
            let (channel, symbol) = Topic::split(name);
            let Ok(channel) = Channel::parse(channel) else { continue };
            if self.heirs.is_empty() {
                break;
            }
            let home = home_shard(&channel, symbol, self.heirs.len());
            self.heirs[home].note_unspooled([(Arc::clone(name), *id)]);
            told.insert(home);
        }
        told.into_iter().map(|home| self.heirs[home].ask(Job::Flush)).collect()
    }
}

/// The answer to a flush.
pub type WrittenAnswer = Answer<Result<(), SpoolError>>;
