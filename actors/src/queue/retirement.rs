//! How a queue that other settings left ends.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use uw_websocket_core::event::{Channel, EntryId};
use uw_websocket_core::routing::home_shard;
use uw_websocket_core::spool::SpoolError;

use super::disk::{Answer, Disk, Job};

/// How an old queue ends.
pub struct Retirement {
    /// The folder: it is removed.
    pub folder: PathBuf,
    /// Today's queues, by shard. What the last IDs were stays known in that of each stream's home: should Redis lose them, a
    /// later process has to see it.
    pub heirs: Vec<Disk>,
}

impl Retirement {
    /// Tells the heirs what was removed; they answer when they have written it down.
    #[must_use]
    pub fn bequeath(&self, removed: &HashMap<Arc<str>, EntryId>) -> Vec<Written> {
        let mut told = BTreeSet::new();
        for (name, id) in removed {
            let (channel, symbol) =
                name.split_once(':').map_or((&**name, None), |(channel, symbol)| (channel, Some(symbol)));
            let Ok(channel) = Channel::parse(channel) else { continue };
            if self.heirs.is_empty() {
                break;
            }
            let home = home_shard(&channel, symbol, self.heirs.len());
            self.heirs[home].note_unkept([(Arc::clone(name), *id)]);
            told.insert(home);
        }
        told.into_iter().map(|home| self.heirs[home].ask(Job::Flush)).collect()
    }
}

/// Whether everything is on the disk.
pub type Written = Answer<Result<(), SpoolError>>;
