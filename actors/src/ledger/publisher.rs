//! The stream `<p>:ws:gaps`: writes gaps to it exactly once, and reads them back.
//!
//! An entry's ID is saved before the entry is sent, and Redis refuses a repeated ID. So an attempt without a reply is
//! repeated under the same ID: if it is refused, the entry with that ID shows whether it is ours.

use thiserror::Error;
use uw_websocket_core::event::EntryId;

use super::checkpoint::Checkpoint;
use super::checkpoint_store::{self, CheckpointError, read_copy};
use super::gap::Gap;
use crate::writer::store::address::Address;
use crate::writer::store::fault::{Refusal, StoreFault};
use crate::writer::store::pages::{MAX_ENTRY, StreamEntry, StreamPage, StreamRange};
use crate::writer::store::resp::{Commands, Reply, id_text};
use crate::writer::store::{EntryStatus, Identity, Store};

/// Approximate number of entries that the stream keeps.
const MAXLEN: u64 = 100_000;
/// Entries per query of the commands: some hundred KiB, which Redis returns in a millisecond.
pub const PAGE: usize = 1000;

/// The stream and its connection.
#[derive(Debug)]
pub struct GapPublisher {
    store: Store,
    stream: String,
    state: String,
    address: Address,
    prefix: String,
}

/// A failed command.
#[derive(Debug, Error)]
pub enum PostError {
    /// Redis did not reply; whether it ran the command is unknown.
    #[error("redis does not answer: {0}")]
    Away(String),
    /// Redis refused the command.
    #[error("redis refuses: {0}")]
    Refused(String),
}

/// The outcome of sending an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// The entry is in the stream, written now or earlier.
    Stored,
    /// The entry cannot be written under its ID: another program has written a higher one.
    Passed,
}

impl From<StoreFault> for PostError {
    fn from(fault: StoreFault) -> PostError {
        match fault {
            StoreFault::Refused { refusal, text } if refusal != Refusal::Loading => PostError::Refused(text),
            StoreFault::Refused { text, .. }
            | StoreFault::Unreachable(text)
            | StoreFault::Unanswered(text)
            | StoreFault::TooLarge(text) => PostError::Away(text),
        }
    }
}

impl GapPublisher {
    /// Creates the publisher of the stream `<prefix>:ws:gaps` and of the string `<prefix>:ws:ledger`.
    #[must_use]
    pub fn new(address: Address, prefix: &str) -> GapPublisher {
        let (stream, state) = (format!("{prefix}:ws:gaps"), checkpoint_store::key(prefix));
        let (prefix, store) = (prefix.to_owned(), Store::new(address.clone()));
        GapPublisher { store, stream, state, address, prefix }
    }

    /// Connects if necessary. Returns the number of the connection and the identity of the server: a different server
    /// may lack confirmed entries.
    pub(super) async fn connect(&mut self) -> Result<(u64, Identity), PostError> {
        let number = self.store.connect().await?;
        Ok((number, self.store.connection().await?.identity(&self.stream).await?))
    }

    /// Reads the copy of the state, which another instance may have written.
    pub(super) async fn copy(&self) -> Result<Option<Checkpoint>, CheckpointError> {
        read_copy(&self.address, &self.prefix).await
    }

    /// Replaces the copy of the state.
    pub(super) async fn keep(&mut self, json: &[u8]) -> Result<(), PostError> {
        let mut set = Commands::default();
        set.command(&[b"SET", self.state.as_bytes(), json]);
        Ok(self.store.ask(&set, |reply| done(&reply)).await?)
    }

    /// Returns the highest ID that the stream has had.
    pub(crate) async fn last_id(&mut self) -> Result<EntryId, PostError> {
        let last_ids = self.store.connection().await?.last_ids(&[&self.stream]).await?;
        Ok(last_ids.into_iter().next().unwrap_or_default())
    }

    /// Sends a gap under its ID.
    pub(super) async fn send(&mut self, gap: &Gap, id: EntryId) -> Result<Published, PostError> {
        let fields = gap.fields();
        let fields: Vec<&[u8]> =
            fields.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]).collect();
        let (cap, stream, text) = (MAXLEN.to_string(), self.stream.as_bytes(), id_text(id));
        let head: [&[u8]; 6] = [b"XADD", stream, b"MAXLEN", b"~", cap.as_bytes(), text.as_ref()];
        let mut add = Commands::default();
        add.command(&[&head[..], &fields].concat());
        match self.store.ask(&add, |reply| done(&reply)).await {
            Ok(()) => Ok(Published::Stored),
            Err(StoreFault::Refused { refusal: Refusal::IdTooSmall, .. }) => {
                let asked = [(&*self.stream, id, &fields[..])];
                let statuses = self.store.connection().await?.statuses(&asked).await?;
                let is_ours = statuses.first() == Some(&EntryStatus::Stored);
                Ok(if is_ours { Published::Stored } else { Published::Passed })
            }
            Err(fault) => Err(fault.into()),
        }
    }

    /// Reads at most `count` entries after an ID (`0-0` for all): a few calls read the whole ledger without blocking
    /// Redis for long.
    pub async fn read_after(&mut self, after: EntryId, count: usize) -> Result<StreamPage, PostError> {
        let range = StreamRange::new(&self.stream, after, None, (count, MAX_ENTRY));
        Ok(self.store.pages(&[range]).await?.pop().unwrap_or_default())
    }
}

/// Returns the gap in an entry of the stream; `None` if another program wrote it.
#[must_use]
pub fn gap_of((_, fields): &StreamEntry) -> Option<Gap> {
    let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
    let fields: Vec<_> = fields.chunks_exact(2).map(|pair| (text(&pair[0]), text(&pair[1]))).collect();
    Gap::of_fields(&fields)
}

fn done(reply: &Reply<'_>) -> Result<(), StoreFault> {
    if matches!(reply, Reply::Error(_)) { Err(StoreFault::answered(reply)) } else { Ok(()) }
}
