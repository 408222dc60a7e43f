//! A dedicated connection for reading streams, and its queries. Every reply is bounded.

use std::collections::BTreeSet;
use std::time::Duration;

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{self, RedisError};
use thiserror::Error;
use tokio::time::sleep;
use uw_websocket_actors::redis_pool;
use uw_websocket_actors::settings::RedisSettings;
use uw_websocket_actors::writer::store::address::Address;
use uw_websocket_actors::writer::store::guard;
use uw_websocket_actors::writer::store::link::AddressError;
use uw_websocket_actors::writer::store::sentinel::SentinelFault;
use uw_websocket_actors::writer::store::tenure::Tenure;
use uw_websocket_actors::writer::store::unsuitable::Unsuitable;
use uw_websocket_core::event::EntryId;
use uw_websocket_core::time::millis;

use super::MAX_STREAMS;
use super::name::StreamName;
use crate::exit::Exit;

/// Maximum wait for a connection, and for a reply beyond the requested blocking time.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time for which Redis blocks when waiting for entries: afterwards new streams are noticed, and a hanging Redis is
/// noticed [`PATIENCE`] later.
const BLOCK: Duration = Duration::from_secs(1);
/// `COUNT` of a `SCAN`: some 100 µs of Redis' time.
const SCAN_COUNT: usize = 500;
/// Pause between two `SCAN`s, for Redis' other clients.
const SCAN_PAUSE: Duration = Duration::from_millis(1);
/// Maximum number of streams per query.
const ASKED_AT_ONCE: usize = 100;

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
    Redis(#[from] RedisError),
    /// The Sentinels name no server.
    #[error("redis cannot be found: {0}")]
    Sentinel(#[from] SentinelFault),
    /// Another server has become the master.
    #[error("another server has become the master")]
    Replaced,
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
            LinkError::Redis(_) | LinkError::Sentinel(_) | LinkError::Replaced | LinkError::Unexpected(_) => {
                Exit::Unreachable
            }
        }
    }
}

/// The connection.
#[derive(Clone)]
pub struct Link {
    connection: MultiplexedConnection,
    address: Address,
    tenure: Tenure,
}

/// A stream, and the ID after which it is read, or below which it is read backwards.
#[derive(Clone, Debug)]
pub struct Place {
    /// The stream's key.
    pub key: String,
    /// The last known ID.
    pub after: EntryId,
}

/// An entry without its ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The payload of an event, byte for byte.
    Payload(Vec<u8>),
    /// The fields of anything else.
    Fields(Vec<(String, String)>),
}

/// A page of a stream after a place.
#[derive(Debug, Default)]
pub struct Page {
    /// The next entries.
    pub entries: Vec<(EntryId, Content)>,
    /// The first entry still in the stream.
    pub first: Option<EntryId>,
}

/// An entry as parsed by the library.
type RawEntry = (String, Vec<Vec<u8>>);

impl Link {
    /// Connects and logs in. `prefix` is that of the keys.
    pub async fn open(settings: &RedisSettings, prefix: &str) -> Result<Link, LinkError> {
        // a server that cannot be examined now is reported by the connection
        let address = Address::new(settings)?;
        if let Ok(Some(unsuitable)) = guard::examine(&address, prefix).await {
            return Err(unsuitable.into());
        }
        let (endpoint, tenure) = address.locate().await?;
        let config = redis_pool::connection_config(PATIENCE, PATIENCE + BLOCK);
        let client = redis_pool::client(&endpoint, settings)?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        // a Redis that is loading, or refuses the login, reports it here
        redis::cmd("SCAN").arg(0).arg("COUNT").arg(1).exec_async(&mut connection).await?;
        Ok(Link { connection, address, tenure })
    }

    /// Lists the streams under a prefix, by name, at most [`MAX_STREAMS`].
    pub async fn streams(&mut self, prefix: &str) -> Result<BTreeSet<StreamName>, LinkError> {
        let mut names = BTreeSet::new();
        let mut cursor = 0_u64;
        loop {
            // a prefix has no special characters of patterns
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(format!("{prefix}:ws:*")).arg("COUNT").arg(SCAN_COUNT);
            scan.arg("TYPE").arg("stream");
            let (next, page): (u64, Vec<Vec<u8>>) = scan.query_async(&mut self.connection).await?;
            let keys = page.iter().filter_map(|key| std::str::from_utf8(key).ok());
            names.extend(keys.filter_map(|key| StreamName::of_key(prefix, key)));
            if next == 0 || names.len() >= MAX_STREAMS {
                return Ok(names);
            }
            cursor = next;
            sleep(SCAN_PAUSE).await;
        }
    }

    /// Returns, for each of the keys, whether it is still a stream or absent.
    pub async fn are_streams(&mut self, keys: &[&str]) -> Result<Vec<bool>, LinkError> {
        let mut types: Vec<String> = Vec::with_capacity(keys.len());
        for keys in keys.chunks(ASKED_AT_ONCE) {
            let mut asked = redis::pipe();
            for key in keys {
                asked.cmd("TYPE").arg(key);
            }
            types.extend(asked.query_async::<Vec<String>>(&mut self.connection).await?);
        }
        Ok(types.iter().map(|kind| kind == "stream" || kind == "none").collect())
    }

