//! A dedicated connection for reading streams, and its queries. Every reply is bounded.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::time::sleep;
use uw_websocket_actors::settings::RedisSettings;
use uw_websocket_actors::writer::store::Store;
use uw_websocket_actors::writer::store::address::Address;
use uw_websocket_actors::writer::store::fault::StoreFault;
use uw_websocket_actors::writer::store::guard;
use uw_websocket_actors::writer::store::link::AddressError;
use uw_websocket_actors::writer::store::pages::{
    End, MAX_ENTRY, StreamEntry, StreamPage, StreamRange, entries_of,
};
use uw_websocket_actors::writer::store::resp::{Bound, Commands, Reply};
use uw_websocket_actors::writer::store::unsuitable::Unsuitable;
use uw_websocket_core::event::EntryId;
use uw_websocket_core::time::millis;

use super::name::StreamName;
use super::{MAX_STREAMS, page_bytes};
use crate::exit::Exit;

/// Time for which Redis blocks when waiting for entries: afterwards new streams are noticed. Shorter than the longest
/// wait for a reply, after which a hanging Redis is noticed.
const BLOCK: Duration = Duration::from_secs(1);
/// `COUNT` of a `SCAN`: some 100 µs of Redis' time.
const SCAN_COUNT: usize = 500;
/// Maximum wire size of a page of `SCAN`: several times the requested number of keys, with names longer than ours.
const SCAN_PAGE: Bound = Bound { bytes: 4 * 1024 * 1024, items: 16 * SCAN_COUNT };
/// Pause between two `SCAN`s, for Redis' other clients.
const SCAN_PAUSE: Duration = Duration::from_millis(1);
/// Maximum number of streams per query.
const ASKED_AT_ONCE: usize = 100;
/// Pause between two looks at the streams of a cluster, which cannot be waited for in one command; a look at many streams
/// takes longer, and is followed by as long a pause.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Redis cannot be read.
#[derive(Debug, Error)]
pub enum LinkError {
    /// The address is invalid.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The server can never serve.
    #[error("REDIS_URL names a server that cannot be used: {0}")]
    Unsuitable(#[from] Unsuitable),
    /// Redis does not answer, or refuses.
    #[error("redis does not answer: {0}")]
    Redis(#[from] StoreFault),
    /// The reply does not match the query.
    #[error("redis answers with {0}")]
    Unexpected(String),
}

impl LinkError {
    /// Returns the exit code of a command that cannot read Redis.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            LinkError::Unsuitable(_) | LinkError::Address(_) => Exit::BadSettings,
            LinkError::Redis(_) | LinkError::Unexpected(_) => Exit::Unreachable,
        }
    }
}

/// The connection, in a cluster to all masters.
pub struct StreamReader {
    store: Store,
    address: Address,
}

/// A stream, and the ID after which it is read, or below which it is read backwards.
#[derive(Clone, Debug)]
pub struct ReadPlace {
    /// The stream's key.
    pub key: String,
    /// The last known ID.
    pub after: EntryId,
}

/// An entry without its ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryContent {
    /// The payload of an event, byte for byte.
    Payload(Vec<u8>),
    /// The fields of anything else.
    Fields(Vec<(String, String)>),
}

/// A page of a stream after a place.
#[derive(Debug, Default)]
pub struct Page {
    /// The next entries.
    pub entries: Vec<(EntryId, EntryContent)>,
    /// The ID of the entry after them, if it is too large to be read.
    pub too_large: Option<EntryId>,
    /// Whether there may be more.
    pub has_more: bool,
    /// The first entry still in the stream.
    pub first: Option<EntryId>,
}

impl Page {
    fn of(page: StreamPage, first: Option<EntryId>) -> Page {
        let StreamPage { entries, too_large, has_more } = page;
        Page { entries: entries.into_iter().map(read).collect(), too_large, has_more, first }
    }
}

/// A page of `SCAN`: the next cursor and the keys.
type Keys = (u64, Vec<StreamName>);

