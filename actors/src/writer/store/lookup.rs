//! What Redis has of streams and entries.
//!
//! Others may write to the streams, and `XINFO STREAM` and `XRANGE` answer with whole entries. So scripts look at these
//! where they are, and answer with ids and numbers alone.

use uw_websocket_core::event::EntryId;

use super::connection::Connection;
use super::fault::StoreFault;
use super::resp::{Commands, Reply, id_text};

/// Of a stream: the last id, how many entries there are, and how many there have been (`-1` before Redis 7).
const STREAM: &str = "\
local flat = redis.pcall('XINFO', 'STREAM', KEYS[1])
if flat.err then return flat end
local info = {}
for at = 1, #flat, 2 do info[flat[at]] = flat[at + 1] end
return {info['last-generated-id'], info['length'], info['entries-added'] or -1}";

/// Whether the entry `ARGV[1]` has the fields that follow it and no others (`1`), others (`0`) or is not there (`-1`); and
/// the id of the stream's first entry.
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

/// What Redis has under an ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryStatus {
    /// The same entry, or the stream has been trimmed beyond the ID: it was stored.
    Stored,
    /// Nothing, and the ID can be written.
    Absent,
    /// Nothing or another entry, and the stream has gone past the ID: it cannot be written any more.
    Passed,
}

#[derive(Clone, Copy, Debug, Default)]
struct StreamInfo {
    last: EntryId,
    /// Whether entries have left it. Before Redis 7 it does not say so; then they may have.
    was_trimmed: bool,
}

/// An entry as it was looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    /// Whether it is ours; `None` if there is none.
    is_ours: Option<bool>,
    /// The stream's first one.
    first: Option<EntryId>,
}

impl Connection {
    /// The last ID that each stream has given out, zero where there is no stream. A key of another type has none, and
    /// will be refused by itself.
    pub async fn last_ids(&mut self, streams: &[impl AsRef<str>]) -> Result<Vec<EntryId>, StoreFault> {
        Ok(self.infos(streams).await?.iter().map(|info| info.last).collect())
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

    /// What became of entries: stream, ID and payload of each.
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

    /// What became of entries: stream, ID, and names and values of all fields of each.
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
            None if info.was_trimmed && self.first.is_some_and(|first| first > id) => EntryStatus::Stored,
            _ => EntryStatus::Passed,
        }
    }
}

impl StreamInfo {
    fn of(reply: &Reply<'_>) -> Option<StreamInfo> {
        let Reply::Array(Some(parts)) = reply else { return None };
        let [last, Reply::Integer(length), Reply::Integer(added)] = &parts[..] else { return None };
        Some(StreamInfo { last: id_of(last)?, was_trimmed: added != length })
    }
}

/// There is no key, or one of another type.
fn is_no_stream(text: &[u8]) -> bool {
    text.starts_with(b"ERR no such key") || text.starts_with(b"WRONGTYPE")
}

fn id_of(reply: &Reply<'_>) -> Option<EntryId> {
    let Reply::Bulk(Some(text)) = reply else { return None };
    std::str::from_utf8(text).ok()?.parse().ok()
}
