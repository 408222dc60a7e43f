//! The key `<prefix>:ws:owner` in Redis: the name of the instance that holds the lease.
//!
//! Each step is one script, so that looking and writing are one. A lease that is given back leaves an empty name for a
//! moment: unlike a key that is not there, it says that nobody holds it.

use std::time::Duration;

use deadpool_redis::redis::aio::ConnectionLike;
use deadpool_redis::redis::{self, FromRedisValue, RedisError, RedisResult};
use deadpool_redis::{Connection, Pool, PoolError};
use thiserror::Error;
use uw_websocket_core::time::millis;

use super::core::{Answer, TTL};

/// Longest name of an instance: a host's name of 64 bytes, a process and a random number. A longer value was written by
/// somebody else, is not read and is not ours to remove.
const MAX_NAME: usize = 256;

/// Renews our key; takes one that was given back, or is of the predecessor `ARGV[4]`, or is absent if `ARGV[3]` is 1; returns whose it is now, and how
/// many milliseconds are left to it.
const CLAIM: &str = "
local size = redis.call('STRLEN', KEYS[1])
if size > tonumber(ARGV[5]) then return {size, redis.call('PTTL', KEYS[1])} end
local owner = redis.call('GET', KEYS[1])
if owner == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
elseif owner == '' or (owner and owner == ARGV[4]) or (not owner and ARGV[3] == '1') then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  owner = ARGV[1]
end
return {owner, redis.call('PTTL', KEYS[1])}";

/// Gives our key back.
const RELEASE: &str = "
if redis.call('STRLEN', KEYS[1]) ~= #ARGV[1] or redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], '', 'PX', ARGV[2])
return 1";

/// Whose key it is, or the length of a value that is longer than `ARGV[1]`; and how many milliseconds are left to it.
const LOOK: &str = "
local size = redis.call('STRLEN', KEYS[1])
local owner = size > tonumber(ARGV[1]) and size or redis.call('GET', KEYS[1])
return {owner, redis.call('PTTL', KEYS[1])}";

/// The empty name lives for so long: a stand-by asks eight times meanwhile, and who comes later finds no key.
const RELEASED_TTL: Duration = Duration::from_secs(2);

/// How a command in a script is refused to a user, until Redis 7.0 and since: in other words than the script itself.
const IN_SCRIPT: [&str; 2] = ["The user executing the script can't", "ACL failure in script"];

/// Why a step was not made.
#[derive(Debug, Error)]
pub enum KeyError {
    /// There was no connection.
    #[error("cannot connect to redis")]
    Connect(#[source] PoolError),
    /// Redis refused, or did not answer.
    #[error("cannot claim the lease")]
    Ask(#[source] RedisError),
    /// The key has a value that no instance has written.
    #[error("{key} has {bytes} bytes, which no instance wrote: find out who did, and remove it (DEL {key})")]
    Foreign {
        /// The key.
        key: String,
        /// Its length.
        bytes: i64,
    },
    /// The user of `REDIS_URL` lacks a right.
    #[error("the lease needs EVAL, STRLEN, GET, SET, PEXPIRE, PTTL on {key}")]
    Rights {
        /// The key.
        key: String,
        /// In Redis' words.
        #[source]
        source: RedisError,
    },
}

/// Who holds the lease, seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// There is no key, or one that was given back.
    Nobody,
    /// The instance of this name, for so long without a word of its own. `None`: the key has no end.
    Instance(String, Option<Duration>),
    /// Nobody: the key has a value of so many bytes, which is no name.
    Foreign(i64),
}

/// Who holds the lease of a prefix. Nothing is claimed.
pub async fn holder(connection: &mut impl ConnectionLike, prefix: &str) -> RedisResult<Holder> {
    let mut look = redis::cmd("EVAL");
    look.arg(LOOK).arg(1).arg(key(prefix)).arg(MAX_NAME);
    let (owner, left): (Owner, i64) = look.query_async(connection).await?;
    Ok(match owner {
        Owner::Name(None) => Holder::Nobody,
        Owner::Name(Some(name)) if name.is_empty() => Holder::Nobody,
        Owner::Name(Some(name)) => {
            Holder::Instance(String::from_utf8_lossy(&name).into_owned(), duration(left))
        }
        Owner::TooLong(bytes) => Holder::Foreign(bytes),
    })
}

/// The value of the key as the scripts give it.
enum Owner {
    Name(Option<Vec<u8>>),
    TooLong(i64),
}

impl FromRedisValue for Owner {
    fn from_redis_value(value: redis::Value) -> Result<Owner, redis::ParsingError> {
        match value {
            redis::Value::Int(bytes) => Ok(Owner::TooLong(bytes)),
            value => Ok(Owner::Name(redis::from_redis_value(value)?)),
        }
    }
}

/// A time to live as `PTTL` gives it; one that has no end is negative.
fn duration(left: i64) -> Option<Duration> {
    u64::try_from(left).ok().map(Duration::from_millis)
}

fn key(prefix: &str) -> String {
    format!("{prefix}:ws:owner")
}

/// The key, and our name.
pub(super) struct LeaseKey {
    /// Of the lease alone: it must not wait for a connection behind anybody.
    pool: Pool,
    key: String,
    instance: String,
    /// An instance that is known to have ended; empty without one.
    predecessor: String,
}

impl LeaseKey {
    pub(super) fn new(pool: Pool, prefix: &str, instance: String, predecessor: Option<&str>) -> LeaseKey {
        let predecessor = predecessor.unwrap_or_default().to_owned();
        LeaseKey { pool, key: key(prefix), instance, predecessor }
    }

    pub(super) async fn connect(&self) -> Result<Connection, KeyError> {
        self.pool.get().await.map_err(KeyError::Connect)
    }

    /// Claims the lease: renews it, or takes it if it is free.
    pub(super) async fn claim(
        &self,
        connection: &mut Connection,
        may_take_absent: bool,
    ) -> Result<Answer, KeyError> {
        let mut claim = redis::cmd("EVAL");
        claim.arg(CLAIM).arg(1).arg(&self.key).arg(&self.instance);
        claim.arg(millis(TTL)).arg(u8::from(may_take_absent)).arg(&self.predecessor).arg(MAX_NAME);
        let (owner, left): (Owner, i64) =
            claim.query_async(connection).await.map_err(|error| self.fault(error))?;
        match owner {
            Owner::TooLong(bytes) => Err(KeyError::Foreign { key: self.key.clone(), bytes }),
            Owner::Name(None) => Ok(Answer::Absent),
            Owner::Name(Some(owner)) if owner == self.instance.as_bytes() => Ok(Answer::Ours),
            Owner::Name(Some(owner)) => Ok(Answer::Others {
                owner: String::from_utf8_lossy(&owner).into_owned(),
                // nobody who keeps to the rules holds it for longer
                left: duration(left).map(|left| left.min(TTL)),
            }),
        }
    }

    /// Gives the lease back if it is ours; says whether it was.
    pub(super) async fn release(&self) -> Result<bool, KeyError> {
        let mut connection = self.connect().await?;
        let mut release = redis::cmd("EVAL");
        release.arg(RELEASE).arg(1).arg(&self.key).arg(&self.instance).arg(millis(RELEASED_TTL));
        release.query_async(&mut connection).await.map_err(|error| self.fault(error))
    }

    fn fault(&self, source: RedisError) -> KeyError {
        let text = source.to_string();
        let lacks_a_right =
            source.code() == Some("NOPERM") || IN_SCRIPT.iter().any(|words| text.contains(words));
        if lacks_a_right { KeyError::Rights { key: self.key.clone(), source } } else { KeyError::Ask(source) }
    }
}
