//! The Redis key `<prefix>:ws:owner`: the name of the instance that holds the lease.
//!
//! Each step is one script, so that it is atomic. A released lease leaves an empty name for a moment: unlike an
//! absent key, it states that no instance holds the lease.

use std::time::Duration;

use deadpool_redis::PoolError;
use deadpool_redis::redis::aio::ConnectionLike;
use deadpool_redis::redis::{self, FromRedisValue, RedisError, RedisResult};
use thiserror::Error;
use uw_websocket_core::time::millis;

use super::core::{LeaseAnswer, TTL};
use crate::cluster_pool::PooledConnection;
use crate::redis_pool::RedisPool;

/// Maximum length of an instance's name: a host name of 64 bytes, a process ID and a random number. A longer value
/// is foreign; it is neither read nor removed.
const MAX_NAME: usize = 256;

/// Renews our key; takes it if it was released, belongs to the predecessor `ARGV[4]`, or is absent and `ARGV[3]` is
/// 1. Returns the owner and the milliseconds to expiry.
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

/// Releases our key.
const RELEASE: &str = "
if redis.call('STRLEN', KEYS[1]) ~= #ARGV[1] or redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], '', 'PX', ARGV[2])
return 1";

/// Returns the owner, or the length of a value longer than `ARGV[1]`, and the milliseconds to expiry.
const LOOK: &str = "
local size = redis.call('STRLEN', KEYS[1])
local owner = size > tonumber(ARGV[1]) and size or redis.call('GET', KEYS[1])
return {owner, redis.call('PTTL', KEYS[1])}";

/// Expiry of the empty name: a stand-by asks eight times meanwhile, and later starts find no key.
const RELEASED_TTL: Duration = Duration::from_secs(2);

/// Prefixes of the error for a command in a script that the user may not run, up to Redis 7.0 and since; the error
/// for the script itself differs.
const IN_SCRIPT: [&str; 2] = ["The user executing the script can't", "ACL failure in script"];

/// A failed step.
#[derive(Debug, Error)]
pub enum KeyError {
    /// Redis is unreachable.
    #[error("cannot connect to redis")]
    Connect(#[source] PoolError),
    /// Redis returned an error or did not reply.
    #[error("cannot claim the lease")]
    Ask(#[source] RedisError),
    /// The key has a value that is not an instance's name.
    #[error("{key} has {bytes} bytes, which no instance wrote: find out who did, and remove it (DEL {key})")]
    Foreign {
        /// The key of the lease.
        key: String,
        /// Length of the value in bytes.
        bytes: i64,
    },
    /// The user of `REDIS_URL` lacks a permission.
    #[error("the lease needs EVAL, STRLEN, GET, SET, PEXPIRE, PTTL on {key}")]
    Rights {
        /// The key of the lease.
        key: String,
        /// The error of Redis.
        #[source]
        source: RedisError,
    },
}

impl KeyError {
    /// Whether there was no connection, or it broke: not an answer of Redis.
    pub(super) fn is_about_the_connection(&self) -> bool {
        match self {
            KeyError::Connect(_) => true,
            KeyError::Ask(error) => error.code().is_none(),
            KeyError::Foreign { .. } | KeyError::Rights { .. } => false,
        }
    }
}

/// The holder of the lease, seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The key is absent or released.
    Nobody,
    /// The instance of this name, and the time to expiry; `None` if the key does not expire.
    Instance(String, Option<Duration>),
    /// No instance: the key has a value of this many bytes, which is not a name.
    Foreign(i64),
}

/// Reads the holder of a prefix's lease. Claims nothing.
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

/// The key's value as returned by the scripts.
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

/// Converts the result of `PTTL`; negative means no expiry.
fn duration(left: i64) -> Option<Duration> {
    u64::try_from(left).ok().map(Duration::from_millis)
}

fn key(prefix: &str) -> String {
    format!("{prefix}:ws:owner")
}

/// The key and our name.
pub(super) struct LeaseKey {
    /// Exclusive to the lease, which must not queue for a connection.
    pool: RedisPool,
    key: String,
    instance: String,
    /// An instance known to have ended; empty without one.
    predecessor: String,
}

impl LeaseKey {
    pub(super) fn new(
        pool: RedisPool,
        prefix: &str,
        instance: String,
        predecessor: Option<&str>,
    ) -> LeaseKey {
        let predecessor = predecessor.unwrap_or_default().to_owned();
        LeaseKey { pool, key: key(prefix), instance, predecessor }
    }

    pub(super) async fn connect(&self) -> Result<PooledConnection, KeyError> {
        self.pool.get().await.map_err(KeyError::Connect)
    }

    /// Renews the lease, or takes it if it is free.
    pub(super) async fn claim(
        &self,
        connection: &mut PooledConnection,
        may_take_absent: bool,
    ) -> Result<LeaseAnswer, KeyError> {
        let mut claim = redis::cmd("EVAL");
        claim.arg(CLAIM).arg(1).arg(&self.key).arg(&self.instance);
        claim.arg(millis(TTL)).arg(u8::from(may_take_absent)).arg(&self.predecessor).arg(MAX_NAME);
        let (owner, left): (Owner, i64) =
            claim.query_async(connection).await.map_err(|error| self.fault(error))?;
        match owner {
            Owner::TooLong(bytes) => Err(KeyError::Foreign { key: self.key.clone(), bytes }),
            Owner::Name(None) => Ok(LeaseAnswer::Absent),
            Owner::Name(Some(owner)) if owner == self.instance.as_bytes() => Ok(LeaseAnswer::Ours),
            Owner::Name(Some(owner)) => Ok(LeaseAnswer::Others {
                owner: String::from_utf8_lossy(&owner).into_owned(),
                // no instance that follows the rules holds it for longer
                left: duration(left).map(|left| left.min(TTL)),
            }),
        }
    }

    /// Releases the lease if it is ours; returns whether it was.
    pub(super) async fn release(&self) -> Result<bool, KeyError> {
        let mut connection = self.connect().await?;
        let mut release = redis::cmd("EVAL");
        release.arg(RELEASE).arg(1).arg(&self.key).arg(&self.instance).arg(millis(RELEASED_TTL));
        release.query_async(&mut connection).await.map_err(|error| self.fault(error))
    }

    fn fault(&self, source: RedisError) -> KeyError {
        self.pool.note(&source);
        let text = source.to_string();
        let lacks_a_right =
            source.code() == Some("NOPERM") || IN_SCRIPT.iter().any(|words| text.contains(words));
        if lacks_a_right { KeyError::Rights { key: self.key.clone(), source } } else { KeyError::Ask(source) }
    }
}
