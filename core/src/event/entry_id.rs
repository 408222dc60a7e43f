//! IDs of stream entries.

use std::fmt;

use thiserror::Error;

/// A stream entry ID: `<milliseconds>-<sequence>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// Unix milliseconds; they never go back, even if the clock does.
    pub ms: u64,
    /// Sequence number within the millisecond.
    pub seq: u64,
}

/// A string that is not a stream entry ID.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a stream entry ID")]
pub struct InvalidEntryId(String);

impl std::str::FromStr for EntryId {
    type Err = InvalidEntryId;

    fn from_str(text: &str) -> Result<EntryId, InvalidEntryId> {
        let parsed = text.split_once('-').and_then(|(ms, seq)| Some((ms.parse().ok()?, seq.parse().ok()?)));
        let (ms, seq) = parsed.ok_or_else(|| InvalidEntryId(text.chars().take(64).collect()))?;
        Ok(EntryId { ms, seq })
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// The entry IDs of one event, in the order of its destinations. Nearly every event has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryIds {
    /// The ID in the only destination; zero until the writer assigns one.
    One(EntryId),
    /// The IDs in several destinations.
    Many(Box<[EntryId]>),
}

impl Default for EntryIds {
    fn default() -> EntryIds {
        EntryIds::One(EntryId::default())
    }
}

impl EntryIds {
    /// Returns all IDs.
    #[must_use]
    pub fn as_slice(&self) -> &[EntryId] {
        match self {
            EntryIds::One(id) => std::slice::from_ref(id),
            EntryIds::Many(ids) => ids,
        }
    }

    /// Returns the ID in the destination at an index; zero if there is none.
    #[must_use]
    pub fn get(&self, destination: usize) -> EntryId {
        self.as_slice().get(destination).copied().unwrap_or_default()
    }

    /// Sets the ID in the destination at an index; no effect if there is none.
    pub fn set(&mut self, destination: usize, id: EntryId) {
        let ids = match self {
            EntryIds::One(only) => std::slice::from_mut(only),
            EntryIds::Many(ids) => ids,
        };
        if let Some(place) = ids.get_mut(destination) {
            *place = id;
        }
    }
}

impl FromIterator<EntryId> for EntryIds {
    fn from_iter<I: IntoIterator<Item = EntryId>>(ids: I) -> EntryIds {
        let mut ids = ids.into_iter();
        match (ids.next(), ids.next()) {
            (first, None) => EntryIds::One(first.unwrap_or_default()),
            (first, second) => EntryIds::Many(first.into_iter().chain(second).chain(ids).collect()),
        }
    }
}
