//! The stream `<p>:ws:gaps`: writes gaps to it exactly once, and reads them back.
//!
//! An entry's ID is saved before the entry is sent, and Redis refuses a repeated ID. So an attempt without a reply is
//! repeated under the same ID: if it is refused, the entry with that ID shows whether it is ours.

use thiserror::Error;
use uw_websocket_core::event::EntryId;

use super::gap::Gap;
use crate::writer::store::address::Address;
use crate::writer::store::fault::{Refusal, StoreFault};
use crate::writer::store::resp::{Bound, Commands, Reply, id_text};
use crate::writer::store::{EntryStatus, Identity, Store};

/// Approximate number of entries that the stream keeps.
const MAXLEN: u64 = 100_000;
/// Maximum size of an entry read back: a few hundred bytes, and a name for each topic of a family.
const ENTRY: Bound = Bound { bytes: 16 * 1024, items: 32 };

/// The stream and its connection.
#[derive(Debug)]
pub struct GapPublisher {
    store: Store,
    stream: String,
    state: String,
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
            | StoreFault::Unanswered(text) => PostError::Away(text),
        }
    }
}

impl GapPublisher {
    /// Creates the publisher of the stream `<prefix>:ws:gaps` and of the string `<prefix>:ws:ledger`.
    #[must_use]
    pub fn new(address: Address, prefix: &str) -> GapPublisher {
        let (stream, state) = (format!("{prefix}:ws:gaps"), super::checkpoint_store::key(prefix));
        GapPublisher { store: Store::new(address), stream, state }
    }

    /// Connects if necessary. Returns the number of the connection and the identity of the server: a different server
    /// may lack confirmed entries.
    pub(super) async fn connect(&mut self) -> Result<(u64, Identity), PostError> {
        let number = self.store.connect().await?;
        Ok((number, self.store.connection().await?.identity().await?))
    }

    /// Replaces the copy of the state.
    pub(super) async fn keep(&mut self, json: &[u8]) -> Result<(), PostError> {
        let mut set = Commands::default();
        set.command(&[b"SET", self.state.as_bytes(), json]);
        Ok(self.store.ask(&set, |reply| done(&reply)).await?)
    }

    /// Returns the highest ID that the stream has had.
    pub(super) async fn last_id(&mut self) -> Result<EntryId, PostError> {
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
    pub async fn read_after(
        &mut self,
        after: EntryId,
        count: usize,
    ) -> Result<Vec<(EntryId, Option<Gap>)>, PostError> {
        let (after, limit) = (format!("({after}"), count.to_string());
        let mut range = Commands::default();
        range.command(&[
            b"XRANGE",
            self.stream.as_bytes(),
            after.as_bytes(),
            b"+",
            b"COUNT",
            limit.as_bytes(),
        ]);
        range.expect(Bound { bytes: count * ENTRY.bytes, items: count * ENTRY.items });
        let mut entries = Vec::new();
        self.store
            .ask(&range, |reply| {
                let Reply::Array(Some(found)) = &reply else { return Err(StoreFault::answered(&reply)) };
                entries = found
                    .iter()
                    .map(entry)
                    .collect::<Option<_>>()
                    .ok_or_else(|| StoreFault::answered(&reply))?;
                Ok(())
            })
            .await?;
        Ok(entries)
    }
}

fn done(reply: &Reply<'_>) -> Result<(), StoreFault> {
    if matches!(reply, Reply::Error(_)) { Err(StoreFault::answered(reply)) } else { Ok(()) }
}

/// Parses an entry: its ID, which must not default to zero, as reading would restart from the beginning; and the gap,
/// if the entry is one of ours.
fn entry(reply: &Reply<'_>) -> Option<(EntryId, Option<Gap>)> {
    let Reply::Array(Some(parts)) = reply else { return None };
    let [Reply::Bulk(Some(id)), Reply::Array(Some(fields))] = &parts[..] else { return None };
    let text = |field: &Reply<'_>| match field {
        Reply::Bulk(Some(text)) => String::from_utf8_lossy(text).into_owned(),
        _ => String::new(),
    };
    let fields: Vec<_> = fields.chunks_exact(2).map(|pair| (text(&pair[0]), text(&pair[1]))).collect();
    Some((std::str::from_utf8(id).ok()?.parse().ok()?, Gap::of_fields(&fields)))
}