impl StreamReader {
    /// Connects and logs in. `prefix` is that of the keys.
    pub async fn open(settings: &RedisSettings, prefix: &str) -> Result<StreamReader, LinkError> {
        let address = Address::new(settings)?;
        // a server that cannot be examined now is reported by the connection
        if let Ok(Some(unsuitable)) = guard::examine(&address, prefix).await {
            return Err(unsuitable.into());
        }
        let mut store = Store::new(address.clone());
        // a Redis that is loading, or refuses the login, reports it here
        let mut question = Commands::default();
        question.command(&[b"SCAN", b"0", b"COUNT", b"1"]).expect(SCAN_PAGE);
        match store.ask(&question, |reply| refusal(&reply)).await {
            // a name may be longer than all of ours
            Ok(()) | Err(StoreFault::TooLarge(_)) => Ok(StreamReader { store, address }),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Lists the streams under a prefix, by name, at most [`MAX_STREAMS`], of a cluster those of all masters. Pages with keys
    /// too long to be streams of the service are read key by key, and those keys are left out.
    pub async fn streams(&mut self, prefix: &str) -> Result<BTreeSet<StreamName>, LinkError> {
        let mut names = BTreeSet::new();
        if self.address.cluster().is_none() {
            add_streams(&mut self.store, prefix, &mut names).await?;
            return Ok(names);
        }
        for master in self.address.masters().await? {
            add_streams(&mut Store::new(master), prefix, &mut names).await?;
        }
        Ok(names)
    }

    /// Returns, for each of the keys, whether it is still a stream or absent.
    pub async fn are_streams(&mut self, keys: &[&str]) -> Result<Vec<bool>, LinkError> {
        let mut are_streams = Vec::with_capacity(keys.len());
        for keys in keys.chunks(ASKED_AT_ONCE) {
            let mut questions = Commands::default();
            for key in keys {
                questions.command(&[b"TYPE", key.as_bytes()]);
            }
            self.store
                .ask(&questions, |reply| {
                    are_streams.push(matches!(reply, Reply::Status(b"stream" | b"none")));
                    refusal(&reply)
                })
                .await?;
        }
        Ok(are_streams)
    }

    /// Returns the ID of each stream's last entry; zero for an empty stream.
    pub async fn last_ids(&mut self, keys: &[String]) -> Result<Vec<EntryId>, LinkError> {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        Ok(self.store.ends(&keys, End::Last).await?)
    }

    /// Reads the next entries of each place, at most `count`, none after `until`.
    pub async fn pages<'p>(
        &mut self,
        places: &'p [ReadPlace],
        until: Option<EntryId>,
        count: usize,
    ) -> Result<Vec<Page>, LinkError> {
        let bytes = page_bytes(places.len());
        let range = |place: &'p ReadPlace| StreamRange::new(&place.key, place.after, until, (count, bytes));
        let ranges: Vec<StreamRange<'p>> = places.iter().map(range).collect();
        let pages = self.store.pages(&ranges).await?;
        let keys: Vec<&str> = places.iter().map(|place| place.key.as_str()).collect();
        let firsts = self.store.ends(&keys, End::First).await?;
        let first = |first: EntryId| (first != EntryId::default()).then_some(first);
        Ok(pages.into_iter().zip(firsts).map(|(page, id)| Page::of(page, first(id))).collect())
    }

    /// Reads the entries of each place backwards: the latest ones below its ID, latest first, at most `count`, none
    /// below `since`.
    pub async fn pages_before<'p>(
        &mut self,
        places: &'p [ReadPlace],
        since: EntryId,
        count: usize,
    ) -> Result<Vec<Page>, LinkError> {
        let bytes = page_bytes(places.len());
        let range = |place: &'p ReadPlace| {
            StreamRange::new(&place.key, place.after, Some(since), (count, bytes)).backwards()
        };
        let ranges: Vec<StreamRange<'p>> = places.iter().map(range).collect();
        Ok(self.store.pages(&ranges).await?.into_iter().map(|page| Page::of(page, None)).collect())
    }

    /// Waits until there are entries at any of the places. Returns the indices of the places with entries, at most
    /// `count` each; nothing after a second. `None` if there are more than one query can read.
    pub async fn wait(&mut self, places: &[ReadPlace], count: usize) -> Result<Option<Arrived>, LinkError> {
        // a server that was replaced gets no more entries
        self.store.verify().await?;
        if self.address.cluster().is_some() {
            return self.look(places, count).await;
        }
        let (limit, block) = (count.to_string(), millis(BLOCK).to_string());
        let mut question = Commands::default();
        question.begin(6 + 2 * places.len());
        for word in [b"XREAD", b"COUNT", limit.as_bytes(), b"BLOCK", block.as_bytes(), b"STREAMS"] {
            question.arg(word);
        }
        for place in places {
            question.arg(place.key.as_bytes());
        }
        for place in places {
            question.arg(place.after.to_string().as_bytes());
        }
        question.expect(Bound { bytes: 4 * MAX_ENTRY, items: 1024 * 1024 });
        let mut arrived = Ok(Vec::new());
        let answered = self
            .store
            .ask(&question, |reply| {
                refusal(&reply)?;
                arrived = arrived_at(&reply, places);
                Ok(())
            })
            .await;
        match answered {
            Err(StoreFault::TooLarge(_)) => Ok(None),
            answered => {
                answered?;
                arrived.map(Some)
            }
        }
    }

    /// Does the same in a cluster, whose nodes refuse one `XREAD` for streams of several slots: looks at each stream.
    async fn look(&mut self, places: &[ReadPlace], count: usize) -> Result<Option<Arrived>, LinkError> {
        let size = (count, page_bytes(places.len()));
        let began = Instant::now();
        loop {
            let looked = Instant::now();
            let ranges: Vec<StreamRange<'_>> =
                places.iter().map(|place| StreamRange::new(&place.key, place.after, None, size)).collect();
            let pages = self.store.pages(&ranges).await?;
            if pages.iter().any(|page| page.too_large.is_some()) {
                return Ok(None);
            }
            let arrived: Arrived = pages
                .into_iter()
                .enumerate()
                .filter(|(_, page)| !page.entries.is_empty())
                .map(|(number, page)| (number, page.entries.into_iter().map(read).collect()))
                .collect();
            if !arrived.is_empty() || began.elapsed() >= BLOCK {
                return Ok(Some(arrived));
            }
            sleep(LOOK_EVERY.max(looked.elapsed())).await;
        }
    }
}

