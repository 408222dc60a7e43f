//! The disk queues of other instances that this machine can read: on a takeover they are written first, in order.
//!
//! A queue that no process holds belongs to an instance that has ended. Its records become ours, with their IDs, before
//! anything new is received: the writers then look them up like those of an earlier process of our own. A record is
//! acknowledged there once it is on our disk; after a kill in between it comes twice, under the same ID.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use slog::{Logger, error, info, warn};
use thiserror::Error;
use tokio::task::{JoinError, spawn_blocking};
use uw_websocket_core::event::Channel;
use uw_websocket_core::spool::{Chunk, Limits, Recovery, Spool, SpoolError, SpoolLock, shard_folders};
use uw_websocket_core::tables::MAX_STREAMS;

use super::adoption::{AdoptedIds, Heir};
use crate::error_chain::ErrorChain;
use crate::queue::losses;
use crate::sync::lock;

/// Maximum number of events per read.
const READ_EVENTS: usize = 1024;
/// Maximum bytes per read.
const READ_BYTES: u64 = 1024 * 1024;
/// Limits of a queue to which nothing is appended.
const LIMITS: Limits = Limits {
    segment_bytes: 16 * 1024 * 1024,
    segment_age: Duration::from_secs(60),
    max_bytes: u64::MAX,
    durable: true,
    max_streams: MAX_STREAMS,
};

/// Disk queues of instances that have ended, locked until this is dropped.
#[derive(Debug)]
pub struct Peers(Vec<(PathBuf, SpoolLock)>);

/// Why a queue was left alone.
#[derive(Debug, Error)]
enum PeerError {
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("reading the queue was interrupted")]
    Reading(#[from] JoinError),
    #[error("it has events of {0}, a channel that is not among the settings of this instance")]
    UnknownChannel(String),
    #[error("it has {bytes} bytes, and {room} are left of SPOOL_MAX_BYTES")]
    TooLarge { bytes: u64, room: u64 },
}

impl Peers {
    /// Locks the folders that exist and that no process holds.
    #[must_use]
    pub fn lock(dirs: &[PathBuf], log: &Logger) -> Peers {
        let mut locked = Vec::new();
        for dir in dirs.iter().filter(|dir| dir.exists()) {
            match SpoolLock::acquire(dir) {
                Ok(lock) => locked.push((dir.clone(), lock)),
                // its instance runs
                Err(SpoolError::Held { .. }) => {}
                Err(error) => warn!(log, "disk queue of a peer not readable"; ErrorChain::new(&error)),
            }
        }
        Peers(locked)
    }

    /// Returns the folders.
    pub fn dirs(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|(dir, _)| dir.as_path())
    }

    /// Moves their events to our queues, of which `max_bytes` is the limit. Returns the folders that are empty now.
    pub async fn drain(self, heir: &Heir, max_bytes: u64, log: &Logger) -> Vec<PathBuf> {
        let mut drained = Vec::new();
        for (dir, _lock) in self.0 {
            let began = Instant::now();
            match drain(&dir, heir, max_bytes, log).await {
                Ok(events) => {
                    if events > 0 {
                        info!(log, "disk queue of a peer taken over"; "folder" => %dir.display(), "events" => events,
                            "elapsed_s" => began.elapsed().as_secs_f64());
                    }
                    drained.push(dir);
                }
                Err(error) => {
                    error!(log, "disk queue of a peer not taken over";
                        "folder" => %dir.display(), ErrorChain::new(&error));
                }
            }
        }
        drained
    }
}

async fn drain(dir: &Path, heir: &Heir, max_bytes: u64, log: &Logger) -> Result<u64, PeerError> {
    let mut queues = Vec::new();
    for folder in shard_folders(dir)? {
        let path = folder.path.clone();
        let opened = spawn_blocking(move || Spool::open(&path, LIMITS, Instant::now())).await?;
        let (spool, recovery) = opened?;
        queues.push((folder, spool, recovery));
    }
    let known = |name: &String| heir.observations.channel_named(name).is_some();
    if let Some(name) = queues.iter().flat_map(|(_, _, found)| found.events.keys()).find(|name| !known(name))
    {
        return Err(PeerError::UnknownChannel(name.clone()));
    }
    let bytes = queues.iter().map(|(_, spool, _)| spool.bytes()).sum();
    let used: u64 = heir.observations.writers.iter().map(|writer| writer.spool_bytes.get()).sum();
    let room = max_bytes.saturating_sub(used);
    if bytes > room {
        return Err(PeerError::TooLarge { bytes, room });
    }
    let channels: Vec<Channel> =
        heir.observations.channels.iter().map(|channel| channel.channel.clone()).collect();
    let mut events = 0;
    for (folder, mut spool, Recovery { damages, .. }) in queues {
        let name = folder.path.display().to_string();
        let note = |damages: &[_]| {
            let gaps = losses::of_damages(damages, &name, &channels, log);
            heir.shards.iter().take(1).for_each(|shard| shard.queue.note_losses(gaps.clone()));
        };
        note(&damages);
        let first = spool.acknowledged();
        let mut from = first;
        while from < spool.next_seq() {
            let read = spawn_blocking(move || {
                let chunk = spool.read(from, READ_EVENTS, READ_BYTES);
                (spool, chunk)
            });
            let (back, chunk) = read.await?;
            spool = back;
            let Chunk { records, next_seq, damages, .. } = chunk?;
            note(&damages);
            events += records.len() as u64;
            heir.adopt(records, AdoptedIds::Kept).await;
            if next_seq <= from {
                break;
            }
            from = next_seq;
            // the main thread makes progress
            *lock(&heir.observations.supervisor_round_at) = Instant::now();
        }
        let next = spool.next_seq();
        if heir.is_archived {
            // by us: the archive of the peer does not take them when it is back
            spool.note_unstored(first, next);
        }
        spool.acknowledge(next, &[], Instant::now())?;
        spool.persist_cursor()?;
    }
    Ok(events)
}
