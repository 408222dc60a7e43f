//! The stream `<p>:ws:gaps`: writing gaps to it exactly once, and reading them back.
//!
//! An entry's id is on record before the entry is sent, and a repeated id is refused by Redis. So a try without an
//! answer is repeated under the same id: where it is refused, the entry with that id tells whether it is ours.

use deadpool_redis::redis::{self, RedisError, Value};
use deadpool_redis::{Connection, Pool, PoolError};
use thiserror::Error;
use uw_websocket_core::event::EntryId;

use super::gap::Gap;
use super::queue::Queued;
use crate::writer::store::fault::Refusal;

/// Entries that the stream keeps, about.
const MAXLEN: u64 = 100_000;

/// The stream and how it is reached.
#[derive(Clone, Debug)]
pub struct Post {
    pool: Pool,
    stream: String,
    state: String,
}

/// Redis did not do it.
#[derive(Debug, Error)]
pub enum PostError {
    /// It does not answer, and nobody knows whether it did it.
    #[error("redis does not answer: {0}")]
    Away(String),
    /// It says no.
    #[error("redis refuses: {0}")]
    Refused(String),
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// It is in the stream, now or before.
    Stored,
    /// It is not, and under its id it never will be: somebody else has written a higher one.
    Passed,
}

impl From<PoolError> for PostError {
    fn from(error: PoolError) -> PostError {
        match error {
            PoolError::Backend(error) => error.into(),
            other => PostError::Away(other.to_string()),
        }
    }
}

impl From<RedisError> for PostError {
    fn from(error: RedisError) -> PostError {
        match error.code() {
            Some("LOADING") | None => PostError::Away(error.to_string()),
            Some(_) => PostError::Refused(error.to_string()),
        }
    }
}

impl Post {
    /// The stream `<prefix>:ws:gaps`, and the string `<prefix>:ws:ledger` beside it.
    #[must_use]
    pub fn new(pool: Pool, prefix: &str) -> Post {
        Post { pool, stream: format!("{prefix}:ws:gaps"), state: super::shelf::key(prefix) }
    }

    /// A connection to work with.
    pub(super) async fn connect(&self) -> Result<Connection, PostError> {
        Ok(self.pool.get().await?)
    }

    /// Replaces the copy of the state.
    pub(super) async fn keep(&self, connection: &mut Connection, json: &[u8]) -> Result<(), PostError> {
        Ok(redis::cmd("SET").arg(&self.state).arg(json).exec_async(connection).await?)
    }

    /// The highest id that the stream has had.
    pub(super) async fn last_id(&self, connection: &mut Connection) -> Result<EntryId, PostError> {
        let answer = redis::cmd("XINFO").arg("STREAM").arg(&self.stream).query_async(connection).await;
        let info: Vec<Value> = match answer {
            Ok(info) => info,
            Err(error) if error.to_string().contains("no such key") => return Ok(EntryId::default()),
            Err(error) => return Err(error.into()),
        };
        let mut words = info.into_iter().map(redis::from_redis_value::<String>);
        let last = words.find(|word| word.as_ref().is_ok_and(|word| word == "last-generated-id"));
        let last = last.and_then(|_| words.next()?.ok()?.parse().ok());
        last.ok_or_else(|| PostError::Refused("XINFO STREAM without a last-generated-id".to_owned()))
    }

    /// Sends a gap under its id.
    pub(super) async fn send(
        &self,
        connection: &mut Connection,
        queued: &Queued,
        id: EntryId,
    ) -> Result<Posted, PostError> {
        let fields = queued.to_write().fields();
        let mut command = redis::cmd("XADD");
        command.arg(&self.stream).arg("MAXLEN").arg("~").arg(MAXLEN).arg(id.to_string());
        for (name, value) in &fields {
            command.arg(name).arg(value);
        }
        match command.exec_async(connection).await {
            Ok(()) => Ok(Posted::Stored),
            Err(error) if is_passed(&error) => {
                let there = self.read(connection, &id.to_string(), &id.to_string(), 1).await?;
                let is_ours = there.first().is_some_and(|entry| entry.fields == fields);
                Ok(if is_ours { Posted::Stored } else { Posted::Passed })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads at most `count` entries between two ids.
    async fn read(
        &self,
        connection: &mut Connection,
        from: &str,
        to: &str,
        count: usize,
    ) -> Result<Vec<Entry>, PostError> {
        let mut range = redis::cmd("XRANGE");
        range.arg(&self.stream).arg(from).arg(to).arg("COUNT").arg(count);
        let entries: Vec<(String, Vec<(String, String)>)> = range.query_async(connection).await?;
        Ok(entries.into_iter().map(|(id, fields)| Entry { id, fields }).collect())
    }

    /// Reads the next entries after an id (`0-0` for all), at most `count`: with a few calls the whole ledger, without a
    /// long pause for Redis.
    pub async fn read_after(
        &self,
        after: EntryId,
        count: usize,
    ) -> Result<Vec<(EntryId, Option<Gap>)>, PostError> {
        let mut connection = self.connect().await?;
        let entries = self.read(&mut connection, &format!("({after}"), "+", count).await?;
        // an id that were taken for zero would begin the ledger anew
        let unreadable = |id: &str| PostError::Refused(format!("XRANGE with `{id}` for an id"));
        let gap = |entry: Entry| {
            let id = entry.id.parse().map_err(|_| unreadable(&entry.id))?;
            Ok((id, Gap::of_fields(&entry.fields)))
        };
        entries.into_iter().map(gap).collect()
    }
}

/// An entry as it is in Redis.
struct Entry {
    id: String,
    fields: Vec<(String, String)>,
}

fn is_passed(error: &RedisError) -> bool {
    let text = format!("{} {}", error.code().unwrap_or_default(), error.detail().unwrap_or_default());
    Refusal::of(&text) == Refusal::IdTooSmall
}