/// The entries that arrived, by the index of their place.
pub type Arrived = Vec<(usize, Vec<(EntryId, EntryContent)>)>;

/// Adds the streams of one server.
async fn add_streams(
    store: &mut Store,
    prefix: &str,
    names: &mut BTreeSet<StreamName>,
) -> Result<(), LinkError> {
    let (mut cursor, mut count) = (0, SCAN_COUNT);
    loop {
        let (next, page) = match scan_page(store, prefix, cursor, count).await {
            Err(LinkError::Redis(StoreFault::TooLarge(_))) if count > 1 => {
                count = 1;
                continue;
            }
            Err(LinkError::Redis(StoreFault::TooLarge(_))) => {
                let next = store.first_text(&scan(prefix, cursor, 1)).await?;
                (next.and_then(|next| next.parse().ok()).unwrap_or_default(), Vec::new())
            }
            page => page?,
        };
        names.extend(page);
        if next == 0 || names.len() >= MAX_STREAMS {
            return Ok(());
        }
        (cursor, count) = (next, SCAN_COUNT);
        sleep(SCAN_PAUSE).await;
    }
}

async fn scan_page(store: &mut Store, prefix: &str, cursor: u64, count: usize) -> Result<Keys, LinkError> {
    let mut question = scan(prefix, cursor, count);
    question.expect(SCAN_PAGE);
    let mut page = None;
    store
        .ask(&question, |reply| {
            page = keys_of(&reply, prefix);
            refusal(&reply)
        })
        .await?;
    page.ok_or_else(|| LinkError::Unexpected("no page of keys".to_owned()))
}

fn scan(prefix: &str, cursor: u64, count: usize) -> Commands {
    // a prefix has no special characters of patterns
    let (cursor, pattern, count) = (cursor.to_string(), format!("{prefix}:ws:*"), count.to_string());
    let mut question = Commands::default();
    let (cursor, pattern, count) = (cursor.as_bytes(), pattern.as_bytes(), count.as_bytes());
    question.command(&[b"SCAN", cursor, b"MATCH", pattern, b"COUNT", count, b"TYPE", b"stream"]);
    question
}

fn refusal(reply: &Reply<'_>) -> Result<(), StoreFault> {
    if matches!(reply, Reply::Error(_)) { Err(StoreFault::answered(reply)) } else { Ok(()) }
}

fn keys_of(reply: &Reply<'_>, prefix: &str) -> Option<Keys> {
    let Reply::Array(Some(parts)) = reply else { return None };
    let [Reply::Bulk(Some(next)), Reply::Array(Some(keys))] = &parts[..] else { return None };
    let name = |key: &Reply<'_>| match key {
        Reply::Bulk(Some(key)) => StreamName::of_key(prefix, std::str::from_utf8(key).ok()?),
        _ => None,
    };
    Some((std::str::from_utf8(next).ok()?.parse().ok()?, keys.iter().filter_map(name).collect()))
}

/// The streams of a reply are in the order of the query.
fn arrived_at(reply: &Reply<'_>, places: &[ReadPlace]) -> Result<Arrived, LinkError> {
    let unexpected = || LinkError::Unexpected(reply.kind().to_owned());
    let streams = match reply {
        Reply::Array(Some(streams)) => &streams[..],
        Reply::Array(None) | Reply::Bulk(None) => &[],
        _ => return Err(unexpected()),
    };
    let mut asked = places.iter().enumerate();
    let stream = |stream: &Reply<'_>| {
        let Reply::Array(Some(parts)) = stream else { return Err(unexpected()) };
        let [Reply::Bulk(Some(key)), entries] = &parts[..] else { return Err(unexpected()) };
        let (number, _) = asked.find(|(_, place)| place.key.as_bytes() == *key).ok_or_else(|| {
            LinkError::Unexpected(format!("the stream `{}`, out of turn", String::from_utf8_lossy(key)))
        })?;
        let entries = entries_of(entries).ok_or_else(unexpected)?;
        Ok((number, entries.into_iter().map(read).collect()))
    };
    streams.iter().map(stream).collect()
}

fn read((id, fields): StreamEntry) -> (EntryId, EntryContent) {
    let content = match <[Vec<u8>; 2]>::try_from(fields) {
        Ok([name, payload]) if name == b"payload" => EntryContent::Payload(payload),
        Ok(pair) => EntryContent::Fields(texts(&pair)),
        Err(fields) => EntryContent::Fields(texts(&fields)),
    };
    (id, content)
}

fn texts(fields: &[Vec<u8>]) -> Vec<(String, String)> {
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    let pair = |pair: &[Vec<u8>]| Some((text(pair.first()?), text(pair.get(1)?)));
    fields.chunks(2).filter_map(pair).collect()
}
