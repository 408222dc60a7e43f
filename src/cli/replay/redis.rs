//! Events of the streams of a Redis, merged by their IDs, page by page.

use std::io;
use std::sync::Arc;

use futures_util::stream::{StreamExt as _, try_unfold};
use uw_websocket_actors::settings::RedisSettings;
use uw_websocket_core::event::{EntryId, Scope};

use super::once::Once;
use crate::cli::wanted::Wanted;
use crate::event_lines::topic_of;
use crate::streams::doubts::doubts;
use crate::streams::link::{EntryContent, LinkError, ReadPlace, StreamReader};
use crate::streams::merge::Merge;
use crate::streams::name::StreamName;
use crate::streams::selection::{Pattern, choose};
use crate::streams::{page_size, too_large};
use uw_websocket_simulator::{RecordedFrame, RecordedFrames};

/// Number of streams whose next pages are read per query.
const SUPPLIED_AT_ONCE: usize = 1000;

/// Writes a message for people; may be called on any thread.
pub(super) type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// The location of the events, and their selection.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) redis: RedisSettings,
    pub(super) prefix: String,
    pub(super) wanted: Wanted,
    pub(super) tell: Tell,
}

/// The streams found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) names: Vec<StreamName>,
    /// The time of the latest selected entry, in Unix milliseconds.
    pub(super) last_ms: u64,
}

impl Source {
    /// Finds the existing streams, and tells of channels that have none; `planned` is what the settings join.
    pub(super) async fn look(&self, planned: &[Pattern]) -> Result<Found, LinkError> {
        let mut link = StreamReader::open(&self.redis, &self.prefix).await?;
        let patterns = match self.wanted.channels.as_slice() {
            [] => vec![Pattern::everything()],
            patterns => patterns.to_vec(),
        };
        let there = link.streams(&self.prefix).await?;
        for doubt in doubts(&self.wanted.channels, planned, &there, false) {
            (self.tell)(&doubt);
        }
        let mut names = choose(&patterns, &there);
        let symbols = &self.wanted.symbols;
        let is_wanted = |symbol: &str| symbols.is_empty() || symbols.iter().any(|one| one.as_str() == symbol);
        names.retain(|name| *name != StreamName::Gaps && name.symbol().is_none_or(is_wanted));
        let keys: Vec<String> = names.iter().map(|name| name.key(&self.prefix)).collect();
        let last = link.last_ids(&keys).await?.into_iter().max().unwrap_or_default();
        Ok(Found { names, last_ms: last.ms.min(self.wanted.to_ms) })
    }

    /// Returns the events of these streams, read lazily.
    pub(super) fn events(self, found: Found) -> RecordedFrames {
        let mut merge = Merge::default();
        for _ in &found.names {
            merge.add(before(self.wanted.from_ms));
        }
        let streams =
            found.names.into_iter().map(|name| Stream { key: name.key(&self.prefix), name }).collect();
        let reading = Box::new(Reading { source: self, link: None, streams, merge, once: Once::new() });
        let next = |mut reading: Box<Reading>| async move {
            let frame = reading.next().await.map_err(io::Error::other)?;
            Ok(frame.map(|frame| (frame, reading)))
        };
        try_unfold(reading, next).boxed_local()
    }
}

/// Returns the ID below the first one of a moment.
fn before(ms: u64) -> EntryId {
    ms.checked_sub(1).map_or_else(EntryId::default, |ms| EntryId { ms, seq: u64::MAX })
}

struct Stream {
    name: StreamName,
    key: String,
}

/// The events being read.
struct Reading {
    source: Source,
    link: Option<StreamReader>,
    streams: Vec<Stream>,
    merge: Merge<EntryContent>,
    once: Once,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<RecordedFrame>, LinkError> {
        loop {
            while let Some((lane, id, content)) = self.merge.next_entry() {
                if let Some(frame) = self.frame(lane, id, content) {
                    return Ok(Some(frame));
                }
            }
            let hungry: Vec<usize> = self.merge.hungry().take(SUPPLIED_AT_ONCE).collect();
            if hungry.is_empty() {
                return Ok(None);
            }
            self.supply(&hungry).await?;
        }
    }

    async fn supply(&mut self, lanes: &[usize]) -> Result<(), LinkError> {
        let link = match &mut self.link {
            Some(link) => link,
            none => none.insert(StreamReader::open(&self.source.redis, &self.source.prefix).await?),
        };
        let place =
            |lane: &usize| ReadPlace { key: self.streams[*lane].key.clone(), after: self.merge.after(*lane) };
        let places: Vec<ReadPlace> = lanes.iter().map(place).collect();
        let count = page_size(self.streams.len());
        let pages = link.pages(&places, Some(before(self.source.wanted.to_ms)), count).await?;
        let start = before(self.source.wanted.from_ms);
        for ((lane, place), page) in lanes.iter().zip(places).zip(pages) {
            // an entry that was read has been removed
            if let Some(first) = page.first.filter(|first| place.after > start && *first > place.after) {
                let seconds = first.ms.saturating_sub(place.after.ms) as f64 / 1000.0;
                (self.source.tell)(&format!(
                    "{} was trimmed while it was replayed: up to {seconds:.1} s of it are missing",
                    place.key
                ));
            }
            self.merge.supply(*lane, page.entries, page.has_more);
            if let Some(id) = page.too_large {
                (self.source.tell)(&too_large(&place.key, id));
                self.merge.pass(*lane, id);
            }
        }
        Ok(())
    }

    /// Returns the frame of an entry, unless it is not an event, not selected, or a copy.
    fn frame(&mut self, lane: usize, id: EntryId, content: EntryContent) -> Option<RecordedFrame> {
        let (name, EntryContent::Payload(payload)) = (&self.streams[lane].name, content) else { return None };
        let StreamName::Events(topic) = name else { return None };
        let is_copy = topic.channel.scope() == Scope::Global
            && !self.once.is_first(topic.channel.name(), &name.to_string(), &payload);
        if is_copy || !self.source.wanted.has_symbol(name, &payload) {
            return None;
        }
        Some(RecordedFrame { topic: topic_of(topic), payload, received_ms: Some(id.ms) })
    }
}