    /// Returns the ID of each stream's last entry; zero for an empty stream.
    pub async fn last_ids(&mut self, keys: &[String]) -> Result<Vec<EntryId>, LinkError> {
        let mut ids = Vec::with_capacity(keys.len());
        for keys in keys.chunks(ASKED_AT_ONCE) {
            let mut asked = redis::pipe();
            for key in keys {
                asked.cmd("XREVRANGE").arg(key).arg("+").arg("-").arg("COUNT").arg(1);
            }
            let last: Vec<Vec<RawEntry>> = asked.query_async(&mut self.connection).await?;
            for entries in last {
                ids.push(first_id(&entries)?.unwrap_or_default());
            }
        }
        Ok(ids)
    }

    /// Reads the next entries of each place, at most `count`, none after `until`.
    pub async fn pages(
        &mut self,
        places: &[Place],
        until: Option<EntryId>,
        count: usize,
    ) -> Result<Vec<Page>, LinkError> {
        let until = until.map_or_else(|| "+".to_owned(), |until| until.to_string());
        let mut pages = Vec::with_capacity(places.len());
        for places in places.chunks(ASKED_AT_ONCE) {
            let mut asked = redis::pipe();
            for Place { key, after } in places {
                asked.cmd("XRANGE").arg(key).arg(format!("({after}")).arg(&until).arg("COUNT").arg(count);
                asked.cmd("XRANGE").arg(key).arg("-").arg("+").arg("COUNT").arg(1);
            }
            let answers: Vec<Vec<RawEntry>> = asked.query_async(&mut self.connection).await?;
            let mut answers = answers.into_iter();
            while let (Some(entries), Some(first)) = (answers.next(), answers.next()) {
                let first = first_id(&first)?;
                let entries = entries.into_iter().map(read).collect::<Result<_, _>>()?;
                pages.push(Page { entries, first });
            }
        }
        Ok(pages)
    }

    /// Verifies under Sentinel that the server is still the master: one that was replaced gets no more entries.
    async fn verify(&self) -> Result<(), LinkError> {
        if self.address.sentinels().is_some() && !self.address.locate().await?.1.is(&self.tenure) {
            return Err(LinkError::Replaced);
        }
        Ok(())
    }

    /// Reads the entries of each place backwards: the latest ones below its ID, latest first, at most `count`, none
    /// below `since`.
    pub async fn pages_before(
        &mut self,
        places: &[Place],
        since: EntryId,
        count: usize,
    ) -> Result<Vec<Vec<(EntryId, Content)>>, LinkError> {
        let mut pages = Vec::with_capacity(places.len());
        for places in places.chunks(ASKED_AT_ONCE) {
            let mut asked = redis::pipe();
            for Place { key, after: before } in places {
                let before = format!("({before}");
                asked.cmd("XREVRANGE").arg(key).arg(before).arg(since.to_string()).arg("COUNT").arg(count);
            }
            for entries in asked.query_async::<Vec<Vec<RawEntry>>>(&mut self.connection).await? {
                pages.push(entries.into_iter().map(read).collect::<Result<_, _>>()?);
            }
        }
        Ok(pages)
    }

    /// Waits for entries at any of the places. Returns the indices of the places with entries, at most `count` each;
    /// nothing after a second.
    pub async fn wait(
        &mut self,
        places: &[Place],
        count: usize,
    ) -> Result<Vec<(usize, Vec<(EntryId, Content)>)>, LinkError> {
        self.verify().await?;
        let mut read_them = redis::cmd("XREAD");
        read_them.arg("COUNT").arg(count).arg("BLOCK").arg(millis(BLOCK)).arg("STREAMS");
        for place in places {
            read_them.arg(&place.key);
        }
        for place in places {
            read_them.arg(place.after.to_string());
        }
        let answer: Option<Vec<(String, Vec<RawEntry>)>> =
            read_them.query_async(&mut self.connection).await?;
        // the streams of a reply are in the order of the query
        let mut asked = places.iter().enumerate();
        let numbered = answer.unwrap_or_default().into_iter().map(|(key, entries)| {
            let (number, _) = asked
                .find(|(_, place)| place.key == key)
                .ok_or_else(|| LinkError::Unexpected(format!("the stream `{key}`, out of turn")))?;
            Ok((number, entries.into_iter().map(read).collect::<Result<_, _>>()?))
        });
        numbered.collect()
    }
}

fn first_id(entries: &[RawEntry]) -> Result<Option<EntryId>, LinkError> {
    entries.first().map(|(id, _)| parsed(id)).transpose()
}

fn parsed(id: &str) -> Result<EntryId, LinkError> {
    id.parse().map_err(|_| LinkError::Unexpected(format!("`{id}` for an id")))
}

fn read((id, fields): RawEntry) -> Result<(EntryId, Content), LinkError> {
    let content = match <[Vec<u8>; 2]>::try_from(fields) {
        Ok([name, payload]) if name == b"payload" => Content::Payload(payload),
        Ok(pair) => Content::Fields(texts(&pair)),
        Err(fields) => Content::Fields(texts(&fields)),
    };
    Ok((parsed(&id)?, content))
}

fn texts(fields: &[Vec<u8>]) -> Vec<(String, String)> {
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    let pair = |pair: &[Vec<u8>]| Some((text(pair.first()?), text(pair.get(1)?)));
    fields.chunks(2).filter_map(pair).collect()
}
