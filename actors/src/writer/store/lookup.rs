//! Looks up streams and entries in Redis.
//!
//! Other clients may write to the streams, and `XINFO STREAM` and `XRANGE` return whole entries. Scripts therefore
//! inspect these in place, and return only IDs and numbers.

use uw_websocket_core::event::EntryId;

use super::connection::RedisConnection;
use super::fault::StoreFault;
use super::resp::{Commands, Reply, id_text};

/// Returns of a stream the last ID, the number of entries, and the number ever added (`-1` before Redis 7).
const STREAM: &str = "\
local flat = redis.pcall('XINFO', 'STREAM', KEYS[1])
if flat.err then return flat end
local info = {}
for at = 1, #flat, 2 do info[flat[at]] = flat[at + 1] end
return {info['last-generated-id'], info['length'], info['entries-added'] or -1}";

/// Returns whether the entry `ARGV[1]` has exactly the fields that follow (`1`), others (`0`) or is absent (`-1`);
/// and the ID of the stream's first entry.
const ENTRY: &str = "\
local found = redis.pcall('XRANGE', KEYS[1], ARGV[1], ARGV[1])
if found.err then return found end
local same = -1
if found[1] then
  local fields = found[1][2]
  same = #fields == #ARGV - 1 and 1 or 0
  for at = 1, #fields do if fields[at] ~= ARGV[at + 1] then same = 0 break end end
end
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
return {same, first and first[1] or false}";

/// The state of an ID in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryStatus {
    /// Stored: the same entry is there, or the stream has been trimmed beyond the ID.
    Stored,
    /// Absent, and the ID can be written.
    Absent,
    /// Absent or another entry, and the stream is past the ID: it can no longer be written.
    Passed,
}

/// What a stream has, and has had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamInfo {
    /// The last ID; zero without a stream.
    pub last: EntryId,
    /// The number of its entries.
    pub length: u64,
    /// The number of entries that it has had; unknown before Redis 7.
    pub added: Option<u64>,
}

/// The result of an entry's lookup.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    /// Whether it is ours; `None` if absent.
    is_ours: Option<bool>,
    /// The ID of the stream's first entry.
    first: Option<EntryId>,
}

impl RedisConnection {
    /// Returns the last ID of each stream, zero without a stream. A key of another type has none, and is refused on
    /// its own.
    pub async fn last_ids(&mut self, streams: &[impl AsRef<str>]) -> Result<Vec<EntryId>, StoreFault> {
        Ok(self.infos(streams).await?.iter().map(|info| info.last).collect())
    }

    /// Returns whether a stream has lost entries; unknown, and true, before Redis 7.
    pub async fn was_trimmed(&mut self, stream: &str) -> Result<bool, StoreFault> {
        let infos = self.infos(&[stream]).await?;
        Ok(infos.first().is_some_and(|info| info.last > EntryId::default() && info.was_trimmed()))
    }

    /// Returns what a stream has, and has had.
    pub async fn stream_info(&mut self, stream: &str) -> Result<StreamInfo, StoreFault> {
        Ok(self.infos(&[stream]).await?.pop().unwrap_or_default())
    }

    async fn infos(&mut self, streams: &[impl AsRef<str>]) -> Result<Vec<StreamInfo>, StoreFault> {
        let mut questions = Commands::default();
        for stream in streams {
            questions.command(&[b"EVAL", STREAM.as_bytes(), b"1", stream.as_ref().as_bytes()]);
        }
        let mut infos = Vec::with_capacity(streams.len());
        self.ask(&questions, |reply| {
            infos.push(match &reply {
                Reply::Error(text) if is_no_stream(text) => StreamInfo::default(),
                reply => StreamInfo::of(reply).ok_or_else(|| StoreFault::answered(reply))?,
            });
            Ok(())
        })
        .await?;
        Ok(infos)
    }

    /// Determines the state of entries, given by stream, ID and payload.
    pub async fn entry_statuses(
        &mut self,
        entries: &[(&str, EntryId, &[u8])],
    ) -> Result<Vec<EntryStatus>, StoreFault> {
        let fields: Vec<[&[u8]; 2]> =
            entries.iter().map(|(.., payload)| [&b"payload"[..], payload]).collect();
        let entries = entries.iter().zip(&fields);
        let entries: Vec<_> = entries.map(|((stream, id, _), fields)| (*stream, *id, &fields[..])).collect();
        self.statuses(&entries).await
    }

    /// Determines the state of entries, given by stream, ID, and names and values of all fields.
    pub(crate) async fn statuses(
        &mut self,
        entries: &[(&str, EntryId, &[&[u8]])],
    ) -> Result<Vec<EntryStatus>, StoreFault> {
        let streams: Vec<&str> = entries.iter().map(|(stream, ..)| *stream).collect();
        let infos = self.infos(&streams).await?;
        let mut questions = Commands::default();
        for (stream, id, fields) in entries {
            let (stream, id) = (stream.as_bytes(), id_text(*id));
            let question: [&[u8]; 5] = [b"EVAL", ENTRY.as_bytes(), b"1", stream, id.as_ref()];
            questions.command(&[&question[..], fields].concat());
        }
        let mut found: Vec<Found> = Vec::with_capacity(entries.len());
        self.ask(&questions, |reply| {
            found.push(match &reply {
                Reply::Error(text) if is_no_stream(text) => Found::default(),
                reply => Found::of(reply).ok_or_else(|| StoreFault::answered(reply))?,
            });
            Ok(())
        })
        .await?;
        let statuses = entries.iter().zip(infos).zip(found);
        Ok(statuses.map(|(((_, id, _), info), found)| found.status(*id, info)).collect())
    }
}

impl Found {
    fn of(reply: &Reply<'_>) -> Option<Found> {
        let Reply::Array(Some(parts)) = reply else { return None };
        let [Reply::Integer(same), first] = &parts[..] else { return None };
        let is_ours = (*same >= 0).then_some(*same == 1);
        Some(Found { is_ours, first: id_of(first) })
    }

    fn status(self, id: EntryId, info: StreamInfo) -> EntryStatus {
        match self.is_ours {
            Some(true) => EntryStatus::Stored,
            None if info.last < id => EntryStatus::Absent,
            None if info.was_trimmed() && self.first.is_some_and(|first| first > id) => EntryStatus::Stored,
            _ => EntryStatus::Passed,
        }
    }
}

impl StreamInfo {
    fn of(reply: &Reply<'_>) -> Option<StreamInfo> {
        let Reply::Array(Some(parts)) = reply else { return None };
        let [last, Reply::Integer(length), Reply::Integer(added)] = &parts[..] else { return None };
        Some(StreamInfo {
            last: id_of(last)?,
            length: u64::try_from(*length).ok()?,
            added: u64::try_from(*added).ok(),
        })
    }

    /// Returns the number of entries that it has had and no longer has; unknown before Redis 7.
    #[must_use]
    pub fn gone(&self) -> Option<u64> {
        Some(self.added?.saturating_sub(self.length))
    }

    /// Whether the stream has lost entries; before Redis 7 this is unknown and counts as true.
    fn was_trimmed(&self) -> bool {
        self.added != Some(self.length)
    }
}

/// The key is absent or has another type.
fn is_no_stream(text: &[u8]) -> bool {
    text.starts_with(b"ERR no such key") || text.starts_with(b"WRONGTYPE")
}

fn id_of(reply: &Reply<'_>) -> Option<EntryId> {
    let Reply::Bulk(Some(text)) = reply else { return None };
    std::str::from_utf8(text).ok()?.parse().ok()
}
